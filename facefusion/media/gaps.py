"""Missing frames of a steady clip, as far as the times of the others show them."""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from fractions import Fraction
from typing import NamedTuple

import numpy as np

# Containers where lost packets leave only a gap in the times. Mp4 has a table of all frames, so its gaps are intended;
# where frames are counted (avi, mxf) nothing shows them.
_STREAMED = ('matroska', 'mpegts', 'mpeg')
_MINIMUM_STEPS = 24
SHOWN_GAPS = 5
# Rounding of times once written in milliseconds, as in mkv.
_ROUNDED = Fraction(1, 1000)
# Above this share of gaps, a clip has no steady rate.
_MAXIMUM_SHARE = 0.1


class TimeGap(NamedTuple):
    """About ``missing`` frames are absent after frame ``number``; times in seconds from the first frame."""

    number: int
    missing: int
    begin: float
    end: float


def find_gaps(pts: array[int], time_base: Fraction, content: str) -> tuple[TimeGap, ...]:
    """Return the gaps in the times of a clip of steady rate; none for a variable rate.

    A clip is steady when every distance of two frames is a multiple of the usual one, up to the rounding of its times
    (a tick and a millisecond), and at least nine tenths of them are the usual one itself. Times do not show whether
    missing frames were lost or never recorded.
    """
    steps = np.diff(np.frombuffer(pts, np.int64)).astype(np.float64)
    if content not in _STREAMED or len(steps) < _MINIMUM_STEPS:
        return ()
    slack = 1 + float(_ROUNDED / time_base)
    usual = float(np.median(steps))
    is_usual = np.abs(steps - usual) <= slack
    if slack > usual / 4 or not is_usual.any():
        return ()
    step = float(steps[is_usual].mean())
    places = np.rint(steps / step)
    holes = np.flatnonzero(~is_usual)
    # The mean distance between rounded times is off by one rounding for each run of them.
    bound = slack * (1 + places * (len(holes) + 1) / is_usual.sum())
    is_steady = (np.abs(steps - places * step) <= bound).all() and (places[holes] > 1).all()
    if not is_steady or len(holes) > _MAXIMUM_SHARE * len(steps):
        return ()
    base = float(time_base)
    return tuple(
        TimeGap(at, int(places[at]) - 1, (pts[at] - pts[0] + step) * base, (pts[at + 1] - pts[0]) * base)
        for at in holes.tolist()
    )


def gaps_as_text(gaps: Sequence[TimeGap]) -> str:
    """Return the missing frames as text, with the first few gaps."""
    missing = sum(gap.missing for gap in gaps)
    shown = ', '.join(f'{gap.begin:.2f}-{gap.end:.2f}' for gap in gaps[:SHOWN_GAPS])
    rest = len(gaps) - SHOWN_GAPS
    more = f' and at {rest} more times' if rest > 0 else ''
    frames = 'frame is' if missing == 1 else 'frames are'
    return f'{missing} {frames} missing from its steady rate, at {shown} seconds{more}: lost, or never recorded'
