"""Where sound and pictures do not begin and end together: what a container holds is kept, what it does not is said."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from fakes import ffmpeg_program as reader
from fakes.fidelity_clips import AAC, pictures, sound, tagged
from fakes.pass_through import pass_through

from facefusion.media.probe import probe

RATE = 48000


@pytest.fixture(scope='module')
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp('edges')
    for name, late, seconds in (('plain.mp4', 0, 2.4), ('late.mp4', 1.3, 4)):
        made = ('-itsoffset', late, *pictures(2.4), *sound(seconds, 'mono'), *tagged(), *AAC)
        reader.ffmpeg('-v', 'error', *made, folder / name)
    return folder


def moved(before: Path, after: Path, at: float) -> int:
    """By how many samples the sound at a time is late in another file, whose first frame is the same."""
    begins = [round(reader.frames(path)[0].time * RATE) for path in (before, after)]
    old, new = (
        reader.samples(path)[begin:, 0].astype(float) for path, begin in zip((before, after), begins, strict=True)
    )
    begin = round(at * RATE)
    wanted, around = old[begin : begin + 12000], new[begin - 3000 : begin + 15000]
    return int(np.correlate(around, wanted, 'valid').argmax()) - 3000


@pytest.mark.parametrize('fps', [1, 23.976, 30])
def test_another_rate_begins_and_ends_with_the_clip(folder: Path, fps: float) -> None:
    for name in ('plain.mp4', 'late.mp4'):
        path, out = folder / name, folder / f'{fps}-{name}'
        begin = reader.frames(path)[0].time
        plan = pass_through(path, out, output_video_fps=fps)
        rate, times = plan.video.timeline.rate, [unit.time for unit in reader.frames(out)]
        assert times == [begin + k / rate for k in range(len(times))]
        assert probe(out).duration == probe(path).duration
        assert reader.container_seconds(out) == reader.container_seconds(path)
        # Sound from before the first frame is kept too.
        assert [unit.data for unit in reader.packets(out)] == [unit.data for unit in reader.packets(path)]
        assert moved(path, out, 0.2) == 0
