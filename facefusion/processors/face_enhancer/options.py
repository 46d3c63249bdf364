"""Options of the face enhancer."""

from __future__ import annotations

from dataclasses import dataclass

from facefusion.options import option

MODELS = (
    'auto',
    'codeformer',
    'gfpgan_1.2',
    'gfpgan_1.3',
    'gfpgan_1.4',
    'gpen_bfr_256',
    'gpen_bfr_512',
    'gpen_bfr_1024',
    'gpen_bfr_2048',
    'realesr_animevideov3',
    'realesrgan_x4plus',
    'restoreformer_plus_plus',
)


@dataclass(frozen=True, slots=True)
class FaceEnhancerOptions:
    """Model of the face enhancer, and the share of its result."""

    face_enhancer_model: str = option(
        'text',
        'auto',
        'model that enhances the face; auto: the best one on this machine; realesr_animevideov3 and realesrgan_x4plus '
        'are embedded: they add fine detail and invent no features, and the second one is slow',
        section='processors',
        choices=MODELS,
    )
    face_enhancer_blend: int = option(
        'int',
        80,
        'percent of the enhanced face in the result; 0: the face stays unchanged',
        section='processors',
        minimum=0,
        maximum=100,
    )
    face_enhancer_weight: float = option(
        'float',
        0.5,
        'likeness with codeformer; 0: the clearest face, 1: the most similar one; the other models have no weight',
        section='processors',
        minimum=0.0,
        maximum=1.0,
        step=0.05,
    )
