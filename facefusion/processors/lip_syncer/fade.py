"""The opacity of a changed mouth: it fades to the target's own mouth where the face leaves or turns away.

A mouth that changed from one frame to the next would jump, so the frames before and after a face is lost are blended.
All values are pure functions of the linked faces around a frame.
"""

from __future__ import annotations

from math import atan2, degrees

import cv2
import numpy as np

from facefusion.faces.atlas import smooth_step
from facefusion.faces.face import MESH_POINTS, Floats, LinkedFace
from facefusion.faces.landmarks.subsets import five_points
from facefusion.faces.shots import THUMBNAIL, compare_frames
from facefusion.media.frame import Frame
from facefusion.processors.lip_syncer.models import FADE_FRAMES
from facefusion.processors.processor import FrameTask

# Degrees between the face and the camera: below the first angle, the mouth is fully changed; from the second one on, it
# is not changed. The published networks were trained on speakers who face the camera.
_FACING, _TURNED = 45.0, 65.0
# Shares of the mouth that is visible: below the first one, the mouth is not changed; from the second one on, fully.
_HIDDEN, _VISIBLE = 0.35, 0.7
# Vertices at the image's left, right, top and bottom of a frontal face.
_SIDES, _ENDS = (234, 454), (10, 152)


def presence(task: FrameTask, face: LinkedFace) -> float:
    """Return the opacity 0..1 of a changed mouth of one of ``task.faces``.

    It falls to 0 in the last frames before a track begins or ends inside a shot, and as the face turns away from the
    camera. The processor must require at least ``FADE_FRAMES`` neighbours; without neighbours, tracks have no ends.
    """
    return min(_over_time(task, face), facing(face.landmarks))


def facing(landmarks: Floats) -> float:
    """Return 1 for landmarks [468,3] or [80,3] of a face that looks at the camera, and 0 for a profile."""
    return 1 - _step((degrees_turned(landmarks) - _FACING) / (_TURNED - _FACING))


def visible(mask: Floats, mouth: Floats) -> float:
    """Return the opacity 0..1 of a changed mouth under a mask: 0 if most of the mouth is masked.

    mask: float32 [S,S] in 0..1. mouth: points float32 [n,2] around the mouth in pixels of the mask.
    """
    hull = np.zeros(mask.shape, np.uint8)
    cv2.fillConvexPoly(hull, cv2.convexHull(np.round(mouth).astype(np.int32)), (1,))
    share = float(mask[hull > 0].mean()) if hull.any() else 0.0
    return _step((share - _HIDDEN) / (_VISIBLE - _HIDDEN))


def degrees_turned(landmarks: Floats) -> float:
    """Return the degrees between the direction of a face and the camera: about 0 is frontal, 90 a profile.

    Of a mesh, the direction is perpendicular to the lines between the sides and between the ends of the face. Of five
    points, only the turn to the side is known: the nose tip is about half an eye distance in front of the eyes.
    """
    if len(landmarks) == MESH_POINTS:
        across = landmarks[_SIDES[1]] - landmarks[_SIDES[0]]
        down = landmarks[_ENDS[1]] - landmarks[_ENDS[0]]
        direction = np.cross(across.astype(np.float64), down.astype(np.float64))
        return degrees(atan2(float(np.hypot(*direction[:2])), float(direction[2])))
    left, right, nose, *corners = five_points(landmarks).astype(np.float64)
    eyes = (left + right) / 2
    down = (corners[0] + corners[1]) / 2 - eyes
    aside = np.array([down[1], -down[0]])
    return degrees(atan2(2 * abs(float((nose - eyes) @ aside)), abs(float((right - left) @ aside))))


def _over_time(task: FrameTask, face: LinkedFace) -> float:
    """Return the opacity by the distance to the nearest frame of the shot in which the face is missing."""
    nearest = min(_frames_until_missing(task, face, step) for step in (-1, 1))
    return _step(nearest / (FADE_FRAMES + 1))


def _frames_until_missing(task: FrameTask, face: LinkedFace, step: int) -> int:
    """Return the distance to the nearest frame without the face in one direction, at most FADE_FRAMES + 1."""
    middle = len(task.neighbours) // 2
    for distance in range(1, min(middle, FADE_FRAMES) + 1):
        index = middle + step * distance
        # At the ends of a clip, copies of the end frame replace missing neighbours.
        if task.neighbours[index].number != task.neighbours[middle].number + step * distance:
            break
        if all(other.track != face.track for other in task.neighbour_faces[index]):
            return FADE_FRAMES + 1 if _is_cut(task.neighbours[index - step], task.neighbours[index]) else distance
    return FADE_FRAMES + 1


def _is_cut(before: Frame, after: Frame) -> bool:
    return compare_frames(before.luma_thumbnail(*THUMBNAIL), after.luma_thumbnail(*THUMBNAIL)).is_cut


def _step(share: float) -> float:
    return float(smooth_step(np.array(share, np.float32)))
