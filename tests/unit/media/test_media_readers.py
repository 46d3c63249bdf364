"""Tests of decoders reused between ranges: they return the same frames and decode each frame once."""

from __future__ import annotations

import hashlib
import random
import threading
from pathlib import Path

import numpy as np
import pytest
from clips import make_clip
from test_media_video import CLIPS, video

import facefusion.media.reader as reader_module
from facefusion.errors import Interrupted
from facefusion.media.frame import PlaneFrame, Window
from facefusion.media.info import VideoInfo
from facefusion.media.reader import ReaderPool, VideoReader
from facefusion.stopping import StopFlag

ONE_KEYFRAME = {'preset': 'ultrafast', 'g': '9999', 'x264-params': 'scenecut=0'}


@pytest.fixture(scope='module')
def long_gop(tmp_path_factory: pytest.TempPathFactory) -> VideoInfo:
    path = tmp_path_factory.mktemp('gop') / 'a.mp4'
    info = video(make_clip(path, frames=1000, size=(256, 160), options=ONE_KEYFRAME))
    assert list(info.keyframes) == [0]
    return info


@pytest.fixture
def decoded(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    count = [0]
    real = reader_module._decode

    def counted(*arguments):
        for picture in real(*arguments):
            count[0] += 1
            yield picture

    monkeypatch.setattr(reader_module, '_decode', counted)
    return count


def digest(frame: PlaneFrame) -> str:
    return hashlib.sha256(b''.join(np.ascontiguousarray(plane).tobytes() for plane in frame.planes)).hexdigest()


def test_a_clip_with_one_keyframe_is_decoded_once(long_gop: VideoInfo, decoded: list[int]) -> None:
    pool = ReaderPool(long_gop, 1)
    for start in range(0, 1000, 125):
        stop = min(start + 126, 1000)
        assert [frame.number for frame in pool.frames(start, stop)] == list(range(start, stop))
    assert decoded[0] <= 1000 + 8
    pool.close()


def test_two_workers_decode_it_at_most_twice(long_gop: VideoInfo, decoded: list[int]) -> None:
    pool = ReaderPool(long_gop, 2)
    starts = iter(range(0, 1000, 125))
    lock, seen = threading.Lock(), list[int]()

    def work() -> None:
        while True:
            with lock:
                start = next(starts, None)
            if start is None:
                return
            numbers = [frame.number for frame in pool.frames(start, start + 125)]
            with lock:
                seen.extend(numbers)

    threads = [threading.Thread(target=work) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(seen) == list(range(1000))
    assert decoded[0] <= 2000 + 16
    assert len(pool._idle) <= 2
    pool.close()
    assert not pool._idle


@pytest.mark.parametrize('name', CLIPS)
def test_frames_are_the_same_in_any_order(tmp_path: Path, name: str) -> None:
    info = video(make_clip(tmp_path / name, **CLIPS[name]))
    through = [digest(frame) for frame in VideoReader(info).frames(0, 40)]
    dice = random.Random(3)
    for size in (1, 3):
        pool = ReaderPool(info, size)
        for _ in range(25):
            start = dice.randrange(40)
            stop = dice.randrange(start + 1, 41)
            frames = pool.frames(start, stop)
            taken = dice.randrange(1, stop - start + 1)
            found = [digest(next(frames)) for _ in range(taken)]
            frames.close()
            assert found == through[start : start + taken]
        assert len(pool._idle) <= size
        pool.close()


def test_changes_to_a_frame_are_not_read_again(tmp_path: Path) -> None:
    info = video(make_clip(tmp_path / 'a.mp4', frames=12))
    pool = ReaderPool(info, 1)
    *_, last = pool.frames(0, 6)
    before = digest(last)
    last.write(Window(0, 0, 320, 180), np.zeros((180, 320, 3), np.uint8))
    last.video.pts = 7
    again = next(pool.frames(5, 8))
    assert (again.number, again.pts, digest(again)) == (5, info.pts[5], before)
    assert again.is_touched is False
    pool.close()


def test_a_keyframe_in_between_is_used(tmp_path: Path, decoded: list[int]) -> None:
    info = video(make_clip(tmp_path / 'a.mp4'))
    pool = ReaderPool(info, 1)
    list(pool.frames(0, 2))
    before = decoded[0]
    list(pool.frames(37, 40))
    assert decoded[0] - before < 12
    pool.close()


def test_a_stopped_or_closed_pool_frees_its_decoders(tmp_path: Path) -> None:
    info = video(make_clip(tmp_path / 'a.mp4', frames=12))
    flag = StopFlag()
    pool = ReaderPool(info, 2, stop=flag)
    frames = pool.frames(0, 12)
    next(frames)
    flag.set('the test')
    with pytest.raises(Interrupted):
        list(frames)
    assert (pool._idle, pool._busy) == ([], 0)
    pool = ReaderPool(info, 2)
    frames = pool.frames(0, 12)
    next(frames)
    pool.close()
    frames.close()
    assert (pool._idle, pool._busy) == ([], 0)
