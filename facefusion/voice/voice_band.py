"""The voice without the weights of an extractor: the band of a voice, silent where the detector finds no speech."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from facefusion.media.voice import VOICE_RATE, Voice
from facefusion.stopping import StopFlag
from facefusion.voice.activity import VoiceActivity
from facefusion.voice.loudness import CHUNK, chunk_levels, usual_gain

Floats = NDArray[np.float32]

# The band in Hz of a voice at 16 kHz: below it are drums, basses and hum.
_LOWEST_HZ, _HIGHEST_HZ = 90.0, 7600.0
_TAPS = 801
# Speech needs this probability, or half of it near speech; the gate opens this many chunks early and closes late.
_LIKELY, _REACH = 0.5, 2
_BLOCK = 1000


def voice_band(voice: Voice, activity: VoiceActivity, stop: StopFlag | None = None) -> Iterator[tuple[int, Floats]]:
    """Yield blocks of the voice in the band of speech, with their positions; gaps in speech are silent.

    Speech gets the usual level, because the networks of lip synchronisers expect it.

    Memory does not grow with the length, except for one value for each 32 ms. Raises Interrupted.
    """
    probabilities = activity.probabilities(voice, stop)
    gate = _gate(probabilities) * usual_gain(chunk_levels(voice), probabilities >= _LIKELY)
    margin = _TAPS // 2
    for first in range(0, len(gate), _BLOCK):
        if stop is not None:
            stop.check()
        last = min(first + _BLOCK, len(gate))
        begin, end = first * CHUNK, min(last * CHUNK, voice.sample_count)
        seconds = Fraction(begin - margin, VOICE_RATE), Fraction(end - begin + 2 * margin, VOICE_RATE)
        filtered = _filtered(voice.window(*seconds))
        places = (np.arange(begin, end) + 0.5) / CHUNK - 0.5
        yield begin, (filtered * np.interp(places, np.arange(len(gate)), gate)).astype(np.float32)


def _gate(probabilities: Floats) -> Floats:
    """Return the factor float32 [n] of each chunk: 1 for speech and its surroundings, 0 elsewhere."""
    likely, possible = (np.asarray(probabilities >= least, np.bool_) for least in (_LIKELY, _LIKELY / 2))
    near = np.logical_and(_dilated(likely, 6 * _REACH), possible)
    gate: Floats = _dilated(np.logical_or(likely, near), _REACH).astype(np.float32)
    return gate


def _dilated(flags: NDArray[np.bool_], reach: int) -> NDArray[np.bool_]:
    padded = np.pad(flags, reach)
    windows = np.lib.stride_tricks.sliding_window_view(padded, 2 * reach + 1)
    return np.asarray(windows.any(axis=1), np.bool_)


def _filtered(samples: Floats) -> NDArray[np.float64]:
    """Return samples [n] convolved with the band filter: [n - 800], by the product of spectra."""
    size = 1 << (len(samples) + _TAPS).bit_length()
    spectrum = np.fft.rfft(samples, size) * np.fft.rfft(_BAND, size)
    return np.fft.irfft(spectrum, size)[_TAPS - 1 : len(samples)]


def _band_filter() -> NDArray[np.float64]:
    """Return the taps of a linear-phase band pass: the difference of two windowed sinc functions."""
    places = np.arange(_TAPS) - _TAPS // 2
    low, high = (
        2 * hertz / VOICE_RATE * np.sinc(2 * hertz / VOICE_RATE * places) for hertz in (_LOWEST_HZ, _HIGHEST_HZ)
    )
    band: NDArray[np.float64] = (high - low) * np.blackman(_TAPS)
    return band


_BAND = _band_filter()
