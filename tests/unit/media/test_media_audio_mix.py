"""Tests of the mix of several voices, sample by sample against numpy."""

from __future__ import annotations

import tracemalloc
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from sounds import voice_like, write_sound
from test_media_still import still

from facefusion.errors import Interrupted, ResourceError, UsageError
from facefusion.media.audio import AudioPlan
from facefusion.media.audio_mix import mix_duration, mix_form, mix_size, mixed_samples, plan_mix, write_mix
from facefusion.media.options import OutputOptions
from facefusion.media.sound import SoundInfo, probe_sound
from facefusion.media.timeline import still_timeline
from facefusion.media.voice import write_voice
from facefusion.stopping import StopFlag

RATE = 48000


def whole_numbers(seconds: float, seed: int, gain: float = 1.0, rate: int = RATE) -> np.ndarray:
    """Return samples that 16 bits store exactly, float32 [n]."""
    return (np.round(voice_like(seconds, rate, seed) * gain * 32767) / 32768).astype(np.float32)


def sound(path: Path, wave: np.ndarray, rate: int = RATE, start: float = 0, layout: str = 'mono') -> SoundInfo:
    codec = {'.wav': 'pcm_s16le', '.mkv': 'pcm_s16le'}[path.suffix]
    return probe_sound(write_sound(path, [(start, wave)], rate, codec, layout=layout))


def mixed(*sounds: SoundInfo) -> np.ndarray:
    return np.concatenate(list(mixed_samples(sounds, StopFlag())))


def stored(path: Path) -> np.ndarray:
    with av.open(str(path)) as file:
        assert [stream.type for stream in file.streams] == ['audio']
        channels = file.streams.audio[0].channels
        return np.concatenate([frame.to_ndarray().reshape(-1, channels) for frame in file.decode(audio=0)])


@pytest.mark.parametrize(('first', 'second'), [(1.0, 0.3), (0.3, 1.0), (3.1, 2.9), (RATE**-1 * 65536, 2.0)])
def test_the_mix_is_the_sum_of_the_samples_and_lasts_as_long_as_the_longest_voice(tmp_path, first, second):
    waves = whole_numbers(first, 1), whole_numbers(second, 2)
    sounds = [sound(tmp_path / f'{number}.wav', wave) for number, wave in enumerate(waves)]
    wanted = np.zeros(max(map(len, waves)), np.float32)
    for wave in waves:
        wanted[: len(wave)] += wave
    found = mixed(*sounds)
    assert found.shape == (len(wanted), 1) and found.dtype == np.float32
    np.testing.assert_array_equal(found[:, 0], wanted)
    assert mix_duration(sounds) == Fraction(len(wanted), RATE) and mix_form(sounds).layout == 'mono'
    assert mix_size(sounds) == wanted.nbytes and mix_size(sounds[:1]) == 0


def test_a_voice_in_stereo_keeps_its_sides_and_others_are_on_both(tmp_path):
    sides, mono = np.stack([whole_numbers(1, 1), whole_numbers(1, 2)]), whole_numbers(0.5, 3)
    sounds = [sound(tmp_path / 'a.wav', mono), sound(tmp_path / 'b.wav', sides, layout='stereo')]
    wanted = sides.T.copy()
    wanted[: len(mono)] += mono[:, None]
    np.testing.assert_array_equal(mixed(*sounds), wanted)
    assert mix_form(sounds).layout == 'stereo'


def test_the_mix_has_the_highest_rate_and_keeps_the_times_of_each_voice(tmp_path):
    slow, late = whole_numbers(1, 1, rate=16000), whole_numbers(0.5, 2)
    sounds = [sound(tmp_path / 'a.wav', slow, 16000), sound(tmp_path / 'late.mkv', late, start=1.25)]
    assert mix_form(sounds).rate == RATE
    found = mixed(*sounds)[:, 0]
    alone = [write_voice(each, tmp_path / f'{number}.npy', RATE) for number, each in enumerate(sounds)]
    wanted = sum(each.window(0, mix_duration(sounds)) for each in alone)
    np.testing.assert_array_equal(found, wanted)
    np.testing.assert_array_equal(found[RATE * 5 // 4 :], late)
    assert not found[RATE : RATE * 5 // 4].any()


@pytest.mark.parametrize('volume', [1.0, 0.5])
def test_a_mix_that_is_too_loud_is_clipped_after_the_volume_and_it_is_said(tmp_path, volume):
    waves = whole_numbers(1, 1, 1.8), whole_numbers(1.5, 2, 1.8)
    sounds = [sound(tmp_path / f'{number}.wav', np.clip(wave, -1, 32767 / 32768)) for number, wave in enumerate(waves)]
    total = mixed(*sounds) * np.float32(volume)
    remarks = write_mix(sounds, tmp_path / 'mix.wav', volume, StopFlag())
    np.testing.assert_array_equal(stored(tmp_path / 'mix.wav'), np.clip(total, -1, 1))
    clipped = int((np.abs(total) > 1).sum())
    assert (clipped > 0) == (volume == 1.0) and len(remarks) == (clipped > 0)
    for text in remarks:
        assert f'{clipped} of {len(total)} samples are clipped' in text and '--output-audio-volume' in text


def test_a_stopped_mix_leaves_no_file(tmp_path):
    sounds = [sound(tmp_path / f'{number}.wav', whole_numbers(1, number)) for number in range(2)]
    flag = StopFlag()
    flag.set('test')
    with pytest.raises(Interrupted):
        write_mix(sounds, tmp_path / 'mix.wav', 1.0, flag)
    assert sorted(path.name for path in tmp_path.iterdir()) == ['0.wav', '1.wav']


@pytest.mark.skipif(not Path('/dev/full').exists(), reason='needs a device that is full')
def test_a_full_disk_is_said_to_be_full(tmp_path):
    sounds = [sound(tmp_path / f'{number}.wav', whole_numbers(1, number)) for number in range(2)]
    (tmp_path / 'mix.wav').symlink_to('/dev/full')
    with pytest.raises(ResourceError) as caught:
        write_mix(sounds, tmp_path / 'mix.wav', 1.0, StopFlag())
    assert caught.value.reference == 'disk-full'


def test_the_memory_of_a_mix_does_not_grow_with_its_length(tmp_path):
    peaks = []
    for seconds in (20, 80):
        sounds = [sound(tmp_path / f'{seconds}-{k}.wav', whole_numbers(seconds, k, rate=16000), 16000) for k in (1, 2)]
        tracemalloc.start()
        write_mix(sounds, tmp_path / 'mix.wav', 1.0, StopFlag())
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < 1.2 * peaks[0] and peaks[1] < 8_000_000


# The plan


@pytest.fixture
def voices(tmp_path):
    return [sound(tmp_path / 'a.wav', whole_numbers(1, 1)), sound(tmp_path / 'b.wav', whole_numbers(1.5, 2), 44100)]


def planned(folder: Path, voices, extension: str = '.mp4', **options) -> AudioPlan:
    info, timeline = still(folder / 'still.png'), still_timeline(mix_duration(voices))
    return plan_mix(info, timeline, OutputOptions(**options), extension, voices)


@pytest.mark.parametrize(
    ('extension', 'encoder'), [('.mp4', 'aac'), ('.mkv', 'aac'), ('.webm', 'libopus'), ('.avi', 'libmp3lame')]
)
def test_the_mix_is_encoded_as_the_container_prefers(tmp_path, voices, extension, encoder):
    plan = planned(tmp_path, voices, extension)
    (track,) = plan.tracks
    assert (track.encoder, track.rate, plan.mode) == (encoder, RATE, 'encode')
    assert plan.mixed == (tmp_path / 'a.wav', tmp_path / 'b.wav') and plan.path is None
    assert AudioPlan.from_record(plan.as_record()) == plan


def test_the_options_of_the_audio_apply_to_the_mix(tmp_path, voices):
    assert planned(tmp_path, voices, output_audio_volume=0).mode == 'none'
    (track,) = planned(tmp_path, voices, '.mkv', output_audio_encoder='flac').tracks
    assert track.encoder == 'flac'
    with pytest.raises(UsageError, match='webm'):
        planned(tmp_path, voices, '.webm', output_audio_encoder='flac')


def test_the_losses_of_a_mix_are_reported(tmp_path):
    many = np.stack([whole_numbers(1, seed) for seed in range(6)])
    sounds = [sound(tmp_path / 'a.wav', whole_numbers(0.5, 1)), sound(tmp_path / 'b.wav', many, layout='5.1')]
    remarks = planned(tmp_path, sounds, '.mkv').remarks
    assert 'the 6 channels of b.wav are mixed to one' in remarks
    shorter = plan_mix(
        still(tmp_path / 'still.png'), still_timeline(Fraction(2)), OutputOptions(), '.mkv', sounds
    ).remarks
    assert 'the mix of a.wav and b.wav is shorter than the output: the last 1.00 seconds are silent' in shorter
    fast = [sounds[0], sound(tmp_path / 'c.wav', whole_numbers(1, 2, rate=96000), 96000)]
    (rate,) = planned(tmp_path, fast, '.webm').remarks
    assert rate == 'the mix of a.wav and c.wav is written at 48000 Hz: libopus does not support 96000 Hz'
