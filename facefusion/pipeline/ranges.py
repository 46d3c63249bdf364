"""Frames that are named to people and programs: counted, and listed as ranges, of which only so many are kept."""

from __future__ import annotations

from dataclasses import dataclass, field

# A flickering clip has many gaps; this many ranges are named, and the others counted.
LISTED_RANGES = 100
_SHOWN_RANGES = 10


@dataclass(slots=True)
class FrameRanges:
    """Counts frame numbers that are added in ascending order; ``ranges`` are first and last frame of each."""

    count: int = 0
    ranges: list[tuple[int, int]] = field(default_factory=list)
    more_ranges: int = 0
    _last: int = -2

    def add(self, number: int) -> None:
        """Counts the next frame."""
        self.count += 1
        goes_on = self._last == number - 1
        self._last = number
        if goes_on and not self.more_ranges:
            self.ranges[-1] = (self.ranges[-1][0], number)
        elif not goes_on and len(self.ranges) < LISTED_RANGES:
            self.ranges.append((number, number))
        elif not goes_on:
            self.more_ranges += 1

    def as_lists(self) -> list[list[int]]:
        """The ranges that are kept as plain JSON."""
        return [list(pair) for pair in self.ranges]

    def as_text(self) -> str:
        """The first ranges for people, such as '3-5, 9 and 2 more ranges'."""
        shown = [f'{first}' if first == last else f'{first}-{last}' for first, last in self.ranges[:_SHOWN_RANGES]]
        rest = len(self.ranges) - len(shown) + self.more_ranges
        return ', '.join(shown) + (f' and {_ranges(rest)}' if rest else '')


def _ranges(count: int) -> str:
    return '1 more range' if count == 1 else f'{count} more ranges'


def ranges_of(numbers: set[int]) -> list[list[int]]:
    """All ranges of a set of frame numbers, first and last frame of each, ascending."""
    starts = sorted(number for number in numbers if number - 1 not in numbers)
    ends = sorted(number for number in numbers if number + 1 not in numbers)
    return [[first, last] for first, last in zip(starts, ends, strict=True)]
