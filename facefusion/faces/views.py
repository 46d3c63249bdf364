"""A view of a face: the part of a frame that shows it."""

from __future__ import annotations

from dataclasses import dataclass

from facefusion.faces.face import Floats
from facefusion.media.frame import Frame


@dataclass(frozen=True, slots=True, eq=False)
class FaceView:
    """A face cropped from its frame, or in an entire image. ``landmarks``: float32 [n,3] in pixels of ``frame``."""

    frame: Frame
    landmarks: Floats
