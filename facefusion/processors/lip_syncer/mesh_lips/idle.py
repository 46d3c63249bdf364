"""Slight motion of the head and blinks for a still picture: pure functions of the time."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from facefusion.faces.atlas import smooth_number
from facefusion.faces.face import Floats
from facefusion.faces.mouth_shape import HeadPose
from facefusion.faces.topology import BROW_IMAGE_LEFT, BROW_IMAGE_RIGHT, EYE_IMAGE_LEFT, EYE_IMAGE_RIGHT, MeshTopology
from facefusion.processors.lip_syncer.mesh_lips.basis import continued, surface_energy

# Largest turns of the head in degrees at full strength: about the x axis (nod), the y axis (shake), the z axis (tilt).
TURNS = (1.3, 2.2, 1.2)
# Largest shifts to the right and down, in eye distances.
SHIFTS = (0.020, 0.012)
# Frequencies in Hz of the two waves of each motion: no two have a common period below a minute.
WAVES = ((0.19, 0.43), (0.13, 0.31), (0.11, 0.29), (0.17, 0.37), (0.23, 0.41))
# The head turns about a point behind and below the face, in the mean shape.
NECK = np.array([0.0, 1.1, 1.1], np.float32)
# One blink in each period, in seconds; it takes this long to close the eye, to stay closed, and to open.
BLINK_EVERY = 3.7
CLOSING, SHUT, OPENING = 0.08, 0.04, 0.14
# Vertices farther than this from an eye, in the mean shape, do not move in a blink.
LID_REACH = 0.42
# The upper lid closes this far towards the lower one.
LID_WAY = 0.94
# The eye rings list the lower edge first, from corner to corner, and then the upper edge back.
LOWER_EDGE, UPPER_EDGE = slice(1, 8), slice(15, 8, -1)


@dataclass(frozen=True, slots=True)
class IdleMotion:
    """The motion at one time: turns in degrees, shifts in eye distances, and how far the eyes are shut, 0..1."""

    turns: tuple[float, float, float]
    shifts: tuple[float, float]
    shut: float

    @classmethod
    def at(cls, seconds: float, strength: float) -> IdleMotion:
        """Return the motion at a time; at time 0 the head is at rest. ``strength``: 0..1."""
        nod, shake, tilt, right, down = (strength * _wave(seconds, *pair) for pair in WAVES)
        turns = (TURNS[0] * nod, TURNS[1] * shake, TURNS[2] * tilt)
        return cls(turns, (SHIFTS[0] * right, SHIFTS[1] * down), _blink(seconds) if strength > 0 else 0.0)

    def move(self, pose: HeadPose, landmarks: Floats) -> tuple[HeadPose, Floats]:
        """Return the pose and the landmarks [468,3] of the moved head."""
        unit = pose.scale
        turn = _rotation(*(math.radians(angle) for angle in self.turns))
        frame = pose.turn / unit
        turn = (frame @ turn @ frame.T).astype(np.float32)
        neck = pose.turn @ NECK + pose.shift
        shift = frame @ np.array([*self.shifts, 0], np.float32) * unit
        moved = (landmarks - neck) @ turn.T + neck + shift
        return HeadPose(turn @ pose.turn, turn @ (pose.shift - neck) + neck + shift), moved.astype(np.float32)


class Lids:
    """Closes the upper lids of a mesh; immutable."""

    def __init__(self, topology: MeshTopology) -> None:
        energy = surface_energy(topology)
        mean = topology.mean_shape
        self._eyes = []
        for eye, brow in ((EYE_IMAGE_LEFT, BROW_IMAGE_LEFT), (EYE_IMAGE_RIGHT, BROW_IMAGE_RIGHT)):
            ring = np.array(eye)
            upper, lower = ring[UPPER_EDGE], ring[LOWER_EDGE]
            centre = mean[ring].mean(0)
            fixed = (np.linalg.norm(mean - centre, axis=1) > LID_REACH) | (mean[:, 1] > centre[1] + 0.01)
            fixed[[*brow, ring[0], ring[8], *lower]] = True
            fixed[upper] = False
            known = np.concatenate([np.flatnonzero(fixed), upper])
            goal = np.vstack([np.zeros((int(fixed.sum()), len(upper))), np.eye(len(upper))])
            self._eyes.append((upper, lower, np.clip(continued(energy, known, goal), 0, 1)))

    def close(self, landmarks: Floats, shut: tuple[float, float]) -> Floats:
        """Return landmarks [468,3] with lids shut by 0..1, at the image's left and right."""
        moved = landmarks.copy()
        for (upper, lower, follow), share in zip(self._eyes, shut, strict=True):
            moved += follow @ (share * LID_WAY * (landmarks[lower] - landmarks[upper]))
        return np.asarray(moved, np.float32)


def _wave(seconds: float, slow: float, fast: float) -> float:
    """Return a smooth value in -1..1, 0 at time 0."""
    return 0.7 * math.sin(2 * math.pi * slow * seconds) + 0.3 * math.sin(2 * math.pi * fast * seconds)


def _blink(seconds: float) -> float:
    """Return how far the eyes are shut, 0..1: one blink at an irregular time of each period."""
    period = math.floor(seconds / BLINK_EVERY)
    # The squares of consecutive numbers times an irrational number are irregular, and evenly spread (Weyl 1916).
    start = BLINK_EVERY * (period + 0.1 + 0.7 * ((period + 1) ** 2 * math.sqrt(2) % 1))
    since = seconds - start
    if since < 0 or since > CLOSING + SHUT + OPENING:
        return 0.0
    share = since / CLOSING if since < CLOSING else (CLOSING + SHUT + OPENING - since) / OPENING
    return smooth_number(share)


def _rotation(x: float, y: float, z: float) -> Floats:
    about_x = [[1, 0, 0], [0, math.cos(x), -math.sin(x)], [0, math.sin(x), math.cos(x)]]
    about_y = [[math.cos(y), 0, math.sin(y)], [0, 1, 0], [-math.sin(y), 0, math.cos(y)]]
    about_z = [[math.cos(z), -math.sin(z), 0], [math.sin(z), math.cos(z), 0], [0, 0, 1]]
    return np.asarray(np.array(about_z) @ np.array(about_y) @ np.array(about_x), np.float32)
