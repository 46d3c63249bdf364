"""Tests, with another FFmpeg, that an output keeps the time of every frame, every audio packet and the colours."""

from __future__ import annotations

import re
import struct
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from fakes import ffmpeg_program as reader
from fakes.fidelity_clips import CLIPS, Clip, pictures, tagged
from fakes.pass_through import pass_through

from facefusion.media.probe import probe
from facefusion.media.reader import VideoReader

# FFmpeg writes the duration of a movie in milliseconds.
MILLISECOND = Fraction(1, 1000)


@pytest.fixture(scope='module')
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp('fidelity')


def made(folder: Path, name: str) -> Path:
    path = folder / name
    return path if path.exists() else next(clip for clip in CLIPS if clip.name == name).make(folder)


def steps(units: list[reader.Unit]) -> list[Fraction]:
    return [unit.time - units[0].time for unit in units]


@pytest.mark.parametrize('clip', CLIPS, ids=lambda clip: clip.label)
def test_a_clip_comes_back_as_it_was(folder: Path, clip: Clip) -> None:
    path, out = made(folder, clip.name), folder / f'out-{clip.name}{clip.output}'
    plan = pass_through(path, out)
    before, after = reader.frames(path), reader.frames(out)
    begin = Fraction(0) if clip.output != '.ts' else after[0].time - before[0].time
    assert plan.target.frame_count == len(before) == len(after)
    assert [unit.time + begin for unit in before] == [unit.time for unit in after]
    assert reader.container_seconds(out) == pytest.approx(reader.container_seconds(path), abs=0.011)
    assert reader.size(out) == reader.size(path)
    colours = [re.sub('yuvj', 'yuv', reader.colours(each)).replace(', progressive', '') for each in (path, out)]
    assert colours[0] == colours[1]
    difference = np.abs(reader.pixels(path).astype(np.int16) - reader.pixels(out)).mean()
    assert difference < 1, f'mean error {difference} at crf 18'
    tracks = reader.streams(path, 'Audio')
    assert len(reader.streams(out, 'Audio')) == len(tracks)
    for number in range(len(tracks)):
        old, new = (reader.packets(each, f'a:{number}') for each in (path, out))
        assert [unit.data for unit in old] == [unit.data for unit in new]
        assert [unit.time + begin for unit in old] == [unit.time for unit in new]


def test_the_last_frame_is_shown_as_long_as_it_was(folder: Path) -> None:
    for name in ('uneven.mp4', 'uneven-forward.mp4', 'film.mp4', 'open-gop.mp4'):
        whole, path, out = (folder / f'{stem}{name}' for stem in ('', 'alone-', 'out-alone-'))
        made(folder, name)
        reader.ffmpeg('-v', 'error', '-i', whole, '-map', '0:v:0', '-c', 'copy', path)
        pass_through(path, out)
        assert probe(out).duration == probe(path).duration
        assert abs(reader.movie_seconds(path) - probe(path).duration) <= MILLISECOND, name
        assert reader.movie_seconds(out) == probe(path).duration, name


def box(name: bytes, body: bytes) -> bytes:
    return struct.pack('>I', len(body) + 8) + name + body


def test_a_clip_whose_edit_list_shows_two_parts(folder: Path) -> None:
    reader.ffmpeg('-v', 'error', *pictures(3), *tagged('-g', 20), folder / 'parts.mp4')
    data = bytearray((folder / 'parts.mp4').read_bytes())
    at = data.index(b'edts') - 4
    (size,) = struct.unpack_from('>I', data, at)
    (offset,) = struct.unpack_from('>i', data, data.index(b'elst') + 16)
    # The edit list shows 1 s from 0.5 s on, then 0.8 s from 2 s on (ISO/IEC 14496-12, 8.6.6).
    # The index is after the frames.
    entries = struct.pack('>IiIIiI', 1000, offset + 6400, 65536, 800, offset + 25600, 65536)
    edits = box(b'edts', box(b'elst', struct.pack('>II', 0, 2) + entries))
    data[at : at + size] = edits
    for name in (b'moov', b'trak'):
        place = data.index(name) - 4
        struct.pack_into('>I', data, place, struct.unpack_from('>I', data, place)[0] + len(edits) - size)
    path, out = folder / 'two-parts.mp4', folder / 'out-two-parts.mp4'
    path.write_bytes(data)
    pass_through(path, out, 7)
    before, after = reader.frames(path), reader.frames(out)
    assert len(after) == 45 and [unit.time for unit in before] == [unit.time for unit in after]
    assert np.abs(reader.pixels(path).astype(np.int16) - reader.pixels(out)).mean(axis=(1, 2, 3)).max() < 1
    info = probe(path)
    whole = [frame.luma() for frame in VideoReader(info).frames(0, 45)]
    for start in range(0, 45, 4):
        assert np.array_equal(next(VideoReader(info).frames(start, 45)).luma(), whole[start])


@pytest.mark.parametrize('segment_frames', [1, 7, 1000])
def test_the_grid_of_segments_moves_no_frame(folder: Path, segment_frames: int) -> None:
    for name in ('uneven.mp4', 'edited.mp4', 'open-gop.mp4'):
        path = made(folder, name)
        pass_through(path, folder / f'grid-{segment_frames}-{name}', segment_frames)
        before, after = reader.frames(path), reader.frames(folder / f'grid-{segment_frames}-{name}')
        assert [unit.time for unit in before] == [unit.time for unit in after]


@pytest.mark.parametrize('fps', [10, 23.976, 25, 50, 59.94])
@pytest.mark.parametrize('name', ['plain.mp4', 'uneven.mp4', 'late-video.mp4'])
def test_another_rate_keeps_the_duration_and_the_times_of_frames(folder: Path, name: str, fps: float) -> None:
    path = made(folder, name)
    out = folder / f'rate-{fps}-{name}'
    plan = pass_through(path, out, output_video_fps=fps)
    rate = plan.video.timeline.rate
    after = reader.frames(out)
    assert steps(after) == [k / rate for k in range(len(after))]
    assert len(after) == round(plan.target.duration * rate)
    before, shown = reader.pixels(path, 'yuv444p')[:, 0], reader.pixels(out, 'yuv444p')[:, 0]
    times = np.array([float(time) for time in steps(reader.frames(path))])
    for number in range(0, len(shown), 7):
        wanted = int(np.searchsorted(times, float(number / rate) + 1e-4, side='right')) - 1
        errors = [np.abs(shown[number].astype(int) - picture).mean() for picture in before]
        assert errors[wanted] <= min(errors) + 0.25
    tail = reader.container_seconds(out) - float(plan.target.duration)
    assert tail < 0.5 / float(rate) + 0.2 or name != 'plain.mp4'
