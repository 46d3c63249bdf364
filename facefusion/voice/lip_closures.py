"""The moments at which the lips meet: p, b and m, found by the dip of the voice and its spectrum.

A stop or a nasal consonant is a dip of the middle of the spectrum. The place of the closure shows in two values: the
burst of p and b has its energy low, that of t and k high; the second formant of the murmur of m is near 1100 Hz, that
of n near 1700 Hz (phonetics textbooks give these loci for any language).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from facefusion.voice.speech_bands import SpeechBands

Floats = NDArray[np.float32]
Flags = NDArray[np.bool_]

# A closure is a minimum within 30 ms that is this much quieter than the sound on both sides, in dB.
_MINIMUM_REACH, _SIDE_REACH = 3, 15
_DEPTH_DB = 12.0
# It includes the values within this share of its depth, and ends after 200 ms on each side.
_EDGE_SHARE, _MOST_EDGE_DB, _LONGEST = 0.45, 12.0, 20
# A dip this far below the loud speech around it is silent: the murmur cannot tell its place.
_SILENT_DB = 45.0
# Above these values in Hz the tongue makes the closure.
_BURST_HZ, _MURMUR_HZ = 1700.0, 1480.0
# Sibilants dip in the middle, too, but have more energy above.
_HISS_DB = -1.0
# The lips meet for at least this many values, so that a video of 25 frames a second shows it.
_SHORTEST = 6


def lip_closures(bands: SpeechBands, loudest: Floats, speech: Flags) -> tuple[Flags, Flags]:
    """Return where the lips meet, and where only the tongue closes the mouth: two bool [n].

    ``loudest`` is the level float32 [n] in dB of the loud speech around each moment; ``speech`` tells where there is
    speech.
    """
    middle, count = bands.middle, len(bands.middle)
    lips, tongue = np.zeros(count, bool), np.zeros(count, bool)
    before, after = _loudest_beside(middle)
    depth = np.minimum(before, after) - middle
    padded = np.pad(middle, _MINIMUM_REACH, constant_values=np.inf)
    least = np.lib.stride_tricks.sliding_window_view(padded, 2 * _MINIMUM_REACH + 1).min(axis=1)
    for place in np.flatnonzero((middle <= least) & (depth >= _DEPTH_DB) & speech):
        edge = middle[place] + min(_EDGE_SHARE * depth[place], _MOST_EDGE_DB)
        begin = end = int(place)
        while begin > 0 and place - begin < _LONGEST and middle[begin - 1] < edge:
            begin -= 1
        while end < count - 1 and end - place < _LONGEST and middle[end + 1] < edge:
            end += 1
        if bands.high[begin : end + 1].max() - middle[begin : end + 1].max() > _HISS_DB:
            continue
        if _is_labial(bands, int(place), end, middle[place] < loudest[place] - _SILENT_DB):
            short = max(_SHORTEST - (end + 1 - begin), 0)
            lips[max(begin - (short + 1) // 2, 0) : end + 1 + short // 2] = True
        else:
            tongue[begin : end + 1] = True
    return lips, tongue


def _loudest_beside(levels: Floats) -> tuple[Floats, Floats]:
    """Return the highest levels within 150 ms before, and after, each value."""
    padded = np.pad(levels, _SIDE_REACH, constant_values=-90)
    highest = np.lib.stride_tricks.sliding_window_view(padded, _SIDE_REACH).max(axis=1)
    return highest[: len(levels)], highest[_SIDE_REACH + 1 : _SIDE_REACH + 1 + len(levels)]


def _is_labial(bands: SpeechBands, place: int, end: int, is_silent: bool) -> bool:
    release = min(end + 2, len(bands.centre) - 1)
    if is_silent:
        return bool(bands.centre[release] < _BURST_HZ)
    return bool(bands.second_formant[place] < _MURMUR_HZ)
