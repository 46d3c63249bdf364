"""The entry of the face enhancer in the registry."""

from __future__ import annotations

from collections.abc import Sequence

from facefusion.processors.face_enhancer.models import PREFERENCE, blend_percent, frozen_model, is_embedded
from facefusion.processors.face_enhancer.options import FaceEnhancerOptions
from facefusion.processors.registration import Effect, Registration, Requirements, SizedFace, with_large_faces
from facefusion.settings import Settings


def _effect(settings: Settings) -> Effect:
    # The published models paint a new face that resembles the old one.
    return 'enhancement' if is_embedded(settings[FaceEnhancerOptions].face_enhancer_model) else 'composite'


def _changes(settings: Settings, faces: Sequence[SizedFace]) -> bool:
    options = settings[FaceEnhancerOptions]
    blend = blend_percent(options.face_enhancer_model, options.face_enhancer_blend)
    return blend > 0 and with_large_faces(settings, faces)


FACE_ENHANCER = Registration(
    name='face_enhancer',
    options=FaceEnhancerOptions,
    package='facefusion.processors.face_enhancer',
    requirements=lambda settings: Requirements(),
    models=lambda settings: (frozen_model(settings[FaceEnhancerOptions].face_enhancer_model),),
    effect=_effect,
    changes=_changes,
    preferences={'face_enhancer_model': PREFERENCE},
)
