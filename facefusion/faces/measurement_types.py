"""The kinds of measurements: values of a face in one frame, and values of a track in one chunk.

A measurement of a frame is kept with every face of every frame, and link smooths it over time. A measurement of a track
is taken from the best views of the face in a chunk, and link merges those of all chunks that the track goes through.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol

import numpy as np
import numpy.typing as npt

from facefusion.faces.face import Floats
from facefusion.faces.topology import MeshTopology
from facefusion.inference.pool import SessionPool
from facefusion.media.frame import Frame, PixelFrame

Values = npt.NDArray[Any]


@dataclass(frozen=True, slots=True, eq=False)
class FaceView:
    """A face cut out of its frame. ``landmarks``: float32 [n,3] in pixels of ``frame``."""

    frame: PixelFrame
    landmarks: Floats


@dataclass(frozen=True, slots=True)
class MeterTools:
    """What a meter may be made of."""

    topology: MeshTopology
    sessions: SessionPool


class FaceMeter(Protocol):
    """Measures a face in one frame; keeps no state, so that any number of threads may share it."""

    def measure(self, frame: Frame, landmarks: Floats) -> Mapping[str, Values]: ...


class TrackMeter(Protocol):
    """Measures a face from its best views, the best one first; keeps no state."""

    def measure(self, views: Sequence[FaceView]) -> Values: ...


@dataclass(frozen=True, slots=True, eq=False)
class FaceValue:
    """One array of a measurement: its name, ``shape`` and ``dtype`` as it is measured.

    ``smooth`` takes the arrays of consecutive frames of one track, [n, *shape], and gives those that rendering reads,
    of ``linked`` dtype; it looks at most ``reach`` frames to both sides. ``filled`` says how a frame between two others
    gets its value: from both, or from the one that is nearer in time.
    """

    name: str
    shape: tuple[int, ...]
    dtype: str
    linked: str
    reach: int
    smooth: Callable[[Values], Values]
    filled: Literal['linear', 'nearest'] = 'linear'

    def between(self, before: Values, after: Values, share: float) -> Values:
        """The value ``share`` of the way from one frame to another."""
        if self.filled == 'nearest':
            return before if share < 0.5 else after
        return interpolated(before, after, share)


@dataclass(frozen=True, slots=True, eq=False)
class FaceMeasurement:
    """Values of a face in one frame that are measured together; processors require them by ``name``.

    ``needs_mesh`` says that 468 landmarks are needed; ``models`` are the catalogue ids of its networks.
    """

    name: str
    values: tuple[FaceValue, ...]
    prepare: Callable[[MeterTools], FaceMeter]
    needs_mesh: bool = False
    models: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, eq=False)
class TrackMeasurement:
    """One array of a track, ``shape`` and ``dtype``, measured in each chunk from the best views of the face.

    ``merge`` takes those of all chunks, [n, *shape], and their weights, float32 [n], and gives the track's own.
    """

    name: str
    shape: tuple[int, ...]
    dtype: str
    prepare: Callable[[MeterTools], TrackMeter]
    merge: Callable[[Values, Floats], Values]
    needs_mesh: bool = False
    models: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Measurements:
    """What a run measures."""

    of_faces: tuple[FaceMeasurement, ...] = ()
    of_tracks: tuple[TrackMeasurement, ...] = ()

    @property
    def values(self) -> tuple[FaceValue, ...]:
        """All arrays of faces."""
        return tuple(value for measurement in self.of_faces for value in measurement.values)

    @property
    def all(self) -> tuple[FaceMeasurement | TrackMeasurement, ...]:
        """Those of faces, then those of tracks."""
        return (*self.of_faces, *self.of_tracks)

    @property
    def names(self) -> tuple[str, ...]:
        """The names by which processors require them."""
        return tuple(each.name for each in self.all)

    @property
    def models(self) -> tuple[str, ...]:
        """The catalogue ids of the networks that they need."""
        return tuple(dict.fromkeys(name for each in self.all for name in each.models))

    def prepare(self, tools: MeterTools) -> Meters:
        """Makes the meters of a run. Raises ModelError, ProviderError."""
        return Meters(
            self,
            tuple(each.prepare(tools) for each in self.of_faces),
            tuple(each.prepare(tools) for each in self.of_tracks),
        )


@dataclass(frozen=True, slots=True)
class Meters:
    """The meters of what is measured, in the order of ``measurements``."""

    measurements: Measurements = Measurements()
    of_faces: tuple[FaceMeter, ...] = ()
    of_tracks: tuple[TrackMeter, ...] = ()

    def measure(self, frame: Frame, landmarks: Floats) -> dict[str, Values]:
        """All values of a face in a frame by their names."""
        found: dict[str, Values] = {}
        for meter in self.of_faces:
            found |= meter.measure(frame, landmarks)
        return found


def interpolated(before: Values, after: Values, share: float) -> Values:
    """The array ``share`` of the way from one to another, of the dtype of both; whole numbers are rounded."""
    return _rounded(before + (after.astype(np.float32) - before) * np.float32(share), before.dtype)


def weighted_mean(values: Values, weights: Floats) -> Values:
    """The mean of arrays [n, *shape] with weights float32 [n]; whole numbers are rounded."""
    return _rounded(np.average(values, axis=0, weights=weights), values.dtype)


def _rounded(values: Values, dtype: np.dtype[Any]) -> Values:
    return np.asarray(np.rint(values) if dtype.kind in 'iu' else values, dtype)
