"""The selected people of a run, as far as they are known before its target is analysed.

The reference face is found in one frame of the target or in an image; the gender ``auto`` is that of a source face.
"""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

import numpy as np

from facefusion.errors import MediaError, NoFaceError
from facefusion.events import Message
from facefusion.faces.analyser import FaceFinder
from facefusion.faces.attributes import AGES, GENDERS, classify, gender_of
from facefusion.faces.attributes import MODEL_ID as CLASSIFIER
from facefusion.faces.face import Face
from facefusion.faces.options import (
    FaceSelectorOptions,
    ReferenceFaceOptions,
    filters_people,
)
from facefusion.faces.recognisers import KINDS, make_recogniser
from facefusion.faces.select import order_faces
from facefusion.media.frame import Frame
from facefusion.media.image import read_image
from facefusion.media.info import VideoInfo
from facefusion.media.kinds import images_of
from facefusion.media.sources import open_frames
from facefusion.pipeline.context import RunContext
from facefusion.pipeline.selection import AttributeFilter, Wanted
from facefusion.pipeline.selection_requirements import recogniser_of, uses_reference

_ORIGIN = 'face_selector'


def find_wanted(context: RunContext, analyser: FaceFinder) -> Wanted:
    """Return the people to process. Raises NoFaceError, MediaError, ModelError, ProviderError."""
    settings, plan = context.settings, context.plan
    if not plan.requirements.faces:
        return Wanted(settings[FaceSelectorOptions])
    selector, reference = settings[FaceSelectorOptions], settings[ReferenceFaceOptions]
    found = _find_filter(context, analyser, selector)
    embedding = None
    if uses_reference(settings):
        frame, place = _reference_frame(context, reference)
        face = _reference_face(context, analyser, frame, place, found)
        recogniser = make_recogniser(recogniser_of(settings), context.sessions)
        embedding = recogniser.embed(frame, face.landmarks)
    return Wanted(
        options=selector,
        cast=plan.cast,
        kind=KINDS.get(recogniser_of(settings)),
        reference=embedding,
        limit=reference.reference_face_distance,
        filter=found,
    )


def _find_filter(context: RunContext, analyser: FaceFinder, options: FaceSelectorOptions) -> AttributeFilter:
    start, end = options.face_selector_age_start or 0, options.face_selector_age_end or AGES[-1].stop
    ages = (start, end) if options.face_selector_age_start or options.face_selector_age_end else None
    gender = options.face_selector_gender
    if gender == 'auto':
        return AttributeFilter(_source_gender(context, analyser), ages)
    return AttributeFilter(GENDERS.index(gender) if gender is not None else None, ages)


def _source_gender(context: RunContext, analyser: FaceFinder) -> int | None:
    """Return the gender of the largest face of all sources; None, with a warning, without a face."""
    best: tuple[Frame, Face] | None = None
    for path in images_of(context.plan.sources):
        image = read_image(path)
        for found in analyser.find(image):
            if best is None or found.size > best[1].size:
                best = image, found
    if best is None:
        text = '--face-selector-gender auto has no effect: no source shows a face'
        context.emit(Message('warn', _ORIGIN, text))
        return None
    frame, face = best
    gender = gender_of(classify(context.sessions.session(CLASSIFIER), frame, face.landmarks))
    context.emit(Message('info', _ORIGIN, f'gender of the source face: {GENDERS[gender]}'))
    return gender


def _reference_frame(context: RunContext, options: ReferenceFaceOptions) -> tuple[Frame, str]:
    """Return the frame with the reference face, and its name for messages. Raises MediaError."""
    if options.reference_face is not None:
        return read_image(Path(options.reference_face), context.emit), options.reference_face
    target = context.plan.target
    # An image has only frame 0.
    number = options.reference_frame_number if isinstance(target, VideoInfo) else 0
    source = open_frames(target, 1, context.flag)
    try:
        with closing(source.frames(number, number + 1)) as frames:
            for frame in frames:
                return frame, f'frame {number} of {target.path.name}'
    finally:
        source.close()
    raise MediaError(
        'frame-undecodable',
        f'frame {number} of {target.path.name} cannot be decoded, and --reference-frame-number names it',
        hint='choose another frame that shows the person',
    )


def _reference_face(
    context: RunContext, analyser: FaceFinder, frame: Frame, place: str, filter_: AttributeFilter
) -> Face:
    """Return the reference face: the largest of an image, or the one at the position in the reference frame."""
    options, selector = context.settings[ReferenceFaceOptions], context.settings[FaceSelectorOptions]
    faces = analyser.find(frame)
    if not faces:
        raise NoFaceError(
            'reference-no-face',
            f'no face was found in {place}, which should show the reference face',
            hint='choose another frame with --reference-frame-number (`facefusion faces TARGET` lists the frames of '
            'each person), or an image of the person with --reference-face',
        )
    if options.reference_face is not None:
        if len(faces) > 1:
            text = f'{place} shows {len(faces)} faces: the largest is the reference'
            context.emit(Message('info', _ORIGIN, text))
        return max(faces, key=lambda face: face.size)
    boxes, scores = np.stack([face.box for face in faces]), np.array([face.score for face in faces], np.float32)
    ordered = [faces[index] for index in order_faces(boxes, scores, selector.face_selector_order)]
    if filters_people(selector):
        session = context.sessions.session(CLASSIFIER)
        ordered = [face for face in ordered if not filter_.refusal(classify(session, frame, face.landmarks))]
        if not ordered:
            raise NoFaceError(
                'reference-no-face',
                f'no face in {place} matches the selected gender and age',
                hint='choose another frame with --reference-frame-number, or leave the filters out',
            )
    if options.reference_face_position >= len(ordered):
        text = f'{place} shows {len(ordered)} {"face" if len(ordered) == 1 else "faces"}: '
        text += f'the last one is the reference, not position {options.reference_face_position}'
        context.emit(Message('warn', _ORIGIN, text))
    return ordered[min(options.reference_face_position, len(ordered) - 1)]
