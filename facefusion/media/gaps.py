"""Missing frames of a clip of constant frame rate, found by the times of the other frames."""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from fractions import Fraction
from typing import NamedTuple

import numpy as np

# Containers where lost packets leave only a gap in the times. Mp4 has a table of all frames, so its gaps are intended.
# Avi and mxf count frames and store no times, so gaps cannot be detected.
_STREAMED = ('matroska', 'mpegts', 'mpeg')
_MINIMUM_STEPS = 24
SHOWN_GAPS = 5
# The rounding, in seconds, of times that were once stored in milliseconds, as in mkv.
_ROUNDED = Fraction(1, 1000)
# A clip with a larger share of gaps has no constant frame rate.
_MAXIMUM_SHARE = 0.1


class TimeGap(NamedTuple):
    """A gap of about ``missing`` frames after frame ``number``; times are in seconds from the first frame."""

    number: int
    missing: int
    begin: float
    end: float


def find_gaps(pts: array[int], time_base: Fraction, content: str) -> tuple[TimeGap, ...]:
    """Return the gaps in the times of a clip of constant frame rate; none for a variable rate.

    The rate is constant when every distance between two frames is a multiple of the usual one, up to the rounding of
    the times (a tick and a millisecond), and at least nine tenths of the distances are the usual one itself. The
    times do not show whether missing frames were lost or never recorded.
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
    # Each unbroken series of usual distances adds at most one rounding error to their mean.
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
    return f'{missing} {frames} missing from its constant rate, at {shown} seconds{more}: lost, or never recorded'
