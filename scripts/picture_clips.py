"""Generate short clips from face images for ``picture_variants``.

The faces move, are covered by a hand, are crossed by another face, or are small.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from fractions import Fraction
from pathlib import Path
from typing import Protocol

import av
import cv2
import numpy as np
import numpy.typing as npt
from picture_paint import Painted, hand

Picture = npt.NDArray[np.uint8]
Floats = npt.NDArray[np.float32]

RATE, SECONDS = 25, 3
FRAMES = RATE * SECONDS
WIDTH, HEIGHT = 640, 360
# The height of the face in the clips, in pixels.
FACE = 150.0


class Still(Protocol):
    """A face in an image, such as ``picture_variants.Portrait``."""

    @property
    def picture(self) -> Picture: ...
    @property
    def landmarks(self) -> Floats: ...
    def skin(self) -> Floats: ...


def write_clips(folder: Path, faces: Mapping[str, Still]) -> Iterator[Path]:
    """Write five clips of 3 s (H.264 in MP4, 640x360, BT.709); yield each path once it is written.

    Masks of objects in front of a face are written to covers/<name>.npz: ``covers`` uint8 [frames,h,w/8], bits packed
    by row.
    """
    clips: dict[str, Callable[[int], Picture | Painted]] = {
        'portrait-moving': lambda number: _moving(faces['portrait'], number),
        'group3-moving': lambda number: _moving(faces['group3'], number),
        'group4-handclip': lambda number: _under_hand(faces['group4'], number),
        'portrait-crossing': lambda number: _crossing(faces['portrait'], faces['group6'], number),
        'portrait-smallclip': lambda number: _small(faces['portrait'], number),
    }
    for name, frame in clips.items():
        path = folder / f'{name}.mp4'
        covers = encode(path, frame)
        if covers:
            np.savez_compressed(folder / 'covers' / f'{name}.npz', covers=np.packbits(np.stack(covers) > 0, axis=2))
        yield path


def view_of(
    face: Still, height: float, degrees: float = 0.0, at: tuple[float, float] = (0.5, 0.5)
) -> tuple[Picture, Floats]:
    """Return a 640x360 view, with the face ``height`` pixels high at a position (shares), and the landmarks."""
    low, high = face.landmarks[:, :2].min(0), face.landmarks[:, :2].max(0)
    scale = height / float(high[1] - low[1])
    centre = (low + high) / 2
    matrix = cv2.getRotationMatrix2D((float(centre[0]), float(centre[1])), degrees, scale)
    matrix[:, 2] += np.array([WIDTH * at[0], HEIGHT * at[1]]) - centre
    source = face.picture
    if scale < 0.8:
        source = np.asarray(cv2.GaussianBlur(source, (0, 0), 0.4 / scale), np.uint8)
    flags, border = cv2.INTER_CUBIC, cv2.BORDER_REFLECT_101
    picture = cv2.warpAffine(source, matrix, (WIDTH, HEIGHT), flags=flags, borderMode=border)
    # Outside the image the view is mirrored, and blurred so that no mirrored face is recognisable.
    known = cv2.warpAffine(np.full(source.shape[:2], 255, np.uint8), matrix, (WIDTH, HEIGHT))
    known = cv2.GaussianBlur(cv2.erode(known, np.ones((17, 17), np.uint8)), (0, 0), 4)[..., None] / np.float32(255)
    if float(known.min()) < 1:
        far = cv2.GaussianBlur(picture, (0, 0), 24)
        picture = np.rint(picture * known + far * (1 - known)).astype(np.uint8)
    landmarks = face.landmarks * scale
    landmarks[:, :2] = face.landmarks[:, :2] @ matrix[:, :2].T + matrix[:, 2]
    return np.asarray(picture, np.uint8), landmarks.astype(np.float32)


def _moving(face: Still, number: int) -> Picture:
    phase = 2 * math.pi * number / FRAMES
    at = (0.5 + 0.12 * math.sin(phase), 0.5 + 0.04 * math.sin(2 * phase))
    return view_of(face, FACE * (1 + 0.3 * math.sin(phase)), 8 * math.sin(phase + 1), at)[0]


def _under_hand(face: Still, number: int) -> Painted:
    phase = 2 * math.pi * number / FRAMES
    picture, landmarks = view_of(face, FACE, 2 * math.sin(phase), (0.5 + 0.01 * math.sin(phase), 0.5))
    # The hand enters from the lower right, moves up over the mouth and cheek and across the eyes, and leaves.
    way = 3.2 * math.cos(phase)
    return hand(picture, landmarks, face.skin().tolist(), (max(way, -0.2) - 0.2, 0.55 * way))


def _crossing(behind: Still, before: Still, number: int) -> Picture:
    share = number / (FRAMES - 1)
    under, _ = view_of(behind, FACE, 0, (0.55 - 0.10 * share, 0.5))
    over, landmarks = view_of(before, 0.95 * FACE, 3 * math.sin(6 * share), (0.08 + 0.84 * share, 0.55))
    low, high = landmarks[:, :2].min(0), landmarks[:, :2].max(0)
    centre = (low + high) / 2 - [0, 0.10 * (high[1] - low[1])]
    radii = np.array([0.66, 0.72]) * (high - low)
    matte = np.zeros((HEIGHT, WIDTH), np.float32)
    place = (round(float(centre[0])), round(float(centre[1])))
    cv2.ellipse(matte, place, (round(float(radii[0])), round(float(radii[1]))), 0, 0, 360, 1.0, -1)
    matte = cv2.GaussianBlur(matte, (0, 0), 2)[..., None]
    return np.clip(over * matte + under * (1 - matte) + 0.5, 0, 255).astype(np.uint8)


def _small(face: Still, number: int) -> Picture:
    phase = 2 * math.pi * number / FRAMES
    return view_of(face, 46 + 4 * math.sin(phase), 3 * math.sin(phase), (0.5 + 0.15 * math.sin(phase), 0.55))[0]


def encode(
    path: Path, frame_at: Callable[[int], Picture | Painted], frames: int = FRAMES, crf: int = 16
) -> list[Picture]:
    """Encode the frames with light grain, in BT.709, and return their covers; an interrupted run leaves no file."""
    covers = []
    random = np.random.default_rng(2)
    part = path.with_name(path.name + '.part')
    with av.open(str(part), 'w', format='mp4') as container:
        stream = container.add_stream('libx264', rate=RATE, options={'crf': str(crf), 'preset': 'veryfast'})
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, 'yuv420p'
        context = stream.codec_context
        context.color_primaries = context.color_trc = context.colorspace = context.color_range = 1
        for number in range(frames):
            grain = random.normal(0, 2, (HEIGHT, WIDTH, 1))
            painted = frame_at(number)
            if isinstance(painted, Painted):
                covers.append(painted.cover)
                painted = painted.picture
            pixels = np.clip(painted + grain, 0, 255).astype(np.uint8)
            frame = av.VideoFrame.from_ndarray(pixels, format='bgr24').reformat(
                format='yuv420p', src_colorspace='ITU709', dst_colorspace='ITU709', dst_color_range='MPEG'
            )
            frame.pts, frame.time_base = number, Fraction(1, RATE)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    part.replace(path)
    return covers
