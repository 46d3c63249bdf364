"""Tests that the command line program leaves a clip without a face unchanged, with all its metadata."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from fakes import ffmpeg_program as reader
from fakes.fidelity_clips import AAC, BT601, UNEVEN, X264, pictures, sound, tagged
from fakes.program import Program, program

__all__ = ['program']
pytestmark = pytest.mark.network
DRAW = ('--processors', 'face_debugger', '--output-video-quality', 65)


def test_a_clip_of_uneven_times_through_the_program(program: Program, tmp_path: Path) -> None:
    reader.ffmpeg('-v', 'error', *pictures(), *sound(2.4), *UNEVEN, *X264, *AAC, tmp_path / 'in.mp4')
    program.run(*DRAW, '-t', tmp_path / 'in.mp4', '-o', tmp_path / 'out.mp4')
    before, after = reader.frames(tmp_path / 'in.mp4'), reader.frames(tmp_path / 'out.mp4')
    assert [unit.time for unit in before] == [unit.time for unit in after]
    old, new = (reader.packets(tmp_path / name) for name in ('in.mp4', 'out.mp4'))
    assert [(unit.time, unit.data) for unit in old] == [(unit.time, unit.data) for unit in new]


def test_losses_are_reported_once_and_colours_stay(program: Program, tmp_path: Path) -> None:
    (tmp_path / 'in.srt').write_text('1\n00:00:00,200 --> 00:00:00,700\nA line\n', encoding='utf-8')
    words = ('-i', tmp_path / 'in.srt', *pictures(1), '-map', 1, '-map', 0, *tagged(tags=BT601), '-c:s', 'srt')
    reader.ffmpeg('-v', 'error', *words, tmp_path / 'in.mkv')
    done = program.run(*DRAW, '-t', tmp_path / 'in.mkv', '-o', tmp_path / 'out.avi')
    assert done.err.count('subtitle stream 1 is not kept: avi does not support srt') == 1
    program.run(*DRAW, '-t', tmp_path / 'in.mkv', '-o', tmp_path / 'out.mp4')
    assert len(reader.streams(tmp_path / 'out.mp4', 'Subtitle')) == 1
    for name in ('out.avi', 'out.mp4'):
        assert reader.colours(tmp_path / name) == reader.colours(tmp_path / 'in.mkv')
        difference = reader.pixels(tmp_path / 'in.mkv').astype(np.int16) - reader.pixels(tmp_path / name)
        assert np.abs(difference).mean() < 1
