"""Functions that run both steps of linking on synthetic chunks, and that create faces in the form for rendering."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from facefusion.faces.chunk import FaceChunk, LinkedChunk
from facefusion.faces.face import LinkedFace
from facefusion.faces.measurement_types import Measurements
from facefusion.faces.options import FaceSelectorOptions
from facefusion.faces.skin import SKIN, SkinMeter, SkinTraits
from facefusion.media.frame import Frame
from facefusion.pipeline.selection import Selector, Wanted
from facefusion.pipeline.tracking import Tracker

SKIN_ALONE = Measurements((SKIN,))
NOTHING = Measurements()


def link(
    chunks: Iterable[FaceChunk],
    measurements: Measurements = SKIN_ALONE,
    options: FaceSelectorOptions | None = None,
    **selector: object,
) -> list[LinkedChunk]:
    """Track faces over all chunks, and return the selected faces of each chunk.

    If ``options`` is None, the options are created from the fields ``selector``.
    """
    tracker = Tracker(measurements)
    linked = list(tracker.track(chunks))
    select = Selector(Wanted(options or FaceSelectorOptions(**selector)), tracker.tracks()).select
    return [chunk.select(select(chunk)) for chunk in linked]


def joined(linked: Iterable[LinkedChunk]) -> dict[str, np.ndarray]:
    """Return all linked chunks as one dict with the arrays of the rows and, by name, those of the measurements."""
    linked = list(linked)
    # In a chunk without faces, the landmarks array has another shape, so it cannot be concatenated with the others.
    linked = [chunk for chunk in linked if len(chunk.frame)] or linked[:1]
    rows = {
        name: np.concatenate([getattr(chunk, name) for chunk in linked])
        for name in ('frame', 'track', 'landmarks', 'score', 'filled')
    }
    return rows | {name: np.concatenate([chunk.values[name] for chunk in linked]) for name in linked[0].values}


def linked_face(meter: SkinMeter, frame: Frame, landmarks: np.ndarray, track: int = 0, **traits: float) -> LinkedFace:
    """Return a linked face with the skin measured in this one frame; ``traits`` replace the measured traits."""
    sample = meter.measure(frame, landmarks)
    values = {each.name: each.smooth(sample[each.name][None])[0].astype(each.linked) for each in SKIN.values}
    values['traits'] = np.array(SkinTraits(*values['traits'].tolist())._replace(**traits), np.float32)
    return LinkedFace(track, landmarks, 0.9, values=values)
