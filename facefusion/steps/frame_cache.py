"""Frames that stay in memory for the next preview of the same frame."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from typing import Any

from facefusion.media.frame import Frame


class FrameCache:
    """The frames that were used last, up to a number of bytes, at least one; each is stored unprocessed."""

    def __init__(self, most_bytes: int) -> None:
        self._most = most_bytes
        self._frames: OrderedDict[Any, Frame] = OrderedDict()

    def get(self, key: Any, load: Callable[[], Frame]) -> Frame:
        frame = self._frames.pop(key, None) or load()
        self._frames[key] = frame
        while len(self._frames) > 1 and sum(map(_bytes_of, self._frames.values())) > self._most:
            self._frames.popitem(last=False)
        return frame

    def clear(self) -> None:
        self._frames.clear()


def _bytes_of(frame: Frame) -> int:
    return frame.width * frame.height * 6
