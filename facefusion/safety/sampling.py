"""Which frames of a clip the content gate looks at: about one a second, at least eight, by absolute frame number."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction

FEWEST_SAMPLES = 8


def sample_step(frame_count: int, rate: Fraction) -> int:
    """How many frames lie from one sample to the next, for ``frame_count`` frames at ``rate`` frames a second.

    A second at most, so that two seconds hold two samples; and never so many that fewer than eight frames would be
    sampled; 1 where there are no more than fifteen frames, and where a frame lasts longer. ``rate`` is the average
    one where frames last differently.
    """
    return max(1, min(math.floor(rate), frame_count // FEWEST_SAMPLES))


def is_sampled(number: int, start: int, step: int) -> bool:
    """Whether frame ``number`` is looked at in a clip whose first frame is ``start``; the first one always is.

    It depends on no chunk or segment. Starts of shots are sampled besides, and frames that ``ends_gap`` names.
    """
    return number >= start and (number - start) % step == 0


def ends_gap(number: int, start: int, step: int, seconds: Callable[[int], float]) -> bool:
    """Whether another whole second has gone by with frame ``number`` since the regular sample before it.

    That never happens where frames last equally long. ``seconds`` gives the time of a frame.
    """
    since = (number - start) % step
    if since == 0:
        return False
    last = seconds(number - since)
    return math.floor(seconds(number) - last) > math.floor(seconds(number - 1) - last)


@dataclass(frozen=True, slots=True)
class Sampling:
    """The frames ``start`` to ``start + count`` (exclusive) of a clip, one of ``step`` sampled; a picture is (0, 1, 1).

    Starts of shots and ends of gaps are sampled besides.
    """

    start: int
    count: int
    step: int

    @property
    def regular(self) -> range:
        """The numbers of all frames for which ``is_sampled`` is true."""
        return range(self.start, self.start + self.count, self.step)

    def __contains__(self, number: int) -> bool:
        return self.start <= number < self.start + self.count


def plan_sampling(start: int, count: int, rate: Fraction) -> Sampling:
    """The sampling of ``count`` frames from ``start`` on."""
    return Sampling(start, count, sample_step(count, rate))


PICTURE = Sampling(0, 1, 1)
