"""The texts of the face debugger: lines beside the box of a face, legible on any picture."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFont

from facefusion.faces.attributes import AGES, GENDERS
from facefusion.faces.face import Floats, LinkedFace
from facefusion.faces.role import NO_ROLE
from facefusion.media.frame import Window

Colour = tuple[int, int, int]
BLACK: Colour = (0, 0, 0)
# The font size as a share of the height of a face; its minimum in pixels, and its maximum as a share of the frame.
_FACE_SHARE = 1 / 10
_SMALLEST, _LARGEST_SHARE = 10.0, 1 / 22
# The distance of the text from the box in font sizes.
_GAP = 0.6


def caption(face: LinkedFace, items: Sequence[str]) -> list[str]:
    """Return the lines of the items that are known for a face, in the order of the options."""
    role = face.role
    texts = {
        'person': f'person {role.person}' if role is not NO_ROLE else '',
        'reference-distance': f'distance {role.distance:.2f}' if math.isfinite(role.distance) else '',
        'gender': GENDERS[role.gender] if role.gender >= 0 else '',
        'age': f'{AGES[role.age].start}-{AGES[role.age].stop}' if role.age >= 0 else '',
        'face-detector-score': f'detector {face.score:.2f}',
        'face-landmarker-score': f'landmarker {face.presence:.2f}',
    }
    return [text for item, text in texts.items() if item in items and text]


@dataclass(frozen=True, slots=True)
class CaptionPlace:
    """The window of a caption in its frame, and the font size in pixels."""

    window: Window
    size: float


def place_caption(lines: Sequence[str], box: Floats, width: int, height: int) -> CaptionPlace:
    """Return the place of a caption beside a box float32 [4]: on its right, else on its left, inside the frame.

    The text is as large as the face allows, and smaller if the frame is too small for it.
    """
    x0, y0, x1, y1 = np.asarray(box, np.float64).tolist()
    size = min(max((y1 - y0) * _FACE_SHARE, _SMALLEST), max(height * _LARGEST_SHARE, _SMALLEST))
    wide, high = _extent(lines, size)
    if wide > width or high > height:
        size = max(size * min(width / wide, height / high) * 0.95, 1.0)
        wide, high = _extent(lines, size)
    gap = _GAP * size
    left = x1 + gap if x1 + gap + wide <= width or width - x1 >= x0 else x0 - gap - wide
    left, top = max(min(round(left), width - wide), 0), max(min(round(y0), height - high), 0)
    return CaptionPlace(Window(left, top, left + wide, top + high).clipped(width, height), size)


def draw_caption(pixels: npt.NDArray[np.uint8], lines: Sequence[str], place: CaptionPlace, colour: Colour) -> None:
    """Draw the lines with a black outline on the pixels uint8 [h,w,3] of the place's window."""
    image, outline = Image.fromarray(pixels), _outline(place.size)
    font = ImageFont.load_default(place.size)
    ImageDraw.Draw(image).multiline_text(
        (outline, outline), '\n'.join(lines), colour, font, stroke_width=outline, stroke_fill=BLACK
    )
    pixels[...] = np.asarray(image)


def _extent(lines: Sequence[str], size: float) -> tuple[int, int]:
    """Return the width and height of the lines with their outline, in pixels."""
    canvas = ImageDraw.Draw(Image.new('RGB', (1, 1)))
    font, outline = ImageFont.load_default(size), _outline(size)
    _, _, right, bottom = canvas.multiline_textbbox((outline, outline), '\n'.join(lines), font, stroke_width=outline)
    return math.ceil(right) + 1, math.ceil(bottom) + 1


def _outline(size: float) -> int:
    """The width of the outline in pixels."""
    return max(round(size / 9), 1)
