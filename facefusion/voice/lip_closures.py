"""The moments at which the lips meet: p, b and m, found by the dip of the voice and its spectrum.

A stop or a nasal consonant is a dip of the middle of the spectrum. The place of the closure shows in two values: the
burst of p and b has its energy low, that of t and k high; the second formant of the murmur of m is near 1100 Hz, that
of n near 1700 Hz (phonetics textbooks give these loci for any language).
"""

from __future__ import annotations

from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from facefusion.voice.loudness import local_percentile
from facefusion.voice.speech_bands import BAND_RATE, SpeechBands

Floats = NDArray[np.float32]
Flags = NDArray[np.bool_]

# Levels are in dB, times in values of 10 ms. A closure is a minimum within 30 ms that is this much quieter than the
# sound within 150 ms on both sides.
_MINIMUM_REACH, _SIDE_REACH = 3, 15
_DEPTH_DB = 12.0
# It includes the values within this share of its depth, on at most 200 ms of each side.
_EDGE_SHARE, _MOST_EDGE_DB, _LONGEST = 0.45, 12.0, 20
# The lips meet for at least this long, so that a video of 25 frames a second shows it.
_SHORTEST = 5
# Below the loud speech around it: the silent gap of p and b, the hum of a voiced b, and no sound at all.
_GAP_DB, _HUM_DB, _SILENT_DB = 36.0, 27.0, 55.0
# Above the quietest sound around it: noise of the recording.
_NOISE_DB = 6.0
# The centre of energy of the burst after a gap and after a hum of the lips; that of the tongue is higher.
_BURST_HZ, _HUM_BURST_HZ = 1700.0, 1300.0
# The first formant when the lips have just parted; after a glottal stop the mouth is open already.
_PARTED_HZ = 760.0
# A hum has a low centre of energy, and its high band is this much below the loud speech.
_HUM_HZ, _HUM_HIGH_DB = 900.0, 38.0
# A sibilant dips in the middle, too, but the high band leads the middle one by more than this.
_HISS_DB = -1.0
# The murmur of m and b: depth of the dip, least level below the loud speech, lead of the low band over the middle one
# (less for l), level of the high band below the loud speech (more for vowels), second formant, and duration.
_MURMUR_DEPTH_DB, _MURMUR_DB, _MURMUR_LOW_DB, _MURMUR_HIGH_DB = 9.0, 38.0, -2.0, 30.0
_MURMUR_HZ, _SHORTEST_MURMUR = 1320.0, 3

Closure = Literal['lips', 'tongue', 'none']


class _Surroundings(NamedTuple):
    """Levels float32 [n] around each moment: loud speech, and the quietest sound in the middle and in the high band."""

    loudest: Floats
    floor: Floats
    floor_high: Floats


def lip_closures(bands: SpeechBands, loudest: Floats, speech: Flags) -> tuple[Flags, Flags]:
    """Return where the lips meet, and where only the tongue closes the mouth: two bool [n].

    ``loudest`` is the level float32 [n] in dB of the loud speech around each moment; ``speech`` tells where there is
    speech.
    """
    middle, everywhere = bands.middle, np.ones(len(speech), bool)
    floors = (local_percentile(band, everywhere, BAND_RATE, 5) for band in (middle, bands.high))
    around = _Surroundings(loudest, *floors)
    before, after = _loudest_beside(middle)
    lips, tongue = np.zeros(len(speech), bool), np.zeros(len(speech), bool)
    for begin, end in _runs(_murmurs(bands, around, np.maximum(before, after)) & speech):
        if end - begin >= _SHORTEST_MURMUR:
            _mark(lips, begin, end)
    depth = np.minimum(before, after) - middle
    for place in np.flatnonzero(_is_minimum(middle) & (depth >= _DEPTH_DB) & speech):
        begin, end = _extent(middle, int(place), middle[place] + min(_EDGE_SHARE * depth[place], _MOST_EDGE_DB))
        if lips[begin:end].any():
            continue
        closure = _closure(bands, around, int(place), slice(begin, end))
        if closure == 'lips':
            _mark(lips, begin, end)
        elif closure == 'tongue':
            tongue[begin:end] = True
    return lips, tongue & ~lips


def _closure(bands: SpeechBands, around: _Surroundings, place: int, span: slice) -> Closure:
    """Return the articulator that closes the mouth at a minimum without a murmur of the lips."""
    loudest, end, last = float(around.loudest[place]), span.stop, len(bands.middle) - 1
    quietest, hiss = float(bands.middle[place]), float(bands.high[span].max())
    is_noise = hiss <= max(loudest - _SILENT_DB, around.floor_high[place] + _NOISE_DB)
    if not is_noise and hiss - bands.middle[span].max() > _HISS_DB:
        return 'none'
    if bands.first_formant[min(end, last)] >= _PARTED_HZ:
        return 'tongue'
    burst = bands.centre[min(end + 1, last)]
    is_gap = quietest < max(loudest - _GAP_DB, around.floor[place] + _NOISE_DB / 2)
    hums = quietest < loudest - _HUM_DB and hiss < loudest - _HUM_HIGH_DB and bands.centre[place] < _HUM_HZ
    return 'lips' if (is_gap and burst < _BURST_HZ) or (hums and burst < _HUM_BURST_HZ) else 'tongue'


def _murmurs(bands: SpeechBands, around: _Surroundings, beside: Floats) -> Flags:
    """Return where the spectrum is that of m, and the sound ``beside`` it is louder."""
    murmurs: Flags = (
        (beside - bands.middle >= _MURMUR_DEPTH_DB)
        & (bands.middle > around.loudest - _MURMUR_DB)
        & (bands.low - bands.middle > _MURMUR_LOW_DB)
        & (bands.high < np.maximum(around.loudest - _MURMUR_HIGH_DB, around.floor_high + _NOISE_DB))
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
