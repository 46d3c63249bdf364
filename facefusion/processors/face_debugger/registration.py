"""Registration of the face debugger."""

from __future__ import annotations

from facefusion.faces.masks.options import MASK_PREFERENCES
from facefusion.processors.face_debugger.options import FaceDebuggerOptions
from facefusion.processors.mask_requirements import mask_requirements, networks_of_masks
from facefusion.processors.registration import Registration, Requirements
from facefusion.settings import Settings


def _requirements(settings: Settings) -> Requirements:
    return mask_requirements(settings) if _draws_mask(settings) else Requirements()


def _models(settings: Settings) -> tuple[str, ...]:
    return networks_of_masks(settings) if _draws_mask(settings) else ()


def _draws_mask(settings: Settings) -> bool:
    return 'face-mask' in settings[FaceDebuggerOptions].face_debugger_items


FACE_DEBUGGER = Registration(
    name='face_debugger',
    options=FaceDebuggerOptions,
    package='facefusion.processors.face_debugger',
    requirements=_requirements,
    models=_models,
    effect=lambda settings: 'annotation',
    # The debugger also draws on faces that are too small for other processors, because users look for them.
    changes=lambda settings, faces: bool(faces),
    preferences=MASK_PREFERENCES,
)
