"""Types of measurements: of a face in one frame, and of a track in one chunk.

A *measurement* is a named set of arrays, a *value* is one of its arrays, and a *meter* is the object that computes
them. Values of a face are saved with every face of every frame; link smooths them over time. A value of a track is
measured from the best views of the face in a chunk; link merges it over all chunks of the track.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

import numpy as np

from facefusion.faces.best_views import LARGEST, Ranking
from facefusion.faces.face import Floats, Values
from facefusion.faces.topology import MeshTopology
from facefusion.faces.views import FaceView as FaceView
from facefusion.inference.pool import SessionPool
from facefusion.media.frame import Frame
from facefusion.result_cache import ResultCache


@dataclass(frozen=True, slots=True)
class MeterTools:
    """Everything that a meter may use; ``cache`` keeps tables for later runs of the process."""

    topology: MeshTopology
    sessions: SessionPool
    cache: ResultCache = field(default_factory=lambda: ResultCache(0))


class FaceMeter(Protocol):
    """Measures a face in one frame. It has no state, because threads share it."""

    def measure(self, frame: Frame, landmarks: Floats) -> Mapping[str, Values]: ...


class TrackMeter(Protocol):
    """Measures a face from its views, best first. It has no state, because threads share it."""

    def measure(self, views: Sequence[FaceView]) -> Values: ...


@dataclass(frozen=True, slots=True, eq=False)
class FaceValue:
    """One array of a face measurement; ``shape`` and ``dtype`` are those of the measured array.

    ``smooth`` maps the arrays of consecutive frames of a track, [n, *shape], to the arrays that rendering reads,
    saved as dtype ``linked``; the result depends on at most ``reach`` frames on each side. ``filled`` is the
    interpolation between the frames around a gap: linear, or the nearer frame's value.
    """

    name: str
    shape: tuple[int, ...]
    dtype: str
    linked: str
    reach: int
    smooth: Callable[[Values], Values]
    filled: Literal['linear', 'nearest'] = 'linear'

    def between(self, before: Values, after: Values, share: float) -> Values:
        """Return the value at ``share`` (0..1) of the way from one frame to another."""
        if self.filled == 'nearest':
            return before if share < 0.5 else after
        return interpolated(before, after, share)


@dataclass(frozen=True, slots=True, eq=False)
class FaceMeasurement:
    """Values of a face in one frame that are measured together; processors require them by ``name``.

    ``needs_mesh``: requires 468 landmarks. ``models``: catalogue ids of its networks.
    """

    name: str
    values: tuple[FaceValue, ...]
    prepare: Callable[[MeterTools], FaceMeter]
    needs_mesh: bool = False
    models: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, eq=False)
class TrackMeasurement:
    """One array of a track, measured in each chunk from the best views of the face.

    ``merge`` combines the arrays of all chunks, [n, *shape], by weights float32 [n], the total quality of their views
    by ``ranking``. The other fields are as in ``FaceValue``.
    """

    name: str
    shape: tuple[int, ...]
    dtype: str
    prepare: Callable[[MeterTools], TrackMeter]
    merge: Callable[[Values, Floats], Values]
    needs_mesh: bool = False
    models: tuple[str, ...] = ()
    ranking: Ranking = LARGEST


@dataclass(frozen=True, slots=True)
class Measurements:
    """The measurements of a run."""

    of_faces: tuple[FaceMeasurement, ...] = ()
    of_tracks: tuple[TrackMeasurement, ...] = ()

    @property
    def values(self) -> tuple[FaceValue, ...]:
        """The values of all face measurements."""
        return tuple(value for measurement in self.of_faces for value in measurement.values)

    @property
    def all(self) -> tuple[FaceMeasurement | TrackMeasurement, ...]:
        """Face measurements, then track measurements."""
        return (*self.of_faces, *self.of_tracks)

    @property
    def names(self) -> tuple[str, ...]:
        """The names by which processors require the measurements."""
        return tuple(each.name for each in self.all)

    @property
    def rankings(self) -> tuple[Ranking, ...]:
        """The rankings of views that the track measurements need, each once."""
        return tuple(dict.fromkeys(each.ranking for each in self.of_tracks))

    @property
    def models(self) -> tuple[str, ...]:
        """The catalogue ids of their networks."""
        return tuple(dict.fromkeys(name for each in self.all for name in each.models))

    def prepare(self, tools: MeterTools) -> Meters:
        """Create the meters. Raises ModelError, ProviderError."""
        return Meters(
            self,
            tuple(each.prepare(tools) for each in self.of_faces),
            tuple(each.prepare(tools) for each in self.of_tracks),
        )


@dataclass(frozen=True, slots=True)
class Meters:
    """The meters of ``measurements``, in the same order."""

    measurements: Measurements = Measurements()
    of_faces: tuple[FaceMeter, ...] = ()
    of_tracks: tuple[TrackMeter, ...] = ()

    def measure(self, frame: Frame, landmarks: Floats) -> dict[str, Values]:
        """Return all values of a face in a frame by name."""
        values: dict[str, Values] = {}
        for meter in self.of_faces:
            values |= meter.measure(frame, landmarks)
        return values


def interpolated(before: Values, after: Values, share: float) -> Values:
    """Return the array at ``share`` (0..1) of the way between two, in their dtype; integers are rounded."""
    return _rounded(before + (after.astype(np.float32) - before) * np.float32(share), before.dtype)


def weighted_mean(values: Values, weights: Floats) -> Values:
    """Return the mean of arrays [n, *shape] by weights float32 [n]; integers are rounded. For track measurements."""
    return _rounded(np.average(values, axis=0, weights=weights), values.dtype)


def best_of(values: Values, weights: Floats) -> Values:
    """Return the array with the largest weight of arrays [n, *shape]. For track measurements."""
    return np.asarray(values[int(np.argmax(weights))])


def _rounded(values: Values, dtype: np.dtype[Any]) -> Values:
    return np.asarray(np.rint(values) if dtype.kind in 'iu' else values, dtype)
