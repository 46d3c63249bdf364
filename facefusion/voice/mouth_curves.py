"""The opening and width of a speaking mouth over time, from a voice."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from facefusion.media.voice import Voice
from facefusion.voice.activity import VoiceActivity

# Values per second.
CURVE_RATE = 100


class MouthShape(NamedTuple):
    """A mouth at one time. opening: 0 to 1.1. width: -1 to 1. is_closed: the lips must meet."""

    opening: float
    width: float
    is_closed: bool


@dataclass(frozen=True, slots=True, eq=False)
class MouthCurves:
    """opening, width: float32 [n]; closed: bool [n]; CURVE_RATE values per second."""

    opening: npt.NDArray[np.float32]
    width: npt.NDArray[np.float32]
    closed: npt.NDArray[np.bool_]

    def at(self, seconds: Fraction | float) -> MouthShape:
        """Return the shape at a time; after the end: closed, 0."""
        place = float(seconds) * CURVE_RATE
        if not len(self.opening) or place > len(self.opening) - 1:
            return MouthShape(0.0, 0.0, True)
        steps = np.arange(len(self.opening))
        opening, width = (float(np.interp(place, steps, curve)) for curve in (self.opening, self.width))
        return MouthShape(opening, width, bool(self.closed[round(place)]))


def measure_curves(voice: Voice, activity: VoiceActivity) -> MouthCurves:
    """Return the curves of a voice."""
    step = voice.rate // CURVE_RATE
    count = voice.sample_count // step
    loud = np.array(
        [float(np.sqrt(np.mean(voice.window(k / CURVE_RATE, 0.03) ** 2))) for k in range(count)], np.float32
    )
    speech = np.repeat(activity.probabilities(voice), 4)[:count]
    smooth = np.convolve(loud, np.hanning(9) / np.hanning(9).sum(), 'same') if count else loud
    opening = np.clip(smooth / max(float(np.percentile(smooth, 97)) if count else 1, 1e-3), 0, 1.1)
    opening = (opening * np.pad(speech, (0, count - len(speech)))).astype(np.float32)
    return MouthCurves(np.asarray(opening, np.float32), np.zeros(count, np.float32), opening < 0.06)
