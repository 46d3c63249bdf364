"""The tracks of a completely tracked clip: facts and measurements of each, small enough for any length."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from facefusion.faces.face import Floats, Ints, Values, landmark_box, longer_side
from facefusion.faces.measurement_types import TrackMeasurement


def _no_ints() -> Ints:
    return np.zeros(0, np.int32)


def _no_floats() -> Floats:
    return np.zeros(0, np.float32)


@dataclass(frozen=True, slots=True, eq=False)
class TrackFacts:
    """Facts about tracks, by their numbers.

    first: int32 [t], the first frame. frames: int32 [t], the number of frames, which are consecutive: so two tracks
    are visible together if these ranges overlap. size: float32 [t], the mean of the longer side of the face in pixels.
    left: float32 [t], the left edge of the face in the first frame, in pixels.
    """

    first: Ints = field(default_factory=_no_ints)
    frames: Ints = field(default_factory=_no_ints)
    size: Floats = field(default_factory=_no_floats)
    left: Floats = field(default_factory=_no_floats)

    @property
    def stop(self) -> Ints:
        """int32 [t], the frame after the last one."""
        return np.asarray(self.first + self.frames, np.int32)


class FactsSoFar:
    """Collects the facts of tracks frame by frame; 40 bytes per track."""

    def __init__(self) -> None:
        self._table = np.zeros((0, 4), np.float64)

    def add(self, track: int, frame: int, landmarks: Floats) -> None:
        """Add a face in a frame; the frames of a track come in order."""
        if track >= len(self._table):
            self._table = np.vstack([self._table, np.zeros((max(track + 1, 64), 4))])
        row = self._table[track]
        box = landmark_box(landmarks)
        if row[1] == 0:
            row[0], row[3] = frame, box[0]
        row[1] += 1
        row[2] += longer_side(box)

    def facts(self, count: int) -> TrackFacts:
        """Return the facts of the tracks 0 to ``count`` - 1."""
        table = np.zeros((count, 4))
        table[: len(self._table)] = self._table[:count]
        first, frames, size, left = table.T
        return TrackFacts(
            first.astype(np.int32),
            frames.astype(np.int32),
            (size / np.maximum(frames, 1)).astype(np.float32),
            left.astype(np.float32),
        )


@dataclass(frozen=True, slots=True, eq=False)
class ClipTracks:
    """The tracks of a completely tracked clip.

    ``values`` are the merged ``measurements`` by track and name; tracks that were not measured are missing.
    """

    count: int
    measurements: tuple[TrackMeasurement, ...] = ()
    values: Mapping[int, Mapping[str, Values]] = field(default_factory=dict)
    facts: TrackFacts = field(default_factory=TrackFacts)

    def of(self, tracks: npt.NDArray[np.int32]) -> dict[str, Values]:
        """Return the measurements of ``tracks``, [t,...] by name; zeros for a track that was not measured."""
        found: dict[str, Values] = {}
        for each in self.measurements:
            zeros = np.zeros(each.shape, each.dtype)
            rows = [self.values.get(track, {}).get(each.name, zeros) for track in tracks.tolist()]
            found[each.name] = np.array(rows, each.dtype).reshape(-1, *each.shape)
        return found


class MeasuredTracks:
    """Collects the measurements of tracks chunk by chunk, and merges them."""

    def __init__(self, measurements: tuple[TrackMeasurement, ...]) -> None:
        self._measurements = measurements
        self._parts: dict[int, dict[str, list[tuple[float, Values]]]] = {}

    def add(self, track: int, name: str, weight: float, value: Values) -> None:
        """Add the measurement of a track in a chunk; the value is copied, because a view would keep the chunk."""
        self._parts.setdefault(track, {}).setdefault(name, []).append((weight, value.copy()))

    def merged(self) -> dict[int, Mapping[str, Values]]:
        """Return the merged measurements by track and name."""
        return {track: self._merged(parts) for track, parts in self._parts.items()}

    def _merged(self, parts: Mapping[str, list[tuple[float, Values]]]) -> dict[str, Values]:
        found = {}
        for each in self._measurements:
            if each.name in parts:
                weights, values = zip(*parts[each.name], strict=True)
                found[each.name] = each.merge(np.stack(values), np.array(weights, np.float32))
        return found
