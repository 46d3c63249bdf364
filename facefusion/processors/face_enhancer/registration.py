"""The entry of the face enhancer in the registry."""

from __future__ import annotations

from collections.abc import Sequence

from facefusion.faces.masks.options import MASK_PREFERENCES
from facefusion.processors.face_enhancer.models import MASK_TYPES, PREFERENCE, frozen_model, is_embedded
from facefusion.processors.face_enhancer.options import FaceEnhancerOptions
from facefusion.processors.mask_requirements import mask_requirements, networks_of_masks
from facefusion.processors.registration import Effect, Registration, SizedFace, with_large_faces
from facefusion.settings import Settings


def _models(settings: Settings) -> tuple[str, ...]:
    model = frozen_model(settings[FaceEnhancerOptions].face_enhancer_model)
    return (model, *networks_of_masks(settings, MASK_TYPES))


def _effect(settings: Settings) -> Effect:
    # The published models generate a new face that resembles the old one.
    return 'enhancement' if is_embedded(settings[FaceEnhancerOptions].face_enhancer_model) else 'composite'


def _changes(settings: Settings, faces: Sequence[SizedFace]) -> bool:
    return settings[FaceEnhancerOptions].face_enhancer_blend > 0 and with_large_faces(settings, faces)


FACE_ENHANCER = Registration(
    name='face_enhancer',
    options=FaceEnhancerOptions,
    package='facefusion.processors.face_enhancer',
    requirements=lambda settings: mask_requirements(settings, MASK_TYPES),
    models=_models,
    effect=_effect,
    changes=_changes,
    preferences={'face_enhancer_model': PREFERENCE, **MASK_PREFERENCES},
)
