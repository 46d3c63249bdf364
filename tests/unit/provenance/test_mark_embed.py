from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise

import av
import cv2
import numpy as np
import pytest

from facefusion.errors import InternalError
from facefusion.media.color import ColorSpec
from facefusion.media.frame import PixelFrame, PlaneFrame
from facefusion.media.planes import PLANE_FORMATS, plane_views
from facefusion.provenance.mark.detect import MarkReader
from facefusion.provenance.mark.embed import Marker
from facefusion.provenance.mark.payload import mark_payload

BT709 = ColorSpec('bt709', False, 1, 1)
PAYLOAD = mark_payload('embed')


def scene(width: int, height: int, seed: int = 1) -> np.ndarray:
    """Return luma with structures of several sizes, float32 around 120."""
    random = np.random.default_rng(seed)
    total = np.full((height, width), 120, np.float32)
    for size in (4, 16, 64):
        small = random.standard_normal((max(height // size, 2), max(width // size, 2)), np.float32)
        total += 8 * cv2.resize(small, (width, height), interpolation=cv2.INTER_CUBIC)
    return total


def plane_frame(luma: np.ndarray, number: int = 0, pix_fmt: str = 'yuv420p', full_range: bool = False) -> PlaneFrame:
    video = av.VideoFrame(luma.shape[1], luma.shape[0], pix_fmt)
    top = (1 << PLANE_FORMATS[pix_fmt].bits) - 1
    scale = 1 << (PLANE_FORMATS[pix_fmt].bits - 8)
    for index, plane in enumerate(plane_views(video)):
        plane[...] = 128 * scale if index else np.clip(luma * scale, 0, top).astype(plane.dtype)
    return PlaneFrame(video, number, number, ColorSpec('bt709', full_range, 1, 1))


def payload_of(*frames: PlaneFrame | PixelFrame) -> bytes | None:
    reader = MarkReader()
    for frame in frames:
        reader.add(frame.luma())
    found = reader.result()
    return found.payload if found else None


@pytest.mark.parametrize('pix_fmt', ['yuv420p', 'yuvj420p', 'yuv420p10le', 'yuv422p10le', 'yuv444p12le'])
@pytest.mark.parametrize('size', [(960, 540), (541, 961), (607, 603)])
def test_the_payload_is_read_from_every_format_and_shape(pix_fmt: str, size: tuple[int, int]) -> None:
    frame = plane_frame(scene(*size), 730, pix_fmt, full_range=pix_fmt == 'yuvj420p')
    chroma = [plane.copy() for plane in frame.planes[1:]]
    assert Marker(PAYLOAD, *size).mark(frame) > 0.5
    assert payload_of(frame) == PAYLOAD
    assert all(np.array_equal(a, b) for a, b in zip(chroma, frame.planes[1:], strict=True))


def test_an_image_changes_equally_in_all_channels_and_its_source_stays() -> None:
    pixels = np.repeat(scene(800, 600)[..., None], 3, axis=2).astype(np.uint8) + np.array([0, 10, 20], np.uint8)
    kept = pixels.copy()
    frame = PixelFrame(pixels)
    Marker(PAYLOAD, 800, 600).mark(frame)
    assert payload_of(frame) == PAYLOAD
    change = frame.pixels.astype(int) - kept
    assert np.array_equal(change[..., 0], change[..., 1])
    assert np.array_equal(change[..., 0], change[..., 2])
    assert np.array_equal(pixels, kept)


def test_the_change_is_small() -> None:
    frame = plane_frame(scene(1280, 720))
    before = frame.luma().astype(int)
    Marker(PAYLOAD, 1280, 720).mark(frame)
    change = frame.luma() - before
    assert np.abs(change).max() <= 3
    assert 10 * np.log10(255**2 / np.mean(change**2)) > 42


def test_a_marked_frame_depends_on_its_number_only_by_the_period() -> None:
    def marked(marker: Marker, number: int) -> np.ndarray:
        frame = plane_frame(scene(640, 360), number)
        marker.mark(frame)
        return frame.luma()

    marker = Marker(PAYLOAD, 640, 360)
    numbers = [0, 99, 120, 350, 799, 820, 12345, 104]
    first = [marked(marker, number) for number in numbers]
    again = [marked(Marker(PAYLOAD, 640, 360), number) for number in reversed(numbers)]
    assert all(np.array_equal(a, b) for a, b in zip(first, reversed(again), strict=True))
    assert np.array_equal(first[0], first[1])
    assert np.array_equal(first[0], first[5])
    assert not np.array_equal(first[1], first[2])
    other = plane_frame(scene(640, 360), 0)
    Marker(mark_payload('other'), 640, 360).mark(other)
    assert not np.array_equal(other.luma(), first[0])


def test_a_pattern_changes_gradually() -> None:
    marker = Marker(PAYLOAD, 640, 360)
    lumas = []
    for number in (99, *range(100, 112)):
        frame = plane_frame(scene(640, 360), number)
        marker.mark(frame)
        lumas.append(frame.luma().astype(int))
    steps = [float(np.mean(before != after)) for before, after in pairwise(lumas)]
    whole = float(np.mean(lumas[0] != lumas[-1]))
    assert max(steps) < 0.2 * whole
    assert steps[-1] == steps[-2] == 0


def test_threads_may_share_a_marker() -> None:
    marker = Marker(PAYLOAD, 640, 360)

    def marked(number: int) -> np.ndarray:
        frame = plane_frame(scene(640, 360), number)
        marker.mark(frame)
        return frame.luma()

    numbers = [100 * k for k in range(8)] * 4
    alone = {number: marked(number) for number in set(numbers)}
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(marked, numbers))
    assert all(np.array_equal(alone[number], luma) for number, luma in zip(numbers, together, strict=True))


@pytest.mark.parametrize('level', [0, 16, 126, 235, 255])
def test_flat_frames_are_unchanged_and_have_no_mark(level: int) -> None:
    frame = plane_frame(np.full((720, 1280), level, np.float32))
    assert Marker(PAYLOAD, 1280, 720).mark(frame) == 0
    assert not frame.is_touched
    assert payload_of(frame) is None


@pytest.mark.parametrize('size', [(2, 2), (32, 32), (300, 168), (4096, 16)])
def test_tiny_frames_have_no_mark(size: tuple[int, int]) -> None:
    frame = plane_frame(scene(*size))
    assert Marker(PAYLOAD, *size).mark(frame) == 0
    assert not frame.is_touched


def test_mark_returns_the_marked_share_of_a_frame() -> None:
    luma = scene(1280, 720)
    luma[:, :700] = 90
    assert 0.3 < Marker(PAYLOAD, 1280, 720).mark(plane_frame(luma)) < 0.6


def test_a_frame_of_another_size_is_refused() -> None:
    with pytest.raises(InternalError):
        Marker(PAYLOAD, 640, 360).mark(plane_frame(scene(640, 362)))


def test_black_and_white_do_not_wrap_around() -> None:
    luma = np.random.default_rng(4).choice(np.array([0, 255], np.float32), (720, 1280))
    luma = cv2.blur(luma, (3, 3))
    for pix_fmt in ('yuv420p', 'yuv420p10le'):
        frame = plane_frame(luma, pix_fmt=pix_fmt)
        before = frame.luma().astype(int)
        Marker(PAYLOAD, 1280, 720).mark(frame)
        assert np.abs(frame.luma() - before).max() <= 4
