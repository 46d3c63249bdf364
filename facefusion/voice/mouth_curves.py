"""The movement of the mouth over time, from a voice: how far it opens, how wide it is, and when the lips meet.

All curves are symmetric or finite filters of the audio around each moment, so they depend on nothing but the audio. The
sizes and frequencies of articulation are the usual ones of phonetics: first formant 250 to 1000 Hz (open vowels are
high), second formant 900 to 3000 Hz (spread lips are high), sibilants above 4 kHz.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from math import floor
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from facefusion.media.voice import Voice
from facefusion.stopping import StopFlag
from facefusion.voice.activity import VoiceActivity
from facefusion.voice.lip_closures import lip_closures
from facefusion.voice.loudness import CHUNK_SECONDS, local_percentile
from facefusion.voice.speech_bands import BAND_RATE, measure_bands

Floats = NDArray[np.float32]
Flags = NDArray[np.bool_]

CURVE_RATE = BAND_RATE
"""Values a second."""
LARGEST_OPENING = 1.1
# Speech this far below the loudest of its surroundings leaves the mouth closed, in dB.
_RANGE_DB = 32.0
# A pause closes the mouth when it lasts this long, in values; shorter gaps belong to consonants.
_SHORTEST_PAUSE = 12
# The lips reach a closure, and leave it, within this many values.
_APPROACH = 2
# The mouth stays open a little while the tongue closes it: t, d, k, g, n.
_TONGUE_OPENING = 0.16
# The detector of speech answers a little late, and stops early: values added on both sides.
_GATE_REACH = 6
# Standard deviations of the smoothing in values, and its delay: the audio leads the mouth by about 20 ms.
_SMOOTHING, _WIDTH_SMOOTHING, _DELAY = 2.0, 5.0, 2


class MouthShape(NamedTuple):
    """The mouth at one moment.

    ``opening`` 0 .. 1.1 is 1 for a wide open vowel; ``width`` is -1 for rounded and 1 for spread lips, 0 at rest;
    ``is_closed``: the lips meet, for p, b and m, or in silence.
    """

    opening: float
    width: float
    is_closed: bool


REST = MouthShape(0.0, 0.0, True)


@dataclass(frozen=True, slots=True, eq=False)
class MouthCurves:
    """``MouthShape`` over time, 100 values a second: ``opening`` and ``width`` float32 [n], ``closed`` bool [n]."""

    opening: Floats
    width: Floats
    closed: Flags

    def at(self, seconds: Fraction | float) -> MouthShape:
        """Return the mouth at a time of the audio, between two values by linear interpolation; at rest outside."""
        place = seconds * CURVE_RATE
        first = floor(place)
        if not 0 <= first < len(self.opening):
            return REST
        after, part = min(first + 1, len(self.opening) - 1), float(place - first)
        opening, width = (
            float(curve[first] * (1 - part) + curve[after] * part) for curve in (self.opening, self.width)
        )
        return MouthShape(opening, width, bool(self.closed[after if part >= 0.5 else first]))


def measure_curves(voice: Voice, activity: VoiceActivity, stop: StopFlag | None = None) -> MouthCurves:
    """Return the movement of a mouth that speaks a voice; the level of the recording does not matter.

    Reads the voice in blocks; the result takes 32 MB for an hour. Raises Interrupted.
    """
    bands = measure_bands(voice, stop)
    speech = _speech(activity.probabilities(voice, stop), len(bands.voice))
    loudest = local_percentile(bands.voice, speech > 0.5, CURVE_RATE, 95)
    energy = np.clip((bands.voice - loudest + _RANGE_DB) / _RANGE_DB, 0, 1) * speech
    pauses = _long_runs(energy < 0.05, _SHORTEST_PAUSE)
    lips, tongue = lip_closures(bands, loudest, speech > 0.5)
    hiss = _ramp(bands.high - bands.voice, -4, 8)
    opening = _ramp(energy, 0, 1) * (0.5 + 0.5 * _ramp(bands.first_formant, 330, 680)) * (1 - 0.7 * hiss)
    # A tongue closure is a gap of the sound and not of the lips.
    opening = np.where(tongue & ~pauses, np.maximum(opening, _TONGUE_OPENING), opening)
    smooth = _smoothed(opening, _SMOOTHING, _DELAY)
    scale = np.maximum(local_percentile(20 * np.log10(smooth + 1e-4), energy > 0.3, CURVE_RATE, 95), -14)
    opened = np.clip(smooth / 10 ** (scale / 20), 0, LARGEST_OPENING) * (1 - _approach(lips | pauses))
    spread = energy * (0.8 * np.clip((bands.second_formant - 1500) / 500, -1, 1) * (1 - hiss) + 0.3 * hiss)
    width = np.clip(_smoothed(spread, _WIDTH_SMOOTHING, _DELAY), -1, 1)
    return MouthCurves(opened.astype(np.float32), width.astype(np.float32), lips | pauses)


def _speech(probabilities: Floats, count: int) -> Floats:
    """Return the gate float32 [n], 0 .. 1, from probabilities of 32 ms each."""
    times = np.arange(count) / CURVE_RATE
    found = np.interp(times, (np.arange(len(probabilities)) + 0.5) * CHUNK_SECONDS, probabilities)
    return _widest(_ramp(found, 0.4, 0.7), _GATE_REACH)


def _ramp(values: NDArray[np.floating], low: float, high: float) -> Floats:
    """Return 0 at ``low`` and 1 at ``high``, smooth in between."""
    part = np.clip((values - low) / (high - low), 0, 1)
    ramp: Floats = (part * part * (3 - 2 * part)).astype(np.float32)
    return ramp


def _widest(values: Floats, reach: int) -> Floats:
    """Return the largest value within ``reach`` values on both sides."""
    padded = np.pad(values, reach, mode='edge')
    widest: Floats = np.lib.stride_tricks.sliding_window_view(padded, 2 * reach + 1).max(axis=1)
    return widest


def _smoothed(values: NDArray[np.floating], deviation: float, delay: int) -> NDArray[np.float64]:
    """Return the values under a Gaussian window, ``delay`` values later."""
    reach = int(3 * deviation)
    window = np.exp(-0.5 * (np.arange(-reach, reach + 1) / deviation) ** 2)
    padded = np.pad(values.astype(np.float64), (reach + delay, reach))
    return np.convolve(padded, window / window.sum(), 'valid')[: len(values)]


def _approach(closed: Flags) -> Floats:
    """Return 1 where the lips meet, and less within 20 ms of it."""
    share = np.zeros(len(closed), np.float32)
    for distance in range(_APPROACH + 1):
        near = _widest(closed.astype(np.float32), distance)
        share = np.maximum(share, near * _ramp(np.array(1 - distance / (_APPROACH + 1)), 0, 1))
    return share


def _long_runs(flags: Flags, shortest: int) -> Flags:
    """Return the flags that belong to runs of at least ``shortest`` values, or to runs at the ends."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], flags, [False]]).astype(np.int8)))
    kept = np.zeros(len(flags), bool)
    for begin, end in edges.reshape(-1, 2):
        if end - begin >= shortest or begin == 0 or end == len(flags):
            kept[begin:end] = True
    return kept
