"""The watermarks of altered frames: a visible label for people, an invisible mark for programs."""

from __future__ import annotations

from dataclasses import dataclass

from facefusion.media.frame import Frame
from facefusion.provenance.label import Label
from facefusion.provenance.mark.embed import Marker


@dataclass(frozen=True, slots=True)
class Watermarks:
    """The watermarks of an altered output; they are applied to each of its frames."""

    label: Label | None = None
    mark: Marker | None = None

    def apply(self, frame: Frame) -> bool:
        """Draw the label, then add the mark; return whether the frame can contain the mark."""
        if self.label is not None:
            self.label.draw(frame)
        return self.mark is not None and self.mark.mark(frame) > 0


NO_WATERMARKS = Watermarks()
