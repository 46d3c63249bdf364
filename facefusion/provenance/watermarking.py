"""The watermarks of altered frames: a visible label for people, an invisible mark for programs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from facefusion.media.frame import Frame


class PictureMark(Protocol):
    """Marks a frame in place, and returns the share of it (0 to 1) that contains the mark.

    A pure function of the frame and its number; thread-safe.
    """

    def mark(self, frame: Frame) -> float: ...


class PictureLabel(Protocol):
    """Draws on a frame in place; a pure function of the frame; thread-safe."""

    def draw(self, frame: Frame) -> None: ...


@dataclass(frozen=True, slots=True)
class Watermarks:
    """The watermarks of every frame of an output with any alteration."""

    label: PictureLabel | None = None
    mark: PictureMark | None = None

    def apply(self, frame: Frame) -> bool:
        """Draw the label, then add the mark; return whether the frame can contain the mark."""
        if self.label is not None:
            self.label.draw(frame)
        return self.mark is not None and self.mark.mark(frame) > 0


NO_WATERMARKS = Watermarks()
