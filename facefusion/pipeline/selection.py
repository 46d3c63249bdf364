"""The second step of link: select faces frame by frame, in order, after the whole clip has been tracked."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from facefusion.errors import NoFaceError, UsageError
from facefusion.faces.attributes import AGES, age_of, gender_of
from facefusion.faces.chunk import LinkedChunk, Selection
from facefusion.faces.face import Floats, landmark_box
from facefusion.faces.options import FaceSelectorOptions
from facefusion.faces.people import People, Person
from facefusion.faces.recognisers import RecogniserKind
from facefusion.faces.role import UNKNOWN, FaceRole
from facefusion.faces.select import limit_faces, order_faces
from facefusion.pipeline.tracking import ClipTracks
from facefusion.processors.cast import NO_CAST, Cast

NOT_REFERENCE, NOT_MAPPED = 'not the reference', 'not in the face map'


@dataclass(frozen=True, slots=True)
class AttributeFilter:
    """The gender and the ages to process: an index into GENDERS or None, and years, the end exclusive."""

    gender: int | None = None
    ages: tuple[int, int] | None = None

    def refusal(self, votes: Floats | None) -> str:
        """Return the reason to leave a person with these votes alone: 'gender', 'age', or '' for none.

        A person of unknown gender or age is left alone. An age range is accepted if it shares a year with the
        filter's.
        """
        if self.gender is not None and (votes is None or gender_of(votes) != self.gender):
            return 'gender'
        if self.ages is not None:
            age = UNKNOWN if votes is None else age_of(votes)
            start, end = self.ages
            if age == UNKNOWN or AGES[age].start >= end or AGES[age].stop <= start:
                return 'age'
        return ''


@dataclass(frozen=True, slots=True, eq=False)
class Wanted:
    """The people to process.

    ``kind``: the scale of the recogniser, None without one. ``reference``: the embedding of the reference face,
    float32 [length] of length 1, None without one. ``limit``: the distance from it below which a face is of the same
    person.
    """

    options: FaceSelectorOptions
    cast: Cast = NO_CAST
    kind: RecogniserKind | None = None
    reference: Floats | None = None
    limit: float = 0.3
    filter: AttributeFilter = AttributeFilter()

    def distance(self, person: Person) -> float:
        """Return the distance of a person from the reference face; nan if it is unknown."""
        if self.reference is None or self.kind is None or person.embedding is None:
            return float('nan')
        return float(self.kind.distance(float(self.reference @ person.embedding)))

    def verdict(self, person: Person) -> tuple[str, FaceRole]:
        """Return the reason to leave a person alone, '' for none, and the role of the person's faces."""
        distance, cast = self.distance(person), self.cast.sources_of(person.number)
        votes = person.attributes
        role = FaceRole(
            person=person.number,
            distance=distance,
            gender=UNKNOWN if votes is None else gender_of(votes),
            age=UNKNOWN if votes is None else age_of(votes),
        )
        if cast is None:
            return NOT_MAPPED, role
        role = role._replace(images=cast.images, voice=cast.voice)
        if self.options.face_selector_mode == 'reference':
            # As in FaceFusion 3.8, gender and age limit the reference faces, not the faces that resemble one.
            return ('' if distance < self.limit else NOT_REFERENCE), role
        return self.filter.refusal(votes), role


class Selector:
    """Selects faces of a clip, chunk by chunk in order.

    ``reasons`` are those to leave whole persons alone, by person. Raises UsageError face-map-person.
    """

    def __init__(self, wanted: Wanted, tracks: ClipTracks, people: People | None = None) -> None:
        """``people``: the people of the clip; without them every track is a person."""
        self._options = wanted.options
        self._tracks = tracks
        self._people = people or People()
        self.reasons: dict[int, str] = {}
        self._roles: dict[int, FaceRole] = {}
        _check_map(wanted.cast, self._people)
        for person in self._people.persons:
            reason, role = wanted.verdict(person)
            self._roles[person.number] = role
            if reason:
                self.reasons[person.number] = reason
        self._followed: int | None = None
        self._limited: set[int] = set()
        self._last_frame = -2

    @property
    def track_reasons(self) -> dict[int, str]:
        """The reasons to leave whole people alone, by track."""
        of_track = self._people.of_track
        return {track: self.reasons[person] for track, person in of_track.items() if person in self.reasons}

    def select(self, chunk: LinkedChunk) -> Selection:
        """Return the selected rows of ``chunk``, which contains all faces."""
        is_one = self._options.face_selector_mode == 'one'
        left_out = np.zeros(chunk.count, np.int32)
        if not is_one:
            left_out[: len(chunk.left_out)] = chunk.left_out
        rows: list[int] = []
        frames, starts = np.unique(chunk.frame, return_index=True)
        # In a chunk without faces, the arrays of starts and stops are empty.
        stops = [*starts.tolist(), len(chunk.frame)][1:]
        boxes = landmark_box(chunk.landmarks)
        for frame, start, stop in zip(frames.tolist(), starts.tolist(), stops, strict=True):
            if chunk.cut[frame - chunk.first] or frame != self._last_frame + 1:
                self._limited.clear()
            self._last_frame = frame
            allowed = [row for row in range(start, stop) if self._is_wanted(int(chunk.track[row]))]
            tracks = chunk.track[allowed].tolist()
            # Mode ``one`` selects from all faces, because the followed face may be smaller than the largest faces.
            limited = list(range(len(allowed))) if is_one else self._limit(boxes[allowed], tracks)
            left_out[frame - chunk.first] += len(tracks) - len(limited)
            selected = self._ordered([allowed[index] for index in limited], boxes, chunk)
            rows += self._follow(selected, allowed, chunk) if is_one else selected
        selected_rows = np.array(rows, np.int32)
        selected_tracks = np.unique(chunk.track[selected_rows])
        return Selection(
            selected_rows,
            left_out if left_out.any() else left_out[:0],
            selected_tracks,
            self._tracks.of(selected_tracks),
            np.array([self._role(track) for track in selected_tracks.tolist()], np.float32).reshape(
                -1, len(FaceRole._fields)
            ),
        )

    def _is_wanted(self, track: int) -> bool:
        return self._people.of_track.get(track, UNKNOWN) not in self.reasons

    def _role(self, track: int) -> FaceRole:
        person = self._people.of_track.get(track)
        return FaceRole(track) if person is None else self._roles[person]

    def _ordered(self, rows: list[int], boxes: Floats, chunk: LinkedChunk) -> list[int]:
        """Return the rows of a frame in the selected order; in the mode ``reference`` they stay in theirs."""
        if self._options.face_selector_mode == 'reference':
            return rows
        order = order_faces(boxes[rows], chunk.score[rows], self._options.face_selector_order)
        return [rows[index] for index in order]

    def _limit(self, boxes: np.ndarray, tracks: list[int]) -> list[int]:
        """Return the largest faces of a frame."""
        limited = limit_faces(boxes, tracks, self._limited, self._options.max_faces)
        self._limited = {tracks[index] for index in limited}
        return limited

    def _follow(self, selected: list[int], rows: list[int], chunk: LinkedChunk) -> list[int]:
        """Return the followed person while present, so that a new order of the faces does not change the person."""
        followed = [row for row in rows if self._person(chunk, row) == self._followed]
        if followed:
            return followed[:1]
        self._followed = self._person(chunk, selected[0]) if selected else None
        return selected[:1]

    def _person(self, chunk: LinkedChunk, row: int) -> int:
        track = int(chunk.track[row])
        return self._people.of_track.get(track, track)


def _check_map(cast: Cast, people: People) -> None:
    count = len(people.persons)
    missing = [str(each.person) for each in cast.people or () if each.person >= count]
    if missing:
        numbers = f'its people are 0 to {count - 1}' if count > 1 else f'it has {count or "no"} person'
        raise UsageError(
            'face-map-person',
            f'the face map names a person that the target does not have: {", ".join(missing)}',
            cause=numbers,
            hint='`facefusion faces TARGET` shows the number of each person; use the same trim options',
        )


def refuse_if_nobody(selector: Selector, people: People, selected: int, wanted: Wanted) -> None:
    """Raise NoFaceError nobody-selected if the target has faces, but the options select none of them.

    ``selected`` is the number of selected faces. The distance 0 selects no face, as in FaceFusion 3.8.
    """
    if selected or not people.persons or not selector.reasons or wanted.limit == 0:
        return
    reasons: dict[str, int] = {}
    for reason in selector.reasons.values():
        reasons[reason] = reasons.get(reason, 0) + 1
    counts = ', '.join(f'{count} {"person" if count == 1 else "people"}: {reason}' for reason, count in reasons.items())
    nearest = [distance for each in people.persons if not np.isnan(distance := wanted.distance(each))]
    if NOT_REFERENCE in reasons and nearest:
        hint = f'the smallest distance from the reference face is {min(nearest):.2f}: '
        hint += 'raise --reference-face-distance if that is the same person'
    else:
        hint = 'see `facefusion faces TARGET` for the people of the target, and change the selection'
    raise NoFaceError('nobody-selected', 'no face of the target is selected', cause=counts, hint=hint)
