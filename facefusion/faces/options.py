"""Options of face detection, landmarks and the face selector."""

from __future__ import annotations

from dataclasses import dataclass
from types import MappingProxyType

from facefusion.options import option

# The models that 'auto' selects from, best first; the last one is embedded.
PREFERENCES = MappingProxyType({'face_detector_model': ('centerface',), 'face_landmarker_model': ('face_mesh',)})
ORDERS = (
    'left-right',
    'right-left',
    'top-bottom',
    'bottom-top',
    'small-large',
    'large-small',
    'best-worst',
    'worst-best',
)


@dataclass(frozen=True, slots=True)
class FaceDetectorOptions:
    """Model, input and lowest score of the face detector."""

    face_detector_model: str = option(
        'text',
        'auto',
        'model that detects faces; auto selects the best one on this machine',
        section='face_detector',
        choices=('auto', 'centerface'),
    )
    face_detector_size: str = option(
        'text',
        '640x640',
        'size to which the frame is shrunk for detection; larger sizes find smaller faces',
        section='face_detector',
        choices=('320x320', '480x480', '512x512', '640x640', '960x960', '1280x1280'),
    )
    face_detector_margin: tuple[int, ...] = option(
        'int',
        (0, 0, 0, 0),
        'space added around the frame to detect faces at its edge: top, right, bottom, left in half percent of a side',
        section='face_detector',
        is_list=True,
        most_items=4,
        minimum=0,
        maximum=100,
    )
    face_detector_angles: tuple[int, ...] = option(
        'int',
        (0,),
        'angles by which the frame is rotated to detect lying and upside-down faces',
        section='face_detector',
        is_list=True,
        choices=(0, 90, 180, 270),
    )
    face_detector_score: float = option(
        'float',
        0.5,
        'lowest score of a detected face',
        section='face_detector',
        minimum=0.0,
        maximum=1.0,
        step=0.05,
    )


@dataclass(frozen=True, slots=True)
class FaceLandmarkerOptions:
    """Model and lowest score of the face landmarker."""

    face_landmarker_model: str = option(
        'text',
        'auto',
        'model that finds the landmarks of a face; auto selects the best one on this machine',
        section='face_landmarker',
        choices=('auto', 'face_mesh'),
    )
    face_landmarker_score: float = option(
        'float',
        0.5,
        'lowest score of a face at its landmarks',
        section='face_landmarker',
        minimum=0.0,
        maximum=1.0,
        step=0.05,
    )


@dataclass(frozen=True, slots=True)
class FaceSelectorOptions:
    """Selection of the faces to process in a frame."""

    face_selector_mode: str = option(
        'text',
        'many',
        'many: process all faces; one: follow a single face, the first in the selected order, as long as it is visible',
        section='face_selector',
        choices=('many', 'one'),
    )
    face_selector_order: str = option(
        'text', 'large-small', 'order of the faces in a frame', section='face_selector', choices=ORDERS
    )
    max_faces: int = option(
        'int',
        64,
        'maximum number of faces processed in a frame, the largest first; the report counts the skipped faces',
        section='face_selector',
        minimum=1,
        maximum=256,
    )


def expand_sides(values: tuple[int, ...]) -> tuple[int, int, int, int]:
    """Return top, right, bottom and left from one to four values, in the order of CSS."""
    if len(values) >= 4:
        return values[0], values[1], values[2], values[3]
    top = values[0]
    right = values[1] if len(values) > 1 else top
    bottom = values[2] if len(values) > 2 else top
    return top, right, bottom, right
