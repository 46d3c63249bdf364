"""Render a commanded mouth onto a face of a frame: move the pixels, and paint the inside of the mouth."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from facefusion.faces.atlas import smooth_step
from facefusion.faces.face import Floats, LinkedFace
from facefusion.faces.mouth import SKIN_VERTICES
from facefusion.faces.mouth_shape import HeadPose, head_pose, in_head, lip_gap
from facefusion.faces.skin import LIGHT_SIZE, YCC_TO_BGR, linked_skin, smooth_light
from facefusion.faces.topology import MeshTopology
from facefusion.media.frame import Frame, Window
from facefusion.processors.lip_syncer.mesh_lips.articulation import Articulation, Articulator
from facefusion.processors.lip_syncer.mesh_lips.basis import OUTER_RING, RING
from facefusion.processors.lip_syncer.mesh_lips.cavity import (
    BEHIND,
    coverage,
    head_coordinates,
    inner_lips,
    MouthPainter,
    Teeth,
)
from facefusion.processors.lip_syncer.mesh_lips.warp import MotionField, MouthField, moved_pixels, moved_window
from facefusion.voice.mouth_curves import MouthShape

Pixels = npt.NDArray[np.uint8]

# Lips that are apart in the frame are read this share of their thickness away from their edge, so that no pixels of
# the teeth remain on them.
INSET = 0.30
CORNER_INSET = 0.85
# The last triangles of the topology fill the inside of the mouth.
INNER_TRIANGLES = 18
# Closed lips that were apart get a dark line between them: its width in eye distances, and its depth.
LINE_WIDTH, LINE_DEPTH = 0.011, 0.45


class MouthRenderer:
    """Renders mouths onto faces; immutable, so threads may share it."""

    def __init__(self, topology: MeshTopology) -> None:
        self._topology = topology
        self._articulator = Articulator(topology)
        centres = topology.atlas[topology.triangles].mean(1)
        self._near_mouth = (np.abs(centres[:, 0] - 0.5) < 0.19) & (np.abs(centres[:, 1] - 0.715) < 0.12)
        self._near_mouth[-INNER_TRIANGLES:] = False
        texels = topology.texels(LIGHT_SIZE)[list(SKIN_VERTICES)]
        self._skin_cells = tuple(np.clip(np.round(texels).astype(int), 0, LIGHT_SIZE - 1).T[::-1])

    def render(self, frame: Frame, face: LinkedFace, mouth: MouthShape, fade: float = 1.0) -> bool:
        """Give ``face`` a mouth in ``frame``; return whether anything changed."""
        landmarks = face.landmarks
        pose = head_pose(self._topology, landmarks)
        own = in_head(pose, landmarks)
        neutral = face.values.get('mouth_rest')
        rest = own if neutral is None or not neutral.any() else self._articulator.rest(own, neutral)
        said = self._articulator.speak(rest, mouth)
        after = (landmarks + (said.shape - own) @ pose.turn.T).astype(np.float32)
        window = moved_window(landmarks, after, pose.scale).clipped(frame.width, frame.height)
        if window.is_empty:
            return False
        before = frame.read(window)
        apart = _apart(lip_gap(own))
        field = MotionField(self._topology, landmarks, after, window, pose.scale)
        place = _mouth_place(after, window, pose.scale)
        pixels = moved_pixels(before, field.offset)
        if not place.is_empty:
            source = _inset(landmarks, apart)
            mouth_field = MouthField(self._topology, self._near_mouth, source, after, window, place)
            mouth_field.refine(before, pixels, field.offset)
        if not place.is_empty and said.gap > 0:
            self._paint_inside(pixels, said, pose, face, mouth, window, place)
        elif not place.is_empty:
            _draw_line(pixels, said, pose, window, _line_depth(lip_gap(own)))
        frame.write(window, pixels, before)
        return True

    def _paint_inside(self, pixels, said, pose, face, mouth, window, place) -> None:
        corner = np.array([window.x0 + place.x0, window.y0 + place.y0], np.float32)
        opacity = coverage(inner_lips(said, pose), corner, place.width, place.height)
        sigma = max(0.5, 0.006 * pose.scale)
        opacity = cv2.GaussianBlur(opacity, (0, 0), sigma)
        depth = float(said.lip_line[1:-1, 2].mean()) + BEHIND
        x, y = head_coordinates(pose, depth, corner, place.width, place.height)
        teeth = Teeth.of(face.values.get('mouth_teeth'))
        colour = MouthPainter(said, x, y, self._skin_colour(face)).paint(teeth, mouth.width)
        x0, y0, x1, y1 = place
        part = pixels[y0:y1, x0:x1].astype(np.float32)
        pixels[y0:y1, x0:x1] = np.clip(part + (colour - part) * opacity[..., None] + 0.5, 0, 255).astype(np.uint8)

    def _skin_colour(self, face: LinkedFace) -> Floats:
        """The colour of cheeks and chin, BGR [3]."""
        skin = linked_skin(face.values)
        ycc = np.median(smooth_light(skin.light)[self._skin_cells], axis=0)
        return np.asarray(np.clip(YCC_TO_BGR @ ycc, 1, 255), np.float32)


def _draw_line(pixels: Pixels, said: Articulation, pose: HeadPose, window: Window, depth: float) -> None:
    """Draw the shadow between closed lips."""
    line = inner_lips(said, pose)[:41] - [window.x0, window.y0]
    width = LINE_WIDTH * pose.scale
    margin = 3 * width + 2
    x0, y0 = np.floor(line.min(0) - margin).astype(int).tolist()
    x1, y1 = np.ceil(line.max(0) + margin).astype(int).tolist()
    place = Window(x0, y0, x1, y1).clipped(window.width, window.height)
    if place.is_empty:
        return
    fine = 4
    mask = np.zeros((place.height * fine, place.width * fine), np.uint8)
    points = (line - [place.x0, place.y0] + 0.5) * fine - 0.5
    thick = max(round(width * fine), 1)
    cv2.polylines(mask, [np.round(points * 16).astype(np.int32)], False, 255, thick, cv2.LINE_AA, 4)
    small = np.asarray(cv2.resize(mask, (place.width, place.height), interpolation=cv2.INTER_AREA), np.float32)
    shade = 1 - LINE_DEPTH * depth / 255 * cv2.GaussianBlur(small, (0, 0), max(width * 0.5, 0.5))
    part = pixels[place.y0 : place.y1, place.x0 : place.x1]
    part[:] = np.clip(part * shade[..., None] + 0.5, 0, 255).astype(np.uint8)


def _mouth_place(after: Floats, window: Window, unit: float) -> Window:
    """The mouth in coordinates of the window."""
    lips = after[OUTER_RING, :2] - [window.x0, window.y0]
    x0, y0 = np.floor(lips.min(0) - 0.15 * unit - 2).astype(int).tolist()
    x1, y1 = np.ceil(lips.max(0) + 0.15 * unit + 2).astype(int).tolist()
    return Window(x0, y0, x1, y1).clipped(window.width, window.height)


def _apart(gap: float) -> float:
    """How far lips are apart in a frame: 0 for closed lips, 1 for lips that show teeth."""
    return float(smooth_step(np.array([(gap - 0.03) / 0.04], np.float32))[0])


def _line_depth(gap: float) -> float:
    """Depth 0..1 of the line between closed lips that had a gap: the dark line of closed lips is in the frame itself."""
    return float(np.clip((gap - 0.012) / 0.05, 0, 1))


def _inset(landmarks: Floats, apart: float) -> Floats:
    """Return landmarks whose inner lips lie on solid lip."""
    source = landmarks.copy()
    side = np.abs(np.arange(len(RING)) % 10 - 5) / 5
    share = INSET + (CORNER_INSET - INSET) * side**3
    source[RING] += (apart * share[:, None] * (landmarks[OUTER_RING] - landmarks[RING])).astype(np.float32)
    return source
