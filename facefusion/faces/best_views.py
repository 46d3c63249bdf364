"""The best views of each track in a chunk, for measurements of tracks."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import cv2
import numpy as np

from facefusion.faces.face import Face
from facefusion.faces.views import FaceView
from facefusion.media.frame import Frame, PixelFrame, Window

# Views per track; more views cost time and add little.
MOST_VIEWS = 3
# Only the tracks with the best views are stored: 3 views of 384 pixels each take 1.3 MB.
MOST_TRACKS = 64
# Margin around the landmarks as a fraction of the face, so that the crop includes hair and chin.
MARGIN = 0.6
LARGEST_SIDE = 384


@dataclass(frozen=True, slots=True)
class Ranking:
    """An order of views, and their limits.

    quality: larger for a better view. margin: around the crop, as a fraction of the face. side: the largest width and
    height of a view in pixels. tracks: the largest number of tracks with views. Together they bound the memory:
    ``tracks`` times three views of ``3 * side**2`` bytes.
    """

    quality: Callable[[Face], float]
    margin: float = MARGIN
    side: int = LARGEST_SIDE
    tracks: int = MOST_TRACKS


LARGEST = Ranking(lambda face: face.size * face.score)


class BestViews:
    """Up to three views of each track, those that a ranking puts first; bounded in memory."""

    def __init__(self, ranking: Ranking = LARGEST) -> None:
        self._ranking = ranking
        self._views: dict[int, list[tuple[float, FaceView]]] = {}
        # The tracks whose views were all taken while another face was overlapping.
        self._overlapped: set[int] = set()

    def offer(self, frame: Frame, track: int, face: Face, is_overlapped: bool = False) -> None:
        """Store the face if it is among the best of its track; a face outside the frame is ignored.

        A view in which the face overlaps another one may show the other face: any other view replaces it.
        """
        if is_outside(frame, face):
            return
        quality = self._ranking.quality(face)
        known = self._views.get(track, [])
        if known and is_overlapped != (track in self._overlapped):
            if is_overlapped:
                return
            known = []
        if len(known) == MOST_VIEWS and quality <= known[-1][0]:
            return
        is_full = track not in self._views and len(self._views) == self._ranking.tracks
        if is_full and not self._drop_worse(quality):
            return
        # The sort is stable, so the earlier of two equal views comes first.
        known = sorted([*known, (quality, _crop(frame, face, self._ranking))], key=lambda view: -view[0])
        self._views[track] = known[:MOST_VIEWS]
        (self._overlapped.add if is_overlapped else self._overlapped.discard)(track)

    def of(self, track: int) -> tuple[tuple[FaceView, ...], float]:
        """Return the views of a track, best first, and their total weight; none if the track is not stored."""
        known = self._views.get(track, [])
        return tuple(view for _, view in known), float(sum(quality for quality, _ in known))

    def _drop_worse(self, quality: float) -> bool:
        """Drop the worst track if it is worse than ``quality``; return whether one was dropped."""
        worst = min(self._views, key=lambda track: self._views[track][0][0])
        if self._views[worst][0][0] >= quality:
            return False
        del self._views[worst]
        return True


class RankedViews:
    """The best views of each track by several rankings."""

    def __init__(self, rankings: Iterable[Ranking]) -> None:
        self._views = {ranking: BestViews(ranking) for ranking in rankings}

    def offer(self, frame: Frame, track: int, face: Face, is_overlapped: bool = False) -> None:
        """Store the face where it is among the best of its track, as ``BestViews.offer`` does."""
        for views in self._views.values():
            views.offer(frame, track, face, is_overlapped)

    def of(self, ranking: Ranking, track: int) -> tuple[tuple[FaceView, ...], float]:
        """Return the views of a track by a ranking, as ``BestViews.of`` does."""
        return self._views[ranking].of(track)


def is_outside(frame: Frame, face: Face) -> bool:
    """Whether the frame shows no part of the face."""
    return _window(frame, face, 0).is_empty


def _window(frame: Frame, face: Face, margin: float) -> Window:
    """The part of the frame with the face and a margin around it, a fraction of the face; may be empty."""
    low, high = face.box[:2], face.box[2:]
    reach = margin * (high - low)
    (x0, y0), (x1, y1) = np.floor(low - reach).astype(int).tolist(), np.ceil(high + reach).astype(int).tolist()
    return Window(x0, y0, x1, y1).clipped(frame.width, frame.height)


def _crop(frame: Frame, face: Face, ranking: Ranking) -> FaceView:
    window = _window(frame, face, ranking.margin)
    landmarks = face.landmarks - np.array([window.x0, window.y0, 0], np.float32)
    pixels = frame.read(window)
    scale = ranking.side / max(*pixels.shape[:2], 1)
    if scale < 1:
        size = (max(round(window.width * scale), 1), max(round(window.height * scale), 1))
        pixels = np.asarray(cv2.resize(pixels, size, interpolation=cv2.INTER_AREA), np.uint8)
        landmarks = landmarks * np.float32(scale)
    return FaceView(PixelFrame(np.ascontiguousarray(pixels)), landmarks)
