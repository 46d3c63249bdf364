"""The mel windows of FaceFusion 3.8, for comparisons with its results; this program uses those of the vendor instead.

They come from audio at 48 kHz, resampled by a Fourier transform and scaled to its peak, with a mel bank of its own.
"""

from __future__ import annotations

from itertools import pairwise

import numpy as np

_RATE, _FFT, _HOP, _BANDS, _COLUMNS = 16000, 800, 200, 80, 16


def prepared(stereo: np.ndarray, rate: int = 48000) -> np.ndarray:
    """Return the emphasised mono signal float64 [m] at 16 kHz for a voice [n,2]."""
    count = round(len(stereo) * _RATE / rate)
    spectrum = np.fft.rfft(stereo.astype(np.float64), axis=0)[: count // 2 + 1]
    if count % 2 == 0:
        spectrum[count // 2] *= 2
    mono = (np.fft.irfft(spectrum, count, axis=0) * (count / len(stereo))).mean(axis=1)
    mono /= np.abs(mono).max()
    return np.append(mono[0], mono[1:] - 0.97 * mono[:-1])


def mel_bank() -> np.ndarray:
    """Return float64 [80,401]: triangles between neighbouring points of the scale 2595 log10(1 + f / 700)."""
    mels = np.linspace(*(2595 * np.log10(1 + np.array([55.0, 7600.0]) / 700)), _BANDS + 2)
    bins = np.floor((_FFT + 1) * 700 * (10 ** (mels / 2595) - 1) / _RATE).astype(int)
    bank = np.zeros((_BANDS, _FFT // 2 + 1))
    for band, (begin, end) in enumerate(pairwise(bins[:-1])):
        bank[band, begin:end] = _triangle(end - begin)
    return bank


def _triangle(length: int) -> np.ndarray:
    rising = np.arange(1, (length + 1) // 2 + 1)
    if length % 2 == 0:
        half = (2 * rising - 1) / length
        return np.concatenate([half, half[::-1]])
    half = 2 * rising / (length + 1)
    return np.concatenate([half, half[-2::-1]])


def mel_spectrogram(signal: np.ndarray) -> np.ndarray:
    """Return the amplitudes float64 [80,n] of a prepared signal, 80 columns a second."""
    padded = np.pad(signal, (_FFT // 2, _FFT // 2 + -len(signal) % _HOP))
    window = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(_FFT) / _FFT)
    pieces = np.lib.stride_tricks.sliding_window_view(padded, _FFT)[::_HOP] * window
    return mel_bank() @ (np.abs(np.fft.rfft(pieces, axis=1)).T / window.sum())


def mel_windows(spectrogram: np.ndarray, rate: float) -> np.ndarray:
    """Return the windows float32 [k,80,16] of a video with ``rate`` frames a second; they are not yet logarithmic."""
    ends = np.arange(0, spectrogram.shape[1], 80 / rate).astype(np.int16)
    kept = ends[(ends >= _COLUMNS) & (ends < spectrogram.shape[1])]
    return np.stack([spectrogram[:, end - _COLUMNS : end] for end in kept]).astype(np.float32)
