"""Tests that a trim keeps audio and video in sync: to the sample with edit lists, otherwise to the container's tick."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from fakes import ffmpeg_program as reader
from fakes.fidelity_clips import clip, pictures, sound, tagged
from fakes.pass_through import pass_through

RATE = 48000
EXACT = [('aac', '.mp4'), ('aac', '.mov'), ('libmp3lame', '.mp4'), ('ac3', '.mp4'), ('pcm_s16le', '.mov')]
TICKED = [('aac', '.mkv'), ('libopus', '.webm'), ('flac', '.mkv'), ('aac', '.ts')]


@pytest.fixture(scope='module')
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp('sound')


def made(folder: Path, codec: str, extension: str, rate: str = '25') -> Path:
    extension = '.mkv' if extension == '.webm' else '.mp4' if extension == '.ts' else extension
    name = f'{codec}-{rate.replace("/", "-")}{extension}'
    if not (folder / name).exists():
        clip(name, *pictures(2, rate), *sound(2.2, 'mono'), *tagged(), '-c:a', codec).make(folder)
    return folder / name


def lag(whole: np.ndarray, part: np.ndarray) -> int:
    """Return the position of ``part`` in ``whole``, in samples."""
    spectra = [np.fft.rfft(each.astype(float), 1 << 18) for each in (whole, part)]
    return int(np.fft.irfft(spectra[0] * np.conj(spectra[1])).argmax())


@pytest.mark.parametrize(('codec', 'extension'), EXACT)
@pytest.mark.parametrize('rate', ['25', '24000/1001'])
def test_a_trim_starts_and_ends_with_its_sample(folder: Path, codec: str, extension: str, rate: str) -> None:
    path = made(folder, codec, extension, rate)
    out = folder / f'trim-{path.name}'
    plan = pass_through(path, out, trim_frame_start=11, trim_frame_end=40)
    timeline = plan.video.timeline
    begin, end = round(timeline.begin * RATE), round(timeline.end * RATE)
    before, after = reader.samples(path)[begin:end, 0].astype(int), reader.samples(out)[:, 0].astype(int)
    assert len(after) == len(before)
    # Decoders that add rounding noise may differ by one step, but PCM and MP3 must be equal.
    assert np.abs(after - before).max() <= (1 if codec in ('aac', 'ac3') else 0)


@pytest.mark.parametrize(('codec', 'extension'), TICKED)
@pytest.mark.parametrize('again', [False, True])
def test_a_trim_stays_within_the_tick_of_its_container(folder: Path, codec: str, extension: str, again: bool) -> None:
    path = made(folder, codec, extension)
    out = folder / f'trim-{again}-{codec}{extension}'
    encoder = ('libopus' if extension == '.webm' else 'aac') if again else 'auto'
    plan = pass_through(path, out, trim_frame_start=11, trim_frame_end=40, output_audio_encoder=encoder)
    begin = round(plan.video.timeline.begin * RATE)
    late = RATE if extension == '.ts' else 0
    after = reader.samples(out)[late:, 0]
    assert abs(lag(reader.samples(path)[:, 0], after[6000:30000]) - 6000 - begin) <= (RATE // 1000 if late == 0 else 1)
    assert len(after) == pytest.approx(29 / 25 * RATE, abs=1100)


@pytest.mark.parametrize('extension', ['.mp4', '.mov'])
def test_audio_that_is_encoded_again_stays_in_sync_to_the_sample(folder: Path, extension: str) -> None:
    path = made(folder, 'aac', extension)
    for words in ({}, {'trim_frame_start': 11, 'trim_frame_end': 40}):
        out = folder / f'again-{len(words)}{extension}'
        plan = pass_through(path, out, output_audio_encoder='aac', output_audio_volume=50, **words)
        begin = round(plan.video.timeline.begin * RATE)
        after = reader.samples(out)[:, 0]
        assert lag(reader.samples(path)[:, 0], after[6000:30000]) - 6000 == begin
        # Without a trim, the padding of the source's last packet may remain.
        more = len(after) - (round(plan.video.timeline.end * RATE) - begin if words else len(reader.samples(path)))
        assert 0 <= more < (1 if words else 1024)
