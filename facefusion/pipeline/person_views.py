"""The best views of each person: a few places of a clip that show the face well, at different times."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from facefusion.faces.chunk import LinkedChunk
from facefusion.faces.face import Face, Floats, landmark_box
from facefusion.faces.identity import identity_quality

# Views stored per track, and shown per person.
TRACK_VIEWS = 12
PERSON_VIEWS = 6
# Views with less than this share of the best quality are not shown, and interpolated faces count less.
_WORST_SHARE = 0.3
_FILLED_SHARE = 0.5


class View(NamedTuple):
    """A face in a frame: its box x0, y0, x1, y1 in pixels, and how well it shows."""

    frame: int
    box: tuple[float, float, float, float]
    quality: float


@dataclass(slots=True)
class TrackViews:
    """Up to TRACK_VIEWS views of each track, spread over its time; ``width`` and ``height`` are those of the frames.

    Each view is the best one of a stretch of frames. The stretches are twice as long whenever there are too many.
    """

    width: int
    height: int
    _views: dict[int, dict[int, View]] = field(default_factory=dict)
    _stretch: dict[int, int] = field(default_factory=dict)

    def add(self, chunk: LinkedChunk) -> None:
        """Take the best views of the next chunk of all faces."""
        boxes = landmark_box(chunk.landmarks)
        for k, (frame, track) in enumerate(zip(chunk.frame.tolist(), chunk.track.tolist(), strict=True)):
            face = Face(chunk.landmarks[k], 1.0, 0.0, float(chunk.score[k]))
            quality = identity_quality(face) * self._visible_share(boxes[k])
            x0, y0, x1, y1 = boxes[k].tolist()
            self._add(track, View(frame, (x0, y0, x1, y1), quality * (_FILLED_SHARE if chunk.filled[k] else 1.0)))

    def of(self, track: int) -> tuple[View, ...]:
        """Return the views of a track in the order of time; a visible track has at least one."""
        return tuple(sorted(self._views.get(track, {}).values()))

    def _add(self, track: int, view: View) -> None:
        views, stretch = self._views.setdefault(track, {}), self._stretch.setdefault(track, 1)
        _keep_better(views, view, stretch)
        while len(views) > TRACK_VIEWS:
            stretch *= 2
            known, views = views, {}
            for each in known.values():
                _keep_better(views, each, stretch)
        self._views[track], self._stretch[track] = views, stretch

    def _visible_share(self, box: Floats) -> float:
        """Return the share of a box that is inside the frame."""
        x0, y0, x1, y1 = box.tolist()
        inside = max(min(x1, self.width) - max(x0, 0), 0) * max(min(y1, self.height) - max(y0, 0), 0)
        return float(inside / max((x1 - x0) * (y1 - y0), 1e-3))


def _keep_better(views: dict[int, View], view: View, stretch: int) -> None:
    known = views.get(view.frame // stretch)
    if known is None or view.quality > known.quality:
        views[view.frame // stretch] = view


def best_view(views: Iterable[View]) -> View:
    """Return the view with the highest quality, the earliest of equal ones."""
    return max(sorted(views), key=lambda view: view.quality)


def spread_views(views: Iterable[View], most: int = PERSON_VIEWS) -> tuple[View, ...]:
    """Return up to ``most`` good views in the order of time: the best of equally large groups of neighbours."""
    ordered = sorted(views)
    least = best_view(ordered).quality * _WORST_SHARE
    good = [view for view in ordered if view.quality >= least]
    groups = np.array_split(np.arange(len(good)), min(most, len(good)))
    return tuple(best_view(good[k] for k in group) for group in groups)
