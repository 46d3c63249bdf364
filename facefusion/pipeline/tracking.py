"""The first step of link: join the tracks of a clip's chunks, fill short gaps, and smooth over time.

Chunks are streamed: memory contains the end of the previous chunk, the current chunk and the next one, but never the
entire clip. A second step (``selection``) selects faces when the tracks of the whole clip are known.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from facefusion.faces.chunk import FaceChunk, LinkedChunk
from facefusion.faces.clip_tracks import ClipTracks as ClipTracks
from facefusion.faces.clip_tracks import FactsSoFar, MeasuredTracks
from facefusion.faces.face import MESH_POINTS, Floats, Values, box_overlap, landmark_box
from facefusion.faces.identity import Identities, Identity, recogniser_kind
from facefusion.faces.measurement_types import Measurements, interpolated
from facefusion.faces.options import FaceTrackerOptions
from facefusion.faces.shots import compare_frames
from facefusion.faces.smooth import LANDMARK_REACH, smooth_landmarks

# Two tracks at the same position belong to the same face if at most this many frames separate them.
LARGEST_GAP = 3
JOIN_OVERLAP = 0.4


@dataclass(slots=True, eq=False)
class Row:
    """A face of a frame; ``values`` are packed as in ``FaceChunk``, to save memory.

    score: that of the detector; presence: that of the landmarker.
    """

    frame: int
    track: int
    landmarks: Floats
    score: float
    presence: float
    filled: bool
    values: Mapping[str, Values]

    def copy(self) -> Row:
        """Return the row with copied arrays, because views would keep the entire chunk in memory."""
        values = {name: value.copy() for name, value in self.values.items()}
        return replace(self, landmarks=self.landmarks.copy(), values=values)


@dataclass(slots=True)
class Tracker:
    """Tracks the faces of a clip through its chunks, in order.

    ``least_overlap``: the overlap of two tracks above which they belong to the same face, if their identities do not
    clearly differ.
    """

    measurements: Measurements
    least_overlap: float = JOIN_OVERLAP
    _rows: dict[int, list[Row]] = field(default_factory=dict)
    _cuts: set[int] = field(default_factory=set)
    _last_thumbnail: npt.NDArray[np.uint8] | None = None
    _count: int = 0
    _left_out: dict[int, npt.NDArray[np.int32]] = field(default_factory=dict)
    _facts: FactsSoFar = field(default_factory=FactsSoFar)
    _measured: MeasuredTracks = field(init=False)
    _identities: Identities = field(init=False)

    def __post_init__(self) -> None:
        self._measured = MeasuredTracks(self.measurements.of_tracks)
        self._identities = Identities(recogniser_kind(self.measurements))

    def track(self, chunks: Iterable[FaceChunk]) -> Iterator[LinkedChunk]:
        """Yield all faces of each chunk, after the next chunk has been read."""
        waiting: FaceChunk | None = None
        for chunk in chunks:
            self._add(chunk)
            if waiting is not None:
                yield self._link(waiting)
            waiting = chunk
        if waiting is not None:
            yield self._link(waiting)

    def tracks(self) -> ClipTracks:
        """Return the tracks of all linked chunks, with their measurements."""
        facts = self._facts.facts(self._count)
        return ClipTracks(self._count, self.measurements.of_tracks, self._measured.merged(), facts)

    @property
    def _reach(self) -> int:
        """The widest window: the number of frames needed from the neighbouring chunks."""
        return max(LANDMARK_REACH, *(value.reach for value in self.measurements.values), 0)

    def _add(self, chunk: FaceChunk) -> None:
        """Add a chunk's rows under clip-wide track numbers, joining and filling tracks that continue."""
        self._cuts.update((np.flatnonzero(chunk.cut) + chunk.first).tolist())
        before = self._last_thumbnail
        if before is not None and compare_frames(before, chunk.thumbnails[0]).is_cut:
            self._cuts.add(chunk.first)
        self._last_thumbnail = chunk.thumbnails[1]
        self._left_out[chunk.first] = chunk.left_out
        local: dict[int, list[Row]] = {}
        for row in _rows_of(chunk):
            local.setdefault(row.track, []).append(row)
        for rows in sorted(local.values(), key=lambda rows: (rows[0].frame, rows[0].track)):
            number = rows[0].track
            identity = self._identities.of_local(chunk, number)
            for run in _split_runs(rows):
                self._append(run, identity)
            self._add_measured(chunk, number, rows[-1].track)
            self._identities.add(rows[-1].track, identity)

    def _append(self, run: list[Row], identity: Identity | None) -> None:
        track = self._find_earlier(run[0], identity)
        if track is None:
            track = self._count
            self._count += 1
            self._rows[track] = []
        rows = self._rows[track]
        if rows:
            rows.extend(self._fill(rows[-1], run[0]))
        for row in run:
            row.track = track
        rows.extend(run)

    def _add_measured(self, chunk: FaceChunk, number: int, track: int) -> None:
        """Add the measurements of a chunk's track ``number``, which is ``track`` in the clip."""
        for each in self.measurements.of_tracks:
            weight = float(chunk.track_weights[each.name][number])
            if weight > 0:
                self._measured.add(track, each.name, weight, chunk.of_tracks[each.name][number])

    def _find_earlier(self, start: Row, identity: Identity | None) -> int | None:
        """Return the track that ends shortly before ``start`` at its position, in the same shot.

        Tracks are left out whose identities clearly differ, or differ more than that of another track nearby in time.
        """
        best, best_overlap, box = None, self.least_overlap, landmark_box(start.landmarks)
        near = [track for track, rows in self._rows.items() if self._is_before(rows[-1], start)]
        others = self._identities.other_people(identity, near)
        for track in near:
            overlap = box_overlap(landmark_box(self._rows[track][-1].landmarks), box)
            if overlap > best_overlap and track not in others:
                best, best_overlap = track, overlap
        return best

    def _is_before(self, last: Row, start: Row) -> bool:
        """Whether a track that ends with the row ``last`` ends shortly before ``start``, in the same shot."""
        gap = start.frame - last.frame - 1
        return 0 <= gap <= LARGEST_GAP and not any(last.frame < cut <= start.frame for cut in self._cuts)

    def _fill(self, before: Row, after: Row) -> list[Row]:
        """Return interpolated rows for the frames between two rows."""
        filled = []
        for frame in range(before.frame + 1, after.frame):
            share = (frame - before.frame) / (after.frame - before.frame)
            landmarks = interpolated(before.landmarks, after.landmarks, share)
            values = {
                each.name: each.between(before.values[each.name], after.values[each.name], share)
                for each in self.measurements.values
            }
            # As in FaceFusion 3.8, the scores are those of the nearer row (peer-models.md section 7).
            near = before if share < 0.5 else after
            filled.append(Row(frame, before.track, landmarks, near.score, near.presence, True, values))
        return filled

    def _link(self, chunk: FaceChunk) -> LinkedChunk:
        """Return the smoothed faces of a chunk; remove rows that are no longer needed."""
        first, stop = chunk.first, chunk.first + chunk.count
        frames: dict[int, list[Row]] = {}
        for rows in self._rows.values():
            for run in _split_runs(rows):
                # The run extends beyond the chunk by the widest window, so this cut changes nothing inside the chunk.
                near = [row for row in run if first - self._reach <= row.frame < stop + self._reach]
                for row in self._smooth(near) if near else ():
                    if first <= row.frame < stop:
                        frames.setdefault(row.frame, []).append(row)
        linked = [row for frame in sorted(frames) for row in sorted(frames[frame], key=lambda row: row.track)]
        for row in linked:
            self._facts.add(row.track, row.frame, row.landmarks)
        cut = np.zeros(chunk.count, np.bool_)
        cut[[number - first for number in self._cuts if first <= number < stop]] = True
        self._cuts = {number for number in self._cuts if number >= stop}
        self._forget(stop - self._reach)
        return self._as_chunk(chunk, linked, cut, self._left_out.pop(first))

    def _smooth(self, run: list[Row]) -> list[Row]:
        landmarks = smooth_landmarks(np.stack([row.landmarks for row in run]))
        values = {
            each.name: each.smooth(np.stack([row.values[each.name] for row in run])).astype(each.linked)
            for each in self.measurements.values
        }
        return [
            replace(row, landmarks=landmarks[k], values={name: value[k] for name, value in values.items()})
            for k, row in enumerate(run)
        ]

    def _forget(self, before: int) -> None:
        # Keep rows for one more gap than the window needs, because the next run may join the end of this one.
        limit = before - LARGEST_GAP
        for track in list(self._rows):
            self._rows[track] = [row.copy() for row in self._rows[track] if row.frame >= limit]
            if not self._rows[track]:
                del self._rows[track]
                self._identities.forget(track)

    def _as_chunk(
        self, chunk: FaceChunk, rows: list[Row], cut: npt.NDArray[np.bool_], left_out: npt.NDArray[np.int32]
    ) -> LinkedChunk:
        points = rows[0].landmarks.shape[0] if rows else MESH_POINTS
        return LinkedChunk(
            first=chunk.first,
            count=chunk.count,
            frame=np.array([row.frame for row in rows], np.int32),
            track=np.array([row.track for row in rows], np.int32),
            landmarks=np.array([row.landmarks for row in rows], np.float32).reshape(-1, points, 3),
            score=np.array([row.score for row in rows], np.float32),
            presence=np.array([row.presence for row in rows], np.float32),
            values={
                each.name: np.array([row.values[each.name] for row in rows], each.linked).reshape(-1, *each.shape)
                for each in self.measurements.values
            },
            filled=np.array([row.filled for row in rows], np.bool_),
            cut=cut,
            left_out=left_out,
        )


def least_overlap(options: FaceTrackerOptions) -> float:
    """Return ``least_overlap`` of a tracker with these options."""
    return options.face_tracker_score or JOIN_OVERLAP


def _rows_of(chunk: FaceChunk) -> Iterator[Row]:
    for k in range(len(chunk.frame)):
        values: dict[str, Any] = {name: value[k] for name, value in chunk.values.items()}
        presence = float(chunk.presence[k]) if len(chunk.presence) else 1.0
        frame, track, score = int(chunk.frame[k]), int(chunk.track[k]), float(chunk.score[k])
        yield Row(frame, track, chunk.landmarks[k], score, presence, False, values)


def _split_runs(rows: list[Row]) -> Iterator[list[Row]]:
    """Yield the parts of a track's rows whose frames are consecutive."""
    start = 0
    for k in range(1, len(rows) + 1):
        if k == len(rows) or rows[k].frame != rows[k - 1].frame + 1:
            yield rows[start:k]
            start = k
