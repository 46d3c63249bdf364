"""The energy of a voice in the bands that articulation moves, 100 times a second."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from facefusion.media.voice import VOICE_RATE, Voice
from facefusion.stopping import StopFlag

Floats = NDArray[np.float32]

BAND_RATE = 100
_HOP = VOICE_RATE // BAND_RATE
_WINDOW, _FFT = 400, 512
# Values computed at once: 20 seconds.
_BLOCK = 2000
_HERTZ = np.fft.rfftfreq(_FFT, 1 / VOICE_RATE)
_HANN = np.hanning(_WINDOW + 2)[1:-1]
_FLOOR = 1e-9


@dataclass(frozen=True, slots=True, eq=False)
class SpeechBands:
    """Values float32 [n]; value i describes 25 ms around the time i / 100 s.

    Energies in dB: ``low`` 60-350 Hz, ``voice`` 250-3500 Hz, ``middle`` 350-3500 Hz, ``high`` 4-8 kHz. Centres of
    energy in Hz, 0 without sound: ``first_formant`` of 250-1000 Hz, ``second_formant`` of 900-3000 Hz, ``centre`` of
    300-7500 Hz.
    """

    low: Floats
    voice: Floats
    middle: Floats
    high: Floats
    first_formant: Floats
    second_formant: Floats
    centre: Floats


def measure_bands(voice: Voice, stop: StopFlag | None = None) -> SpeechBands:
    """Return the bands of a voice, read in blocks of 20 seconds. Raises Interrupted."""
    count = voice.sample_count // _HOP + 1
    found = np.zeros((7, count), np.float32)
    for first in range(0, count, _BLOCK):
        if stop is not None:
            stop.check()
        last = min(first + _BLOCK, count)
        found[:, first:last] = _block(voice, first, last - first)
    return SpeechBands(*found)


def _block(voice: Voice, first: int, count: int) -> NDArray[np.float64]:
    begin, length = first * _HOP - _WINDOW // 2, (count - 1) * _HOP + _WINDOW
    samples = voice.window(Fraction(begin, VOICE_RATE), Fraction(length, VOICE_RATE))
    pieces = np.lib.stride_tricks.sliding_window_view(samples, _WINDOW)[::_HOP]
    power = np.abs(np.fft.rfft(pieces * _HANN, _FFT, axis=1)) ** 2
    levels = [_level(power, *band) for band in ((60, 350), (250, 3500), (350, 3500), (4000, 8001))]
    centres = [_centre(power, *band) for band in ((250, 1000), (900, 3000), (300, 7500))]
    return np.stack(levels + centres)


def _level(power: NDArray[np.float64], low: float, high: float) -> NDArray[np.float64]:
    chosen = power[:, (low <= _HERTZ) & (high > _HERTZ)]
    levels: NDArray[np.float64] = 10 * np.log10(chosen.sum(axis=1) + _FLOOR)
    return levels


def _centre(power: NDArray[np.float64], low: float, high: float) -> NDArray[np.float64]:
    inside = (low <= _HERTZ) & (high > _HERTZ)
    total = power[:, inside].sum(axis=1)
    centres: NDArray[np.float64] = (power[:, inside] @ _HERTZ[inside]) / np.maximum(total, _FLOOR)
    return centres
