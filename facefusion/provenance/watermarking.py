"""What a picture itself carries of having been altered: a label for people, a mark for programs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from facefusion.media.frame import Frame


class PictureMark(Protocol):
    """Changes a frame in place, and gives the share of it (0 to 1) that carries the mark.

    A pure function of the frame and its number, from several threads at once.
    """

    def mark(self, frame: Frame) -> float: ...


class PictureLabel(Protocol):
    """Writes on a frame in place; a pure function of the frame, from several threads at once."""

    def draw(self, frame: Frame) -> None: ...


@dataclass(frozen=True, slots=True)
class Watermarks:
    """What is left on every picture of an output in which anything was altered."""

    label: PictureLabel | None = None
    mark: PictureMark | None = None

    def apply(self, frame: Frame) -> bool:
        """Writes the label, and the mark over all; tells whether the frame can carry the mark."""
        if self.label is not None:
            self.label.draw(frame)
        return self.mark is not None and self.mark.mark(frame) > 0


NO_WATERMARKS = Watermarks()
