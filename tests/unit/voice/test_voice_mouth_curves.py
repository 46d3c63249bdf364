"""Tests of the mouth's movement on speech with known phonemes, on other sounds, and over hours."""

from __future__ import annotations

import tracemalloc
from fractions import Fraction

import numpy as np
import pytest
from fakes.mouth_scores import best_lag, pauses, share_met, share_shut
from fakes.spoken import VOICES, speak
from fakes.voices import make_voice, music, resampled

from facefusion.errors import Interrupted
from facefusion.stopping import StopFlag
from facefusion.voice.activity import VoiceActivity
from facefusion.voice.loudness import CHUNK
from facefusion.voice.mouth_curves import CURVE_RATE, MouthCurves, MouthShape, measure_curves

FRAME_RATE = 25


@pytest.fixture(scope='module')
def activity(sessions):
    return VoiceActivity(sessions.session('silero_vad'))


class Always:
    """A detector that finds speech everywhere."""

    def probabilities(self, voice, stop=None):
        return np.ones(-(-voice.sample_count // CHUNK), np.float32)


def curves_of(samples, activity, folder) -> MouthCurves:
    return measure_curves(make_voice(samples, folder), activity)


def seen(curves, rate=FRAME_RATE):
    """Return the openings in the frames of a video."""
    count = len(curves.opening) * rate // CURVE_RATE
    shapes = [curves.at(Fraction(frame, rate)) for frame in range(count)]
    return np.array([0 if shape.is_closed else shape.opening for shape in shapes])


@pytest.mark.network
@pytest.mark.parametrize('voice', VOICES)
def test_the_mouth_follows_the_loudness_a_little_late(voice, activity, tmp_path):
    samples = resampled(speak(voice))
    correlation, delay = best_lag(samples, seen(curves_of(samples, activity, tmp_path)), FRAME_RATE)
    assert correlation >= 0.7
    assert 0 <= delay <= 0.08


@pytest.mark.network
@pytest.mark.parametrize('voice', VOICES)
@pytest.mark.parametrize(('gain', 'noise'), [(1, 0), (0.01, 0), (1, 0.002)], ids=['clean', 'quiet', 'noisy'])
def test_lips_meet_on_bilabials_and_in_pauses_and_not_on_open_vowels(voice, gain, noise, activity, tmp_path):
    speech = speak(voice)
    samples = gain * resampled(speech)
    samples += noise * np.random.default_rng(0).standard_normal(len(samples)).astype(np.float32)
    curves = curves_of(samples, activity, tmp_path)
    assert share_met(speech.phonemes, seen(curves), FRAME_RATE) >= 0.7
    assert share_shut(speech.phonemes, seen(curves), FRAME_RATE) <= 0.1
    silent = pauses(speech.phonemes)
    assert silent
    for begin, end in silent:
        inside = slice(int(begin * CURVE_RATE), int(end * CURVE_RATE))
        assert curves.opening[inside].max() < 0.1
        assert curves.closed[inside].all()


@pytest.mark.network
def test_the_level_of_a_recording_does_not_matter_even_if_it_changes(activity, tmp_path):
    spoken = resampled(speak('en-us'))
    loud = curves_of(spoken, activity, tmp_path / 'loud')
    # A minute of silence separates the two levels.
    both = np.concatenate([spoken, np.zeros(16000 * 60, np.float32), 0.01 * spoken])
    later = curves_of(both, activity, tmp_path / 'both').opening[-len(loud.opening) :]
    assert np.corrcoef(later, loud.opening)[0, 1] > 0.97
    assert abs(np.percentile(later, 95) - np.percentile(loud.opening, 95)) < 0.15


@pytest.mark.network
@pytest.mark.parametrize(
    'sound',
    [
        music(16000 * 8),
        np.zeros(16000 * 2, np.float32),
        0.1 * np.random.default_rng(2).standard_normal(16000 * 4).astype(np.float32),
        0.5 * np.sin(np.arange(16000 * 4) * 0.2).astype(np.float32),
        np.ones(1, np.float32),
    ],
    ids=['music', 'silence', 'noise', 'tone', 'one sample'],
)
def test_sounds_without_speech_leave_the_mouth_closed(sound, activity, tmp_path):
    curves = curves_of(sound, activity, tmp_path)
    assert not curves.opening.any() and not curves.width.any() and curves.closed.all()


def test_open_vowels_open_wider_than_close_ones_and_spread_ones_are_wider_than_rounded_ones(tmp_path):
    def vowel(*formants):
        times = np.arange(16000) / 16000
        harmonics = [
            (n, sum(0.2**k / (1 + ((n * 120 - f) / 80) ** 2) for k, f in enumerate(formants))) for n in range(1, 60)
        ]
        return sum(gain * np.sin(2 * np.pi * 120 * n * times) for n, gain in harmonics).astype(np.float32)

    # The first two formants of a, i and u in Hz (Peterson and Barney 1952, men); the second one is weaker.
    sound = np.concatenate([vowel(730, 1090), vowel(270, 2290), vowel(300, 870)])
    curves = curves_of(sound / np.abs(sound).max(), Always(), tmp_path)
    a, i, u = (curves.at(second + 0.5) for second in range(3))
    assert a.opening > 1.3 * max(i.opening, u.opening)
    assert i.width > 0.3 > -0.3 > u.width


def test_curves_are_read_between_their_values_and_rest_outside():
    opening, width = np.array([0, 1], np.float32), np.array([-1, 1], np.float32)
    curves = MouthCurves(opening, width, np.array([True, False]))
    assert curves.at(Fraction(1, 400)) == MouthShape(0.25, -0.5, True)
    assert curves.at(0.0075) == MouthShape(0.75, 0.5, False)
    assert curves.at(Fraction(-1, 100)) == curves.at(1) == curves.at(Fraction(10**6)) == MouthShape(0, 0, True)


def test_the_curves_of_a_part_are_those_of_the_whole_far_from_its_ends(tmp_path):
    numbers = np.random.default_rng(3)
    sound = (numbers.standard_normal(16000 * 65) * np.repeat(numbers.uniform(0, 1, 650), 1600)).astype(np.float32)
    whole = curves_of(sound, Always(), tmp_path / 'whole')
    part = curves_of(sound[16000 * 20 :], Always(), tmp_path / 'part')
    np.testing.assert_allclose(part.opening[1500:-1500], whole.opening[3500:-1500], atol=1e-5)


def test_memory_stays_small_for_half_an_hour(tmp_path):
    voice = make_voice(np.zeros(16000 * 1800, np.float32), tmp_path)
    tracemalloc.start()
    curves = measure_curves(voice, Always())
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert len(curves.opening) == 180001
    assert peak < 150e6


def test_measuring_stops_when_asked(tmp_path):
    stop = StopFlag()
    stop.set('test')
    with pytest.raises(Interrupted):
        measure_curves(make_voice(np.zeros(16000, np.float32), tmp_path), Always(), stop)
