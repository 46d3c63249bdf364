"""Separation of a voice from music with an MDX network (kim_vocal_1, kim_vocal_2, uvr_mdxnet).

The chunks and the spectrogram are those of FaceFusion 3.8: chunks of 245760 samples every 184320 ones, averaged where
they overlap; in each, a short-time Fourier transform with a symmetric Hann window of 7680 samples every 1024 ones.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from facefusion.stopping import StopFlag

Floats = NDArray[np.float32]

SEPARATION_RATE = 44100
"""The rate of the music with which these networks were trained."""
_CHUNK, _CHUNK_STEP = 240 * 1024, 180 * 1024
_FFT, _HOP = 7680, 1024
_TRIM = _FFT // 2
_BINS = 3072
_WINDOW = np.hanning(_FFT)


class Separator:
    """Separates a voice with ``session``.

    Its input and output are ``input`` float32 [1,4,3072,T]: the real and imaginary parts of the left, then of the right
    channel.
    """

    def __init__(self, session: Any) -> None:
        value = session.get_inputs()[0]
        self._session = session
        self._name = value.name
        self._columns = value.shape[3] if isinstance(value.shape[3], int) else 256

    def separate(self, blocks: Iterable[Floats], stop: StopFlag | None = None) -> Iterator[Floats]:
        """Yield the voice of stereo blocks float32 [n,2] that follow each other, in blocks; the length is the same.

        Memory does not grow with the length. Raises Interrupted.
        """
        pending: Floats = np.zeros((0, 2), np.float32)
        # The sum and the number of the overlapping chunks, from the first unfinished sample on.
        overlap = _Overlap(np.zeros((0, 2)), np.zeros(0))
        for block in blocks:
            pending = np.concatenate([pending, block])
            while len(pending) > _CHUNK:
                overlap = self._add(overlap, pending[:_CHUNK], stop)
                yield overlap.mean(_CHUNK_STEP)
                overlap, pending = overlap.after(_CHUNK_STEP), pending[_CHUNK_STEP:]
        while len(pending):
            overlap = self._add(overlap, pending[:_CHUNK], stop)
            step = min(_CHUNK_STEP, len(pending))
            yield overlap.mean(step)
            overlap, pending = overlap.after(step), pending[step:]

    def _add(self, overlap: _Overlap, chunk: Floats, stop: StopFlag | None) -> _Overlap:
        if stop is not None:
            stop.check()
        return overlap.plus(self._chunk(chunk))

    def _chunk(self, samples: Floats) -> NDArray[np.float64]:
        """Return the voice of one chunk [n,2], n up to 245760, separated window by window."""
        length = (self._columns - 1) * _HOP
        step = length - 2 * _TRIM
        padding = step - len(samples) % step
        padded = np.pad(samples, ((_TRIM, _TRIM + padding), (0, 0)))
        parts = []
        for start in range(0, len(samples) + padding, step):
            spectrum = _spectrum(padded[start : start + length])
            (found,) = self._session.run(None, {self._name: spectrum})
            parts.append(_samples(np.asarray(found), length)[_TRIM:-_TRIM])
        return np.concatenate(parts)[: len(samples)]


class _Overlap(NamedTuple):
    """Sums float64 [n,2] of overlapping chunks, and the number of ``chunks`` float64 [n] at each sample."""

    total: NDArray[np.float64]
    chunks: NDArray[np.float64]

    def plus(self, chunk: NDArray[np.float64]) -> _Overlap:
        length = max(len(self.total), len(chunk))
        total, count = np.zeros((length, 2)), np.zeros(length)
        for samples, number in ((self.total, self.chunks), (chunk, 1)):
            total[: len(samples)] += samples
            count[: len(samples)] += number
        return _Overlap(total, count)

    def mean(self, length: int) -> Floats:
        found: Floats = (self.total[:length] / self.chunks[:length, None]).astype(np.float32)
        return found

    def after(self, length: int) -> _Overlap:
        return _Overlap(self.total[length:], self.chunks[length:])


def _spectrum(samples: Floats) -> Floats:
    """Return float32 [1,4,3072,T] for samples [n,2], with zeros beyond both ends."""
    padded = np.pad(samples.T.astype(np.float64), ((0, 0), (_TRIM, _TRIM)))
    pieces = np.lib.stride_tricks.sliding_window_view(padded, _FFT, axis=1)[:, ::_HOP]
    bins = np.fft.rfft(pieces * _WINDOW, axis=2)[:, :, :_BINS].transpose(0, 2, 1)
    spectrum = np.stack([bins[0].real, bins[0].imag, bins[1].real, bins[1].imag])
    found: Floats = spectrum[None].astype(np.float32)
    return found


def _samples(spectrum: Floats, length: int) -> NDArray[np.float64]:
    """Return the samples [length,2] of a spectrum [1,4,3072,T]: the inverse of ``_spectrum`` by overlap and add."""
    left, right = spectrum[0, 0] + 1j * spectrum[0, 1], spectrum[0, 2] + 1j * spectrum[0, 3]
    bins = np.zeros((2, spectrum.shape[3], _FFT // 2 + 1), np.complex128)
    bins[:, :, :_BINS] = np.stack([left.T, right.T])
    pieces = np.fft.irfft(bins, _FFT, axis=2) * _WINDOW
    total, weight = np.zeros((2, length + _FFT)), np.zeros(length + _FFT)
    for column in range(spectrum.shape[3]):
        place = slice(column * _HOP, column * _HOP + _FFT)
        total[:, place] += pieces[:, column]
        weight[place] += _WINDOW**2
    return (total / np.maximum(weight, 1e-10))[:, _TRIM:-_TRIM].T
