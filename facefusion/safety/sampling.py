"""The frames of a clip that the content gate scores: about one a second, at least eight, by absolute frame number."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction

MINIMUM_SAMPLES = 8


def sample_step(frame_count: int, rate: Fraction) -> int:
    """Return the distance between two samples in frames, for ``frame_count`` frames at ``rate`` frames a second.

    It is at most a second, so that two seconds contain two samples, and small enough for at least eight samples; 1 for
    up to fifteen frames, and where a frame lasts over a second. ``rate`` is the average of frames of unequal duration.
    """
    return max(1, min(math.floor(rate), frame_count // MINIMUM_SAMPLES))


def is_sampled(number: int, start: int, step: int) -> bool:
    """Whether frame ``number`` is a regular sample of a clip whose first frame is ``start``; the first one always is.

    It depends on no chunk or segment. Starts of shots and the frames named by ``ends_gap`` are sampled as well.
    """
    return number >= start and (number - start) % step == 0


def ends_gap(number: int, start: int, step: int, seconds: Callable[[int], float]) -> bool:
    """Whether another full second has passed at frame ``number`` since the regular sample before it.

    This never happens where all frames last equally long. ``seconds`` returns the time of a frame.
    """
    since = (number - start) % step
    if since == 0:
        return False
    last = seconds(number - since)
    return math.floor(seconds(number) - last) > math.floor(seconds(number - 1) - last)


@dataclass(frozen=True, slots=True)
class Sampling:
    """The frames ``start`` to ``start + count`` (exclusive) of a clip, one in ``step`` sampled; (0, 1, 1) for an image.

    Starts of shots and ends of gaps are sampled as well.
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
    """Return the sampling of ``count`` frames from ``start`` on."""
    return Sampling(start, count, sample_step(count, rate))


IMAGE_SAMPLING = Sampling(0, 1, 1)
