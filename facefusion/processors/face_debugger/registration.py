"""The face debugger as the registry knows it."""

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
    # It draws on the smallest faces, too: they are what a user looks for.
    changes=lambda settings, faces: bool(faces),
)
