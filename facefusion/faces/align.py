"""The fixed crop of a face that a recogniser was trained on."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from facefusion.faces.face import Floats
from facefusion.faces.landmarks.subsets import sixty_eight_points
from facefusion.faces.similarity import fit_similarity

# Mean positions of points 27 to 54 and 60 to 64 (of 68) in dlib's face chips, as fractions of the chip without
# padding (dlib, image_transforms/interpolation.h, get_face_chip_details). dlib excludes the brows and the lower lip,
# which move most.
_DLIB_USED = (*range(27, 55), *range(60, 65))
_DLIB_X = (
    *(0.490127, 0.490127, 0.490127, 0.490127, 0.36688, 0.426036, 0.490127, 0.554217, 0.613373),
    *(0.121737, 0.187122, 0.265825, 0.334606, 0.260918, 0.182743),
    *(0.645647, 0.714428, 0.793132, 0.858516, 0.79751, 0.719335),
    *(0.254149, 0.340985, 0.428858, 0.490127, 0.551395, 0.639268, 0.726104),
    *(0.290379, 0.428096, 0.490127, 0.552157, 0.689874),
)
_DLIB_Y = (
    *(0.203352, 0.307009, 0.409805, 0.515625, 0.587326, 0.609345, 0.628106, 0.609345, 0.587326),
    *(0.216423, 0.178758, 0.179852, 0.231733, 0.245099, 0.244077),
    *(0.231733, 0.179852, 0.178758, 0.216423, 0.244077, 0.245099),
    *(0.780233, 0.745405, 0.727388, 0.742578, 0.727388, 0.745405, 0.780233),
    *(0.784792, 0.778746, 0.785343, 0.778746, 0.784792),
)
_DLIB_PADDING = 0.25


def dlib_chip_matrix(landmarks: Floats, size: int) -> npt.NDArray[np.float64]:
    """The transform float64 [2,3] from frame pixels to dlib's face chip of ``size``, from landmarks [468,3]."""
    goal = (np.stack([_DLIB_X, _DLIB_Y], 1) + _DLIB_PADDING) / (1 + 2 * _DLIB_PADDING) * size
    return fit_similarity(sixty_eight_points(landmarks)[list(_DLIB_USED)], goal.astype(np.float32))
