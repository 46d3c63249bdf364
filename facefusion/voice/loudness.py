"""The level of a voice over time, and the factor that brings it to the level of usual speech."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from facefusion.media.voice import VOICE_RATE, Voice

Floats = NDArray[np.float32]
Flags = NDArray[np.bool_]

CHUNK = 512
CHUNK_SECONDS = CHUNK / VOICE_RATE
USUAL_DB = -17.0
"""The level of the loud parts of usual speech in dB of full scale: broadcasts have a mean of -23 (EBU R 128)."""
_QUIETEST_DB = -100
_SPAN_DB = 200
# Chunks read at once, about 30 seconds.
_BLOCK = 1000
# Seconds on each side that count as the surroundings of a moment.
_REACH = 10
# Quieter chunks, relative to the loudest ones, are pauses.
_PAUSE_DB = 25.0
_MOST_GAIN_DB = 40.0


def chunks_of(voice: Voice) -> Iterator[Floats]:
    """Yield the samples of a voice in chunks of 32 ms, many at once: float32 [k,512]; silence fills the last one."""
    count = -(-voice.sample_count // CHUNK)
    for first in range(0, count, _BLOCK):
        length = min(_BLOCK, count - first) * CHUNK
        samples = voice.window(Fraction(first * CHUNK, VOICE_RATE), Fraction(length, VOICE_RATE))
        yield samples.reshape(-1, CHUNK)


def chunk_levels(voice: Voice) -> Floats:
    """Return the level of each chunk in dB, at least -100: float32 [n]."""
    levels = [10 * np.log10(np.mean(chunks.astype(np.float64) ** 2, axis=1) + 1e-10) for chunks in chunks_of(voice)]
    return np.concatenate([np.zeros(0), *levels]).astype(np.float32)


def usual_gain(levels: Floats, speech: Flags | None = None) -> float:
    """Return the factor that brings speech of these levels to the usual level, 0.01 .. 100; 1 without any sound.

    ``speech`` tells which chunks are speech; without it, all that are not much quieter than the loudest ones.
    """
    if speech is None:
        speech = (
            levels > max(float(np.percentile(levels, 99)) - _PAUSE_DB, _QUIETEST_DB + 1) if len(levels) else levels > 0
        )
    if not speech.any():
        return 1.0
    loud = float(np.percentile(levels[speech], 95))
    return float(10 ** (np.clip(USUAL_DB - loud, -_MOST_GAIN_DB, _MOST_GAIN_DB) / 20))


def usual_gains(levels: Floats) -> Floats:
    """Return such a factor for each chunk, from the loud chunks around it: float32 [n]."""
    loud = local_percentile(levels, np.ones(len(levels), bool), 1 / CHUNK_SECONDS, 95)
    gains: Floats = (10 ** (np.clip(USUAL_DB - loud, -_MOST_GAIN_DB, _MOST_GAIN_DB) / 20)).astype(np.float32)
    return gains


def local_percentile(levels: Floats, counted: Flags, rate: float, percentile: float) -> Floats:
    """Return a percentile of levels in dB, within 10 seconds on both sides of each value: float32 [n].

    Only ``counted`` values count; where there are none near, all of them do; without any the result is the floor of
    -100 dB. The accuracy is 1 dB. Time and memory grow with the length and not with the reach.
    """
    if not len(levels):
        return np.zeros(0, np.float32)
    steps = np.clip(np.round(levels).astype(np.int64) - _QUIETEST_DB, 0, _SPAN_DB - 1)
    seconds = (np.arange(len(levels)) / rate).astype(np.int64)
    histogram = np.zeros((int(seconds[-1]) + 1, _SPAN_DB), np.int32)
    np.add.at(histogram, (seconds[counted], steps[counted]), 1)
    summed = np.vstack([np.zeros((1, _SPAN_DB), np.int64), np.cumsum(histogram, axis=0)])
    places = np.arange(len(histogram))
    near = summed[np.minimum(places + _REACH + 1, len(histogram))] - summed[np.maximum(places - _REACH, 0)]
    near[near.sum(axis=1) == 0] = summed[-1]
    ranks = np.cumsum(near, axis=1)
    found = (ranks < ranks[:, -1:] * (percentile / 100)).sum(axis=1) + float(_QUIETEST_DB)
    at: Floats = np.interp(np.arange(len(levels)) / rate, places + 0.5, found).astype(np.float32)
    return at
