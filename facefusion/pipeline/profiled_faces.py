"""Time the analysis of faces: detector, mesh and measurements as stages of a profile."""

from __future__ import annotations

from typing import Any

from facefusion.faces.analyser import FaceFinder
from facefusion.faces.face import Detection, Face, Floats
from facefusion.faces.measurement_types import Meters
from facefusion.media.frame import Frame
from facefusion.profiling import NO_PROFILE, Profile


class ProfiledFinder(FaceFinder):
    """A finder whose calls are the stages 'detect' and 'mesh'."""

    def __init__(self, finder: FaceFinder, profile: Profile) -> None:
        self._finder = finder
        self._profile = profile
        self.most = finder.most

    def detect(self, frame: Frame) -> list[Detection]:
        with self._profile.span('detect'):
            return self._finder.detect(frame)

    def from_detection(self, frame: Frame, detection: Detection) -> Face | None:
        with self._profile.span('mesh'):
            return self._finder.from_detection(frame, detection)

    def follow(self, frame: Frame, landmarks: Floats, score: float) -> Face | None:
        with self._profile.span('mesh'):
            return self._finder.follow(frame, landmarks, score)

    def is_sure(self, frame: Frame, face: Face) -> bool:
        with self._profile.span('mesh'):
            return self._finder.is_sure(frame, face)

    def find_some(self, frame: Frame, detections: list[Detection]) -> tuple[list[Face], int]:
        with self._profile.span('mesh'):
            return self._finder.find_some(frame, detections)


class ProfiledMeter:
    """A meter of faces or tracks whose calls are the stage 'measure'."""

    def __init__(self, meter: Any, profile: Profile) -> None:
        self._meter = meter
        self._profile = profile

    def measure(self, *measured: Any) -> Any:
        """Measure a face or a track."""
        with self._profile.span('measure'):
            return self._meter.measure(*measured)


def profiled(finder: FaceFinder, meters: Meters, profile: Profile) -> tuple[FaceFinder, Meters]:
    """Return the finder and the meters of a run with their calls timed, or unchanged without a profile."""
    if profile is NO_PROFILE:
        return finder, meters
    of_faces = tuple(ProfiledMeter(meter, profile) for meter in meters.of_faces)
    of_tracks = tuple(ProfiledMeter(meter, profile) for meter in meters.of_tracks)
    return ProfiledFinder(finder, profile), Meters(meters.measurements, of_faces, of_tracks)
