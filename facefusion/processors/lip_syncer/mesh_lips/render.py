"""Render a commanded mouth onto a face of a frame: move the pixels, and paint the inside of the mouth."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from facefusion.faces.atlas import smooth_step
from facefusion.faces.face import Floats, LinkedFace
from facefusion.faces.mouth_shape import HeadPose, head_pose, in_head, lip_gap
from facefusion.faces.skin import YCC_TO_BGR, linked_skin
from facefusion.faces.topology import MeshTopology
from facefusion.media.frame import Frame, Window
from facefusion.processors.lip_syncer.mesh_lips.articulation import Articulation, Articulator
from facefusion.processors.lip_syncer.mesh_lips.basis import OUTER_RING, RING
from facefusion.processors.lip_syncer.mesh_lips.cavity import (
    BEHIND,
    coverage,
    head_coordinates,
    inner_lips,
    paint_cavity,
)
from facefusion.processors.lip_syncer.mesh_lips.warp import MotionField, MouthField, moved_pixels, moved_window
from facefusion.voice.mouth_curves import MouthShape

# Lips that are apart in the frame are read this share of their thickness away from their edge, so that no pixels of
# the teeth remain on them.
INSET = 0.30


class MouthRenderer:
    """Renders mouths onto faces; immutable, so threads may share it."""

    def __init__(self, topology: MeshTopology) -> None:
        self._topology = topology
        self._articulator = Articulator(topology)
        centres = topology.atlas[topology.triangles].mean(1)
        self._near_mouth = (np.abs(centres[:, 0] - 0.5) < 0.19) & (np.abs(centres[:, 1] - 0.715) < 0.12)

    def render(self, frame: Frame, face: LinkedFace, mouth: MouthShape, fade: float = 1.0) -> bool:
        """Give ``face`` a mouth in ``frame``; return whether anything changed."""
        landmarks = face.landmarks
        pose = head_pose(self._topology, landmarks)
        own = in_head(pose, landmarks)
        rest = own
        said = self._articulator.speak(rest, mouth)
        after = (landmarks + (said.shape - own) @ pose.turn.T).astype(np.float32)
        window = moved_window(landmarks, after, pose.scale).clipped(frame.width, frame.height)
        if window.is_empty:
            return False
        before = frame.read(window)
        field = MotionField(self._topology, landmarks, after, window, pose.scale)
        place = _mouth_place(after, window, pose.scale)
        if not place.is_empty:
            source = _inset(landmarks, lip_gap(own))
            field.refine(MouthField(self._topology, self._near_mouth, source, after, window, place))
        pixels = moved_pixels(before, field.offset)
        if not place.is_empty and said.gap > 0:
            self._paint_inside(pixels, said, pose, _skin_colour(face), mouth, window, place)
        frame.write(window, pixels, before)
        return True

    def _paint_inside(self, pixels, said, pose, skin, mouth, window, place) -> None:
        corner = np.array([window.x0 + place.x0, window.y0 + place.y0], np.float32)
        opacity = coverage(inner_lips(said, pose), corner, place.width, place.height)
        sigma = max(0.5, 0.006 * pose.scale)
        opacity = cv2.GaussianBlur(opacity, (0, 0), sigma)
        depth = float(said.lip_line[1:-1, 2].mean()) + BEHIND
        x, y = head_coordinates(pose, depth, corner, place.width, place.height)
        colour = paint_cavity(said, x, y, skin, mouth.width)
        x0, y0, x1, y1 = place
        part = pixels[y0:y1, x0:x1].astype(np.float32)
        pixels[y0:y1, x0:x1] = np.clip(part + (colour - part) * opacity[..., None] + 0.5, 0, 255).astype(np.uint8)


def _mouth_place(after: Floats, window: Window, unit: float) -> Window:
    """The mouth in coordinates of the window."""
    lips = after[OUTER_RING, :2] - [window.x0, window.y0]
    x0, y0 = np.floor(lips.min(0) - 0.08 * unit - 2).astype(int).tolist()
    x1, y1 = np.ceil(lips.max(0) + 0.08 * unit + 2).astype(int).tolist()
    return Window(x0, y0, x1, y1).clipped(window.width, window.height)


def _inset(landmarks: Floats, gap: float) -> Floats:
    share = INSET * float(smooth_step(np.array([(gap - 0.03) / 0.04], np.float32))[0])
    source = landmarks.copy()
    source[RING] += np.float32(share) * (landmarks[OUTER_RING] - landmarks[RING])
    return source


def _skin_colour(face: LinkedFace) -> Floats:
    """The mean colour of the skin around the mouth, BGR [3]."""
    skin = linked_skin(face.values)
    light = skin.light[16:31, 8:24].reshape(-1, 4).sum(0)
    ycc = light[:3] / max(float(light[3]), 1e-3)
    return np.asarray(np.clip(YCC_TO_BGR @ ycc, 1, 255), np.float32)
