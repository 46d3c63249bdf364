from __future__ import annotations

import cv2
import numpy as np
import pytest
from fakes.samples import sample
from test_mark_embed import PAYLOAD, payload_of, plane_frame, scene

from facefusion.provenance.mark.detect import CHANCE, MOST_FRAMES, MarkReader
from facefusion.provenance.mark.embed import Marker
from facefusion.provenance.mark.evidence import log10_bound
from facefusion.provenance.mark.payload import mark_payload


def marked_lumas(numbers: range, payload: bytes = PAYLOAD, size: tuple[int, int] = (640, 360)) -> list[np.ndarray]:
    """Return the luma of the frames of a marked, drifting scene."""
    whole = scene(2 * size[0], size[1])
    marker = Marker(payload, *size)
    lumas = []
    for number in numbers:
        frame = plane_frame(whole[:, number % size[0] : number % size[0] + size[0]], number)
        marker.mark(frame)
        lumas.append(frame.luma())
    return lumas


def read(lumas: list[np.ndarray]) -> MarkReader:
    reader = MarkReader()
    for luma in lumas:
        reader.add(luma)
    return reader


def test_a_trimmed_clip_is_read_and_the_start_of_a_period_found() -> None:
    found = read(marked_lumas(range(260, 350))).result()
    assert found is not None
    assert found.payload == PAYLOAD
    assert found.frames == 90
    assert abs(found.start - 40) <= 10
    assert found.window == (0, 0, 1, 1)


def test_another_frame_rate_and_size_are_read() -> None:
    lumas = marked_lumas(range(40, 160))
    faster = [cv2.resize(lumas[k * 4 // 5], (426, 240), interpolation=cv2.INTER_AREA) for k in range(150)]
    found = read(faster).result()
    assert found is not None
    assert found.payload == PAYLOAD


@pytest.mark.parametrize('window', [(32, 18, 608, 342), (0, 0, 576, 324), (51, 0, 640, 360)])
def test_a_cropped_clip_is_read_and_the_part_found(window: tuple[int, int, int, int]) -> None:
    x0, y0, x1, y1 = window
    found = read([luma[y0:y1, x0:x1] for luma in marked_lumas(range(10))]).result()
    assert found is not None
    assert found.payload == PAYLOAD
    expected = (x0 / 640, y0 / 360, (x1 - x0) / 640, (y1 - y0) / 360)
    assert np.abs(np.subtract(found.window, expected)).max() < 0.01


def test_two_marks_do_not_overwrite_each_other() -> None:
    first, second = mark_payload('first'), mark_payload('second')
    assert first[0] >> 4 != second[0] >> 4
    lumas = []
    again = Marker(second, 640, 360)
    for number, luma in enumerate(marked_lumas(range(40), first)):
        frame = plane_frame(luma.astype(np.float32), number)
        again.mark(frame)
        lumas.append(frame.luma())
    assert {one.payload for one in read(lumas).results()} == {first, second}


def test_a_reader_is_certain_early_and_stays_bounded() -> None:
    lumas = marked_lumas(range(20))
    reader = read(lumas)
    assert reader.is_certain
    for _ in range(MOST_FRAMES // 10):
        for luma in lumas[:10]:
            reader.add(luma)
    assert reader.is_full
    assert reader.frames == MOST_FRAMES


def test_more_frames_raise_the_confidence() -> None:
    few, many = (read(marked_lumas(range(count))).result() for count in (1, 20))
    assert few is not None
    assert many is not None
    assert -CHANCE <= few.confidence < many.confidence


def test_unmarked_and_odd_frames_have_no_finding(request: pytest.FixtureRequest) -> None:
    random = np.random.default_rng(5)
    lumas = [scene(640, 360, seed).clip(0, 255).astype(np.uint8) for seed in range(2)]
    lumas += [random.integers(0, 256, shape, np.uint8) for shape in ((1, 1), (900, 1), (7, 5), (1080, 1920))]
    lumas += [
        np.indices((360, 640)).sum(0).astype(np.uint8),
        (np.indices((360, 640)).sum(0) % 2 * 255).astype(np.uint8),
    ]
    for luma in sample(request.config, lumas, 5, 'odd'):
        assert read([luma]).result() is None
        assert payload_of() is None


def test_a_reader_accepts_any_frame() -> None:
    reader = MarkReader()
    assert reader.result() is None
    assert not reader.is_certain
    reader.add(np.zeros((0, 5), np.uint8))
    reader.add(np.zeros((5, 5, 3), np.uint8))
    assert reader.frames == 0
    reader.add(np.asfortranarray(scene(640, 360).astype(np.uint8)))
    reader.add(np.zeros((640, 360), np.uint8))
    reader.add(np.full((3, 4), 255, np.uint8))
    assert reader.frames == 2
    assert reader.result() is None


def test_the_bound_counts_every_hypothesis() -> None:
    # Hoeffding's bound is exp(-z^2 / 2).
    assert log10_bound(6.0, 1) == pytest.approx(-18 / np.log(10))
    assert log10_bound(6.0, 1000) == pytest.approx(3 - 18 / np.log(10))
    assert log10_bound(0.5, 1000) == 0
    assert log10_bound(float('nan'), 1) == 0


def test_the_statistic_of_unmarked_frames_stays_below_its_bound(request: pytest.FixtureRequest) -> None:
    chances = []
    for seed in sample(request.config, range(100), 30, 'statistic'):
        reader = MarkReader()
        reader.add(scene(320, 180, 100 + seed).clip(0, 255).astype(np.uint8))
        chances.append(reader.strongest())
    # At most one frame in ten has a chance of 0.1 or less. The bound counts all hypotheses, so the real share is lower.
    assert np.mean(np.array(chances) <= -1) <= 0.1
