"""The report of a finished run: processed faces, frames without a face, and damaged frames."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from facefusion.events import Message
from facefusion.faces.chunk import LinkedChunk
from facefusion.faces.face import landmark_box
from facefusion.faces.people import People
from facefusion.media.gaps import TimeGap
from facefusion.pipeline.people_report import PeopleReport
from facefusion.pipeline.ranges import LISTED_RANGES, FrameRanges
from facefusion.pipeline.selection import Wanted
from facefusion.processors.registration import SMALLEST_FACE


@dataclass(slots=True)
class FaceReport:
    """Counts the faces of linked chunks.

    ``without`` are the frames without a face, ``damaged`` those that could not be decoded completely. ``gaps`` are the
    gaps in the processed range. If ``finds_faces`` is False, the run detects no faces. ``people`` counts the frames of
    each person; None without a recogniser.
    """

    finds_faces: bool = True
    frames: int = 0
    frames_selected: int = 0
    faces: int = 0
    filled: int = 0
    small: int = 0
    frames_crowded: int = 0
    most_left_out: int = 0
    without: FrameRanges = field(default_factory=FrameRanges)
    damaged: FrameRanges = field(default_factory=FrameRanges)
    gaps: tuple[TimeGap, ...] = ()
    people: PeopleReport | None = None
    tracks: set[int] = field(default_factory=set)

    def add(self, linked: LinkedChunk, selected: LinkedChunk, reasons: Mapping[int, str]) -> None:
        """Count the frames and faces of the next chunk: all of its faces, and the selected ones.

        ``reasons`` are those to leave whole tracks alone; see ``PeopleReport.add``.
        """
        self.frames += linked.count
        self.faces += len(selected.frame)
        self.filled += int(selected.filled.sum())
        self.tracks.update(selected.track.tolist())
        boxes = landmark_box(selected.landmarks)
        self.small += int(((boxes[:, 2:] - boxes[:, :2]).max(1) < SMALLEST_FACE).sum())
        self.frames_crowded += int((selected.left_out > 0).sum())
        self.most_left_out = max(self.most_left_out, *selected.left_out.tolist(), 0)
        self.frames_selected += len(np.unique(selected.frame))
        has_face = np.zeros(linked.count, np.bool_)
        has_face[linked.frame - linked.first] = True
        for number in (np.flatnonzero(~has_face) + linked.first).tolist():
            self.without.add(number)
        if self.people is not None:
            self.people.add(linked, selected, reasons)

    def count_people(self, people: People, wanted: Wanted) -> None:
        """Count the following faces by person, if a recogniser tells people apart."""
        if wanted.kind is not None:
            self.people = PeopleReport(people.of_track, wanted.options.face_selector_mode == 'one')

    @property
    def processed(self) -> int:
        """The number of faces that are not too small."""
        return self.faces - self.small

    def as_record(self) -> dict[str, Any]:
        """Return the counts as plain JSON; a range is a pair of first and last frame."""
        return {
            'frames': self.frames,
            'faces': self.faces,
            'tracks': len(self.tracks),
            'faces_filled': self.filled,
            'faces_too_small': self.small,
            'frames_with_too_many_faces': self.frames_crowded,
            'most_faces_left_out': self.most_left_out,
            'frames_without_face': self.without.count,
            'ranges_without_face': self.without.as_lists(),
            'more_ranges_without_face': self.without.more_ranges,
            'frames_damaged': self.damaged.count,
            'ranges_damaged': self.damaged.as_lists(),
            'more_ranges_damaged': self.damaged.more_ranges,
            'frames_missing': sum(gap.missing for gap in self.gaps),
            'seconds_missing': [[round(gap.begin, 3), round(gap.end, 3)] for gap in self.gaps[:LISTED_RANGES]],
            'more_seconds_missing': max(len(self.gaps) - LISTED_RANGES, 0),
        } | ({'people': self.people.as_record()} if self.people is not None else {})

    def message(self, changed_frames: int) -> Message:
        """Return the counts as one line of text; the processors changed ``changed_frames`` frames."""
        text = '; '.join([self._processed_as_text(changed_frames), *self._skipped_as_text()])
        if self.finds_faces and self.processed and not changed_frames:
            advice = 'masks leave nothing of the faces, the options ask for no change, or a model has nothing to add'
            return Message('warn', 'run', f'{text}; no frame was changed: {advice}')
        if not self.finds_faces or self.processed or (changed_frames and not self.faces):
            return Message('info', 'run', text)
        if self.faces or self._are_people_left_alone:
            return Message('warn', 'run', text)
        advice = (
            'try --face-detector-size 1280x1280, --face-detector-angles 0 90 180 270, or a lower --face-detector-score'
        )
        return Message('warn', 'run', f'{text} ({advice})')

    def _skipped_as_text(self) -> Iterator[str]:
        if self.small:
            yield f'{_count(self.small, "face")} under {SMALLEST_FACE} pixels {_were(self.small)} skipped'
        if self.frames_crowded:
            frames = _count(self.frames_crowded, 'frame')
            yield f'--max-faces skipped up to {_count(self.most_left_out, "more face")} in {frames}'
        if self.damaged.count:
            are = 'is' if self.damaged.count == 1 else 'are'
            yield f'{_count(self.damaged.count, "frame")} of the target {are} damaged: {self.damaged.as_text()}'
        people = self.people.as_text() if self.people is not None else ''
        if people:
            yield people

    @property
    def _are_people_left_alone(self) -> bool:
        """Whether there are people, and the selector selected none of them."""
        return self.people is not None and self.people.count > 0 and not self.faces

    def _processed_as_text(self, changed_frames: int) -> str:
        if not self.finds_faces or (changed_frames and not self.faces):
            return f'{_count(changed_frames, "frame")} {_were(changed_frames)} processed'
        if self._are_people_left_alone:
            return f'no face was selected in {_count(self.frames, "frame")}: nothing was processed'
        if not self.faces:
            return f'no face was found in {_count(self.frames, "frame")}: nothing was processed'
        if changed_frames > self.frames == 1:
            # A video that was made from an image.
            faces = f'{_count(self.processed, "face")} of the image {_were(self.processed)}'
            return f'{faces} processed in {changed_frames} frames'
        frames = f'{self.frames_selected} of {_count(self.frames, "frame")}'
        if not self.processed:
            return f'no face was processed in {frames}'
        text = f'{_count(self.processed, "face")} in {frames} {_were(self.processed)} processed'
        without = f'; no face in {_count(self.without.count, "frame")}: {self.without.as_text()}'
        return text + without if self.without.count else text


def _were(number: int) -> str:
    return 'was' if number == 1 else 'were'


def _count(number: int, noun: str) -> str:
    return f'{number} {noun}' if number == 1 else f'{number} {noun}s'
