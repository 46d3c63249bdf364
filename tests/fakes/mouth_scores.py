"""Scores of a moving mouth against the speech that moves it, for the curves and for mouths measured on frames."""

from __future__ import annotations

import numpy as np

from facefusion.media.voice import VOICE_RATE

ENVELOPE_RATE = 100
# A mouth with an opening below this counts as closed, in units of ``MouthShape.opening``.
CLOSED = 0.1
LAGS = range(-16, 17)


def envelope(samples: np.ndarray) -> np.ndarray:
    """Return the loudness of 16 kHz speech, 100 values a second, 0 .. 1: the level of 250-3500 Hz, 32 dB deep."""
    pieces = np.lib.stride_tricks.sliding_window_view(np.pad(samples, 200), 400)[::160] * np.hanning(400)
    hertz = np.fft.rfftfreq(400, 1 / VOICE_RATE)
    band = (np.abs(np.fft.rfft(pieces, axis=1)) ** 2)[:, (hertz >= 250) & (hertz < 3500)].sum(axis=1)
    levels = 10 * np.log10(band + 1e-9)
    depth = np.clip((levels - np.percentile(levels, 95) + 32) / 32, 0, 1)
    window = np.exp(-0.5 * (np.arange(-9, 10) / 3) ** 2)
    return np.convolve(depth, window / window.sum(), 'same')


def best_lag(samples: np.ndarray, openings: np.ndarray, rate: float) -> tuple[float, float]:
    """Return the highest correlation of the envelope with openings at ``rate`` a second, and the mouth's delay in s."""
    loudness = envelope(samples)
    times = np.arange(len(openings)) / rate
    scores = {}
    for lag in LAGS:
        heard = np.interp(times - lag / ENVELOPE_RATE, np.arange(len(loudness)) / ENVELOPE_RATE, loudness)
        scores[lag / ENVELOPE_RATE] = float(np.corrcoef(heard, openings)[0, 1])
    delay = max(scores, key=scores.__getitem__)
    return scores[delay], delay


def share_met(phonemes, openings: np.ndarray, rate: float, closed: float = CLOSED) -> float:
    """Return the share of p, b and m at which the lips meet, from 45 ms before their beginning to 15 ms after."""
    times = np.arange(len(openings)) / rate
    met = [
        (openings[(times >= each.begin - 0.045) & (times <= each.end + 0.015)] < closed).any()
        for each in phonemes
        if each.is_bilabial
    ]
    return float(np.mean(met))


def share_shut(phonemes, openings: np.ndarray, rate: float, closed: float = CLOSED) -> float:
    """Return the share of open vowels in whose middle half the lips meet."""
    times = np.arange(len(openings)) / rate
    shut = []
    for each in phonemes:
        quarter = (each.end - each.begin) / 4
        inside = (times >= each.begin + quarter) & (times <= each.end - quarter)
        if each.is_open_vowel and inside.any():
            shut.append((openings[inside] < closed).any())
    return float(np.mean(shut))


def pauses(phonemes, shortest: float = 0.3) -> list[tuple[float, float]]:
    """Return begin and end in seconds of the silent parts of pauses that last at least ``shortest``."""
    spans: list[list[float]] = []
    for each in phonemes:
        if each.symbol:
            continue
        if spans and abs(spans[-1][1] - each.begin) < 1e-6:
            spans[-1][1] = each.end
        else:
            spans.append([each.begin, each.end])
    # The last sound before a pause fades, and the lips open shortly before the next one.
    return [(begin + 0.12, end - 0.06) for begin, end in spans if end - begin >= shortest]
