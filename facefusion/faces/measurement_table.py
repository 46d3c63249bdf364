"""The table of all measurements.

To add a measurement of a face: declare a ``FaceMeasurement`` in a module of its own (as ``skin.py`` does), add it to
``ALL``, and name it in ``Requirements.measurements`` (``registration.py``) of each processor that reads it.
"""

from __future__ import annotations

from collections.abc import Collection

from facefusion.faces.attributes import ATTRIBUTES
from facefusion.faces.identity import IDENTITIES
from facefusion.faces.measurement_types import Measurements
from facefusion.faces.mouth import MOUTH_REST, MOUTH_SKIN, MOUTH_TEETH
from facefusion.faces.skin import SKIN

ALL = Measurements(of_faces=(SKIN,), of_tracks=(MOUTH_REST, MOUTH_SKIN, MOUTH_TEETH, *IDENTITIES, ATTRIBUTES))


def measurements_named(names: Collection[str]) -> Measurements:
    """Return the measurements with these names, in the order of the table. Raises KeyError for an unknown name."""
    unknown = set(names) - set(ALL.names)
    if unknown:
        raise KeyError(', '.join(sorted(unknown)))
    return Measurements(
        tuple(each for each in ALL.of_faces if each.name in names),
        tuple(each for each in ALL.of_tracks if each.name in names),
    )
