"""Registration of the face debugger."""

from __future__ import annotations

from facefusion.processors.face_debugger.options import FaceDebuggerOptions
from facefusion.processors.registration import Registration, Requirements

FACE_DEBUGGER = Registration(
    name='face_debugger',
    options=FaceDebuggerOptions,
    package='facefusion.processors.face_debugger',
    requirements=lambda settings: Requirements(),
    models=lambda settings: (),
    effect=lambda settings: 'annotation',
    # The debugger also draws on faces that are too small for other processors, because users look for them.
    changes=lambda settings, faces: bool(faces),
)
