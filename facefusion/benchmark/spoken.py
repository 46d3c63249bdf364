"""A voice for processors that need audio: vowels without words, which the voice detector accepts as speech."""

from __future__ import annotations

import math
import wave
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

_RATE, _HARMONICS, _SEED = 16000, 32, 7
# The first three resonances in Hz of vowels of an adult voice (Peterson and Barney 1952).
_VOWELS = np.array(((730, 1090, 2440), (270, 2290, 3010), (530, 1840, 2480), (570, 840, 2410), (300, 870, 2240)), float)
_LEVELS, _BANDWIDTHS = (1.0, 0.5, 0.25), (80.0, 95.0, 140.0)
_PITCH, _SYLLABLES = 120.0, 4.0
# The seconds of a phrase and of the pause after it. The detector does not accept an endless phrase.
_PHRASE, _PAUSE = 1.2, 0.4


def make_voice(path: Path, seconds: float) -> Path:
    """Write a voice as 16-bit mono of 16 kHz."""
    phrase = np.concatenate([_phrase(), np.zeros(int(_PAUSE * _RATE))])
    count = int(seconds * _RATE)
    samples = np.tile(phrase, count // len(phrase) + 1)[:count]
    with wave.open(str(path), 'wb') as stream:
        stream.setparams((1, 2, _RATE, count, 'NONE', ''))
        stream.writeframes((samples * 32767).round().astype('<i2').tobytes())
    return path


def _phrase() -> NDArray[np.float64]:
    """Return syllables that move from vowel to vowel, float64 [n] in -0.5 .. 0.5."""
    times = np.arange(int(_PHRASE * _RATE)) / _RATE
    number, share = np.divmod(times * _SYLLABLES, 1)
    first = number.astype(int) % len(_VOWELS)
    change = np.clip((share - 0.6) / 0.4, 0, 1)[:, None]
    formants = _VOWELS[first] * (1 - change) + _VOWELS[(first + 1) % len(_VOWELS)] * change
    pitch = _PITCH + 15 * np.sin(2 * math.pi * 0.7 * times) + 6 * np.sin(2 * math.pi * 2.1 * times)
    phase = 2 * math.pi * np.cumsum(pitch) / _RATE
    sound = np.zeros(len(times))
    for harmonic in range(1, _HARMONICS + 1):
        away = (harmonic * pitch[:, None] - formants) / _BANDWIDTHS
        sound += (_LEVELS / np.sqrt(1 + away**2)).sum(axis=1) / math.sqrt(harmonic) * np.sin(harmonic * phase)
    sound *= np.sin(math.pi * share) ** 0.6
    hiss = np.diff(np.random.default_rng(_SEED).standard_normal(len(times) + 1)) * np.clip(1 - 6 * share, 0, 1)
    sound = sound / np.abs(sound).max() + 0.045 * hiss
    return np.asarray(0.5 * sound / np.abs(sound).max())
