"""Options of face detection, landmarks and the face selector."""

from __future__ import annotations

from dataclasses import dataclass
from types import MappingProxyType

from facefusion.options import option

# The models from which 'auto' selects, best first; the last model of each tuple is embedded.
PREFERENCES = MappingProxyType({'face_detector_model': ('centerface',), 'face_landmarker_model': ('face_mesh',)})
# Catalogue ids of the networks behind each choice.
DETECTOR_MODELS = MappingProxyType(
    {
        'centerface': ('centerface',),
        'many': ('retinaface_10g', 'scrfd_2.5g', 'yoloface_8n'),
        'retinaface': ('retinaface_10g',),
        'scrfd': ('scrfd_2.5g',),
        'yolo_face': ('yoloface_8n',),
        'yunet': ('yunet_2023_mar',),
    }
)
LANDMARKER_MODELS = MappingProxyType(
    {
        'face_mesh': ('face_mesh',),
        'many': ('2dfan4', 'peppa_wutz', 'fan_68_5'),
        '2dfan4': ('2dfan4', 'fan_68_5'),
        'peppa_wutz': ('peppa_wutz', 'fan_68_5'),
    }
)
_SMALL, _LARGE = ('160x160', '320x320', '480x480', '512x512', '640x640'), ('960x960', '1280x1280')
DETECTOR_SIZES = (*_SMALL, *_LARGE)
_SIZES = MappingProxyType(
    {
        'centerface': (*_SMALL[1:], *_LARGE),
        'many': ('640x640',),
        'retinaface': _SMALL,
        'scrfd': _SMALL,
        'yolo_face': ('640x640',),
        'yunet': ('640x640',),
    }
)
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
        'model that detects faces; many: retinaface, scrfd and yolo_face together',
        section='face_detector',
        choices=('auto', 'centerface', 'many', 'retinaface', 'scrfd', 'yolo_face', 'yunet'),
    )
    face_detector_size: str = option(
        'text',
        '640x640',
        'size to which the frame is shrunk for detection; larger sizes find smaller faces; '
        'some models have a fixed size',
        section='face_detector',
        choices=DETECTOR_SIZES,
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
        'angles by which the frame is rotated to detect sideways and upside-down faces',
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
        'model that finds the landmarks of a face; many: the better one of 2dfan4 and peppa_wutz',
        section='face_landmarker',
        choices=('auto', 'face_mesh', 'many', '2dfan4', 'peppa_wutz'),
    )
    face_landmarker_score: float = option(
        'float',
        0.5,
        'lowest landmarker score of a face',
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


def detector_models(options: FaceDetectorOptions) -> tuple[str, ...]:
    """Return the catalogue ids of the networks of the selected detector."""
    return DETECTOR_MODELS[_frozen('face_detector_model', options.face_detector_model)]


def landmarker_models(options: FaceLandmarkerOptions) -> tuple[str, ...]:
    """Return the catalogue ids of the networks of the selected landmarker."""
    return LANDMARKER_MODELS[_frozen('face_landmarker_model', options.face_landmarker_model)]


def sizes_of(options: FaceDetectorOptions) -> tuple[str, ...]:
    """Return the sizes of the selected detector."""
    return _SIZES[_frozen('face_detector_model', options.face_detector_model)]


def _frozen(option_key: str, chosen: str) -> str:
    """Return the embedded model for 'auto', for callers that have not replaced 'auto' with a model."""
    return PREFERENCES[option_key][-1] if chosen == 'auto' else chosen
