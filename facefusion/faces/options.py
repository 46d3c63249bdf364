"""Options of how faces are found and chosen."""

from __future__ import annotations

from dataclasses import dataclass
from types import MappingProxyType

from facefusion.options import option

# The models that 'auto' takes, best first; the last one is embedded.
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
    """Which detector runs on what, and from which score on a face counts."""

    face_detector_model: str = option(
        'text',
        'auto',
        'model that finds faces; auto takes the best one on this machine',
        section='face_detector',
        choices=('auto', 'centerface'),
    )
    face_detector_size: str = option(
        'text',
        '640x640',
        'the frame is shrunk to fit into this before faces are looked for; larger finds smaller faces',
        section='face_detector',
        choices=('320x320', '480x480', '512x512', '640x640', '960x960', '1280x1280'),
    )
    face_detector_margin: tuple[int, ...] = option(
        'int',
        (0, 0, 0, 0),
        'space added around the frame in half percent of its sides, top right bottom left: finds faces at the edge',
        section='face_detector',
        is_list=True,
        most_items=4,
        minimum=0,
        maximum=100,
    )
    face_detector_angles: tuple[int, ...] = option(
        'int',
        (0,),
        'angles by which the frame is turned to look for lying and upside-down faces',
        section='face_detector',
        is_list=True,
        choices=(0, 90, 180, 270),
    )
    face_detector_score: float = option(
        'float',
        0.5,
        'lowest score of a face that counts',
        section='face_detector',
        minimum=0.0,
        maximum=1.0,
        step=0.05,
    )


@dataclass(frozen=True, slots=True)
class FaceLandmarkerOptions:
    """Which model finds the landmarks of a face, and from which presence on it counts."""

    face_landmarker_model: str = option(
        'text',
        'auto',
        'model that finds the landmarks of a face; auto takes the best one on this machine',
        section='face_landmarker',
        choices=('auto', 'face_mesh'),
    )
    face_landmarker_score: float = option(
        'float',
        0.5,
        'lowest presence of a face at its landmarks that counts',
        section='face_landmarker',
        minimum=0.0,
        maximum=1.0,
        step=0.05,
    )


@dataclass(frozen=True, slots=True)
class FaceSelectorOptions:
    """Which of the faces in a frame are worked on."""

    face_selector_mode: str = option(
        'text',
        'many',
        'many works on all faces, one on the first in the chosen order, and on it for as long as it is seen',
        section='face_selector',
        choices=('many', 'one'),
    )
    face_selector_order: str = option(
        'text', 'large-small', 'order of the faces in a frame', section='face_selector', choices=ORDERS
    )
    max_faces: int = option(
        'int',
        64,
        'most faces of a frame that are worked on, the largest; more are left alone, and the report says how many',
        section='face_selector',
        minimum=1,
        maximum=256,
    )


def expand_sides(values: tuple[int, ...]) -> tuple[int, int, int, int]:
    """Four sides, top right bottom left, from one to four values, as CSS counts them."""
    if len(values) >= 4:
        return values[0], values[1], values[2], values[3]
    top = values[0]
    right = values[1] if len(values) > 1 else top
    bottom = values[2] if len(values) > 2 else top
    return top, right, bottom, right
