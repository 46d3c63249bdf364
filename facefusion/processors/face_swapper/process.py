"""The face swapper: builds the source identity once a run, and swaps every selected face."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from facefusion.errors import NoFaceError
from facefusion.events import Message
from facefusion.faces.face import Face
from facefusion.media.frame import Frame
from facefusion.media.image import read_image
from facefusion.processors.face_swapper.mesh_warp.render import MeshWarp
from facefusion.processors.face_swapper.mesh_warp.source import build_source
from facefusion.processors.processor import FrameTask, ProcessorTools

# A source face below this many pixels has no texture worth showing.
SMALLEST_SOURCE_FACE = 48


class FaceSwapper:
    """Swaps faces with the embedded, weight-free ``mesh_warp``."""

    name = 'face_swapper'

    def __init__(self, warp: MeshWarp) -> None:
        self._warp = warp

    def process(self, batch: Sequence[FrameTask]) -> None:
        """Swaps every face of every frame of the batch."""
        for task in batch:
            # Far faces first, so that of two that overlap the nearer one stays whole.
            for face in sorted(task.faces, key=lambda face: float(np.prod(face.box[2:] - face.box[:2]))):
                self._warp.render(task.frame, face)


def prepare(tools: ProcessorTools) -> FaceSwapper:
    """Reads the sources and builds the identity from the largest face among them.

    The plan has seen to it that there are sources, and only pictures. Raises MediaError for one that cannot be read,
    NoFaceError when none shows a face of at least 48 pixels.
    """
    path, frame, face = _largest_face(tools)
    if len(tools.sources) > 1:
        text = f'the source face is taken from {path}, which shows it largest'
        tools.emit(Message('info', 'face_swapper', text))
    return FaceSwapper(MeshWarp(build_source(frame, face.landmarks, tools.meter), tools.meter))


def _largest_face(tools: ProcessorTools) -> tuple[Path, Frame, Face]:
    best: tuple[Path, Frame, Face] | None = None
    for path in tools.sources:
        frame = read_image(path, tools.emit)
        for face in tools.analyser.find(frame):
            if best is None or face.size > best[2].size:
                best = path, frame, face
    names = ', '.join(str(path) for path in tools.sources)
    if best is None:
        raise NoFaceError(
            'source-no-face',
            f'no face was found in {names}',
            hint='take a sharp frontal picture, or lower --face-detector-score',
        )
    if best[2].size < SMALLEST_SOURCE_FACE:
        raise NoFaceError(
            'source-face-small',
            f'the largest face in {names} is {best[2].size:.0f} pixels high',
            cause=f'a source face needs at least {SMALLEST_SOURCE_FACE} pixels',
            hint='take a larger picture of the face',
        )
    return best
