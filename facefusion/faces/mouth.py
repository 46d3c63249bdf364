"""The mouth of a track: its closed shape, its skin while closed, and its teeth, from the best views of a chunk.

Processors that move a mouth read these values; ``mouth_shape`` has the coordinates.
"""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

from facefusion.faces.atlas import AtlasGrid, blur, smooth_step
from facefusion.faces.best_views import Ranking
from facefusion.faces.face import MESH_POINTS, Face, Floats, Values
from facefusion.faces.measurement_types import FaceView, TrackMeasurement, best_of, weighted_mean
from facefusion.faces.mouth_shape import HeadPose, head_pose, in_head, lip_gap, teeth_depth
from facefusion.faces.topology import EYE_IMAGE_LEFT, EYE_IMAGE_RIGHT, INNER_LIPS, MeshTopology, eye_distance

# The part of the atlas with the mouth, the chin and the cheeks beside them: left, top, width, height.
MOUTH_AREA = (0.22, 0.56, 0.56, 0.44)
MOUTH_SIZE = (112, 88)
# The part of the mean shape with the teeth, in eye distances, and its size in texels.
TEETH_AREA = (-0.48, 0.28, 0.96, 0.56)
TEETH_SIZE = (120, 70)
# Colours of teeth are stored as multiples of the colour of the skin; 255 is 5.1 times that colour.
TEETH_SCALE = 50
# The weights of BGR in luma (ITU-R BT.601).
LUMA = np.array([0.114, 0.587, 0.299], np.float32)
# Vertices on cheeks and chin, for the colour of the skin.
SKIN_VERTICES = (205, 425, 50, 280, 207, 427, 187, 411, 199, 200, 208, 428)
# The upper teeth end this far below the upper lip at most.
LONGEST_TOOTH = 0.17
# Margin of a view around the face, as a fraction of it: the mouth is inside the landmarks.
MARGIN = 0.08
# Best opening of a mouth that shows its teeth, in eye distances.
OPEN_GAP = (0.05, 0.16)


def opening_of(landmarks: Floats) -> float:
    """The gap between the lips of landmarks [468,3], in eye distances of the image."""
    return lip_gap(landmarks) / max(eye_distance(landmarks), 1e-3)


def closed_quality(face: Face) -> float:
    """Rank a view by its size and how closed its lips are; a turned face is worse."""
    if len(face.landmarks) != MESH_POINTS:
        return 0.0
    return _clarity(face) * float(np.exp(-opening_of(face.landmarks) / 0.025)) + 1e-6


def open_quality(face: Face) -> float:
    """Rank a view by its size and how well it shows the teeth; 0 for closed lips."""
    if len(face.landmarks) != MESH_POINTS:
        return 0.0
    gap = opening_of(face.landmarks)
    shown = float(np.clip((gap - 0.02) / (OPEN_GAP[0] - 0.02), 0, 1))
    return _clarity(face) * shown * float(np.exp(-max(gap - OPEN_GAP[1], 0) / 0.1)) + 1e-6


def _clarity(face: Face) -> float:
    """Size and score of a face, less for a turned one: the tip of the nose is then beside the middle of the eyes."""
    points = face.landmarks
    across = points[263, :2] - points[33, :2]
    aside = (points[4, :2] - (points[263, :2] + points[33, :2]) / 2) @ across / max(float(across @ across), 1e-3)
    return face.size * face.score * float(np.exp(-((aside / 0.18) ** 2)))


class RestMeter:
    """Measures the closed mouth: the mesh in the coordinates of the mean shape, float32 [468,3]."""

    def __init__(self, topology: MeshTopology) -> None:
        self._topology = topology

    def measure(self, views: Sequence[FaceView]) -> Values:
        shapes = [in_head(head_pose(self._topology, view.landmarks), view.landmarks) for view in views]
        # Views that are clearly more open than the most closed one do not count.
        gaps = np.array([lip_gap(shape) for shape in shapes])
        closed = [shape for shape, gap in zip(shapes, gaps, strict=True) if gap <= gaps.min() + 0.015]
        return np.asarray(np.mean(closed, axis=0), np.float32)


class MouthSkinMeter:
    """Measures the skin around the most closed mouth: uint8 [88,112,3] BGR, MOUTH_AREA of the atlas."""

    def __init__(self, topology: MeshTopology) -> None:
        self._maps = MouthMaps(topology)

    def measure(self, views: Sequence[FaceView]) -> Values:
        view = views[0]
        x, y = self._maps.maps(view.landmarks)
        return view.frame.sample(x, y, float(np.ptp(view.landmarks[:, 1])) / (MOUTH_SIZE[1] / MOUTH_AREA[3]))


class MouthMaps:
    """The position in a frame of each texel of MOUTH_AREA; immutable."""

    def __init__(self, topology: MeshTopology) -> None:
        self._size = round(MOUTH_SIZE[0] / MOUTH_AREA[2])
        self._grid = AtlasGrid(topology, self._size)
        self._x0, self._y0 = round(MOUTH_AREA[0] * self._size), round(MOUTH_AREA[1] * self._size)

    def maps(self, landmarks: Floats) -> tuple[Floats, Floats]:
        """Return x and y of each texel in the frame of landmarks [468,3]: two float32 [88,112]."""
        width, height = MOUTH_SIZE
        part = slice(self._y0, self._y0 + height), slice(self._x0, self._x0 + width)
        x, y = (np.ascontiguousarray(each[part]) for each in self._grid.maps(landmarks))
        return x, y


class TeethMeter:
    """Measures the upper teeth of an open mouth: uint8 [70,120,4], multiples of the skin's BGR, and opacity.

    The texels are TEETH_AREA of the mean shape, seen from the front, behind the upper lip. If the views show no teeth,
    opacity is 0 everywhere, and the multiples are the brightness of the whites of the eyes.
    """

    def __init__(self, topology: MeshTopology) -> None:
        self._topology = topology

    def measure(self, views: Sequence[FaceView]) -> Values:
        best = np.zeros((TEETH_SIZE[1], TEETH_SIZE[0], 4), np.uint8)
        best[..., :3] = round(min(eye_brightness(views[0]), 5) * TEETH_SCALE)
        for view in views:
            teeth = self._teeth(view)
            if float(teeth[..., 3].sum()) > 1.2 * float(best[..., 3].sum()):
                best = teeth
        return best

    def _teeth(self, view: FaceView) -> Values:
        pose = head_pose(self._topology, view.landmarks)
        shape = in_head(pose, view.landmarks)
        ring = shape[list(INNER_LIPS)]
        texels = np.zeros((TEETH_SIZE[1], TEETH_SIZE[0], 4), np.uint8)
        if lip_gap(shape) < 0.03:
            return texels
        x, y = _teeth_grid()
        upper = _upper_lip(ring)
        step = pose.scale * TEETH_AREA[2] / TEETH_SIZE[0]
        colour = view.frame.sample(*in_frame(pose, x, y, teeth_depth(upper, x)), step)
        skin = skin_colour(view)
        inside = _inside(ring)
        if inside.sum() < 30:
            return texels
        tooth = _toothness(colour.astype(np.float32), inside, skin)
        top = np.interp(x[0], upper[:, 0], upper[:, 1])
        tooth *= smooth_step((top[None] + LONGEST_TOOTH - y) / 0.02)
        if float((tooth * inside).sum()) < 0.12 * float(inside.sum()):
            return texels
        ratio = colour / np.maximum(skin, 4)
        texels[..., :3] = np.clip(np.round(ratio * TEETH_SCALE), 0, 255)
        texels[..., 3] = np.round(255 * tooth)
        return _extended_upwards(texels)


def in_frame(pose: HeadPose, x: Floats, y: Floats, depth: Floats) -> tuple[Floats, Floats]:
    """Return the pixels of points x, y, depth [h,w] of the mean shape: two float32 [h,w]."""
    first, second = (
        pose.turn[k, 0] * x + pose.turn[k, 1] * y + (pose.turn[k, 2] * depth + pose.shift[k]) for k in (0, 1)
    )
    return first.astype(np.float32), second.astype(np.float32)


def skin_colour(view: FaceView) -> Floats:
    """Return the colour of cheeks and chin in a view, BGR float32 [3]."""
    points = view.landmarks[list(SKIN_VERTICES), :2].astype(np.float32)
    size = max(float(np.ptp(view.landmarks[:, 1])) / 40, 1.0)
    return np.asarray(np.median(view.frame.sample(points[:, :1], points[:, 1:], size)[:, 0], axis=0), np.float32)


def eye_brightness(view: FaceView) -> float:
    """Return the luma of the whites of the eyes in a view, relative to that of the skin; about 1 for closed eyes."""
    frame, points = view.frame, view.landmarks[:, :2]
    lumas = []
    for ring in (EYE_IMAGE_LEFT, EYE_IMAGE_RIGHT):
        eye = points[list(ring)]
        # Points between the lids, half of the way from the middle to the edge.
        inner = (eye.mean(0) + 0.55 * (eye - eye.mean(0))).astype(np.float32)
        lumas.append(frame.sample(inner[:, :1], inner[:, 1:], 1.0)[:, 0] @ LUMA)
    skin = float(skin_colour(view) @ LUMA)
    return float(np.percentile(np.concatenate(lumas), 85)) / max(skin, 6.0)


def _teeth_grid() -> tuple[Floats, Floats]:
    x0, y0, width, height = TEETH_AREA
    x = x0 + (np.arange(TEETH_SIZE[0], dtype=np.float32) + 0.5) * width / TEETH_SIZE[0]
    y = y0 + (np.arange(TEETH_SIZE[1], dtype=np.float32) + 0.5) * height / TEETH_SIZE[1]
    columns, rows = np.meshgrid(x.astype(np.float32), y.astype(np.float32))
    return columns, rows


def _inside(ring: Floats) -> Floats:
    """1 inside the inner lips, a little away from them: float32 [70,120]."""
    x0, y0, width, _ = TEETH_AREA
    points = (ring[:, :2] - [x0, y0]) * (TEETH_SIZE[0] / width) - 0.5
    mask = np.zeros((TEETH_SIZE[1], TEETH_SIZE[0]), np.uint8)
    cv2.fillPoly(mask, [np.round(points * 16).astype(np.int32)], 1, shift=4)
    return np.asarray(cv2.erode(mask, np.ones((3, 3), np.uint8)), np.float32)


def _upper_lip(ring: Floats) -> Floats:
    return np.vstack([ring[:1], ring[:9:-1]])


def _toothness(colour: Floats, inside: Floats, skin: Floats) -> Floats:
    """Where the inside of a mouth is as light and as colourless as its teeth: float32 [h,w] in 0..1."""
    luma = colour @ LUMA
    redness = (colour[..., 2] - colour[..., 1]) / np.maximum(luma, 8)
    within = inside > 0
    light = float(np.percentile(luma[within], 90))
    skin_luma = float(skin @ LUMA)
    skin_redness = float(skin[2] - skin[1]) / max(skin_luma, 8)
    if light < 0.55 * skin_luma:
        return np.zeros_like(luma)
    bright = within & (luma > 0.7 * light)
    neutral = float(np.percentile(redness[bright], 40))
    if neutral > skin_redness + 0.05:
        return np.zeros_like(luma)
    tooth = smooth_step(np.asarray((luma / light - 0.40) / 0.25, np.float32))
    tooth *= 1 - smooth_step(np.asarray((redness - neutral - 0.10) / 0.12, np.float32))
    return np.asarray(np.minimum(blur(tooth, 0.8), blur(inside, 0.7)), np.float32)


def _extended_upwards(texels: Values) -> Values:
    """Continue each column of teeth upwards to the top: teeth are upright, and gums rarely show."""
    result = texels.copy()
    for column in range(texels.shape[1]):
        solid = np.flatnonzero(texels[:, column, 3] > 150)
        if len(solid):
            first = min(int(solid[0]) + 1, int(solid[-1]))
            result[:first, column] = texels[first, column]
    # The teeth at the sides fade into the dark.
    result[..., 3] = cv2.GaussianBlur(np.ascontiguousarray(result[..., 3]), (0, 0), sigmaX=2.5, sigmaY=0.8)
    return result


CLOSED_VIEWS = Ranking(closed_quality, MARGIN)
OPEN_VIEWS = Ranking(open_quality, MARGIN)

MOUTH_REST = TrackMeasurement(
    'mouth_rest',
    (MESH_POINTS, 3),
    'float32',
    prepare=lambda tools: RestMeter(tools.topology),
    merge=weighted_mean,
    needs_mesh=True,
    ranking=CLOSED_VIEWS,
)
MOUTH_SKIN = TrackMeasurement(
    'mouth_skin',
    (MOUTH_SIZE[1], MOUTH_SIZE[0], 3),
    'uint8',
    prepare=lambda tools: MouthSkinMeter(tools.topology),
    merge=best_of,
    needs_mesh=True,
    ranking=CLOSED_VIEWS,
)
MOUTH_TEETH = TrackMeasurement(
    'mouth_teeth',
    (TEETH_SIZE[1], TEETH_SIZE[0], 4),
    'uint8',
    prepare=lambda tools: TeethMeter(tools.topology),
    merge=best_of,
    needs_mesh=True,
    ranking=OPEN_VIEWS,
)
