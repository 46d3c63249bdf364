"""The moments at which the lips meet: p, b and m, found by the dip of the voice and its spectrum.

A stop or a nasal consonant is a dip of the middle of the spectrum. The place of the closure shows in two values: the
burst of p and b has its energy low, that of t and k high; the second formant of the murmur of m is near 1100 Hz, that
of n near 1700 Hz (phonetics textbooks give these loci for any language).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from facefusion.voice.loudness import local_percentile
from facefusion.voice.speech_bands import BAND_RATE, SpeechBands

Floats = NDArray[np.float32]
Flags = NDArray[np.bool_]

# A closure is a minimum within 30 ms that is this much quieter than the sound on both sides, in dB.
_MINIMUM_REACH, _SIDE_REACH = 3, 15
_DEPTH_DB = 12.0
# It includes the values within this share of its depth, and ends after 200 ms on each side.
_EDGE_SHARE, _MOST_EDGE_DB, _LONGEST = 0.45, 12.0, 20
# Below the loud speech around it: a dip without a murmur, and one without any sound.
_QUIET_DB, _SILENT_DB = 27.0, 55.0
_GAP_DB, _HUM_HIGH_DB, _HUM_HZ, _HUM_BURST_HZ = 36.0, 38.0, 900.0, 1300.0
# Above the quietest sound around it: noise of the recording.
_NOISE_DB = 6.0
# Above this centre of energy in Hz the tongue makes the burst.
_BURST_HZ, _PARTED_HZ = 1700.0, 760.0
# The murmur of closed lips: its second formant, the lead of the low band over the middle, and of the middle over the
# high one. Laterals have less low energy, vowels more in the middle.
_MURMUR_HZ, _MURMUR_LOW_DB, _MURMUR_HIGH_DB, _MURMUR_DEPTH_DB = 1320.0, -2.0, -30.0, 9.0
_SHORTEST_MURMUR, _MURMUR_QUIET_DB = 3, 38.0
# Sibilants dip in the middle, too, but have more energy above.
_HISS_DB = -1.0
# The lips meet for at least this many values, so that a video of 25 frames a second shows it.
_SHORTEST = 5


def lip_closures(bands: SpeechBands, loudest: Floats, speech: Flags) -> tuple[Flags, Flags]:
    """Return where the lips meet, and where only the tongue closes the mouth: two bool [n].

    ``loudest`` is the level float32 [n] in dB of the loud speech around each moment; ``speech`` tells where there is
    speech.
    """
    middle, count = bands.middle, len(bands.middle)
    everywhere = np.ones(count, bool)
    floor, floor_high = (local_percentile(each, everywhere, BAND_RATE, 5) for each in (middle, bands.high))
    before, after = _loudest_beside(middle)
    lips, tongue = np.zeros(count, bool), np.zeros(count, bool)
    for begin, end in _runs(_murmurs(bands, loudest, np.maximum(before, after), floor_high) & speech):
        if end - begin >= _SHORTEST_MURMUR:
            _mark(lips, begin, end)
    depth = np.minimum(before, after) - middle
    for place in np.flatnonzero(_is_minimum(middle) & (depth >= _DEPTH_DB) & speech):
        begin, end = _extent(middle, int(place), middle[place] + min(_EDGE_SHARE * depth[place], _MOST_EDGE_DB))
        if lips[begin:end].any():
            continue
        relative = middle[begin:end] - loudest[place]
        hiss = bands.high[begin:end].max()
        if hiss - middle[begin:end].max() > _HISS_DB and hiss > max(
            loudest[place] - _SILENT_DB, floor_high[place] + _NOISE_DB
        ):
            continue
        burst = bands.centre[min(end + 1, count - 1)]
        # The lips have just parted, so the first formant is still low; after a glottal stop it is not.
        is_parted = bands.first_formant[min(end, count - 1)] < _PARTED_HZ
        is_gap = burst < _BURST_HZ and middle[place] < max(loudest[place] - _GAP_DB, floor[place] + _NOISE_DB / 2)
        hums = hiss < loudest[place] - _HUM_HIGH_DB and bands.centre[place] < _HUM_HZ
        hums &= bool(relative.min() < -_QUIET_DB and burst < _HUM_BURST_HZ)
        if is_parted and (is_gap or hums):
            _mark(lips, begin, end)
        else:
            tongue[begin:end] = True
    return lips, tongue & ~lips


def _murmurs(bands: SpeechBands, loudest: Floats, beside: Floats, floor_high: Floats) -> Flags:
    """Return where the spectrum is that of m: low energy, hardly any high one, and a low second formant."""
    murmurs: Flags = (
        (beside - bands.middle >= _MURMUR_DEPTH_DB)
        & (bands.middle > loudest - _MURMUR_QUIET_DB)
        & (bands.low - bands.middle > _MURMUR_LOW_DB)
        & (bands.high < np.maximum(loudest + _MURMUR_HIGH_DB, floor_high + _NOISE_DB))
        & (bands.second_formant < _MURMUR_HZ)
    )
    return murmurs


def _mark(lips: Flags, begin: int, end: int) -> None:
    # A short closure is extended into the release, because the audio leads the mouth.
    lips[begin : max(end, begin + _SHORTEST)] = True


def _is_minimum(levels: Floats) -> Flags:
    padded = np.pad(levels, _MINIMUM_REACH, constant_values=np.inf)
    least = np.lib.stride_tricks.sliding_window_view(padded, 2 * _MINIMUM_REACH + 1).min(axis=1)
    minimum: Flags = levels <= least
    return minimum


def _extent(levels: Floats, place: int, edge: float) -> tuple[int, int]:
    """Return the range around a minimum where the levels are below ``edge``."""
    begin, end = place, place + 1
    while begin > 0 and place - begin < _LONGEST and levels[begin - 1] < edge:
        begin -= 1
    while end < len(levels) and end - place <= _LONGEST and levels[end] < edge:
        end += 1
    return begin, end


def _runs(flags: Flags) -> NDArray[np.int64]:
    """Return begin and end of each run of true flags: int64 [k,2]."""
    edges: NDArray[np.int64] = np.flatnonzero(np.diff(np.concatenate([[False], flags, [False]]).astype(np.int8)))
    return edges.reshape(-1, 2)


def _loudest_beside(levels: Floats) -> tuple[Floats, Floats]:
    """Return the highest levels within 150 ms before, and after, each value."""
    padded = np.pad(levels, _SIDE_REACH, constant_values=-90)
    highest = np.lib.stride_tricks.sliding_window_view(padded, _SIDE_REACH).max(axis=1)
    return highest[: len(levels)], highest[_SIDE_REACH + 1 : _SIDE_REACH + 1 + len(levels)]
