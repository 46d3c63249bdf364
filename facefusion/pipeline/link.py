"""Link: one pass over the chunks that joins tracks, fills short gaps, smooths over time and selects faces.

It streams: besides the chunk that it gives out it holds the end of the one before and the one after, never the clip.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from facefusion.faces.chunk import FaceChunk, LinkedChunk
from facefusion.faces.face import Floats, box_overlap, landmark_box
from facefusion.faces.options import FaceSelectorOptions
from facefusion.faces.select import limit_faces, select_faces
from facefusion.faces.shots import compare_frames
from facefusion.faces.skin import LIGHT_SIZE, OCCLUSION_SIZE, QUICK_TRAITS, TRAIT_COUNT, SkinTraits, unpack_light
from facefusion.faces.smooth import (
    FREE_REACH,
    QUICK_REACH,
    REACH,
    TRAIT_REACH,
    smooth_landmarks,
    smooth_lights_over_time,
    smooth_mean,
)

Values = npt.NDArray[Any]

# A track that ends and one that starts in its place at most this many frames later are one face.
LARGEST_GAP = 3
JOIN_OVERLAP = 0.4
IS_QUICK = np.array([name in QUICK_TRAITS for name in SkinTraits._fields])


@dataclass(slots=True, eq=False)
class Row:
    """A face of a frame on its way through link.

    light, free and traits are as in ``FaceChunk`` (packed, to hold many), None when they were not measured.
    """

    frame: int
    track: int
    landmarks: Floats
    score: float
    filled: bool
    light: Values | None
    free: Values | None
    traits: Values | None

    def apart(self) -> Row:
        """The row with arrays of its own: those of a chunk would keep all of it in memory."""
        parts = [None if part is None else part.copy() for part in (self.light, self.free, self.traits)]
        return Row(self.frame, self.track, self.landmarks.copy(), self.score, self.filled, *parts)


@dataclass(slots=True)
class Linker:
    """Links the chunks of a clip in order; see ``link``."""

    selector: FaceSelectorOptions
    _rows: dict[int, list[Row]] = field(default_factory=dict)
    _cuts: set[int] = field(default_factory=set)
    _last_thumbnail: npt.NDArray[np.uint8] | None = None
    _tracks: int = 0
    _chosen: int | None = None
    _kept: set[int] = field(default_factory=set)
    _kept_at: int = -2
    _left_out: dict[int, npt.NDArray[np.int32]] = field(default_factory=dict)

    def link(self, chunks: Iterable[FaceChunk]) -> Iterator[LinkedChunk]:
        """The linked chunk of each chunk, given out when the one after it has been read."""
        waiting: tuple[int, int] | None = None
        for chunk in chunks:
            self._take(chunk)
            if waiting is not None:
                yield self._give(*waiting)
            waiting = (chunk.first, chunk.count)
        if waiting is not None:
            yield self._give(*waiting)

    def _take(self, chunk: FaceChunk) -> None:
        """Adds a chunk's rows under clip-wide track numbers, joining and filling where faces go on."""
        self._cuts = {cut for cut in self._cuts if cut > chunk.first - 2 * REACH}
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
            for run in _split_runs(rows):
                self._append(run)

    def _append(self, run: list[Row]) -> None:
        track = self._find_earlier(run[0])
        if track is None:
            track = self._tracks
            self._tracks += 1
            self._rows[track] = []
        known = self._rows[track]
        if known:
            known.extend(_fill(known[-1], run[0]))
        for row in run:
            row.track = track
        known.extend(run)

    def _find_earlier(self, start: Row) -> int | None:
        """The track that ends right before ``start`` at its place, in the same shot."""
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

    def _give(self, first: int, count: int) -> LinkedChunk:
        """Smooths and selects the faces of frames ``first`` .. ``first + count - 1``; forgets what is not needed."""
        frames: dict[int, list[Row]] = {}
        for rows in self._rows.values():
            for run in _split_runs(rows):
                # Wider than any window by as much as it needs: cutting the run here changes nothing inside the chunk.
                near = [row for row in run if first - REACH <= row.frame < first + count + REACH]
                for row in _smooth(near) if near else ():
                    if first <= row.frame < first + count:
                        frames.setdefault(row.frame, []).append(row)
        kept: list[Row] = []
        left_out = np.zeros(count, np.int32)
        known = self._left_out.pop(first)
        if self.selector.face_selector_mode == 'many':
            left_out[: len(known)] = known
        for frame in sorted(frames):
            if frame in self._cuts or frame != self._kept_at + 1:
                self._kept.clear()
            self._kept_at = frame
            rows = self._limit(sorted(frames[frame], key=lambda row: row.track))
            left_out[frame - first] += len(frames[frame]) - len(rows)
            boxes = np.stack([landmark_box(row.landmarks) for row in rows])
            scores = np.array([row.score for row in rows], np.float32)
            chosen = [rows[index] for index in select_faces(boxes, scores, self.selector)]
            kept += self._stay(chosen, rows) if self.selector.face_selector_mode == 'one' else chosen
        self._forget(first + count - REACH)
        return _as_linked(first, count, kept, left_out)

    def _limit(self, rows: list[Row]) -> list[Row]:
        """The largest faces of a frame; mode ``one`` chooses among all, so that its person is not lost to size."""
        if self.selector.face_selector_mode == 'one':
            return rows
        boxes = np.stack([landmark_box(row.landmarks) for row in rows])
        tracks = [row.track for row in rows]
        limited = [rows[index] for index in limit_faces(boxes, tracks, self._kept, self.selector.max_faces)]
        self._kept = {row.track for row in limited}
        return limited

    def _stay(self, chosen: list[Row], rows: list[Row]) -> list[Row]:
        """The face that was chosen before, while it is there: an order may change with every frame, a person not."""
        same = [row for row in rows if row.track == self._chosen]
        if same:
            return same
        self._chosen = chosen[0].track if chosen else None
        return chosen

    def _forget(self, before: int) -> None:
        # One gap more than the window needs, so that a run's end is still known when the next one may join it.
        limit = before - LARGEST_GAP
        for track in list(self._rows):
            self._rows[track] = [row.apart() for row in self._rows[track] if row.frame >= limit]
            if not self._rows[track]:
                del self._rows[track]


def _rows_of(chunk: FaceChunk) -> Iterator[Row]:
    has_skin = chunk.has_skin
    for k in range(len(chunk.frame)):
        yield Row(
            frame=int(chunk.frame[k]),
            track=int(chunk.track[k]),
            landmarks=chunk.landmarks[k],
            score=float(chunk.score[k]),
            filled=False,
            light=chunk.light[k] if has_skin else None,
            free=chunk.free[k] if has_skin else None,
            traits=chunk.traits[k] if has_skin else None,
        )


def _split_runs(rows: list[Row]) -> Iterator[list[Row]]:
    """Parts of a track's rows whose frames follow each other without a hole."""
    start = 0
    for k in range(1, len(rows) + 1):
        if k == len(rows) or rows[k].frame != rows[k - 1].frame + 1:
            yield rows[start:k]
            start = k


def _fill(before: Row, after: Row) -> list[Row]:
    """Rows for the frames between two, by linear interpolation."""

    def between(a: Values | None, b: Values | None, share: float) -> Values | None:
        if a is None or b is None:
            return None
        value = a + (b.astype(np.float32) - a) * np.float32(share)
        return np.asarray(np.rint(value) if a.dtype.kind == 'u' else value, a.dtype)

    filled = []
    for frame in range(before.frame + 1, after.frame):
        share = (frame - before.frame) / (after.frame - before.frame)
        landmarks = between(before.landmarks, after.landmarks, share)
        assert landmarks is not None
        light, free = between(before.light, after.light, share), between(before.free, after.free, share)
        traits = between(before.traits, after.traits, share)
        filled.append(Row(frame, before.track, landmarks, before.score, True, light, free, traits))
    return filled


def _smooth(run: list[Row]) -> list[Row]:
    landmarks = smooth_landmarks(np.stack([row.landmarks for row in run]))
    light = _stack([row.light for row in run])
    free, traits = _stack([row.free for row in run]), _stack([row.traits for row in run])
    if light is None or free is None or traits is None:
        return [
            Row(row.frame, row.track, landmarks[k], row.score, row.filled, None, None, None)
            for k, row in enumerate(run)
        ]
    light = smooth_lights_over_time(unpack_light(light)).astype(np.float16)
    free = np.round(smooth_mean(free, FREE_REACH)).astype(np.uint8)
    slow, quick = smooth_mean(traits, TRAIT_REACH), smooth_mean(traits, QUICK_REACH)
    traits = np.where(IS_QUICK, quick, slow)
    return [
        Row(row.frame, row.track, landmarks[k], row.score, row.filled, light[k], free[k], traits[k])
        for k, row in enumerate(run)
    ]


def _stack(values: list[Values | None]) -> Values | None:
    known = [value for value in values if value is not None]
    return np.stack(known) if len(known) == len(values) else None


def _as_linked(first: int, count: int, rows: list[Row], left_out: npt.NDArray[np.int32]) -> LinkedChunk:
    skins = [row for row in rows if row.light is not None]
    return LinkedChunk(
        first=first,
        count=count,
        frame=np.array([row.frame for row in rows], np.int32),
        track=np.array([row.track for row in rows], np.int32),
        landmarks=np.array([row.landmarks for row in rows], np.float32).reshape(-1, 468, 3),
        score=np.array([row.score for row in rows], np.float32),
        filled=np.array([row.filled for row in rows], np.bool_),
        left_out=left_out if left_out.any() else left_out[:0],
        light=np.array([row.light for row in skins], np.float16).reshape(-1, LIGHT_SIZE, LIGHT_SIZE, 4),
        free=np.array([row.free for row in skins], np.uint8).reshape(-1, OCCLUSION_SIZE, OCCLUSION_SIZE),
        traits=np.array([row.traits for row in skins], np.float32).reshape(-1, TRAIT_COUNT),
    )
