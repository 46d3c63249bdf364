"""Crops of the faces of a survey, read from the target in one ordered pass."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import closing
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from facefusion.media.frame import Frame, Window
from facefusion.media.image import read_image
from facefusion.media.info import MediaInfo, VideoInfo
from facefusion.media.reader import VideoReader
from facefusion.pipeline.person_views import View
from facefusion.stopping import StopFlag

# The side of a crop as a multiple of the longer side of the face.
_MARGIN = 1.7
# Frames between two faces that are decoded, instead of searching for the next keyframe.
_DECODED_GAP = 250
_OUTSIDE = 228

Pixels = npt.NDArray[np.uint8]


class CropRequest(NamedTuple):
    """A face to cut out: the position of its person in the survey, that of its view, and the view."""

    person: int
    place: int
    view: View


def read_crops(
    target: MediaInfo, requests: Sequence[CropRequest], flag: StopFlag
) -> Iterator[tuple[CropRequest, Pixels]]:
    """Yield each request with a crop uint8 [s,s,3] BGR, in the order of frames; memory holds one frame.

    A clip is decoded at most once, and stretches without faces are skipped. Raises MediaError, Interrupted.
    """
    ordered = sorted(requests, key=lambda request: request.view.frame)
    if not isinstance(target, VideoInfo):
        image = read_image(target.path)
        for request in ordered:
            flag.check()
            yield request, _crop(image, request.view)
        return
    for group in _groups(ordered):
        at = 0
        with closing(VideoReader(target, stop=flag).frames(group[0].view.frame, group[-1].view.frame + 1)) as frames:
            for frame in frames:
                flag.check()
                while at < len(group) and group[at].view.frame == frame.number:
                    yield group[at], _crop(frame, group[at].view)
                    at += 1


def _groups(ordered: Sequence[CropRequest]) -> Iterator[list[CropRequest]]:
    """Yield the requests between which the clip is decoded."""
    group = list[CropRequest]()
    for request in ordered:
        if group and request.view.frame > group[-1].view.frame + _DECODED_GAP:
            yield group
            group = []
        group.append(request)
    if group:
        yield group


def _crop(frame: Frame, view: View) -> Pixels:
    """Return a square with the face in its middle; parts outside the frame are grey."""
    x0, y0, x1, y1 = view.box
    side = max(round(max(x1 - x0, y1 - y0) * _MARGIN), 2)
    left, top = round((x0 + x1 - side) / 2), round((y0 + y1 - side) / 2)
    seen = Window(left, top, left + side, top + side).clipped(frame.width, frame.height)
    square = np.full((side, side, 3), _OUTSIDE, np.uint8)
    square[seen.y0 - top : seen.y1 - top, seen.x0 - left : seen.x1 - left] = frame.read(seen)
    return square
