"""The entry of the lip syncer in the registry."""

from __future__ import annotations

from facefusion.faces.masks.options import MASK_PREFERENCES
from facefusion.processors.lip_syncer.models import FADE_FRAMES, PREFERENCE, frozen_model, networks_of
from facefusion.processors.lip_syncer.options import LipSyncerOptions
from facefusion.processors.mask_requirements import mask_requirements, networks_of_masks
from facefusion.processors.registration import Registration, Requirements, joined
from facefusion.settings import Settings

# The mask types that depend on the options of the user; the other ones need neither networks nor measurements.
_MASK_TYPES = ('occlusion',)


def _requirements(settings: Settings) -> Requirements:
    own = Requirements(source_audio=True, neighbours=FADE_FRAMES)
    return joined([own, mask_requirements(settings, _MASK_TYPES)])


def _models(settings: Settings) -> tuple[str, ...]:
    model = frozen_model(settings[LipSyncerOptions].lip_syncer_model)
    return (*networks_of(model), *networks_of_masks(settings, _MASK_TYPES))


LIP_SYNCER = Registration(
    name='lip_syncer',
    options=LipSyncerOptions,
    package='facefusion.processors.lip_syncer',
    requirements=_requirements,
    models=_models,
    effect=lambda settings: 'composite',
    preferences={'lip_syncer_model': PREFERENCE, **MASK_PREFERENCES},
)
