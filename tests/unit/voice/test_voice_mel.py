"""The lazy mel windows against the spectrogram of the whole audio, computed in another way."""

from __future__ import annotations

from fractions import Fraction
from math import log

import numpy as np
import pytest
from fakes.spoken import speak
from fakes.voices import make_voice, resampled

from facefusion.voice.mel import COLUMN_RATE, first_column, mel_window

SILENCE = np.full((80, 16), -4, np.float32)


def slaney_bank():
    """Return float64 [80,401], one triangle at a time."""

    def to_hertz(mel):
        return mel * 200 / 3 if mel < 15 else 1000 * 6.4 ** ((mel - 15) / 27)

    top = 15 + 27 * log(7.6) / log(6.4)
    edges = [to_hertz(mel) for mel in np.linspace(55 * 3 / 200, top, 82)]
    bank = np.zeros((80, 401))
    for band, (left, centre, right) in enumerate(zip(edges, edges[1:], edges[2:], strict=False)):
        for line in range(401):
            hertz = line * 20
            if left < hertz <= centre:
                bank[band, line] = (hertz - left) / (centre - left)
            elif centre < hertz < right:
                bank[band, line] = (right - hertz) / (right - centre)
        bank[band] *= 2 / (right - left)
    return bank


def whole_spectrogram(samples):
    """Return the vendor's spectrogram float64 [80,n] of the whole audio: filter, zero borders, DFT as a matrix."""
    emphasised = samples.astype(np.float64)
    emphasised[1:] -= 0.97 * samples[:-1].astype(np.float64)
    padded = np.concatenate([np.zeros(400), emphasised, np.zeros(400 + -len(samples) % 200)])
    turns = np.outer(np.arange(401), np.arange(800)) % 800
    transform = np.exp(-2j * np.pi * turns / 800) * (np.sin(np.pi * np.arange(800) / 800) ** 2)
    columns = [transform @ padded[start : start + 800] for start in range(0, len(padded) - 799, 200)]
    mel = slaney_bank() @ np.abs(np.stack(columns, axis=1))
    # 20 log10, less 20 dB, from -100..0 to -4..4.
    decibels = 20 * np.log10(np.maximum(1e-5, mel)) - 20
    return np.clip(8 * (decibels + 100) / 100 - 4, -4, 4)


def chirp():
    times = np.arange(16000 * 3) / 16000
    return 0.7 * np.sin(2 * np.pi * (50 * times + 1300 * times**2))


def step():
    return np.concatenate([np.zeros(8101), np.full(12003, 0.5)])


def spoken():
    return resampled(speak('en-us'))[: 16000 * 3 + 77]


@pytest.mark.parametrize('sound', [chirp, step, spoken])
def test_a_window_equals_the_same_columns_of_the_spectrogram_of_the_whole_audio(sound, tmp_path):
    samples = sound().astype(np.float32)
    expected = whole_spectrogram(samples)
    voice = make_voice(samples, tmp_path)
    starts = [*range(0, expected.shape[1] - 16, 7), expected.shape[1] - 16]
    for start in starts:
        window = mel_window(voice, Fraction(start, COLUMN_RATE))
        assert window.shape == (80, 16) and window.dtype == np.float32
        np.testing.assert_allclose(window, expected[:, start : start + 16], rtol=0, atol=1e-5)


def test_there_is_silence_after_the_end_and_before_the_beginning(tmp_path):
    voice = make_voice(chirp(), tmp_path)
    after = mel_window(voice, voice.duration - Fraction(1, 10))
    assert (after[:, :8] > -4).any() and (after[:, 12:] == -4).all()
    for seconds in (Fraction(-1), voice.duration + Fraction(1, 10), Fraction(1000)):
        np.testing.assert_array_equal(mel_window(voice, seconds), SILENCE)


RATES = [Fraction(rate) for rate in range(10, 61)] + [Fraction(n * 1000, 1001) for n in (24, 30, 48, 60)]


@pytest.mark.parametrize('rate', RATES, ids=str)
def test_the_window_of_a_frame_is_exact_at_every_rate_even_after_hours(rate):
    for frame in [*range(200), *range(int(3 * 3600 * rate), int(3 * 3600 * rate) + 200)]:
        column = first_column(Fraction(frame) / rate)
        # In whole numbers: column / 80 <= frame / rate < (column + 1) / 80.
        assert column * rate.numerator <= frame * rate.denominator * 80 < (column + 1) * rate.numerator


def test_a_window_after_more_than_seven_minutes_shows_the_sound_there(tmp_path):
    samples = np.zeros(16000 * 500, np.float32)
    samples[16000 * 450 : 16000 * 451] = chirp()[:16000]
    voice = make_voice(samples, tmp_path)
    early = mel_window(make_voice(chirp()[:16000], tmp_path / 'early'), Fraction(1, 2))
    np.testing.assert_allclose(mel_window(voice, Fraction(901, 2)), early, atol=1e-5)
    np.testing.assert_array_equal(mel_window(voice, Fraction(440)), SILENCE)
