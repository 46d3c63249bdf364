"""A face cropped from its frame."""

from __future__ import annotations

from dataclasses import dataclass

from facefusion.faces.face import Floats
from facefusion.media.frame import PixelFrame


@dataclass(frozen=True, slots=True, eq=False)
class FaceView:
    """A face cropped from its frame. ``landmarks``: float32 [n,3] in pixels of ``frame``."""

    frame: PixelFrame
    landmarks: Floats
