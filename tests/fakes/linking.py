"""Links made-up chunks by both steps, and makes faces as rendering gets them."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from facefusion.faces.chunk import FaceChunk, LinkedChunk
from facefusion.faces.face import LinkedFace
from facefusion.faces.measurement_types import Measurements
from facefusion.faces.options import FaceSelectorOptions
from facefusion.faces.skin import SKIN, SkinMeter, SkinTraits
from facefusion.media.frame import Frame
from facefusion.pipeline.selection import Selector
from facefusion.pipeline.tracking import Tracker

SKIN_ALONE = Measurements((SKIN,))
NOTHING = Measurements()


def link(
    chunks: Iterable[FaceChunk],
    measurements: Measurements = SKIN_ALONE,
    options: FaceSelectorOptions | None = None,
    **selector: object,
) -> list[LinkedChunk]:
    """The faces of each chunk that are worked on: tracked over all chunks, then selected.

    ``selector`` are fields of the options where these are not given.
    """
    tracker = Tracker(measurements)
    linked = list(tracker.track(chunks))
    select = Selector(options or FaceSelectorOptions(**selector), tracker.tracks()).select
    return [chunk.select(select(chunk)) for chunk in linked]


def joined(linked: Iterable[LinkedChunk]) -> dict[str, np.ndarray]:
    """All linked chunks as one dict of arrays: of the rows, and of what is measured by its own name."""
    linked = list(linked)
    # A chunk without faces does not know how many landmarks they would have.
    linked = [chunk for chunk in linked if len(chunk.frame)] or linked[:1]
    rows = {
        name: np.concatenate([getattr(chunk, name) for chunk in linked])
        for name in ('frame', 'track', 'landmarks', 'score', 'filled')
    }
    return rows | {name: np.concatenate([chunk.values[name] for chunk in linked]) for name in linked[0].values}


def linked_face(meter: SkinMeter, frame: Frame, landmarks: np.ndarray, track: int = 0, **traits: float) -> LinkedFace:
    """A face with its skin as link hands it on from a clip of one frame; ``traits`` stand for those that it has."""
    sample = meter.measure(frame, landmarks)
    values = {each.name: each.smooth(sample[each.name][None])[0].astype(each.linked) for each in SKIN.values}
    values['traits'] = np.array(SkinTraits(*values['traits'].tolist())._replace(**traits), np.float32)
    return LinkedFace(track, landmarks, 0.9, values=values)
