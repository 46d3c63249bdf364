"""Rotate decoded frames upright, by applying the display matrix of a clip to their planes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

import av
import numpy as np

from facefusion.media.planes import PLANE_FORMATS, copy_tags, plane_views


@dataclass(frozen=True, slots=True)
class Orientation:
    """The orientation of stored frames, which are mirrored left to right if ``mirrored`` and then turned.

    ``rotation`` is the turn counter-clockwise, in degrees.
    """

    rotation: int
    mirrored: bool

    @classmethod
    def from_frame(cls, frame: av.VideoFrame) -> Orientation:
        """Return the orientation in a frame's display matrix (ISO/IEC 14496-12, 8.3.2), rounded to a quarter turn."""
        data = frame.side_data.get('DISPLAYMATRIX')
        if data is None:
            return cls(0, False)
        a, b, _, c, d, *_ = np.frombuffer(cast(bytes, data), np.int32).astype(np.float64)
        mirrored = a * d - b * c < 0
        if mirrored:
            # The matrix means "mirror, then turn", so removing the mirror (x -> -x) negates its first row.
            a, b = -a, -b
        angle = np.degrees(np.arctan2(-b, a))
        return cls(round(angle / 90) * 90 % 360, bool(mirrored))

    @property
    def is_identity(self) -> bool:
        """Whether frames are stored upright."""
        return self.rotation == 0 and not self.mirrored

    @property
    def swaps_sides(self) -> bool:
        """Whether width and height are swapped."""
        return self.rotation in (90, 270)

    def size(self, width: int, height: int) -> tuple[int, int]:
        """Return the displayed size for a stored size."""
        return (height, width) if self.swaps_sides else (width, height)

    def plane_format(self, name: str) -> str:
        """Return the format of an upright frame stored as ``name``: after a quarter turn 4:2:2 becomes 4:4:4."""
        shape = PLANE_FORMATS[name]
        return name.replace('422', '444') if self.swaps_sides and shape.sub_x != shape.sub_y else name

    def apply(self, frame: av.VideoFrame) -> av.VideoFrame:
        """Return an upright copy; ``frame`` must have the format of ``plane_format``.

        If a side is odd and chroma is subsampled along it, chroma moves by half a luma sample.
        """
        width, height = self.size(frame.width, frame.height)
        upright = av.VideoFrame(width, height, frame.format.name)
        for target, source in zip(plane_views(upright), plane_views(frame), strict=True):
            turned = source[:, ::-1] if self.mirrored else source
            target[...] = np.rot90(turned, self.rotation // 90)
        copy_tags(frame, upright)
        return upright
