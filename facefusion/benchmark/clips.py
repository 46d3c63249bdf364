"""The clips of the benchmark, made from the example portrait.

The camera moves over the portrait, so every frame shows one face, about 0.38 times as high as the frame.
"""

from __future__ import annotations

import math
import os
import shutil
import struct
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
from numpy.typing import NDArray

from facefusion.media.image import read_image
from facefusion.stopping import StopFlag

RATE = 25
PORTRAIT = 'example_portrait'
# The camera: centre and width of its view as shares of the sides of the portrait, and the amplitudes of its motion.
_CENTRE, _WIDTH = (0.5, 0.31), 0.94
_SWAY, _ZOOM, _SECONDS = (0.02, 0.02), 0.01, 4.0
# A new grain in each frame, in codes, makes the encoder work as on a filmed clip.
_GRAIN, _GRAINS, _SEED = 1.5, 8, 7
# Bytes of a clip per pixel and frame; 0.03 measured at 240p, less at larger sizes.
_CODED_BYTES = 0.05


def size_of(resolution: str) -> tuple[int, int]:
    """Return width and height of a clip, such as 1280x720 for '720p'; both are even."""
    height = int(resolution.removesuffix('p'))
    return round(height * 16 / 9 / 2) * 2, height


def needed_space(resolution: str, frames: int, copies: int) -> int:
    """Return the bytes of a clip with its copies and outputs."""
    width, height = size_of(resolution)
    return int(width * height * frames * _CODED_BYTES * (copies + 2)) + 1_000_000


def make_clip(portrait: Path, path: Path, resolution: str, frames: int, flag: StopFlag) -> Path:
    """Write a clip as H.264 in MP4, 25 frames per second. Raises Interrupted, and MediaError for the portrait."""
    pixels = np.asarray(read_image(portrait).pixels[..., :3])
    width, height = size_of(resolution)
    random = np.random.default_rng(_SEED)
    grains = [random.normal(0, _GRAIN, (height, width, 1)).astype(np.float32) for _ in range(_GRAINS)]
    with av.open(str(path), 'w', format='mp4') as container:
        stream = container.add_stream('libx264', rate=RATE, options={'crf': '18', 'preset': 'veryfast'})
        stream.width, stream.height, stream.pix_fmt = width, height, 'yuv420p'
        context = stream.codec_context
        context.color_primaries = context.color_trc = context.colorspace = context.color_range = 1
        for number in range(frames):
            flag.check()
            view = _view(pixels, number / RATE, (width, height)) + grains[number % _GRAINS]
            shown = np.clip(view, 0, 255).round().astype(np.uint8)
            frame = av.VideoFrame.from_ndarray(shown, format='bgr24').reformat(
                format='yuv420p', src_colorspace='ITU709', dst_colorspace='ITU709', dst_color_range='MPEG'
            )
            frame.pts, frame.time_base = number, Fraction(1, RATE)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def copy_clip(clip: Path, path: Path) -> Path:
    """Copy a clip with a unique digest, so that no result of an earlier run is used for it."""
    shutil.copyfile(clip, path)
    nonce = os.urandom(16)
    with path.open('ab') as stream:
        # A box of the type 'free' (ISO/IEC 14496-12, 8.1.2), which readers skip.
        stream.write(struct.pack('>I4s', 8 + len(nonce), b'free') + nonce)
    return path


def _view(pixels: NDArray[np.uint8], second: float, size: tuple[int, int]) -> NDArray[np.float32]:
    """Return the view of the camera at a time, float32 [height, width, 3] BGR."""
    rows, columns = pixels.shape[:2]
    phase = 2 * math.pi * second / _SECONDS
    wide = (_WIDTH + _ZOOM * math.sin(phase)) * columns
    x = (_CENTRE[0] + _SWAY[0] * math.sin(phase)) * columns
    y = (_CENTRE[1] + _SWAY[1] * math.cos(phase)) * rows
    step = wide / size[0]
    matrix = np.array([[step, 0, x - step * (size[0] - 1) / 2], [0, step, y - step * (size[1] - 1) / 2]])
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    view = cv2.warpAffine(pixels, matrix, size, flags=flags, borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(view, np.float32)
