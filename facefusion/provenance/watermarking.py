"""The watermarks of altered frames: a visible label for people, an invisible mark for programs."""

from __future__ import annotations

from dataclasses import dataclass

from facefusion.media.frame import Frame
from facefusion.profiling import NO_PROFILE, Profile
from facefusion.provenance.label import Label
from facefusion.provenance.mark.embed import Marker


@dataclass(frozen=True, slots=True)
class Watermarks:
    """The watermarks of an altered output; they are applied to each of its frames."""

    label: Label | None = None
    mark: Marker | None = None

    def apply(self, frame: Frame, profile: Profile = NO_PROFILE) -> bool:
        """Draw the label, then add the mark; return whether the frame can contain the mark."""
        if self.label is not None:
            with profile.span('label'):
                self.label.draw(frame)
        if self.mark is None:
            return False
        with profile.span('mark'):
            return self.mark.mark(frame) > 0


NO_WATERMARKS = Watermarks()
