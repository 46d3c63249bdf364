"""Tests of the extraction of a voice: by a network, or by the voice detector in the band of a voice."""

from __future__ import annotations

import tracemalloc
from fractions import Fraction
from types import SimpleNamespace

import av
import numpy as np
import pytest
from fakes.model_sessions import NamedSessions
from fakes.spoken import speak
from fakes.voices import make_voice, music, resampled, write_wav

from facefusion.errors import Interrupted, MediaError
from facefusion.media.sound import probe_sound
from facefusion.media.voice import VOICE_RATE, write_voice
from facefusion.stopping import StopFlag
from facefusion.voice.activity import VoiceActivity
from facefusion.voice.extraction import extract_voice, extraction_size, is_silent
from facefusion.voice.loudness import CHUNK
from facefusion.voice.mouth_curves import measure_curves
from facefusion.voice.options import VoiceExtractorOptions, extractor_networks
from facefusion.voice.separation import SEPARATION_RATE, Separator
from facefusion.voice.voice_band import voice_band


class MdxSession:
    """A network that returns the right channel on both sides, or its input."""

    def __init__(self, keeps_right: bool = False) -> None:
        self._keeps_right = keeps_right
        self.shapes: list[tuple[int, ...]] = []

    def get_inputs(self):
        return [SimpleNamespace(name='input', shape=['n', 4, 3072, 256])]

    def run(self, names, feeds):
        (spectrum,) = feeds.values()
        self.shapes.append(spectrum.shape)
        return [spectrum[:, [2, 3, 2, 3]] if self._keeps_right else spectrum]


def stereo_noise(count: int) -> np.ndarray:
    """Return noise below half of the rate, float32 [count,2]; the channels differ."""
    noise = np.random.default_rng(1).standard_normal((count, 2)) / 8
    return np.apply_along_axis(np.convolve, 0, noise, np.hanning(9) / 4, 'same').astype(np.float32)


@pytest.mark.parametrize('count', [1, 500, 245760, 245761, 400_000])
def test_a_network_that_changes_nothing_returns_the_samples_of_any_length(count):
    samples = stereo_noise(count)
    blocks = np.split(samples, range(70_000, count, 70_000))
    found = np.concatenate(list(Separator(MdxSession()).separate(blocks)))
    # The network sees bins up to 3072 of 3840, so the highest frequencies are lost.
    spectrum = np.fft.rfft(samples, axis=0)
    spectrum[round(len(spectrum) * 0.8) :] = 0
    expected = np.fft.irfft(spectrum, count, axis=0) if count > 1 else samples
    assert found.shape == samples.shape
    assert np.abs(found - expected).max() < 0.01


def test_the_two_channels_reach_the_network_separately(tmp_path):
    sound = np.zeros((44100, 2), np.float32)
    sound[:, 0] = music(44100, 44100)
    session = MdxSession(keeps_right=True)
    found = np.concatenate(list(Separator(session).separate([sound])))
    assert np.abs(found).max() < 1e-6
    assert set(session.shapes) == {(1, 4, 3072, 256)}


@pytest.mark.parametrize('rate', [8000, 44100, 48000, 96000])
@pytest.mark.parametrize('channels', [1, 2, 6])
def test_a_separated_voice_keeps_its_times_at_any_rate_and_with_any_channels(rate, channels, tmp_path):
    times = np.arange(int(rate * 6.01)) / rate
    sound = 0.5 * np.sin(2 * np.pi * 440 * times) * np.exp(-(((times - 4) / 0.05) ** 2))
    path = write_wav(tmp_path / 'voice.wav', np.tile(sound[:, None], (1, channels)), rate)
    info = probe_sound(path)
    voice = extract_voice(info, tmp_path, 'uvr_mdxnet', NamedSessions(uvr_mdxnet=MdxSession()), StopFlag())
    assert voice.sample_count == round(info.duration * VOICE_RATE)
    samples = voice.window(0, voice.duration).astype(np.float64)
    centre = (np.arange(len(samples)) * samples**2).sum() / (samples**2).sum() / VOICE_RATE
    assert abs(centre - 4) < 1e-3


@pytest.mark.parametrize(
    ('name', 'codec', 'rate', 'kind'), [('a.wav', 'pcm_f32le', 96000, 'flt'), ('a.m4a', 'aac', 48000, 'fltp')]
)
def test_a_separated_voice_has_the_times_of_the_decoded_audio(name, codec, rate, kind, tmp_path):
    with av.open(str(tmp_path / name), 'w') as file:
        stream = file.add_stream(codec, rate=rate, layout='mono')
        frame = av.AudioFrame.from_ndarray(resampled(speak('de+m3'), rate)[None], format=kind, layout='mono')
        frame.sample_rate = rate
        for packet in (*stream.encode(frame), *stream.encode(None)):
            file.mux(packet)
    info = probe_sound(tmp_path / name)
    decoded = write_voice(info, tmp_path / 'decoded.npy')
    voice = extract_voice(info, tmp_path, 'kim_vocal_1', NamedSessions(kim_vocal_1=MdxSession()), StopFlag())
    assert voice.sample_count == decoded.sample_count
    assert np.corrcoef(voice.window(1, 5), decoded.window(1, 5))[0, 1] > 0.999


class Scripted:
    """A detector that finds speech in a range of chunks."""

    def __init__(self, begin: int, end: int) -> None:
        self._span = slice(begin, end)

    def probabilities(self, voice, stop=None):
        found = np.zeros(-(-voice.sample_count // CHUNK), np.float32)
        found[self._span] = 1
        return found


def test_the_band_keeps_speech_at_its_times_and_silences_the_rest(tmp_path):
    times = np.arange(16000 * 70) / 16000
    # A voice of 300 Hz, and a bass of 45 Hz.
    sound = 0.3 * np.sin(2 * np.pi * 300 * times) + 0.3 * np.sin(2 * np.pi * 45 * times)
    voice = make_voice(sound, tmp_path)
    blocks = list(voice_band(voice, Scripted(900, 1100)))
    assert [start for start, _ in blocks] == [0, 1000 * CHUNK, 2000 * CHUNK]
    found = np.concatenate([samples for _, samples in blocks])
    assert len(found) == voice.sample_count
    inside, margin = slice(900 * CHUNK, 1100 * CHUNK), 4 * CHUNK
    # The gain is measured on the sound with its bass: level 0.3, to 0.141.
    expected = 0.1413 * np.sin(2 * np.pi * 300 * times[inside])
    np.testing.assert_allclose(found[inside], expected, atol=0.005)
    assert not found[: 900 * CHUNK - margin].any() and not found[1100 * CHUNK + margin :].any()


@pytest.mark.network
def test_music_does_not_move_the_mouth_beside_or_under_speech(sessions, tmp_path):
    spoken = resampled(speak('en-us'))
    spoken /= 2 * np.abs(spoken).max()
    silence = np.zeros(len(spoken) // 2, np.float32)
    alone = np.concatenate([silence, spoken, silence])
    accompanied = alone + music(len(alone)) / 2
    activity = VoiceActivity(sessions.session('silero_vad'))
    curves = {}
    for name, sound in (('alone', alone), ('accompanied', accompanied), ('music', music(len(alone)))):
        (tmp_path / name).mkdir()
        info = probe_sound(write_wav(tmp_path / f'{name}.wav', sound))
        voice = extract_voice(info, tmp_path / name, 'band', sessions, StopFlag())
        curves[name] = measure_curves(voice, activity)
    assert not curves['music'].opening.any()
    begin, end = len(silence) // 160, (len(silence) + len(spoken)) // 160
    # The detector notices the end of speech after about a quarter of a second.
    assert curves['accompanied'].opening[: begin - 10].max() < 0.1
    assert curves['accompanied'].opening[end + 30 :].max() < 0.1
    openings = [curves[name].opening[begin:end] for name in ('alone', 'accompanied')]
    assert np.corrcoef(*openings)[0, 1] > 0.8


def test_a_voice_is_extracted_once_for_each_extractor(tmp_path):
    info = probe_sound(write_wav(tmp_path / 'a.wav', music(44100, 44100), 44100))
    session = MdxSession()
    sessions = NamedSessions(kim_vocal_1=session, kim_vocal_2=MdxSession(keeps_right=True))
    first = extract_voice(info, tmp_path, 'kim_vocal_1', sessions, StopFlag())
    runs = len(session.shapes)
    again = extract_voice(info, tmp_path, 'kim_vocal_1', sessions, StopFlag())
    assert len(session.shapes) == runs > 0 and again.sha256 == first.sha256
    assert extract_voice(info, tmp_path, 'kim_vocal_2', sessions, StopFlag()).path != first.path


def test_the_voices_of_a_run_have_files_of_their_own(tmp_path):
    infos = [
        probe_sound(write_wav(tmp_path / f'{number}.wav', wave, 44100))
        for number, wave in enumerate((music(44100, 44100), music(22050, 44100)))
    ]
    session = MdxSession()
    sessions, stop = NamedSessions(kim_vocal_1=session), StopFlag()
    voices = [extract_voice(info, tmp_path, 'kim_vocal_1', sessions, stop, k) for k, info in enumerate(infos)]
    assert [voice.duration for voice in voices] == [1, Fraction(1, 2)]
    runs = len(session.shapes)
    again = [extract_voice(info, tmp_path, 'kim_vocal_1', sessions, stop, k) for k, info in enumerate(infos)]
    assert [voice.sha256 for voice in again] == [voice.sha256 for voice in voices] and len(session.shapes) == runs


def test_a_damaged_voice_is_extracted_again(tmp_path):
    info = probe_sound(write_wav(tmp_path / 'a.wav', music(44100, 44100), 44100))
    sessions = NamedSessions(kim_vocal_1=MdxSession())
    whole = extract_voice(info, tmp_path, 'kim_vocal_1', sessions, StopFlag())
    whole.close()
    whole.path.write_bytes(whole.path.read_bytes()[:-7])
    assert extract_voice(info, tmp_path, 'kim_vocal_1', sessions, StopFlag()).sha256 == whole.sha256


def test_only_the_voice_stays_in_the_folder_and_its_size_is_planned(tmp_path):
    (tmp_path / 'work').mkdir()
    info = probe_sound(write_wav(tmp_path / 'a.wav', music(16000 * 10)))

    class Deaf:
        def run(self, names, feeds):
            return [np.zeros((1, 1), np.float32), feeds['state']]

    voice = extract_voice(info, tmp_path / 'work', 'band', NamedSessions(silero_vad=Deaf()), StopFlag())
    assert {path.name for path in (tmp_path / 'work').iterdir()} == {'voice-band.npy', 'voice-band.json'}
    assert is_silent(voice)
    assert extraction_size(info) >= 2 * voice.sample_count * 4


def test_a_failure_and_an_interruption_leave_no_file(tmp_path):
    (tmp_path / 'work').mkdir()
    path = write_wav(tmp_path / 'a.wav', music(44100, 44100), 44100)
    info = probe_sound(path)
    stop = StopFlag()
    stop.set('test')
    sessions = NamedSessions(kim_vocal_1=MdxSession())
    with pytest.raises(Interrupted):
        extract_voice(info, tmp_path / 'work', 'kim_vocal_1', sessions, stop)
    write_wav(path, music(22050, 44100), 44100)
    with pytest.raises(MediaError) as caught:
        extract_voice(info, tmp_path / 'work', 'kim_vocal_1', sessions, StopFlag())
    assert caught.value.reference == 'media-changed'
    assert list((tmp_path / 'work').iterdir()) == []


def test_memory_does_not_grow_with_the_length():
    def peak(seconds):
        block = np.zeros((44100, 2), np.float32)
        tracemalloc.start()
        for _ in Separator(MdxSession()).separate(block for _ in range(seconds)):
            pass
        found = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return found

    assert peak(40) < 1.1 * peak(20)


def test_an_extractor_needs_its_own_network_and_the_band_the_detector():
    assert extractor_networks(VoiceExtractorOptions()) == ('silero_vad',)
    assert extractor_networks(VoiceExtractorOptions('band')) == ('silero_vad',)
    assert extractor_networks(VoiceExtractorOptions('kim_vocal_2')) == ('kim_vocal_2',)
    assert SEPARATION_RATE == 44100 and Fraction(CHUNK, VOICE_RATE) == Fraction(4, 125)


@pytest.mark.parametrize('gain', [0.01, 0.1, 1, 3])
def test_a_separated_voice_gets_the_usual_level_whatever_its_own(gain, tmp_path):
    spoken = np.concatenate([gain * resampled(speak('en+f3')), np.zeros(16000 * 30, np.float32)])
    path = tmp_path / 'a.wav'
    with av.open(str(path), 'w') as file:
        stream = file.add_stream('pcm_f32le', rate=16000, layout='mono')
        frame = av.AudioFrame.from_ndarray(spoken[None].astype(np.float32), format='flt', layout='mono')
        frame.sample_rate = 16000
        for packet in (*stream.encode(frame), *stream.encode(None)):
            file.mux(packet)
    sessions = NamedSessions(kim_vocal_2=MdxSession())
    voice = extract_voice(probe_sound(path), tmp_path, 'kim_vocal_2', sessions, StopFlag())
    assert not is_silent(voice)
    assert 0.05 < np.std(voice.window(0, 9)) < 0.2
