from __future__ import annotations

import numpy as np
import pytest
from fakes.face_chunks import face_at
from hypothesis import given, settings
from hypothesis import strategies as st

from facefusion.faces.best_views import LARGEST_SIDE, MARGIN, MOST_TRACKS, MOST_VIEWS, BestViews, Ranking
from facefusion.faces.face import Face
from facefusion.media.frame import PixelFrame

# The height of a generated face with an eye distance of one pixel.
HEIGHT = float(np.ptp(face_at(0, 0, 1)[:, 1]))


def face(x: float, y: float, height: float, score: float = 1.0) -> Face:
    return Face(face_at(x, y, height / HEIGHT), 0.99, 0.05, score)


def picture(width: int, height: int, number: int = 0) -> PixelFrame:
    """Return an image that encodes the position in blue and green, and the frame number in red."""
    pixels = np.empty((height, width, 3), np.uint8)
    pixels[..., 0], pixels[..., 1] = np.arange(width) % 256, (np.arange(height) % 256)[:, None]
    pixels[..., 2] = number
    return PixelFrame(pixels, number=number)


def numbers(views) -> list[int]:
    """Return the frame numbers of views."""
    return [int(view.frame.pixels[0, 0, 2]) for view in views]


offers = st.lists(st.tuples(st.integers(0, 2), st.integers(20, 40), st.sampled_from([0.25, 0.5, 1.0])), max_size=20)


@given(offers)
@settings(max_examples=40, deadline=None)
def test_three_best_views_of_a_track_are_stored_best_first(given_faces):
    """The order is by size times score; of equal views, the earlier one comes first."""
    views = BestViews()
    for number, (track, height, score) in enumerate(given_faces):
        views.offer(picture(80, 80, number), track, face(40, 40, height, score))
    for track in range(3):
        qualities = [
            (face(40, 40, height, score).size * score, number)
            for number, (other, height, score) in enumerate(given_faces)
            if other == track
        ]
        best = sorted(qualities, key=lambda entry: (-entry[0], entry[1]))[:3]
        kept, weight = views.of(track)
        assert MOST_VIEWS == 3 and numbers(kept) == [number for _, number in best]
        assert weight == pytest.approx(sum(quality for quality, _ in best))


def test_unknown_track_has_no_views_and_no_weight():
    assert BestViews().of(3) == ((), 0.0)


def test_largest_tracks_are_stored_up_to_the_limit():
    views = BestViews()
    heights = np.random.default_rng(1).permutation(np.arange(20, 20 + 2 * MOST_TRACKS)).tolist()
    for track, height in enumerate(heights):
        views.offer(picture(300, 300), track, face(150, 150, height))
        assert sum(bool(views.of(other)[0]) for other in range(track + 1)) == min(track + 1, MOST_TRACKS)
    held = [height for track, height in enumerate(heights) if views.of(track)[0]]
    assert sorted(held) == sorted(heights)[-MOST_TRACKS:]
    # A stored track replaces no other track, and a new track that is not larger than the smallest one is not stored.
    largest = heights.index(max(heights))
    views.offer(picture(300, 300), largest, face(150, 150, 30))
    views.offer(picture(300, 300), 999, face(150, 150, min(held)))
    assert len(views.of(largest)[0]) == 2 and views.of(999) == ((), 0.0)
    assert sum(bool(views.of(track)[0]) for track in range(len(heights))) == MOST_TRACKS


def test_view_contains_the_face_with_margin_and_landmarks():
    seen, views = face(160, 130, 100), BestViews()
    views.offer(picture(320, 260), 0, seen)
    ((view,), _) = views.of(0)
    x0, y0 = (int(value) for value in view.frame.pixels[0, 0, :2])
    x1, y1 = (int(value) + 1 for value in view.frame.pixels[-1, -1, :2])
    low, high = seen.box[:2], seen.box[2:]
    margin = MARGIN * (high - low)
    np.testing.assert_allclose([x0, y0, x1, y1], [*(low - margin), *(high + margin)], atol=1)
    np.testing.assert_allclose(view.landmarks, seen.landmarks - [x0, y0, 0], atol=1e-4)
    assert view.landmarks.dtype == np.float32 and view.frame.pixels.dtype == np.uint8


def test_view_does_not_change_with_the_frame():
    frame, views = picture(60, 60), BestViews()
    views.offer(frame, 0, face(30, 30, 60))
    ((view,), _) = views.of(0)
    before = view.frame.pixels.copy()
    frame.pixels[:] = 0
    np.testing.assert_array_equal(view.frame.pixels, before)
    assert not np.shares_memory(view.frame.pixels, frame.pixels) and before.any()


@pytest.mark.parametrize(('width', 'height'), [(1200, 900), (900, 1200), (1500, 420)])
def test_large_view_is_shrunk_with_its_landmarks(width, height):
    seen, views = face(width / 2, height / 2, 380), BestViews()
    views.offer(picture(width, height), 0, seen)
    ((view,), _) = views.of(0)
    high, wide = view.frame.pixels.shape[:2]
    assert max(high, wide) == LARGEST_SIDE and view.frame.pixels.nbytes <= 3 * LARGEST_SIDE**2
    # Landmarks and pixels are scaled by the same factor, within a pixel.
    low, reach = seen.box[:2], MARGIN * (seen.box[2:] - seen.box[:2])
    corner = np.maximum(np.floor(low - reach), 0)
    far = np.minimum(np.ceil(seen.box[2:] + reach), [width, height])
    scale = LARGEST_SIDE / (far - corner).max()
    np.testing.assert_allclose([wide, high], scale * (far - corner), atol=1)
    np.testing.assert_allclose(view.landmarks[:, :2], scale * (seen.landmarks[:, :2] - corner), atol=0.01)
    np.testing.assert_allclose(view.landmarks[:, 2], scale * seen.landmarks[:, 2], atol=0.01)


@pytest.mark.parametrize('place', [(0, 60), (160, 60), (80, 0), (80, 120), (0, 0), (-20, 60), (160, 145)], ids=str)
def test_view_at_the_edge_contains_the_visible_part(place):
    seen, views = face(*place, 60), BestViews()
    views.offer(picture(160, 120), 0, seen)
    ((view,), weight) = views.of(0)
    high, wide = view.frame.pixels.shape[:2]
    x0, y0 = (int(value) for value in view.frame.pixels[0, 0, :2])
    x1, y1 = (int(value) + 1 for value in view.frame.pixels[-1, -1, :2])
    assert (wide, high) == (x1 - x0, y1 - y0) and x0 >= 0 and y0 >= 0 and x1 <= 160 and y1 <= 120
    np.testing.assert_allclose(view.landmarks, seen.landmarks - [x0, y0, 0], atol=1e-4)
    assert weight == pytest.approx(seen.size)


@pytest.mark.parametrize('place', [(-300, 60), (500, 60), (80, -40), (80, 160)], ids=str)
def test_face_outside_the_frame_has_no_view(place):
    """This also applies if the margin of the face reaches into the frame."""
    views = BestViews()
    views.offer(picture(160, 120), 0, face(*place, 60))
    assert views.of(0) == ((), 0.0)
    views.offer(picture(160, 120, 1), 0, face(80, 60, 40))
    assert numbers(views.of(0)[0]) == [1]


def test_face_outside_the_frame_uses_no_capacity():
    views = BestViews()
    for track in range(MOST_TRACKS):
        views.offer(picture(80, 80), track, face(40, 40, 30))
    views.offer(picture(80, 80), 999, face(-900, 40, 300))
    assert all(views.of(track)[0] for track in range(MOST_TRACKS)) and views.of(999) == ((), 0.0)


def test_views_of_68_landmarks():
    seen, views = Face(face_at(40, 40, 20)[:68], 0.99, 0.05, 1.0), BestViews()
    views.offer(picture(80, 80), 0, seen)
    ((view,), _) = views.of(0)
    assert view.landmarks.shape == (68, 3)


def test_any_other_view_replaces_those_in_which_faces_overlap():
    views = BestViews()
    for number, (height, is_overlapped) in enumerate([(40, True), (50, True), (20, False), (60, True), (30, False)]):
        views.offer(picture(80, 80, number), 0, face(40, 40, height), is_overlapped)
        if number == 1:
            assert numbers(views.of(0)[0]) == [1, 0]
    assert numbers(views.of(0)[0]) == [4, 2]


def test_a_ranking_limits_the_size_and_the_tracks():
    views = BestViews(Ranking(lambda face: face.size, side=50, tracks=2))
    for track, height in enumerate((60, 80, 70)):
        views.offer(picture(300, 300), track, face(150, 150, height))
    assert [len(views.of(track)[0]) for track in range(3)] == [0, 1, 1]
    assert max(views.of(1)[0][0].frame.pixels.shape[:2]) == 50
    # A full store keeps the tracks that it has, even when another view of one of them arrives.
    views.offer(picture(300, 300), 1, face(150, 150, 20), True)
    assert [len(views.of(track)[0]) for track in range(3)] == [0, 1, 1]
