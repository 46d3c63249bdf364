"""Alignment of a face to the template that a network was trained on.

Templates are five points (eye at image left, eye at image right, nose tip, mouth corner at image left, mouth corner at
image right) as fractions of the crop. ArcFace templates: InsightFace; ffhq_512: facexlib; the others: FaceFusion 3.8
(peer-models.md section 3).
"""

from __future__ import annotations

from types import MappingProxyType
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from facefusion.faces.face import Floats
from facefusion.media.frame import Frame, Window
from facefusion.media.planes import Pixels

Matrix = npt.NDArray[np.float64]

TEMPLATES = MappingProxyType(
    {
        'arcface_112_v1': (
            (0.35473214, 0.45658929),
            (0.64526786, 0.45658929),
            (0.50000000, 0.61154464),
            (0.37913393, 0.77687500),
            (0.62086607, 0.77687500),
        ),
        'arcface_112_v2': (
            (0.34191607, 0.46157411),
            (0.65653393, 0.45983393),
            (0.50022500, 0.64050536),
            (0.37097589, 0.82469196),
            (0.63151696, 0.82325089),
        ),
        'arcface_128': (
            (0.36167656, 0.40387734),
            (0.63696719, 0.40235469),
            (0.50019687, 0.56044219),
            (0.38710391, 0.72160547),
            (0.61507734, 0.72034453),
        ),
        'dfl_whole_face': (
            (0.35342266, 0.39285716),
            (0.62797622, 0.39285716),
            (0.48660713, 0.54017860),
            (0.38839287, 0.68750011),
            (0.59821427, 0.68750011),
        ),
        'ffhq_512': (
            (0.37691676, 0.46864664),
            (0.62285697, 0.46912813),
            (0.50123859, 0.61331904),
            (0.39308822, 0.72541100),
            (0.61150205, 0.72490465),
        ),
        'mtcnn_512': (
            (0.36562865, 0.46733799),
            (0.63305391, 0.46585885),
            (0.50019127, 0.61942959),
            (0.39032951, 0.77598822),
            (0.61178945, 0.77476328),
        ),
        'styleganex_384': (
            (0.42353745, 0.52289879),
            (0.57725008, 0.52319972),
            (0.50123859, 0.61331904),
            (0.43364461, 0.68337652),
            (0.57015325, 0.68306005),
        ),
    }
)
# The threshold is in crop pixels. In crops of up to 512 pixels RANSAC keeps all five points; in larger crops it
# discards points of profiles and open mouths, which moves the crop by up to 32 pixels (real-models.md section 1).
_RANSAC_THRESHOLD = 100
# A lower opacity changes no 8-bit value.
LEAST_OPACITY = 1 / 255


def template_matrix(points: npt.NDArray[np.floating], template: str, size: int) -> Matrix:
    """Return the similarity float64 [2,3] from frame pixels to the crop; ``points`` are [5,2] in frame pixels."""
    goal = np.array(TEMPLATES[template]) * size
    found: Any = cv2.estimateAffinePartial2D(
        np.ascontiguousarray(points), goal, method=cv2.RANSAC, ransacReprojThreshold=_RANSAC_THRESHOLD
    )
    matrix = found[0]
    if matrix is None:
        # No similarity fits five equal points, so the crop shows the surroundings of the first point unscaled.
        matrix = np.array([[1.0, 0, size / 2 - points[0][0]], [0, 1.0, size / 2 - points[0][1]]])
    return np.asarray(matrix, np.float64)


def resized_matrix(matrix: Matrix, factor: float) -> Matrix:
    """Return the matrix to a crop after the crop was resized by ``factor``; integer coordinates are pixel centres."""
    resized = matrix * factor
    resized[:, 2] += (factor - 1) / 2
    return resized


def crop_frame(
    frame: Frame,
    matrix: Matrix,
    size: tuple[int, int],
    border: int = cv2.BORDER_REPLICATE,
    interpolation: int = cv2.INTER_LINEAR,
) -> Pixels:
    """Return the crop uint8 HxWx3 BGR that ``matrix`` maps from frame pixels; ``size`` is its width and height.

    The default is linear interpolation without a filter, as in the training of the published networks. The result
    equals a warp of the whole frame, but only the part under the crop is converted to BGR.
    """
    window = crop_window(frame, matrix, size)
    shifted = matrix.copy()
    shifted[:, 2] += matrix[:, :2] @ np.array([window.x0, window.y0])
    crop = cv2.warpAffine(frame.read(window), shifted, size, flags=interpolation, borderMode=border)
    return np.asarray(crop, np.uint8)


def crop_window(frame: Frame, matrix: Matrix, size: tuple[int, int]) -> Window:
    """Return the window of the frame whose pixels ``crop_frame`` uses."""
    width, height = size
    back = cv2.invertAffineTransform(matrix)
    corners = np.array([[0, 0], [width, 0], [width, height], [0, height]]) @ back[:, :2].T + back[:, 2]
    low, high = np.floor(corners.min(0)).astype(int) - 2, np.ceil(corners.max(0)).astype(int) + 3
    return _inside(Window(int(low[0]), int(low[1]), int(high[0]), int(high[1])), frame)


def _inside(window: Window, frame: Frame) -> Window:
    """Clip a window to the frame; a window outside the frame becomes the nearest pixels."""
    x0 = min(max(window.x0, 0), frame.width - 1)
    y0 = min(max(window.y0, 0), frame.height - 1)
    return Window(x0, y0, min(max(window.x1, x0 + 1), frame.width), min(max(window.y1, y0 + 1), frame.height))


def blend_crop(
    frame: Frame, crop: npt.NDArray[np.floating] | Pixels, mask: Floats, matrix: Matrix, share: float = 1.0
) -> bool:
    """Paste a crop into the frame with the opacity ``mask``; return whether the crop is visible in the frame.

    crop: HxWx3 BGR in 0..255, of any dtype. mask: float32 HxW in 0..1. matrix: from frame pixels to the crop. share:
    the weight of the result, 0..1, against the frame before. Only the window under the crop is read and written.
    """
    under = _under_crop(frame, matrix, mask.shape)
    if under is None:
        return False
    window, back = under
    size = (window.width, window.height)
    opacity = np.clip(cv2.warpAffine(mask, back, size), 0, 1)[..., None]
    if share * float(opacity.max()) < LEAST_OPACITY:
        return False
    colours = cv2.warpAffine(crop, back, size, borderMode=cv2.BORDER_REPLICATE)
    before = frame.read(window)
    blended = (before * (1 - opacity) + colours * opacity).astype(np.uint8)
    if share < 1:
        blended = np.asarray(cv2.addWeighted(before, 1 - share, blended, share, 0), np.uint8)
    frame.write(window, blended, before)
    return True


def add_crop(frame: Frame, difference: Floats, matrix: Matrix) -> bool:
    """Add a crop of differences to the frame; return whether any pixel changed.

    difference: float32 HxWx3 BGR in levels of 255, 0 at its border. matrix: from frame pixels to the crop.
    """
    under = _under_crop(frame, matrix, difference.shape)
    if under is None:
        return False
    window, back = under
    before = frame.read(window)
    added = cv2.warpAffine(difference, back, (window.width, window.height))
    result = np.clip(np.rint(before + added), 0, 255).astype(np.uint8)
    if np.array_equal(result, before):
        return False
    frame.write(window, result, before)
    return True


def _under_crop(frame: Frame, matrix: Matrix, shape: tuple[int, ...]) -> tuple[Window, Matrix] | None:
    """Return the window of the frame under a crop HxW, and the matrix from the crop to the window; None outside."""
    height, width = shape[:2]
    back = cv2.invertAffineTransform(matrix)
    corners = np.array([[0, 0], [width, 0], [width, height], [0, height]]) @ back[:, :2].T + back[:, 2]
    low, high = np.floor(corners.min(0)).astype(int), np.ceil(corners.max(0)).astype(int)
    window = Window(int(low[0]), int(low[1]), int(high[0]), int(high[1])).clipped(frame.width, frame.height)
    if window.is_empty:
        return None
    back[:, 2] -= (window.x0, window.y0)
    return window, np.asarray(back, np.float64)
