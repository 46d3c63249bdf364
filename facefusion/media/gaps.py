"""Frames that are missing from a steady clip, as far as the times of the others show it."""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from fractions import Fraction
from typing import NamedTuple

import numpy as np

# Containers in which packets can be lost without a trace but a hole in time. In mp4 a table has all of them, and a hole
# in it was made on purpose; where frames are counted (avi, mxf) nothing tells.
_STREAMED = ('matroska', 'mpegts', 'mpeg')
_FEWEST = 24
SHOWN_GAPS = 5
# Times that were once written in milliseconds, as mkv does.
_ROUNDED = Fraction(1, 1000)
# A clip with more holes than that share of its frames leaves frames out as a habit: it has no steady rate.
_MOST = 0.1


class TimeGap(NamedTuple):
    """About ``missing`` frames are not there behind frame ``number``; ``begin`` and ``end`` in seconds from the first
    frame on."""

    number: int
    missing: int
    begin: float
    end: float


def find_gaps(pts: array[int], time_base: Fraction, content: str) -> tuple[TimeGap, ...]:
    """The holes in the times of a clip of steady rate; none where frames come at any time.

    Steady is a clip in which every distance of two frames is a multiple of the usual one, to the rounding of its times
    (a tick and a millisecond), and all but a tenth of them are the usual one itself. Whether what is missing was lost,
    or never recorded, times do not tell.
    """
    steps = np.diff(np.frombuffer(pts, np.int64)).astype(np.float64)
    if content not in _STREAMED or len(steps) < _FEWEST:
        return ()
    slack = 1 + float(_ROUNDED / time_base)
    usual = float(np.median(steps))
    is_usual = np.abs(steps - usual) <= slack
    if slack > usual / 4 or not is_usual.any():
        return ()
    step = float(steps[is_usual].mean())
    places = np.rint(steps / step)
    holes = np.flatnonzero(~is_usual)
    # The mean of distances between rounded times is off by a rounding for each run of them.
    bound = slack * (1 + places * (len(holes) + 1) / is_usual.sum())
    is_steady = (np.abs(steps - places * step) <= bound).all() and (places[holes] > 1).all()
    if not is_steady or len(holes) > _MOST * len(steps):
        return ()
    base = float(time_base)
    return tuple(
        TimeGap(
            number, int(places[number]) - 1, (pts[number] - pts[0] + step) * base, (pts[number + 1] - pts[0]) * base
        )
        for number in holes.tolist()
    )


def gaps_as_text(gaps: Sequence[TimeGap]) -> str:
    """What is missing, for people; the first few gaps are named."""
    missing = sum(gap.missing for gap in gaps)
    shown = ', '.join(f'{gap.begin:.2f}-{gap.end:.2f}' for gap in gaps[:SHOWN_GAPS])
    rest = len(gaps) - SHOWN_GAPS
    more = f' and at {rest} more times' if rest > 0 else ''
    frames = 'frame is' if missing == 1 else 'frames are'
    return f'{missing} {frames} missing from its steady rate, at {shown} seconds{more}: lost, or never recorded'
