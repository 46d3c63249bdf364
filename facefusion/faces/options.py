"""Options of face detection, landmarks and the face selector."""

from __future__ import annotations

from dataclasses import dataclass
from types import MappingProxyType

from facefusion.options import option

# The models from which 'auto' selects, best first; the last model of each tuple is embedded.
PREFERENCES = MappingProxyType({'face_detector_model': ('centerface',), 'face_landmarker_model': ('face_mesh',)})
ARCFACE, DLIB, NO_RECOGNISER = 'arcface_w600k_r50', 'dlib_face_resnet', 'none'
# The networks that tell people apart; only runs that select people require one.
RECOGNISERS = (ARCFACE, DLIB)
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
        'many: process all faces; one: follow a single face, the first in the selected order, as long as it is '
        'visible; reference: process the person of --reference-face or of the reference frame',
        section='face_selector',
        choices=('many', 'one', 'reference'),
    )
    face_selector_order: str = option(
        'text', 'large-small', 'order of the faces in a frame', section='face_selector', choices=ORDERS
    )
    face_selector_gender: str | None = option(
        'text',
        None,
        'process only people of this gender; auto: that of the largest source face',
        section='face_selector',
        choices=('auto', 'female', 'male'),
    )
    face_selector_age_start: int | None = option(
        'int',
        None,
        'process only people of at least this age in years',
        section='face_selector',
        minimum=0,
        maximum=100,
    )
    face_selector_age_end: int | None = option(
        'int',
        None,
        'process only people younger than this age in years',
        section='face_selector',
        minimum=0,
        maximum=100,
    )
    max_faces: int = option(
        'int',
        64,
        'maximum number of faces processed in a frame, the largest first; the report counts the skipped faces',
        section='face_selector',
        minimum=1,
        maximum=256,
    )


@dataclass(frozen=True, slots=True)
class ReferenceFaceOptions:
    """The person that the mode ``reference`` selects, and the sources of each person."""

    reference_face: str | None = option(
        'path',
        None,
        'image of the person to process, instead of a face in the target, with --face-selector-mode reference',
        section='face_selector',
        metavar='IMAGE',
    )
    reference_face_position: int = option(
        'int',
        0,
        'position of the reference face among the selected faces of the reference frame, in their order',
        section='face_selector',
        minimum=0,
    )
    reference_frame_number: int = option(
        'int', 0, 'frame of the target that shows the reference face', section='face_selector', minimum=0
    )
    reference_face_distance: float = option(
        'float',
        0.3,
        'largest distance between the reference face and a face of the same person; larger values accept more people',
        section='face_selector',
        minimum=0.0,
        maximum=1.0,
        step=0.05,
    )
    face_map: str | None = option(
        'text',
        None,
        'sources of each person, such as "a.jpg=0,b.jpg+c.jpg=2,voice.mp3=2"; the numbers are those of '
        '`facefusion faces TARGET`, and other people stay unchanged',
        section='face_selector',
        metavar='MAP',
    )


@dataclass(frozen=True, slots=True)
class FaceTrackerOptions:
    """Joining of the faces of neighbouring frames."""

    face_tracker_score: float = option(
        'float',
        0.0,
        'smallest overlap of a face with itself a few frames later; 0: the value of this program (0.4)',
        section='face_tracker',
        minimum=0.0,
        maximum=0.5,
        step=0.05,
    )


@dataclass(frozen=True, slots=True)
class FaceRecognizerOptions:
    """The network that tells people apart."""

    face_recognizer_model: str = option(
        'text',
        'auto',
        'model that tells people apart; auto: the best one on this machine; none: the report has no people',
        section='face_recognizer',
        choices=('auto', *RECOGNISERS, NO_RECOGNISER),
    )


def expand_sides(values: tuple[int, ...]) -> tuple[int, int, int, int]:
    """Return top, right, bottom and left from one to four values, in the order of CSS."""
    if len(values) >= 4:
        return values[0], values[1], values[2], values[3]
    top = values[0]
    right = values[1] if len(values) > 1 else top
    bottom = values[2] if len(values) > 2 else top
    return top, right, bottom, right


def filters_people(options: FaceSelectorOptions) -> bool:
    """Whether people are selected by gender or age; as in FaceFusion 3.8, an age of 0 is no limit."""
    return bool(options.face_selector_gender or options.face_selector_age_start or options.face_selector_age_end)


def selects_people(selector: FaceSelectorOptions, reference: ReferenceFaceOptions) -> bool:
    """Whether the selection needs to know which faces are of one person."""
    return selector.face_selector_mode == 'reference' or reference.face_map is not None or filters_people(selector)


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
