"""The people in the report of a run: the frames of each person, and why frames of a person were left alone."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from facefusion.faces.chunk import LinkedChunk
from facefusion.faces.face import landmark_box
from facefusion.processors.registration import SMALLEST_FACE

# The reasons of single faces. Those of tracks come from the selector: docs/progress-events.md lists all of them.
TOO_SMALL, TOO_MANY, NOT_FOLLOWED = 'face too small', 'too many faces', 'not followed'
# The remaining people and ranges are only counted.
LISTED_PEOPLE = 64
LISTED_RANGES = 20
_SHOWN_PEOPLE = 5
_PROCESSED = ''


@dataclass(slots=True)
class PersonReport:
    """Counts the frames of a person, added in ascending order.

    ``left_alone`` has the number of frames by reason, ``ranges`` their first and last frames with the reason.
    """

    frames: int = 0
    processed: int = 0
    left_alone: dict[str, int] = field(default_factory=dict)
    ranges: list[tuple[int, int, str]] = field(default_factory=list)
    more_ranges: int = 0
    _last: tuple[int, str] = (-2, _PROCESSED)

    def add(self, frame: int, reason: str) -> None:
        """Count a frame, left alone for ``reason``, or processed if the reason is ''."""
        continues = self._last == (frame - 1, reason)
        self._last = frame, reason
        self.frames += 1
        if reason == _PROCESSED:
            self.processed += 1
            return
        self.left_alone[reason] = self.left_alone.get(reason, 0) + 1
        if continues and not self.more_ranges:
            self.ranges[-1] = (self.ranges[-1][0], frame, reason)
        elif not continues and len(self.ranges) < LISTED_RANGES:
            self.ranges.append((frame, frame, reason))
        elif not continues:
            self.more_ranges += 1

    def as_record(self, number: int) -> dict[str, Any]:
        """Return the counts as plain JSON; ``number`` is that of the person."""
        return {
            'number': number,
            'frames': self.frames,
            'frames_processed': self.processed,
            'frames_left_alone': dict(self.left_alone),
            'ranges_left_alone': [list(each) for each in self.ranges],
            'more_ranges_left_alone': self.more_ranges,
        }


@dataclass(slots=True)
class PeopleReport:
    """Counts the frames of each person of a clip, chunk by chunk.

    ``person_of`` has the number of the person of each track. If ``follows_one``, the selector follows a single face,
    and other faces are left alone for this reason, otherwise because there are too many.
    """

    person_of: Mapping[int, int]
    follows_one: bool = False
    _persons: dict[int, PersonReport] = field(default_factory=dict)
    _more: dict[int, bool] = field(default_factory=dict)

    def add(self, linked: LinkedChunk, selected: LinkedChunk, reasons: Mapping[int, str]) -> None:
        """Count the next chunk: all of its faces, and the selected ones.

        ``reasons`` are those of tracks that are never selected, by track. A face of another track can be left alone
        in single frames. A person with several faces in a frame is processed there if one of them is processed.
        """
        boxes = landmark_box(selected.landmarks)
        is_small = (boxes[:, 2:] - boxes[:, :2]).max(1) < SMALLEST_FACE
        worked_on = {
            (frame, track): TOO_SMALL if small else _PROCESSED
            for frame, track, small in zip(
                selected.frame.tolist(), selected.track.tolist(), is_small.tolist(), strict=True
            )
        }
        otherwise = NOT_FOLLOWED if self.follows_one else TOO_MANY
        frame_before, found = -1, dict[int, str]()
        for frame, track in zip(linked.frame.tolist(), linked.track.tolist(), strict=True):
            if frame != frame_before:
                self._add_frame(frame_before, found)
                frame_before, found = frame, {}
            person = self.person_of.get(track)
            if person is not None:
                reason = worked_on.get((frame, track), reasons.get(track, otherwise))
                found[person] = _PROCESSED if reason == _PROCESSED else found.get(person, reason)
        self._add_frame(frame_before, found)

    @property
    def count(self) -> int:
        """The number of people who are visible in the processed frames."""
        return len(self._persons) + len(self._more)

    @property
    def processed(self) -> int:
        """The number of people who were processed in at least one frame."""
        return sum(each.processed > 0 for each in self._persons.values()) + sum(self._more.values())

    def as_record(self) -> dict[str, Any]:
        """Return the counts as plain JSON; a range is its first frame, last frame and reason."""
        return {
            'count': self.count,
            'processed': self.processed,
            'persons': [self._persons[number].as_record(number) for number in sorted(self._persons)],
            'more_persons': len(self._more),
        }

    def as_text(self) -> str:
        """Return the people as one line; '' if there are none, or if the only person was processed everywhere."""
        done = {number: each for number, each in sorted(self._persons.items()) if each.processed}
        alone = {number: each for number, each in sorted(self._persons.items()) if not each.processed}
        is_plain = self.count == 1 and all(each.processed == each.frames for each in done.values())
        if not self.count or (done and is_plain):
            return ''
        people, were = ('person', 'was') if self.count == 1 else ('people', 'were')
        text = f'{self.processed} of {self.count} {people} {were} processed'
        if done:
            shown = [f'person {number} in {each.processed}' for number, each in list(done.items())[:_SHOWN_PEOPLE]]
            shown[0] += ' frame' if next(iter(done.values())).processed == 1 else ' frames'
            text += f': {_listed(shown, self.processed)}'
        reasons: dict[str, list[str]] = {}
        for number, each in alone.items():
            reasons.setdefault(_main(each), []).append(f'{number}')
        for reason, numbers in reasons.items():
            names, were = ('person', 'was') if len(numbers) == 1 else ('people', 'were')
            text += f'; {names} {_listed(numbers[:_SHOWN_PEOPLE], len(numbers))} {were} left alone: {reason}'
        unlisted = sum(not is_processed for is_processed in self._more.values())
        return f'{text}; {unlisted} more were left alone' if unlisted else text

    def _add_frame(self, frame: int, found: Mapping[int, str]) -> None:
        for person, reason in found.items():
            if person < LISTED_PEOPLE:
                self._persons.setdefault(person, PersonReport()).add(frame, reason)
            else:
                self._more[person] = self._more.get(person, False) or reason == _PROCESSED


def _main(person: PersonReport) -> str:
    """The reason of most frames."""
    return max(person.left_alone, key=lambda reason: person.left_alone[reason])


def _listed(shown: list[str], count: int) -> str:
    rest = count - len(shown)
    return ', '.join(shown) + (f' and {rest} more' if rest else '')
