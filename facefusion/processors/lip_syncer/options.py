"""Options of the lip syncer."""

from __future__ import annotations

from dataclasses import dataclass

from facefusion.options import option

MODELS = ('auto', 'edtalk_256', 'mesh_lips', 'wav2lip_96', 'wav2lip_gan_96')


@dataclass(frozen=True, slots=True)
class LipSyncerOptions:
    """Model of the lip syncer, and the strength of the motion."""

    lip_syncer_model: str = option(
        'text',
        'auto',
        'model that moves the mouth to the voice of a source; auto: the best one on this machine; mesh_lips is '
        'embedded',
        section='processors',
        choices=MODELS,
    )
    lip_syncer_weight: float = option(
        'float',
        0.5,
        'strength of the motion of the mouth',
        section='processors',
        minimum=0.0,
        maximum=1.0,
        step=0.05,
    )
    lip_syncer_idle_motion: float = option(
        'float',
        0.0,
        'strength of slight motion of the head and eyelids when the target is an image, with mesh_lips; 0: none',
        section='processors',
        minimum=0.0,
        maximum=1.0,
        step=0.05,
    )
