"""Tests of the visible label: it is legible on any image, sized to the image, and drawn only inside its window."""

from __future__ import annotations

import av
import cv2
import numpy as np
import pytest
from PIL import ImageFont

from facefusion.errors import UsageError
from facefusion.media.color import ColorSpec
from facefusion.media.frame import PixelFrame, PlaneFrame
from facefusion.provenance.label import LETTER_SHARE, SMALLEST_LETTERS, Label, check_label
from facefusion.provenance.label_options import LONGEST_TEXT, DisclosureOptions


def drawn(kind: str, pixels: np.ndarray, text: str = 'Altered with AI') -> tuple[np.ndarray, Label]:
    frame = PixelFrame(pixels)
    label = Label(DisclosureOptions(kind, text), pixels.shape[1], pixels.shape[0])
    label.draw(frame)
    return frame.pixels, label


def luminance(code: float) -> float:
    """Return the relative luminance of an sRGB grey (WCAG 2)."""
    share = code / 255
    return share / 12.92 if share <= 0.04045 else ((share + 0.055) / 1.055) ** 2.4


@pytest.mark.parametrize('code', [0, 128, 255])
@pytest.mark.parametrize('kind', ['corner', 'bar'])
def test_letters_are_legible_on_any_background(kind, code):
    after, label = drawn(kind, np.full((360, 640, 3), code, np.uint8))
    x0, y0, x1, y1 = label.window
    plate = after[y0:y1, x0:x1]
    light, dark = luminance(float(plate.max())), luminance(float(plate.min()))
    assert (light + 0.05) / (dark + 0.05) >= 4.5
    letters = plate[..., 0] > 200
    assert 0.01 < letters.mean() < 0.4


@pytest.mark.parametrize(('width', 'height'), [(1920, 1080), (1080, 1920), (640, 360), (321, 243)])
@pytest.mark.parametrize('kind', ['corner', 'bar'])
def test_the_label_is_sized_to_the_image_and_nothing_else_changes(kind, width, height):
    before = np.random.default_rng(1).integers(0, 120, (height, width, 3), np.uint8)
    after, label = drawn(kind, before.copy())
    x0, y0, x1, y1 = label.window
    outside = np.ones((height, width), bool)
    outside[y0:y1, x0:x1] = False
    assert (after[outside] == before[outside]).all()
    rows = np.flatnonzero((after[y0:y1, x0:x1, 0] > 230).any(axis=1))
    tall = rows[-1] - rows[0] + 1
    wanted = max(LETTER_SHARE * min(width, height), SMALLEST_LETTERS)
    assert 0.85 * wanted <= tall <= 1.7 * wanted
    if kind == 'bar':
        assert (x0, x1, y1) == (0, width, height)
    else:
        assert x0 > width * 0.3 and y0 > height * 0.5 and x1 < width and y1 < height


def test_a_label_on_the_planes_of_a_clip_changes_only_its_window():
    picture = np.random.default_rng(2).integers(16, 236, (360, 640), np.uint8)
    video = av.VideoFrame.from_ndarray(np.vstack([picture, np.full((180, 640), 128, np.uint8)]), format='yuv420p')
    frame = PlaneFrame(video, 0, 0, ColorSpec('bt709', False, 1, 1))
    label = Label(DisclosureOptions('corner'), 640, 360)
    label.draw(frame)
    x0, y0, x1, y1 = label.window
    luma = frame.luma()
    outside = np.ones(luma.shape, bool)
    outside[y0:y1, x0:x1] = False
    assert (luma[outside] == picture[outside]).all()
    assert luma[y0:y1, x0:x1].max() > 225


def test_a_long_text_is_drawn_smaller_to_fit():
    after, label = drawn('corner', np.zeros((360, 640, 3), np.uint8), 'This clip was altered by means of AI, 2026')
    assert label.window.x0 >= 0 and label.window.x1 <= 640
    assert (after > 200).any(axis=(0, 2))[: label.window.x0].sum() == 0


@pytest.mark.parametrize(
    ('text', 'reason'),
    [
        ('', 'empty'),
        ('  \n ', 'empty'),
        ('a\x00b', 'control'),
        ('x' * (LONGEST_TEXT + 1), '81 characters'),
        ('日本', '日'),
    ],
)
def test_a_text_that_cannot_be_drawn_is_refused(text, reason):
    with pytest.raises(UsageError) as caught:
        check_label(DisclosureOptions('corner', text))
    assert caught.value.reference == 'label-text'
    assert reason in f'{caught.value.message} {caught.value.cause}'


def test_an_image_too_small_for_any_letters_is_refused():
    with pytest.raises(UsageError, match='64x64') as caught:
        Label(DisclosureOptions('corner'), 64, 64)
    assert caught.value.reference == 'label-size'
    # On an image of 160x90 the letters have the smallest allowed size.
    Label(DisclosureOptions('corner'), 160, 90)
    with pytest.raises(UsageError, match='160x90'):
        Label(DisclosureOptions('corner', 'long ' * 12), 160, 90)


def test_a_file_that_is_not_a_font_is_refused(tmp_path):
    path = tmp_path / 'no.ttf'
    for make in (lambda: None, lambda: path.write_text('none')):
        make()
        with pytest.raises(UsageError) as caught:
            check_label(DisclosureOptions('corner', disclosure_font=str(path)))
        assert caught.value.reference == 'label-font' and 'no.ttf' in caught.value.message


def test_a_font_of_the_user(tmp_path):
    path = tmp_path / 'own.ttf'
    path.write_bytes(ImageFont.load_default(20).font_bytes)
    assert check_label(DisclosureOptions('bar', ' Two   words ', str(path))) == 'Two words'


def test_the_label_is_deterministic():
    picture = cv2.resize(np.random.default_rng(3).integers(0, 255, (36, 64, 3), np.uint8), (640, 360))
    assert (drawn('bar', picture.copy())[0] == drawn('bar', picture.copy())[0]).all()
