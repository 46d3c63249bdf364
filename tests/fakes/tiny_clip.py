"""A clip of uniform frames whose brightness depends on the frame's number."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import numpy as np


def luma_of(number: int) -> int:
    """Return the luma of a frame; it rises and falls slowly from frame to frame, without cuts."""
    return 60 + abs(number % 160 - 80)


def make_tiny_clip(path: Path, frames: int, size: tuple[int, int] = (160, 96), cuts: tuple[int, ...] = ()) -> Path:
    """Write H.264 at 25 frames per second; at each cut the frames become 100 codes brighter, or return to normal."""
    with av.open(str(path), 'w') as output:
        stream = output.add_stream('libx264', rate=25, options={'qp': '4', 'preset': 'ultrafast'})
        stream.width, stream.height = size
        stream.pix_fmt = 'yuv420p'
        for number in range(frames):
            luma = luma_of(number) + 100 * (sum(cut <= number for cut in cuts) % 2)
            planes = np.full((size[1] * 3 // 2, size[0]), 128, np.uint8)
            planes[: size[1]] = luma
            frame = av.VideoFrame.from_ndarray(planes, format='yuv420p')
            frame.pts, frame.time_base = number, Fraction(1, 25)
            output.mux(stream.encode(frame))
        output.mux(stream.encode(None))
    return path


def decoded_luma(path: Path) -> list[float]:
    """Return the mean luma of every frame."""
    with av.open(str(path)) as container:
        return [float(frame.to_ndarray()[: frame.height].mean()) for frame in container.decode(video=0)]
