"""The entry of the lip syncer in the registry."""

from __future__ import annotations

from facefusion.processors.lip_syncer.models import FADE_FRAMES, PREFERENCE
from facefusion.processors.lip_syncer.options import LipSyncerOptions
from facefusion.processors.registration import Registration, Requirements
from facefusion.settings import Settings

# The names of the measurements are those of ``mesh_lips.prepare``, which loads array libraries.
_MEASUREMENTS = frozenset({'skin', 'mouth_rest', 'mouth_skin', 'mouth_teeth'})


def _requirements(settings: Settings) -> Requirements:
    return Requirements(measurements=_MEASUREMENTS, source_audio=True, neighbours=FADE_FRAMES, mesh=True)


LIP_SYNCER = Registration(
    name='lip_syncer',
    options=LipSyncerOptions,
    package='facefusion.processors.lip_syncer',
    requirements=_requirements,
    models=lambda settings: ('silero_vad',),
    effect=lambda settings: 'composite',
    preferences={'lip_syncer_model': PREFERENCE},
)
