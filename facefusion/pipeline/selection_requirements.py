"""The requirements of the face selector: measurements, models and checks, known before a run starts."""

from __future__ import annotations

from pathlib import Path

from facefusion.errors import UsageError
from facefusion.faces.attributes import ATTRIBUTES
from facefusion.faces.attributes import MODEL_ID as CLASSIFIER
from facefusion.faces.identity import identity_name
from facefusion.faces.options import (
    DLIB,
    NO_RECOGNISER,
    FaceDetectorOptions,
    FaceRecognizerOptions,
    FaceSelectorOptions,
    ReferenceFaceOptions,
    filters_people,
    selects_people,
    sizes_of,
)
from facefusion.media.info import MediaInfo, VideoInfo
from facefusion.media.kinds import find_kind
from facefusion.processors.cast import Cast
from facefusion.settings import Settings


def selection_measurements(settings: Settings, target: MediaInfo) -> tuple[str, ...]:
    """Return the names of the measurements that the selector reads.

    A clip is measured even if all its people are processed, because the report names them; ``none`` as recogniser
    turns this off.
    """
    recogniser = recogniser_of(settings)
    names = []
    if recogniser != NO_RECOGNISER and (isinstance(target, VideoInfo) or uses_reference(settings)):
        names.append(identity_name(recogniser))
    if filters_people(settings[FaceSelectorOptions]):
        names.append(ATTRIBUTES.name)
    return tuple(names)


def selection_models(settings: Settings) -> tuple[str, ...]:
    """Return the catalogue ids of the networks that find the reference face and the gender of a source."""
    models = []
    if uses_reference(settings):
        models.append(recogniser_of(settings))
    if filters_people(settings[FaceSelectorOptions]):
        models.append(CLASSIFIER)
    return tuple(models)


def recogniser_of(settings: Settings) -> str:
    """Return the model that tells people apart, or NO_RECOGNISER.

    For callers that have not replaced 'auto' with a model, it is the embedded one if people are selected.
    """
    model = settings[FaceRecognizerOptions].face_recognizer_model
    if model != 'auto':
        return model
    return DLIB if selects_people(settings[FaceSelectorOptions], settings[ReferenceFaceOptions]) else NO_RECOGNISER


def uses_reference(settings: Settings) -> bool:
    """Whether the selector looks for the person of a reference face."""
    return settings[FaceSelectorOptions].face_selector_mode == 'reference'


def check_selection(settings: Settings, target: MediaInfo, cast: Cast) -> None:
    """Raise UsageError for options of the selector that contradict each other or do not suit the target."""
    selector, reference = settings[FaceSelectorOptions], settings[ReferenceFaceOptions]
    start, end = selector.face_selector_age_start, selector.face_selector_age_end
    if start and end and start >= end:
        raise UsageError(
            'age-range',
            f'--face-selector-age-start {start} and --face-selector-age-end {end} leave no age',
            hint='the end must be larger than the start',
        )
    if cast.people is not None and selector.face_selector_mode != 'many':
        raise UsageError(
            'face-map-mode',
            f'--face-map does not work with --face-selector-mode {selector.face_selector_mode}',
            cause='the face map already names the people',
            hint='leave one of the two out',
        )
    if recogniser_of(settings) == NO_RECOGNISER and selects_people(selector, reference):
        raise UsageError(
            'recogniser-missing',
            'people are selected, but --face-recognizer-model is none',
            hint='leave --face-recognizer-model out',
        )
    if reference.reference_face is not None:
        _check_picture(settings, reference.reference_face)
    elif uses_reference(settings):
        _check_frame_number(reference.reference_frame_number, target)


def _check_picture(settings: Settings, path: str) -> None:
    if not uses_reference(settings):
        raise UsageError(
            'reference-mode',
            f'--reference-face {path} is not used',
            cause=f'--face-selector-mode is {settings[FaceSelectorOptions].face_selector_mode}',
            hint='add --face-selector-mode reference',
        )
    kind = find_kind(Path(path))
    if kind.family != 'image':
        raise UsageError(
            'reference-kind',
            f'the reference face {path} is not an image',
            cause=f'its content is {kind.family} ({kind.name})',
            hint='use a jpg, png, webp, bmp or tiff',
        )


def _check_frame_number(number: int, target: MediaInfo) -> None:
    if isinstance(target, VideoInfo) and number >= target.frame_count:
        raise UsageError(
            'reference-frame',
            f'{target.path.name} has no frame {number}, which --reference-frame-number names',
            cause=f'its frames are 0 to {target.frame_count - 1}',
            hint='choose a frame that shows the person; `facefusion faces` lists the frames of each person',
        )


def check_detector_size(options: FaceDetectorOptions) -> None:
    """Raise UsageError detector-size for a size that the detector does not have."""
    sizes = sizes_of(options)
    if options.face_detector_size not in sizes:
        raise UsageError(
            'detector-size',
            f'the detector {options.face_detector_model} has no size {options.face_detector_size}',
            cause=f'its sizes are: {", ".join(sizes)}',
            hint='change --face-detector-size or --face-detector-model',
        )
