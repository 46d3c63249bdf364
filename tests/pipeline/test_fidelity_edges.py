"""Tests of audio and video that do not start or end together: the output has both, or the loss is reported."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from fakes import ffmpeg_program as reader
from fakes.fidelity_clips import AAC, pictures, sound, tagged
from fakes.pass_through import pass_through

from facefusion.media.concat import concat_clips
from facefusion.media.probe import probe
from facefusion.stopping import StopFlag

RATE = 48000


@pytest.fixture(scope='module')
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp('edges')
    for name, late, seconds in (('plain.mp4', 0, 2.4), ('late.mp4', 1.3, 4)):
        made = ('-itsoffset', late, *pictures(2.4), *sound(seconds, 'mono'), *tagged(), *AAC)
        reader.ffmpeg('-v', 'error', *made, folder / name)
    return folder


def moved(before: Path, after: Path, at: float) -> int:
    """Return the delay in samples of the audio in ``after`` compared with ``before``, relative to the first frame."""
    begins = [round(reader.frames(path)[0].time * RATE) for path in (before, after)]
    old, new = (
        reader.samples(path)[begin:, 0].astype(float) for path, begin in zip((before, after), begins, strict=True)
    )
    begin = round(at * RATE)
    wanted, around = old[begin : begin + 12000], new[begin - 3000 : begin + 15000]
    return int(np.correlate(around, wanted, 'valid').argmax()) - 3000


@pytest.mark.parametrize('fps', [1, 23.976, 30])
def test_another_rate_starts_and_ends_with_the_clip(folder: Path, fps: float) -> None:
    for name in ('plain.mp4', 'late.mp4'):
        path, out = folder / name, folder / f'{fps}-{name}'
        begin = reader.frames(path)[0].time
        plan = pass_through(path, out, output_video_fps=fps)
        rate, times = plan.video.timeline.rate, [unit.time for unit in reader.frames(out)]
        assert times == [begin + k / rate for k in range(len(times))]
        # From PyAV 19 on, the muxer gives the last frame the duration of the others if frames are reordered.
        slack = 1 / rate if int(av.__version__.split('.')[0]) >= 19 else 0
        assert 0 <= probe(out).duration - probe(path).duration <= slack
        assert reader.container_seconds(out) == reader.container_seconds(path)
        # Audio before the first frame is written too.
        assert [unit.data for unit in reader.packets(out)] == [unit.data for unit in reader.packets(path)]
        assert moved(path, out, 0.2) == 0


def with_sound(folder: Path, seconds: float, codec: str, extension: str) -> Path:
    """Write a clip of 2.4 s whose audio lasts ``seconds``."""
    path = folder / f'{codec}-{seconds}{extension}'
    reader.ffmpeg('-v', 'error', *pictures(2.4), *sound(seconds, 'mono'), *tagged('-bf', 0), '-c:a', codec, path)
    return path


@pytest.mark.parametrize('extension', ['.mxf', '.avi', '.mpg', '.ts', '.wmv', '.webm', '.mkv'])
def test_audio_after_the_last_frame_is_written_or_reported(folder: Path, extension: str) -> None:
    path, out = with_sound(folder, 4, 'flac', '.mkv'), folder / f'longer{extension}'
    plan = pass_through(path, out)
    said = [remark for remark in plan.video.audio.remarks if 'left out' in remark]
    assert len(reader.frames(out)) == 60
    if extension == '.mxf':
        assert said == ['mxf ends with the last frame: 1.60 seconds of audio after it are left out']
        assert reader.samples(out).shape[0] == 2.4 * RATE
    else:
        late = RATE if extension in ('.ts', '.mpg') else 0
        assert said == [] and reader.samples(out).shape[0] >= 4 * RATE + late - 100


@pytest.mark.parametrize(('codec', 'extension'), [('flac', '.mkv'), ('pcm_s16le', '.avi')])
def test_audio_that_ends_early_removes_no_frames(folder: Path, codec: str, extension: str) -> None:
    path, out = with_sound(folder, 0.5, codec, extension), folder / f'shorter-{codec}.mxf'
    plan = pass_through(path, out)
    assert plan.video.audio.mode == ('copy' if codec == 'pcm_s16le' else 'encode')
    assert len(reader.frames(out)) == 60
    heard = reader.samples(out)
    # FLAC has 24 bits, so the two decoders may differ in the last bit.
    assert np.abs(heard[: RATE // 2].astype(int) - reader.samples(path)[: RATE // 2]).max() <= (codec == 'flac')
    assert heard.shape[0] == 2.4 * RATE and not heard[RATE // 2 :].any()


@pytest.mark.parametrize('extension', ['.mpg', '.mxf', '.avi'])
def test_audio_before_the_first_frame_is_written_or_reported(folder: Path, extension: str) -> None:
    path, out = folder / 'late.mp4', folder / f'late{extension}'
    plan = pass_through(path, out)
    said = [remark for remark in plan.video.audio.remarks if 'before the first frame' in remark]
    name = extension[1:]
    lost = f'{name} cannot store audio before the first frame: 1.32 seconds of audio are left out'
    assert said == ([] if extension == '.avi' else [lost])
    assert abs(moved(path, out, 0.5)) <= 1
    if extension == '.avi':
        begin = reader.frames(out)[0].time
        assert begin == reader.frames(path)[0].time
        # A second run also writes all of the audio.
        pass_through(out, folder / 'late-again.avi')
        assert reader.frames(folder / 'late-again.avi')[0].time == begin
        assert [unit.data for unit in reader.packets(folder / 'late-again.avi')] == [
            unit.data for unit in reader.packets(out)
        ]


@pytest.fixture(scope='module')
def reordered(folder: Path) -> Path:
    """An avi whose first frame is shown one slot late, because the second frame is decoded before it."""
    path = folder / 'reordered.avi'
    made = ('-c:v', 'mpeg4', '-q:v', 2, '-bf', 2, '-c:a', 'libmp3lame')
    reader.ffmpeg('-v', 'error', '-i', folder / 'plain.mp4', *made, path)
    return path


def test_an_avi_keeps_all_its_audio_in_sync(folder: Path, reordered: Path) -> None:
    out = folder / 'reordered-out.avi'
    plan = pass_through(reordered, out)
    assert plan.video.audio.mode == 'copy'
    before, after = reader.packets(reordered), reader.packets(out)
    assert [unit.data for unit in after] == [unit.data for unit in before]
    shifts = [new.time - old.time for old, new in zip(before, after, strict=True)]
    frames = [new.time - old.time for old, new in zip(reader.frames(reordered), reader.frames(out), strict=True)]
    assert set(shifts) == set(frames) == {0}


def test_a_trimmed_avi_is_in_sync_to_the_sample(folder: Path, reordered: Path) -> None:
    counted = with_sound(folder, 2.4, 'pcm_s16le', '.avi')
    for path, extension in ((reordered, '.avi'), (reordered, '.mp4'), (counted, '.avi'), (counted, '.mxf')):
        out = folder / f'trim-{path.stem}{extension}'
        again = {'output_audio_encoder': 'aac'} if extension == '.mp4' else {}
        plan = pass_through(path, out, trim_frame_start=18, trim_frame_end=44, **again)
        assert (plan.video.audio.mode == 'copy') == (path == counted)
        begin = round(plan.video.timeline.begin * RATE)
        old, new = (reader.samples(each)[:, 0].astype(float) for each in (path, out))
        where = np.correlate(old[begin + 6000 - 2000 : begin + 30000 + 2000], new[6000:30000], 'valid').argmax() - 2000
        assert where == 0
        assert path != counted or np.array_equal(new, old[begin : begin + round(26 / 25 * RATE)])


def test_avi_is_in_sync_with_late_mp3_audio(folder: Path) -> None:
    path = folder / 'plain.mp4'
    for words in ({}, {'trim_frame_start': 17, 'trim_frame_end': 44}):
        out = folder / f'mp3-{len(words)}.avi'
        begin = round(pass_through(path, out, **words).video.timeline.begin * RATE)
        old, new = (reader.samples(each)[:, 0].astype(float) for each in (path, out))
        for at in (0, 12000, 24000):
            around = old[max(begin + at - 2000, 0) : begin + at + 14000]
            found = int(np.correlate(around, new[at : at + 12000], 'valid').argmax())
            assert abs(found - min(begin + at, 2000)) <= 1
        # Only the fade-in of the decoder changes the first audio.
        assert np.abs(new[600:2000] - old[begin + 600 : begin + 2000]).mean() < 0.05 * np.abs(old).mean()


def test_a_cut_within_a_frame_does_not_lengthen_the_last_one(folder: Path) -> None:
    path, out = folder / 'cut.mp4', folder / 'cut-out.mp4'
    reader.ffmpeg('-v', 'error', '-ss', 0.9, '-i', folder / 'plain.mp4', '-c', 'copy', path)
    plan = pass_through(path, out)
    assert (plan.target.duration, plan.target.average_rate) == (Fraction(plan.target.frame_count, 25), 25)
    assert probe(out).duration == plan.target.duration


def test_a_joined_avi_stays_in_sync(folder: Path) -> None:
    parts = []
    for number, begin in enumerate((0, 7, 14, 21, 28)):
        parts.append(folder / f'part-{number}.avi')
        pass_through(folder / 'plain.mp4', parts[-1], trim_frame_start=begin, trim_frame_end=begin + 26)
    out = folder / 'joined.avi'
    concat_clips(parts, out, '.avi', StopFlag())
    assert [unit.time for unit in reader.frames(out)] == [Fraction(number, 25) for number in range(5 * 26)]
    heard, part = (reader.samples(path)[:, 0].astype(float) for path in (out, parts[-1]))
    begin = round(4 * 26 / 25 * RATE)
    around = heard[begin + 12000 - 6000 : begin + 36000 + 6000]
    late = int(np.correlate(around, part[12000:36000], 'valid').argmax()) - 6000
    # The delay is at most half a packet of 1152 samples, regardless of the number of parts.
    assert abs(late) <= 576
