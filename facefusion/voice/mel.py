"""The mel spectrogram that the published lip synchronisers were trained on, one window of it at a time.

Recipe and constants: audio.py and hparams.py of Wav2Lip. A window is computed from the samples it covers, so that
memory and time do not depend on the length of the audio.
"""

from __future__ import annotations

from fractions import Fraction
from math import floor, log

import numpy as np
from numpy.typing import NDArray

from facefusion.media.voice import VOICE_RATE, Voice

Mel = NDArray[np.float32]

BANDS = 80
WINDOW_COLUMNS = 16
COLUMN_RATE = 80
_HOP = VOICE_RATE // COLUMN_RATE
_FFT = 800
_LOWEST_HZ, _HIGHEST_HZ = 55.0, 7600.0
_PRE_EMPHASIS = 0.97
# The Slaney scale: 200/3 Hz per mel below 1000 Hz, and 27 mel per factor of 6.4 above.
_HZ_A_MEL = 200 / 3
_BREAK_HZ = 1000.0
_BREAK_MEL = _BREAK_HZ / _HZ_A_MEL
_MEL_A_LOG = 27 / log(6.4)
# The logarithm of the amplitude, -100 .. 0 dB above a reference of 20 dB, is scaled to -4 .. 4.
_FLOOR = 1e-5
_SCALE, _OFFSET, _LIMIT = 1.6, 2.4, 4.0


def first_column(seconds: Fraction) -> int:
    """Return the first column of the window of a frame at this time of the audio; there are 80 columns a second."""
    return floor(seconds * COLUMN_RATE)


def mel_window(voice: Voice, seconds: Fraction) -> Mel:
    """Return the float32 [80,16] window for the frame at this time of the audio, -4 .. 4.

    Column c is centred on sample 200 c. There is silence before the beginning and after the end.
    """
    first = first_column(seconds) * _HOP - _FFT // 2
    count = (WINDOW_COLUMNS - 1) * _HOP + _FFT
    # Pre-emphasis needs the sample before the window.
    samples = voice.window(Fraction(first - 1, VOICE_RATE), Fraction(count + 1, VOICE_RATE)).astype(np.float64)
    emphasised = samples[1:] - _PRE_EMPHASIS * samples[:-1]
    # The filter ends with the audio: the sample after the last one would be an echo of it.
    emphasised[max(voice.sample_count - first, 0) :] = 0
    pieces = np.lib.stride_tricks.sliding_window_view(emphasised, _FFT)[::_HOP]
    amplitudes = np.abs(np.fft.rfft(pieces * _HANN, axis=1))
    levels = _SCALE * np.log10(np.maximum(_BANK @ amplitudes.T, _FLOOR)) + _OFFSET
    window: Mel = np.clip(levels, -_LIMIT, _LIMIT).astype(np.float32)
    return window


def _mel_bank() -> NDArray[np.float64]:
    """Return float64 [80,401]: triangles of equal area, evenly spaced on the Slaney scale."""
    lowest, highest = _LOWEST_HZ / _HZ_A_MEL, _BREAK_MEL + log(_HIGHEST_HZ / _BREAK_HZ) * _MEL_A_LOG
    mels = np.linspace(lowest, highest, BANDS + 2)
    edges = np.where(mels < _BREAK_MEL, mels * _HZ_A_MEL, _BREAK_HZ * np.exp((mels - _BREAK_MEL) / _MEL_A_LOG))[:, None]
    bins = np.arange(_FFT // 2 + 1) * (VOICE_RATE / _FFT)
    rising = (bins - edges[:-2]) / (edges[1:-1] - edges[:-2])
    falling = (edges[2:] - bins) / (edges[2:] - edges[1:-1])
    bank: NDArray[np.float64] = np.maximum(0, np.minimum(rising, falling)) * (2 / (edges[2:] - edges[:-2]))
    return bank


_BANK = _mel_bank()
# The periodic Hann window.
_HANN = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(_FFT) / _FFT)
