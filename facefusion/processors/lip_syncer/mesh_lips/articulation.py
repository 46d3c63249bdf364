"""Give a mesh the mouth of a command: an exact gap between the lips, and everything around it by the basis."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from facefusion.faces.face import Floats
from facefusion.faces.mouth_shape import lip_gap
from facefusion.faces.topology import MeshTopology
from facefusion.processors.lip_syncer.mesh_lips.basis import CORNERS, HINGE, LOWER, RING, UPPER, MouthBasis
from facefusion.voice.mouth_curves import MouthShape

# The gap between the lips at opening 1, in eye distances: 14 mm. A gap of 0.30 looks as if the person shouted.
LARGEST_GAP = 0.22
# Smaller gaps are closed, because a slit of a pixel flickers.
SMALLEST_GAP = 0.012
# Shares of the gap by which the middle of the upper lip rises and the corners sink.
UPPER_SHARE, CORNER_SHARE = 0.12, 0.22
# Change of the width of the mouth, in eye distances, at width 1 and -1, and at opening 1.
SPREAD, ROUNDING, NARROWING = 0.10, -0.20, -0.03
# At width -1 the lips move forward, and at width 1 the corners move back and up.
POUT, CORNER_BACK, CORNER_UP = 0.06, 0.03, 0.02
# The upper lip's share of the way when lips that are apart are closed.
CLOSING_SHARE = 0.42
# Lips that are apart at rest smile: when they close, the mouth becomes narrower, and its corners sink; in eye
# distances, for a gap between SMILE_FROM and SMILE_TO.
SMILE_FROM, SMILE_TO = 0.03, 0.18
SMILE_WIDTH, SMILE_LIFT = 0.10, 0.10
# The power of the gap between the middle of the mouth and its corners: 0.5 would be an ellipse.
ROUNDNESS = 0.8


@dataclass(frozen=True, slots=True, eq=False)
class Articulation:
    """A mesh with a commanded mouth, in the coordinates of the mean shape.

    shape: float32 [468,3]. gap: between the middles of the lips. jaw: how far the middle of the lower jaw is below its
    position with closed lips. lip_line: float32 [11,3], where the lips meet, from the image's left to its right.
    """

    shape: Floats
    gap: float
    jaw: float
    lip_line: Floats


class Articulator:
    """Moves the mouths of meshes in the coordinates of the mean shape; immutable."""

    def __init__(self, topology: MeshTopology) -> None:
        self._basis = MouthBasis(topology)

    def rest(self, shape: Floats, neutral: Floats) -> Floats:
        """Return ``shape`` with the lower face of ``neutral``, both float32 [468,3]."""
        return np.asarray(shape + self._basis.lower_face[:, None] * (neutral - shape), np.float32)

    def speak(self, rest: Floats, mouth: MouthShape) -> Articulation:
        """Return the mesh ``rest`` with the mouth of a command; ``rest`` is float32 [468,3]."""
        gap = 0.0 if mouth.is_closed else LARGEST_GAP * max(mouth.opening, 0.0)
        gap = gap if gap >= SMALLEST_GAP else 0.0
        line = lip_line(rest)
        line = _without_smile(line, lip_gap(rest))
        goal = _ring(line, gap, mouth)
        # The lower lip of ``rest`` may already be below the line, where the lips meet.
        drop = float(goal[LOWER[4], 1] - rest[RING[LOWER[4]], 1])
        turned = self._open_jaw(rest, drop)
        residual = goal - turned[RING]
        shape = turned + self._basis.follow @ residual
        return Articulation(np.asarray(shape, np.float32), gap, float(goal[LOWER[4], 1] - line[5, 1]), line)

    def _open_jaw(self, shape: Floats, drop: float) -> Floats:
        """Rotate the jaw about its joints so that the middle of the lower lip sinks by ``drop``."""
        arm = shape[:, 1:] - HINGE
        reach = max(float(-arm[RING[LOWER[4]], 1]), 0.3)
        angle = np.clip(drop / reach, -0.5, 0.5)
        sine, rest = float(np.sin(angle)), float(np.cos(angle)) - 1
        turned = shape.copy()
        share = self._basis.jaw
        turned[:, 1] += share * (rest * arm[:, 0] - sine * arm[:, 1])
        turned[:, 2] += share * (sine * arm[:, 0] + rest * arm[:, 1])
        return turned


def lip_line(rest: Floats) -> Floats:
    """Return where the lips of a mesh would meet, float32 [11,3], from the image's left to its right."""
    upper, lower = rest[RING[UPPER]], rest[RING[LOWER]]
    middle = upper + CLOSING_SHARE * (lower - upper)
    corners = rest[RING[CORNERS]]
    return np.vstack([corners[:1], middle, corners[1:]]).astype(np.float32)


def _without_smile(line: Floats, gap: float) -> Floats:
    """Return a lip line without the smile of lips that have a gap at rest."""
    smile = min(max((gap - SMILE_FROM) / (SMILE_TO - SMILE_FROM), 0.0), 1.0)
    middle, half = _sides(line)
    side = (line[:, 0] - middle) / half
    relaxed = line.copy()
    relaxed[:, 0] -= smile * SMILE_WIDTH / 2 * side
    relaxed[:, 1] += smile * SMILE_LIFT * (side**2 - 0.3)
    return relaxed


def _sides(line: Floats) -> tuple[float, float]:
    """Return the x of the middle of a lip line and half its width."""
    return float(line[0, 0] + line[-1, 0]) / 2, max(float(line[-1, 0] - line[0, 0]) / 2, 1e-3)


def _ring(line: Floats, gap: float, mouth: MouthShape) -> Floats:
    """Return the ring of the inner lips, float32 [20,3] in the order of INNER_LIPS."""
    middle, half = _sides(line)
    side = np.clip((line[:, 0] - middle) / half, -1, 1)
    width = float(np.clip(mouth.width, -1, 1))
    change = (SPREAD if width > 0 else -ROUNDING) * width + NARROWING * min(gap / LARGEST_GAP, 1.1)
    moved = line.copy()
    moved[:, 0] += side * change / 2
    moved[:, 2] += POUT * min(width, 0) * (1 - side**2) + CORNER_BACK * max(width, 0) * side**2
    moved[:, 1] -= CORNER_UP * max(width, 0) * side**2
    upper, lower = moved.copy(), moved.copy()
    arch = (1 - side**2) ** ROUNDNESS
    top = gap * (CORNER_SHARE * side**2 - UPPER_SHARE * (1 - side**2))
    upper[:, 1] += top
    lower[:, 1] += top + gap * arch
    ring = np.empty((len(RING), 3), np.float32)
    ring[CORNERS], ring[LOWER], ring[UPPER] = upper[[0, -1]], lower[1:-1], upper[1:-1]
    return ring
