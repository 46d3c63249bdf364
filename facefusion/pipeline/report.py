"""The end report of a run: what was done, and where no face was."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from facefusion.faces.chunk import LinkedChunk
from facefusion.faces.face import SMALLEST_FACE, landmark_box

# A flickering clip has many gaps; the report names this many and counts the rest.
LISTED_RANGES = 100


@dataclass(slots=True)
class FaceReport:
    """Counts faces while linked chunks pass by."""

    frames: int = 0
    faces: int = 0
    filled: int = 0
    small: int = 0
    frames_crowded: int = 0
    most_left_out: int = 0
    without: int = 0
    last_without: int = -2
    ranges: list[tuple[int, int]] = field(default_factory=list)
    more_ranges: int = 0
    tracks: set[int] = field(default_factory=set)

    def add(self, chunk: LinkedChunk) -> None:
        """Counts the frames and faces of the next chunk."""
        self.frames += chunk.count
        self.faces += len(chunk.frame)
        self.filled += int(chunk.filled.sum())
        self.tracks.update(chunk.track.tolist())
        boxes = landmark_box(chunk.landmarks)
        self.small += int(((boxes[:, 2:] - boxes[:, :2]).max(1) < SMALLEST_FACE).sum())
        self.frames_crowded += int((chunk.left_out > 0).sum())
        self.most_left_out = max(self.most_left_out, *chunk.left_out.tolist(), 0)
        has_face = np.zeros(chunk.count, np.bool_)
        has_face[chunk.frame - chunk.first] = True
        for number in (np.flatnonzero(~has_face) + chunk.first).tolist():
            self._add_without(number)

    def _add_without(self, number: int) -> None:
        self.without += 1
        goes_on = self.last_without == number - 1
        self.last_without = number
        if goes_on and not self.more_ranges:
            self.ranges[-1] = (self.ranges[-1][0], number)
        elif not goes_on and len(self.ranges) < LISTED_RANGES:
            self.ranges.append((number, number))
        elif not goes_on:
            self.more_ranges += 1

    @property
    def worked_on(self) -> int:
        """Faces that are not too small."""
        return self.faces - self.small

    def as_record(self) -> dict[str, Any]:
        """The counts as plain JSON; ranges are first and last frame."""
        return {
            'frames': self.frames,
            'faces': self.faces,
            'tracks': len(self.tracks),
            'faces_filled': self.filled,
            'faces_too_small': self.small,
            'frames_with_too_many_faces': self.frames_crowded,
            'most_faces_left_out': self.most_left_out,
            'frames_without_face': self.without,
            'ranges_without_face': [list(pair) for pair in self.ranges],
            'more_ranges_without_face': self.more_ranges,
        }

    def as_text(self) -> str:
        """The counts as one line for people."""
        return '; '.join([self._faces_as_text(), *self._left_alone_as_text()])

    def _left_alone_as_text(self) -> Iterator[str]:
        if self.small:
            verb = 'was' if self.small == 1 else 'were'
            yield f'{_count(self.small, "face")} under {SMALLEST_FACE} pixels {verb} left alone'
        if self.frames_crowded:
            frames = _count(self.frames_crowded, 'frame')
            yield f'--max-faces left up to {_count(self.most_left_out, "more face")} alone in {frames}'

    def _faces_as_text(self) -> str:
        if not self.faces:
            return f'no face was found in {_count(self.frames, "frame")}: nothing was worked on'
        with_face = self.frames - self.without
        frames = f'{with_face} of {_count(self.frames, "frame")}'
        if not self.worked_on:
            return f'no face was worked on in {frames}'
        verb = 'was' if self.worked_on == 1 else 'were'
        people = f'{_count(self.worked_on, "face")} in {frames} {verb} worked on'
        if not self.without:
            return people
        shown = [f'{a}' if a == b else f'{a}-{b}' for a, b in self.ranges[:10]]
        rest = len(self.ranges) - len(shown) + self.more_ranges
        more = f' and {rest} more ranges' if rest else ''
        return f'{people}; no face in {_count(self.without, "frame")}: {", ".join(shown)}{more}'


def _count(number: int, noun: str) -> str:
    return f'{number} {noun}' if number == 1 else f'{number} {noun}s'
