"""The probability of speech in a voice over time, from the embedded voice detector."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import numpy as np
from numpy.typing import NDArray

from facefusion.media.voice import VOICE_RATE, Voice
from facefusion.stopping import StopFlag

Floats = NDArray[np.float32]


CHUNK = 512
CHUNK_SECONDS = CHUNK / VOICE_RATE
_CONTEXT = 64
# Chunks read at once, about 30 seconds.
_BLOCK = 1000
# The detector misses very quiet speech. The loud parts of each second's surroundings are amplified to this level.
_LEVEL_DB = -20.0
_MOST_GAIN_DB = 40.0
_QUIETEST_DB = -100
# Seconds on each side that count as surroundings.
_REACH = 10


class VoiceActivity:
    """Finds speech with ``silero_vad``; ``session`` is its ONNX session.

    Inputs of the network: ``input`` float32 [1,576] (64 samples of context and 512 new ones at 16 kHz), ``state``
    float32 [2,1,128], ``sr`` int64; outputs: the probability [1,1] and the new state.
    """

    def __init__(self, session: Any) -> None:
        self._session = session

    def probabilities(self, voice: Voice, stop: StopFlag | None = None) -> Floats:
        """Return the probability of speech, 0 .. 1, for each 32 ms: float32 [n]; the last one may cover silence.

        The network carries its state from each chunk to the next, so this takes about 0.5 s for a minute of audio.
        Raises Interrupted.
        """
        count = -(-voice.sample_count // CHUNK)
        gains = _gains(voice, count)
        found: Floats = np.zeros(count, np.float32)
        state = np.zeros((2, 1, 128), np.float32)
        rate = np.array(VOICE_RATE, np.int64)
        context = np.zeros(_CONTEXT, np.float32)
        for first in range(0, count, _BLOCK):
            chunks = _chunks(voice, first, min(_BLOCK, count - first)) * gains[first : first + _BLOCK, None]
            for number, chunk in enumerate(chunks, first):
                if stop is not None:
                    stop.check()
                fed = np.concatenate([context, chunk])[None]
                probability, state = self._session.run(None, {'input': fed, 'state': state, 'sr': rate})
                found[number] = np.asarray(probability).reshape(-1)[0]
                context = chunk[-_CONTEXT:]
        return found


def _chunks(voice: Voice, first: int, count: int) -> Floats:
    samples = voice.window(Fraction(first * CHUNK, VOICE_RATE), Fraction(count * CHUNK, VOICE_RATE))
    return samples.reshape(count, CHUNK)


def _gains(voice: Voice, count: int) -> Floats:
    """Return the factor float32 [n] that brings the loud chunks around each chunk to the level of usual speech."""
    levels: Floats = np.zeros(count, np.float32)
    for first in range(0, count, _BLOCK):
        chunks = _chunks(voice, first, min(_BLOCK, count - first)).astype(np.float64)
        levels[first : first + len(chunks)] = 10 * np.log10(np.mean(chunks**2, axis=1) + 1e-10)
    loud = local_percentile(levels, np.ones(count, bool), 1 / CHUNK_SECONDS, 95)
    gains: Floats = (10 ** (np.clip(_LEVEL_DB - loud, -_MOST_GAIN_DB, _MOST_GAIN_DB) / 20)).astype(np.float32)
    return gains


def local_percentile(levels: Floats, counted: NDArray[np.bool_], rate: float, percentile: float) -> Floats:
    """Return a percentile of levels in dB, within 10 seconds on both sides of each value: float32 [n].

    Only ``counted`` values count; where there are none near, all of them do; without any the result is the floor of
    -100 dB. The accuracy is 1 dB. Time and memory grow with the length and not with the reach.
    """
    if not len(levels):
        return np.zeros(0, np.float32)
    steps = np.clip(np.round(levels).astype(np.int64) - _QUIETEST_DB, 0, 199)
    seconds = (np.arange(len(levels)) / rate).astype(np.int64)
    histogram = np.zeros((int(seconds[-1]) + 1, 200), np.int32)
    np.add.at(histogram, (seconds[counted], steps[counted]), 1)
    summed = np.vstack([np.zeros((1, 200), np.int64), np.cumsum(histogram, axis=0)])
    places = np.arange(len(histogram))
    near = summed[np.minimum(places + _REACH + 1, len(histogram))] - summed[np.maximum(places - _REACH, 0)]
    near[near.sum(axis=1) == 0] = summed[-1]
    ranks = np.cumsum(near, axis=1)
    found = (ranks < ranks[:, -1:] * (percentile / 100)).sum(axis=1) + float(_QUIETEST_DB)
    at: Floats = np.interp(np.arange(len(levels)) / rate, places + 0.5, found).astype(np.float32)
    return at
