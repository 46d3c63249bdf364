"""The visible label: white letters on a dark plate, scaled to the size of the image."""

from __future__ import annotations

import unicodedata
from pathlib import Path
from typing import cast

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from facefusion.errors import UsageError
from facefusion.media.frame import Frame, Window
from facefusion.provenance.label_options import LONGEST_TEXT, DisclosureOptions

# The height of capitals relative to the shorter side of the image. Captions are readable at 1/25 of the height or
# more; a label may be a little smaller.
LETTER_SHARE = 0.034
# The minimum height of capitals in pixels; smaller ones are illegible once the image is encoded.
SMALLEST_LETTERS = 8
# The height of capitals relative to the font size.
_CAPITALS = 0.72
# White letters have a contrast of at least 4.5 : 1 (WCAG 2, AA) to the plate, even over a pure white image: 0.7 of
# black over white is a grey of code 76, with a relative luminance of 0.07.
PLATE_OPACITY = 0.7
# The padding and the margin of the plate, in multiples of the font size.
_PADDING, _MARGIN = 0.55, 0.8

Font = ImageFont.FreeTypeFont | ImageFont.ImageFont
Share = NDArray[np.float32]


class Label:
    """A label for images of one size; thread-safe. Raises UsageError label-text, label-font, label-size."""

    def __init__(self, options: DisclosureOptions, width: int, height: int) -> None:
        text = check_label(options)
        is_bar = options.disclosure_label == 'bar'
        self.window, letters, size = _fit(text, options.disclosure_font, width, height, is_bar)
        if round(size * _CAPITALS, 3) < SMALLEST_LETTERS:
            raise UsageError(
                'label-size',
                f'the label {text!r} is illegible in an image of {width}x{height}',
                cause=f'its letters would be smaller than {SMALLEST_LETTERS} pixels',
                hint='set a shorter --disclosure-text, or leave --disclosure-label out',
            )
        # The drawn image is the original times the factor, plus the addend.
        self._factor = np.repeat(((1 - letters) * (1 - PLATE_OPACITY))[..., None], 3, axis=2)
        self._added = np.repeat((letters * 255)[..., None], 3, axis=2)

    def draw(self, frame: Frame) -> None:
        """Draw the label on a frame of the label's image size."""
        before = frame.read(self.window)
        changed = cv2.add(cv2.multiply(before, self._factor, dtype=cv2.CV_32F), self._added, dtype=cv2.CV_8U)
        frame.write(self.window, cast('NDArray[np.uint8]', changed), before)


def check_label(options: DisclosureOptions) -> str:
    """Return the text of the label as drawn. Raises UsageError label-text, label-font."""
    text = ' '.join(unicodedata.normalize('NFC', options.disclosure_text).split())
    if not text or len(text) > LONGEST_TEXT or any(unicodedata.category(letter)[0] == 'C' for letter in text):
        raise UsageError(
            'label-text',
            'the text of --disclosure-text cannot be drawn',
            cause='it is empty, or has control characters' if len(text) <= LONGEST_TEXT else f'{len(text)} characters',
            hint=f'use one line of up to {LONGEST_TEXT} characters',
        )
    font = _font(options.disclosure_font, 32)
    missing = sorted({letter for letter in text if not letter.isspace() and not _has_glyph(font, letter)})
    if missing:
        raise UsageError(
            'label-text',
            f'the font of the label has no {", ".join(missing)}',
            cause='missing characters would be drawn as empty boxes',
            hint='specify a font with these characters in --disclosure-font',
        )
    return text


def _fit(text: str, font_path: str | None, width: int, height: int, is_bar: bool) -> tuple[Window, Share, float]:
    """Return the plate's window in the image, the letters in it (0 to 1, the plate's size), and the font size.

    The font size is the largest one, up to the standard size, at which the label fits into the image.
    """
    wanted = max(LETTER_SHARE * min(width, height), SMALLEST_LETTERS) / _CAPITALS
    drawn = _draw(text, _font(font_path, wanted))
    space = width - 2 * round((_PADDING + (0.0 if is_bar else _MARGIN)) * wanted)
    if drawn.shape[1] > space:
        wanted *= max(space, 1) / drawn.shape[1] * 0.98
        drawn = _draw(text, _font(font_path, max(wanted, 1.0)))
    padding, margin = round(_PADDING * wanted), round(_MARGIN * wanted)
    high = min(drawn.shape[0] + 2 * padding, height)
    wide = width if is_bar else min(drawn.shape[1] + 2 * padding, width)
    # Positions and sizes are even numbers if possible, because two pixels share a chroma sample.
    left = 0 if is_bar else max(width - margin - wide, 0) // 2 * 2
    top = height - high if is_bar else max(height - margin - high, 0) // 2 * 2
    plate = np.zeros((high, wide), np.float32)
    part = drawn[:high, :wide]
    y, x = (high - part.shape[0]) // 2, (wide - part.shape[1]) // 2
    plate[y : y + part.shape[0], x : x + part.shape[1]] = part
    return Window(left, top, left + wide, top + high), plate, wanted


def _draw(text: str, font: Font) -> Share:
    """Return the letters of a line as opacity 0 to 1, cropped to the letters."""
    left, top, right, bottom = font.getbbox(text)
    canvas = Image.new('L', (max(int(right - left) + 2, 1), max(int(bottom - top) + 2, 1)))
    ImageDraw.Draw(canvas).text((1 - left, 1 - top), text, fill=255, font=font)
    return np.asarray(canvas, np.float32) / np.float32(255)


def _font(path: str | None, size: float) -> Font:
    if path is None:
        return ImageFont.load_default(size)
    try:
        return ImageFont.truetype(path, size)
    except OSError as error:
        raise UsageError(
            'label-font',
            f'the font {Path(path).name} cannot be used',
            cause=str(error),
            hint='specify a ttf or otf file in --disclosure-font',
        ) from None


def _has_glyph(font: Font, letter: str) -> bool:
    """Whether the font has the letter, that is, draws it differently from a character that no font has."""
    unknown = bytes(font.getmask('\U0010fffe'))
    return bytes(font.getmask(letter)) != unknown
