"""The measurements that exist, a line each: a new one is a module of its own and a line here."""

from __future__ import annotations

from collections.abc import Collection

from facefusion.faces.measurement import FaceMeasurement, Measurements, TrackMeasurement
from facefusion.faces.skin import SKIN

OF_FACES: tuple[FaceMeasurement, ...] = (SKIN,)
OF_TRACKS: tuple[TrackMeasurement, ...] = ()
ALL = Measurements(OF_FACES, OF_TRACKS)


def measurements_named(names: Collection[str]) -> Measurements:
    """The measurements with these names, in the order of the tables. Raises KeyError for one that does not exist."""
    unknown = set(names) - set(ALL.names)
    if unknown:
        raise KeyError(', '.join(sorted(unknown)))
    return Measurements(
        tuple(each for each in OF_FACES if each.name in names), tuple(each for each in OF_TRACKS if each.name in names)
    )
