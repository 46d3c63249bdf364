"""The first step of link: join the tracks of a clip's chunks, fill short gaps, and smooth over time.

Chunks are streamed: memory contains the end of the previous chunk, the current chunk and the next one, but never the
entire clip. A second step (``selection``) selects faces when the tracks of the whole clip are known.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from facefusion.faces.chunk import FaceChunk, LinkedChunk
from facefusion.faces.face import MESH_POINTS, Floats, Values, box_overlap, landmark_box
from facefusion.faces.measurement_types import Measurements, TrackMeasurement, interpolated
from facefusion.faces.shots import compare_frames
from facefusion.faces.smooth import LANDMARK_REACH, smooth_landmarks

# Two tracks at the same position belong to the same face if at most this many frames separate them.
LARGEST_GAP = 3
JOIN_OVERLAP = 0.4


@dataclass(frozen=True, slots=True, eq=False)
class ClipTracks:
    """The tracks of a completely tracked clip.

    ``values`` are the merged ``measurements`` by track and name; tracks that were not measured are missing.
    """

    count: int
    measurements: tuple[TrackMeasurement, ...] = ()
    values: Mapping[int, Mapping[str, Values]] = field(default_factory=dict)

    def of(self, tracks: npt.NDArray[np.int32]) -> dict[str, Values]:
        """Return the measurements of ``tracks``, [t,...] by name; zeros for a track that was not measured."""
        found: dict[str, Values] = {}
        for each in self.measurements:
            zeros = np.zeros(each.shape, each.dtype)
            rows = [self.values.get(track, {}).get(each.name, zeros) for track in tracks.tolist()]
            found[each.name] = np.array(rows, each.dtype).reshape(-1, *each.shape)
        return found


@dataclass(slots=True, eq=False)
class Row:
    """A face of a frame; ``values`` are packed as in ``FaceChunk``, to save memory."""

    frame: int
    track: int
    landmarks: Floats
    score: float
    filled: bool
    values: Mapping[str, Values]

    def copy(self) -> Row:
        """Return the row with copied arrays, because views would keep the entire chunk in memory."""
        values = {name: value.copy() for name, value in self.values.items()}
        return Row(self.frame, self.track, self.landmarks.copy(), self.score, self.filled, values)


@dataclass(slots=True)
class Tracker:
    """Tracks the faces of a clip through its chunks, in order."""

    measurements: Measurements
    _rows: dict[int, list[Row]] = field(default_factory=dict)
    _cuts: set[int] = field(default_factory=set)
    _last_thumbnail: npt.NDArray[np.uint8] | None = None
    _count: int = 0
    _left_out: dict[int, npt.NDArray[np.int32]] = field(default_factory=dict)
    _measured: dict[int, dict[str, list[tuple[float, Values]]]] = field(default_factory=dict)

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
        merged: dict[int, Mapping[str, Values]] = {}
        for track, parts in self._measured.items():
            merged[track] = {
                each.name: each.merge(
                    np.stack([value for _, value in parts[each.name]]),
                    np.array([weight for weight, _ in parts[each.name]], np.float32),
                )
                for each in self.measurements.of_tracks
                if each.name in parts
            }
        return ClipTracks(self._count, self.measurements.of_tracks, merged)

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
            for run in _split_runs(rows):
                self._append(run)
            self._add_measured(chunk, number, rows[-1].track)

    def _append(self, run: list[Row]) -> None:
        track = self._find_earlier(run[0])
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
                part = (weight, chunk.of_tracks[each.name][number].copy())
                self._measured.setdefault(track, {}).setdefault(each.name, []).append(part)

    def _find_earlier(self, start: Row) -> int | None:
        """Return the track that ends shortly before ``start`` at its position, in the same shot."""
        best, best_overlap = None, JOIN_OVERLAP
        for track, rows in self._rows.items():
            last = rows[-1]
            gap = start.frame - last.frame - 1
            if not 0 <= gap <= LARGEST_GAP or any(last.frame < cut <= start.frame for cut in self._cuts):
                continue
            overlap = box_overlap(landmark_box(last.landmarks), landmark_box(start.landmarks))
            if overlap > best_overlap:
                best, best_overlap = track, overlap
        return best

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
            filled.append(Row(frame, before.track, landmarks, before.score, True, values))
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
            Row(row.frame, row.track, landmarks[k], row.score, row.filled, {name: v[k] for name, v in values.items()})
            for k, row in enumerate(run)
        ]

    def _forget(self, before: int) -> None:
        # Keep rows for one more gap than the window needs, because the next run may join the end of this one.
        limit = before - LARGEST_GAP
        for track in list(self._rows):
            self._rows[track] = [row.copy() for row in self._rows[track] if row.frame >= limit]
            if not self._rows[track]:
                del self._rows[track]

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
            values={
                each.name: np.array([row.values[each.name] for row in rows], each.linked).reshape(-1, *each.shape)
                for each in self.measurements.values
            },
            filled=np.array([row.filled for row in rows], np.bool_),
            cut=cut,
            left_out=left_out,
        )


def _rows_of(chunk: FaceChunk) -> Iterator[Row]:
    for k in range(len(chunk.frame)):
        values: dict[str, Any] = {name: value[k] for name, value in chunk.values.items()}
        yield Row(int(chunk.frame[k]), int(chunk.track[k]), chunk.landmarks[k], float(chunk.score[k]), False, values)


def _split_runs(rows: list[Row]) -> Iterator[list[Row]]:
    """Yield the parts of a track's rows whose frames are consecutive."""
    start = 0
    for k in range(1, len(rows) + 1):
        if k == len(rows) or rows[k].frame != rows[k - 1].frame + 1:
            yield rows[start:k]
            start = k
