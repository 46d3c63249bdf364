"""Ranges of frame numbers for reports, which are counted and limited in number."""

from __future__ import annotations

from dataclasses import dataclass, field

# A flickering clip has many gaps, so at most this many ranges are listed, and the others are only counted.
LISTED_RANGES = 100
_SHOWN_RANGES = 10


@dataclass(slots=True)
class FrameRanges:
    """Counts frame numbers that are added in ascending order; ``ranges`` are pairs of first and last frame."""

    count: int = 0
    ranges: list[tuple[int, int]] = field(default_factory=list)
    more_ranges: int = 0
    _last: int = -2

    def add(self, number: int) -> None:
        """Count the next frame."""
        self.count += 1
        continues = self._last == number - 1
        self._last = number
        if continues and not self.more_ranges:
            self.ranges[-1] = (self.ranges[-1][0], number)
        elif not continues and len(self.ranges) < LISTED_RANGES:
            self.ranges.append((number, number))
        elif not continues:
            self.more_ranges += 1

    def as_lists(self) -> list[list[int]]:
        """Return the listed ranges as plain JSON."""
        return [list(pair) for pair in self.ranges]

    def as_text(self) -> str:
        """Return the first ranges as text, such as '3-5, 9 and 2 more ranges'."""
        shown = [f'{first}' if first == last else f'{first}-{last}' for first, last in self.ranges[:_SHOWN_RANGES]]
        rest = len(self.ranges) - len(shown) + self.more_ranges
        return ', '.join(shown) + (f' and {rest} more range{"" if rest == 1 else "s"}' if rest else '')


def ranges_of(numbers: set[int]) -> list[list[int]]:
    """Return all ranges of a set of frame numbers in ascending order, as pairs of first and last frame."""
    starts = sorted(number for number in numbers if number - 1 not in numbers)
    ends = sorted(number for number in numbers if number + 1 not in numbers)
    return [[first, last] for first, last in zip(starts, ends, strict=True)]
