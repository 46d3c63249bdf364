"""The entry of the lip syncer in the registry."""

from __future__ import annotations

from dataclasses import replace

from facefusion.faces.masks.options import MASK_PREFERENCES
from facefusion.processors.lip_syncer.models import (
    EMBEDDED,
    FADE_FRAMES,
    MASK_TYPES,
    PREFERENCE,
    frozen_model,
    networks_of,
)
from facefusion.processors.lip_syncer.options import LipSyncerOptions
from facefusion.processors.mask_requirements import mask_requirements, networks_of_masks
from facefusion.processors.registration import Registration, Requirements, joined, with_voice
from facefusion.settings import Settings
from facefusion.voice.options import DETECTOR

# The names of the measurements are those of ``mesh_lips.prepare``, which loads array libraries.
_MEASUREMENTS = frozenset({'skin', 'mouth_rest', 'mouth_skin', 'mouth_teeth'})


def _requirements(settings: Settings) -> Requirements:
    own = Requirements(source_audio=True, neighbours=FADE_FRAMES)
    if _model(settings) == EMBEDDED:
        own = replace(own, measurements=_MEASUREMENTS, mesh=True)
    return joined([own, mask_requirements(settings, MASK_TYPES)])


def _models(settings: Settings) -> tuple[str, ...]:
    own = (DETECTOR,) if _model(settings) == EMBEDDED else networks_of(_model(settings))
    return (*own, *networks_of_masks(settings, MASK_TYPES))


def _model(settings: Settings) -> str:
    return frozen_model(settings[LipSyncerOptions].lip_syncer_model)


LIP_SYNCER = Registration(
    name='lip_syncer',
    options=LipSyncerOptions,
    package='facefusion.processors.lip_syncer',
    requirements=_requirements,
    models=_models,
    effect=lambda settings: 'composite',
    changes=with_voice,
    preferences={'lip_syncer_model': PREFERENCE, **MASK_PREFERENCES},
)
