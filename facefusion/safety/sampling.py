"""Select the frames of a clip for the content gate by absolute number: about one per second, and at least eight."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction

MINIMUM_SAMPLES = 8


def sample_step(frame_count: int, rate: Fraction) -> int:
    """Return the distance between two samples in frames, for ``frame_count`` frames at ``rate`` frames per second.

    The distance is at most one second, so that two seconds contain two samples, and small enough for at least eight
    samples. It is 1 for up to fifteen frames, and for frames that last over a second. ``rate`` is the average frame
    rate if the durations of the frames differ.
    """
    return max(1, min(math.floor(rate), frame_count // MINIMUM_SAMPLES))


def is_sampled(number: int, start: int, step: int) -> bool:
    """Whether frame ``number`` is a regular sample of a clip whose first frame is ``start``.

    Frame ``start`` always is a regular sample. The result does not depend on chunks or segments. Starts of shots and
    the frames for which ``ends_gap`` is true are sampled as well.
    """
    return number >= start and (number - start) % step == 0


def ends_gap(number: int, start: int, step: int, seconds: Callable[[int], float]) -> bool:
    """Whether another full second since the preceding regular sample ends at frame ``number``.

    This is never true if all frames have the same duration. ``seconds`` returns the time of a frame.
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
