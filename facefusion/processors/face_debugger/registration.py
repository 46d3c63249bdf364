"""Registration of the face debugger."""

from __future__ import annotations

from facefusion.faces.masks.options import MASK_PREFERENCES, FaceMaskOptions
from facefusion.processors.face_debugger.options import FaceDebuggerOptions
from facefusion.processors.mask_requirements import mask_requirements, networks_of_masks
from facefusion.processors.registration import Registration
from facefusion.settings import Settings


def drawn_masks(settings: Settings) -> tuple[str, ...]:
    """Return the mask types that the debugger draws: the selected ones."""
    if 'face-mask' not in settings[FaceDebuggerOptions].face_debugger_items:
        return ()
    return settings[FaceMaskOptions].face_mask_types


FACE_DEBUGGER = Registration(
    name='face_debugger',
    options=FaceDebuggerOptions,
    package='facefusion.processors.face_debugger',
    requirements=lambda settings: mask_requirements(settings, drawn_masks(settings)),
    models=lambda settings: networks_of_masks(settings, drawn_masks(settings)),
    effect=lambda settings: 'annotation',
    # The debugger also draws on faces that are too small for other processors, because users look for them.
    changes=lambda settings, faces: bool(faces),
    preferences=MASK_PREFERENCES,
)
