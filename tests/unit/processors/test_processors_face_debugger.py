from __future__ import annotations

import numpy as np
import pytest
from fakes.face_chunks import face_at
from hypothesis import given, settings
from hypothesis import strategies as st

from facefusion.faces.attributes import GENDERS
from facefusion.faces.face import LinkedFace
from facefusion.faces.landmarks.subsets import five_points, sixty_eight_points
from facefusion.faces.masks.options import FaceMaskOptions
from facefusion.faces.role import FaceRole
from facefusion.faces.topology import OVAL
from facefusion.media.frame import PixelFrame
from facefusion.processors.face_debugger.captions import caption, place_caption
from facefusion.processors.face_debugger.options import ITEMS, TEXTS, FaceDebuggerOptions
from facefusion.processors.face_debugger.process import (
    CYAN,
    GREEN,
    LIGHT_RED,
    ORANGE,
    RED,
    WHITE,
    FaceDebugger,
)
from facefusion.processors.face_masker import FaceMasker
from facefusion.processors.processor import FrameTask

GREY = (90, 90, 90)
BOX = FaceMaskOptions(face_mask_types=('box',), face_mask_blur=0.0)
PLACE = face_at(200, 150, 60)


def debugger(*items, masks=BOX) -> FaceDebugger:
    return FaceDebugger(FaceDebuggerOptions(items), FaceMasker(masks) if 'face-mask' in items else None)


def drawn(items, landmarks=PLACE, *, filled=False, size=(400, 300)) -> PixelFrame:
    frame = PixelFrame(np.full((size[1], size[0], 3), GREY, np.uint8))
    face = LinkedFace(0, landmarks, 0.9, is_filled=filled)
    debugger(*items).process((FrameTask(frame, (face,)),))
    return frame


def colours_of(frame) -> set[tuple[int, int, int]]:
    return {tuple(colour) for colour in np.unique(frame.pixels.reshape(-1, 3), axis=0).tolist()} - {GREY}


@pytest.mark.parametrize(
    ('item', 'colours'),
    [
        ('bounding-box', {RED, LIGHT_RED}),
        ('face-landmark-5', {RED}),
        ('face-landmark-5/68', {GREEN}),
        ('face-landmark-68', {GREEN}),
        ('face-landmark-68/5', {CYAN}),
        ('face-mask', {GREEN}),
    ],
)
def test_each_item_has_its_colours(item, colours):
    assert colours_of(drawn([item])) == colours


def test_every_item_is_drawn():
    assert set(ITEMS) == {
        'bounding-box',
        'face-landmark-5',
        'face-landmark-5/68',
        'face-landmark-68',
        'face-landmark-68/5',
        'face-mask',
        'person',
        'reference-distance',
        'gender',
        'age',
        'face-detector-score',
        'face-landmarker-score',
    }
    # The dots are drawn over the outline, so only the topmost item is visible.
    assert {RED, LIGHT_RED, CYAN} <= colours_of(drawn(ITEMS))


@pytest.mark.parametrize(
    ('item', 'points'), [('face-landmark-5', five_points), ('face-landmark-68', sixty_eight_points)]
)
def test_dots_are_where_the_landmarks_are(item, points):
    frame = drawn([item])
    rows, columns = np.nonzero((frame.pixels != GREY).any(2))
    expected = points(PLACE).astype(int)
    assert all((frame.pixels[y, x] != GREY).any() for x, y in expected)
    nearest = np.hypot(columns[:, None] - expected[:, 0], rows[:, None] - expected[:, 1]).min(1)
    assert nearest.max() <= 1.5


def test_the_box_is_around_the_landmarks_with_its_upper_side_marked():
    frame = drawn(['bounding-box'])
    low, high = PLACE[:, :2].min(0), PLACE[:, :2].max(0)
    rows, columns = np.nonzero((frame.pixels != GREY).any(2))
    np.testing.assert_allclose([columns.min(), rows.min()], low, atol=2.5)
    np.testing.assert_allclose([columns.max(), rows.max()], high, atol=2.5)
    upper = (frame.pixels == LIGHT_RED).all(2)
    assert np.nonzero(upper)[0].max() <= low[1] + 2.5


def test_the_mask_ends_at_the_outline_of_the_mesh():
    frame = drawn(['face-mask'])
    x, y = np.round(PLACE[OVAL[0], :2]).astype(int)
    assert (frame.pixels[y - 1 : y + 2, x - 1 : x + 2] == GREEN).all(-1).any()


def test_the_mask_of_other_landmarks_is_that_of_the_options():
    points = sixty_eight_points(PLACE)
    box = np.array([[*PLACE[:, :2].min(0)], [*PLACE[:, :2].max(0)]], np.float32)
    flat = np.concatenate([points, five_points(PLACE), box, five_points(PLACE)])
    landmarks = np.pad(flat, ((0, 0), (0, 1))).astype(np.float32)
    columns = np.nonzero((drawn(['face-mask'], landmarks).pixels != GREY).any(2))[1]
    frame = PixelFrame(np.full((300, 400, 3), GREY, np.uint8))
    half = FaceMaskOptions(face_mask_types=('box',), face_mask_blur=0.0, face_mask_padding=(0, 50, 0, 0))
    debugger('face-mask', masks=half).process((FrameTask(frame, (LinkedFace(0, landmarks, 0.9),)),))
    halved = np.nonzero((frame.pixels != GREY).any(2))[1]
    assert abs(halved.min() - columns.min()) <= 1
    assert np.ptp(halved) == pytest.approx(np.ptp(columns) / 2, abs=3)


def test_an_interpolated_face_is_orange():
    for item in ('face-mask', 'face-landmark-5', 'face-landmark-68'):
        assert colours_of(drawn([item], filled=True)) == {ORANGE}


def test_without_faces_nothing_is_touched():
    frame = PixelFrame(np.full((300, 400, 3), GREY, np.uint8))
    debugger(*ITEMS).process((FrameTask(frame, ()),))
    assert not frame.is_touched and colours_of(frame) == set()


def test_every_face_of_every_frame_is_drawn():
    frames = [PixelFrame(np.full((300, 400, 3), GREY, np.uint8)) for _ in range(2)]
    faces = [LinkedFace(k, face_at(x, 150, 30), 0.9) for k, x in enumerate((100, 300))]
    debugger('face-landmark-5/68', 'face-mask').process([FrameTask(frame, faces) for frame in frames])
    for frame in frames:
        columns = np.nonzero((frame.pixels != GREY).any(2))[1]
        assert columns.min() < 100 and columns.max() > 300


@given(st.floats(-300, 700), st.floats(-300, 600), st.floats(1, 400))
@settings(max_examples=30)
def test_faces_of_any_position_and_size_are_drawn_or_skipped(x, y, size):
    frame = drawn(ITEMS, face_at(x, y, size))
    assert frame.pixels.shape == (300, 400, 3)


def test_lines_grow_with_the_picture():
    small, large = drawn(['bounding-box']), drawn(['bounding-box'], face_at(2000, 1500, 600), size=(4000, 3000))
    row = np.flatnonzero((small.pixels[150] != GREY).any(1)), np.flatnonzero((large.pixels[1500] != GREY).any(1))
    assert len(row[1]) > 5 * len(row[0])


ROLE = FaceRole(3, 0, 0, 0.234, 1, 3)


def test_the_texts_are_the_known_facts_about_a_face():
    face = LinkedFace(0, PLACE, 0.931, presence=0.987, role=ROLE)
    assert caption(face, TEXTS) == [
        'person 3',
        'distance 0.23',
        GENDERS[1],
        '20-29',
        'detector 0.93',
        'landmarker 0.99',
    ]
    assert caption(face, ('face-mask', 'age')) == ['20-29']


def test_unknown_facts_are_left_out():
    assert caption(LinkedFace(0, PLACE, 0.9), TEXTS) == ['detector 0.90', 'landmarker 1.00']
    assert caption(LinkedFace(0, PLACE, 0.9, role=FaceRole(0)), TEXTS)[0] == 'person 0'
    frame = PixelFrame(np.full((300, 400, 3), GREY, np.uint8))
    assert debugger('gender').process((FrameTask(frame, (LinkedFace(0, PLACE, 0.9),)),)) == [False]
    assert not frame.is_touched


@pytest.mark.parametrize('shade', [0, 128, 255])
@pytest.mark.parametrize(('filled', 'colour'), [(False, WHITE), (True, ORANGE)])
def test_a_text_is_light_on_a_dark_outline_on_any_picture(shade, filled, colour):
    frame = PixelFrame(np.full((300, 400, 3), shade, np.uint8))
    face = LinkedFace(0, PLACE, 0.9, is_filled=filled, role=ROLE)
    assert debugger('person', 'gender').process((FrameTask(frame, (face,)),)) == [True]
    place = place_caption(caption(face, ('person', 'gender')), face.box, 400, 300).window
    text = frame.pixels[place.y0 : place.y1, place.x0 : place.x1]
    assert (text == colour).all(-1).sum() > 60 and (text < 60).all(-1).sum() > 250


@given(st.floats(-50, 700), st.floats(-50, 500), st.floats(5, 200), st.integers(24, 640), st.integers(24, 480))
@settings(max_examples=60)
def test_a_text_stays_inside_the_frame(x, y, size, width, height):
    box = np.array([x - size, y - size, x + size, y + size], np.float32)
    window = place_caption(['person 3', 'landmarker 0.98'], box, width, height).window
    assert window.x0 >= 0 and window.y0 >= 0 and window.x1 <= width and window.y1 <= height and not window.is_empty


def test_a_text_is_beside_the_box_and_as_large_as_the_face_allows():
    lines = ['person 3', 'distance 0.23']
    large = place_caption(lines, np.array([100, 100, 500, 700], np.float32), 1920, 1080)
    small = place_caption(lines, np.array([100, 100, 140, 150], np.float32), 1920, 1080)
    at_edge = place_caption(lines, np.array([1700, 100, 1900, 400], np.float32), 1920, 1080)
    assert large.window.x0 > 500 and small.window.x0 > 140 and at_edge.window.x1 < 1700
    assert large.size > 3 * small.size
