"""Close eyes and open mouths in images by moving vertices of the face mesh, for ``picture_variants.py``.

Images are ``uint8 HxWx3 BGR``, landmarks ``float32 [468,3]`` in pixels.
"""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

from facefusion.faces.topology import (
    EYE_IMAGE_LEFT,
    EYE_IMAGE_RIGHT,
    INNER_LIPS,
    OUTER_LIPS,
    MeshTopology,
    eye_distance,
)

Picture = npt.NDArray[np.uint8]
Floats = npt.NDArray[np.float32]

# The image is enlarged until the face is about this high, because the lids of small faces are only a few pixels high.
WORKING_FACE = 420.0
SHIFT = 4


def close_eyes(picture: Picture, landmarks: Floats, topology: MeshTopology, share: float) -> Picture:
    """Move both upper lids down to the lower lids by ``share`` (1: closed)."""
    moved = landmarks.copy()
    for ring in (EYE_IMAGE_LEFT, EYE_IMAGE_RIGHT):
        lower, upper = list(ring[1:8]), list(reversed(ring[9:]))
        # The upper lid ends just above the lower lid, so that the lashes stay visible.
        step = (landmarks[lower, :2] - landmarks[upper, :2]) * share
        moved[upper, :2] += step
        reach = 0.16 * eye_distance(landmarks)
        down = np.array([0.0, 1.0], np.float32) if abs(step.sum()) < 1e-3 else step.sum(0) / np.linalg.norm(step.sum(0))
        middle = landmarks[list(ring), :2].mean(0)
        for vertex in range(len(landmarks)):
            if vertex in ring:
                continue
            gap = np.linalg.norm(landmarks[upper, :2] - landmarks[vertex, :2], axis=1)
            # The skin above the lid stretches; the skin below the eye does not move.
            if float((landmarks[vertex, :2] - middle) @ down) < 0 and float(gap.min()) < reach:
                near = int(gap.argmin())
                moved[vertex, :2] += step[near] * (1 - float(gap[near]) / reach) ** 1.5
    return _moved(picture, landmarks, moved, topology)


def open_mouth(picture: Picture, landmarks: Floats, topology: MeshTopology, gap: float = 0.30) -> Picture:
    """Drop the jaw so that the lips are ``gap`` eye distances farther apart; paint teeth and a dark mouth between."""
    size = eye_distance(landmarks)
    down = _down(landmarks)
    moved = landmarks.copy()
    corners = landmarks[[78, 308], :2].mean(0)
    axis = (landmarks[308, :2] - landmarks[78, :2]) / max(float(np.linalg.norm(landmarks[308] - landmarks[78])), 1.0)
    upper = {*INNER_LIPS[10:], *OUTER_LIPS[10:], INNER_LIPS[0], OUTER_LIPS[0]}
    for vertex in range(len(landmarks)):
        offset = landmarks[vertex, :2] - corners
        below = float(offset @ down) / size
        aside = abs(float(offset @ axis)) / size
        lower_lip = vertex in INNER_LIPS[1:10] or vertex in OUTER_LIPS[1:10]
        if vertex in upper or (below < 0.02 and not lower_lip):
            continue
        weight = np.clip(1 - (aside / (0.42 if lower_lip else 0.95)) ** 2, 0, 1)
        weight *= 1.0 if lower_lip else np.clip(below / 0.12, 0, 1)
        moved[vertex, :2] += down * size * gap * weight
    opened = _moved(picture, landmarks, moved, topology)
    return _paint_mouth(opened, moved, down, size)


def _down(landmarks: Floats) -> Floats:
    step = landmarks[152, :2] - landmarks[10, :2]
    return np.asarray(step / np.linalg.norm(step), np.float32)


def _paint_mouth(picture: Picture, landmarks: Floats, down: Floats, size: float) -> Picture:
    factor = 4
    high, wide = picture.shape[0] * factor, picture.shape[1] * factor
    ring = (landmarks[list(INNER_LIPS), :2] + 0.5) * factor - 0.5
    hole = np.zeros((high, wide), np.uint8)
    cv2.fillPoly(hole, [np.round(ring).astype(np.int32)], 255, lineType=cv2.LINE_AA)
    skin = np.median(picture.reshape(-1, 3), axis=0)
    cavity = np.empty((high, wide, 3), np.float32)
    cavity[:] = np.array([0.10, 0.09, 0.22]) * max(float(skin.max()), 90.0)
    y, x = np.mgrid[0:high, 0:wide].astype(np.float32)
    top = ring[list(range(11, 20))].mean(0)
    depth = ((x - top[0]) * down[0] + (y - top[1]) * down[1]) / (size * factor)
    teeth = np.clip((0.075 - depth) / 0.012, 0, 1)[..., None]
    cavity = cavity * (1 - teeth) + teeth * np.array([150, 172, 180], np.float32)
    tongue = np.clip((depth - 0.20) / 0.03, 0, 1)[..., None]
    cavity = cavity * (1 - tongue) + tongue * np.array([70, 65, 130], np.float32)
    alpha = cv2.GaussianBlur(hole, (0, 0), 0.012 * size * factor).astype(np.float32)[..., None] / 255
    shape = (picture.shape[1], picture.shape[0])
    colour = cv2.resize(cavity * alpha, shape, interpolation=cv2.INTER_AREA)
    cover = cv2.resize(alpha[..., 0], shape, interpolation=cv2.INTER_AREA)[..., None]
    return np.clip(picture * (1 - cover) + colour + 0.5, 0, 255).astype(np.uint8)


def _moved(picture: Picture, landmarks: Floats, moved: Floats, topology: MeshTopology) -> Picture:
    """Warp the image so that every vertex is at ``moved``; the motion fades out around the face."""
    factor = max(1.0, round(WORKING_FACE / max(float(np.ptp(landmarks[:, 1])), 1.0)))
    high, wide = int(picture.shape[0] * factor), int(picture.shape[1] * factor)
    large = cv2.resize(picture, (wide, high), interpolation=cv2.INTER_CUBIC)
    before, after = ((points[:, :2] + 0.5) * factor - 0.5 for points in (landmarks, moved))
    shift, inside = _shift(before, after, topology.triangles, wide, high)
    face = float(np.ptp(after[:, 1]))
    shift = np.where(inside[..., None] > 0.5, shift, _beside(shift, inside, face))
    shift = cv2.GaussianBlur(shift, (0, 0), 0.004 * face)
    y, x = np.mgrid[0:high, 0:wide].astype(np.float32)
    warped = cv2.remap(large, x + shift[..., 0], y + shift[..., 1], cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE)
    small = cv2.resize(warped, (picture.shape[1], picture.shape[0]), interpolation=cv2.INTER_AREA)
    still = np.abs(cv2.resize(shift, (picture.shape[1], picture.shape[0]))).max(-1) < 0.05 * factor
    return np.where(still[..., None], picture, small).astype(np.uint8)


def _beside(shift: Floats, inside: Floats, face: float) -> Floats:
    """Return the motion beyond the face, which fades out over 0.35 face heights; computed at a quarter of the size."""
    high, wide = inside.shape
    small = (max(wide // 4, 1), max(high // 4, 1))
    support = cv2.resize(inside, small, interpolation=cv2.INTER_AREA)
    spread = cv2.resize(shift * inside[..., None], small, interpolation=cv2.INTER_AREA)
    beside = np.zeros_like(spread)
    for sigma in (0.15, 0.06, 0.02):
        near = cv2.GaussianBlur(support, (0, 0), sigma * face / 4)
        step = cv2.GaussianBlur(spread, (0, 0), sigma * face / 4) / np.maximum(near, 1e-3)[..., None]
        beside = np.where((near > 0.02)[..., None], step, beside)
    beside = cv2.resize(beside, (wide, high), interpolation=cv2.INTER_LINEAR)
    distance = cv2.distanceTransform((inside < 0.5).astype(np.uint8), cv2.DIST_L2, 5)
    return np.asarray(beside * np.clip(1 - distance / (0.35 * face), 0, 1)[..., None], np.float32)


def _shift(
    before: Floats, after: Floats, triangles: npt.NDArray[np.int32], wide: int, high: int
) -> tuple[Floats, Floats]:
    """Return the offset from each pixel to its source, float32 [h,w,2], and 1 where the mesh covers the pixel."""
    index = np.full((high, wide), -1, np.int32)
    for number, corners in enumerate(np.round(after[triangles] * (1 << SHIFT)).astype(np.int32)):
        cv2.fillConvexPoly(index, corners, number, lineType=8, shift=SHIFT)
    a, b, c = (after[triangles[:, k]] for k in range(3))
    steps = before[triangles] - after[triangles]
    area = (b[:, 0] - a[:, 0]) * (c[:, 1] - a[:, 1]) - (c[:, 0] - a[:, 0]) * (b[:, 1] - a[:, 1])
    area = np.where(np.abs(area) < 1e-3, 1e-3, area)
    rows, columns = np.nonzero(index >= 0)
    at = index[rows, columns]
    x, y = columns.astype(np.float32), rows.astype(np.float32)
    second = ((x - a[at, 0]) * (c[at, 1] - a[at, 1]) - (c[at, 0] - a[at, 0]) * (y - a[at, 1])) / area[at]
    third = ((b[at, 0] - a[at, 0]) * (y - a[at, 1]) - (x - a[at, 0]) * (b[at, 1] - a[at, 1])) / area[at]
    weights = np.clip(np.stack([1 - second - third, second, third], 1), 0, 1)
    shift = np.zeros((high, wide, 2), np.float32)
    shift[rows, columns] = np.einsum('nk,nkc->nc', weights, steps[at])
    return shift, (index >= 0).astype(np.float32)
