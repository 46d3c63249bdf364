"""Arguments of a step: its settings, frozen as plain JSON when the step is added, and restored to run it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

from facefusion.errors import UsageError
from facefusion.events import Emit, Message
from facefusion.faces.face_map import MappedPerson, parse_face_map, write_face_map
from facefusion.faces.masks.options import MASK_MODEL_TYPES, MASK_PREFERENCES, FaceMaskOptions
from facefusion.faces.options import (
    DLIB,
    NO_RECOGNISER,
    PREFERENCES,
    RECOGNISERS,
    FaceDetectorOptions,
    FaceLandmarkerOptions,
    FaceRecognizerOptions,
    FaceSelectorOptions,
    FaceTrackerOptions,
    ReferenceFaceOptions,
    selects_people,
)
from facefusion.media.kinds import is_address
from facefusion.media.options import OutputOptions, TrimOptions
from facefusion.models.choice import ModelChooser
from facefusion.options import OptionInfo, UnknownHome, check_items, describe, parse_item
from facefusion.pipeline.file_names import check_names
from facefusion.pipeline.options import PathOptions, PeerWorkOptions, WorkflowOptions
from facefusion.processors.registration import joined
from facefusion.processors.registry import REGISTRATIONS, ProcessorsOptions, registrations
from facefusion.provenance.label_options import DisclosureOptions
from facefusion.safety.consent import check_consent, resolve_consent
from facefusion.safety.options import ConsentOptions
from facefusion.safety.refused import check_refused
from facefusion.settings import Settings
from facefusion.voice.options import VOICE_PREFERENCES, VoiceExtractorOptions

STEP_GROUPS: tuple[type, ...] = (
    PathOptions,
    FaceDetectorOptions,
    FaceLandmarkerOptions,
    FaceSelectorOptions,
    ReferenceFaceOptions,
    FaceTrackerOptions,
    FaceRecognizerOptions,
    FaceMaskOptions,
    VoiceExtractorOptions,
    TrimOptions,
    OutputOptions,
    WorkflowOptions,
    PeerWorkOptions,
    ProcessorsOptions,
    *(registration.options for registration in REGISTRATIONS),
    DisclosureOptions,
    ConsentOptions,
)
# Groups with options for which 'auto' selects a model.
_MODEL_GROUPS = (
    FaceDetectorOptions,
    FaceLandmarkerOptions,
    FaceRecognizerOptions,
    FaceMaskOptions,
    VoiceExtractorOptions,
    *(registration.options for registration in REGISTRATIONS),
)


class FrozenStep(NamedTuple):
    """Arguments of a step: ``args`` with frozen models, ``asked`` with 'auto' where the user requested it.

    ``asked`` identifies the job of an interrupted command, so that the job is resumed even if a newly installed model
    would change ``args``.
    """

    args: dict[str, Any]
    asked: dict[str, Any]

    def with_paths(self, **paths: Any) -> FrozenStep:
        """Return the step with these paths instead of its own."""
        return FrozenStep({**self.args, **paths}, {**self.asked, **paths})


def freeze(settings: Settings, models: ModelChooser, emit: Emit) -> FrozenStep:
    """Return the arguments of a step, with model names instead of 'auto', absolute paths and the text of the consent.

    Raises UsageError for a missing or invalid consent, and OutputError output-name.
    """
    automatic = {info.key: 'auto' for _, info in _automatic(settings)}
    settings = freeze_models(with_mapped_sources(settings), models, emit)
    consent = settings[ConsentOptions].consent
    if consent is not None:
        settings = settings.replace(ConsentOptions(resolve_consent(consent)))
    check_consent(settings)
    output = settings[PathOptions].output_path
    if output is not None:
        check_names(Path(output))
    args: dict[str, Any] = {}
    for group in STEP_GROUPS:
        for info in describe(group):
            if info.no_effect:
                continue
            value = getattr(settings[group], info.key)
            if info.kind == 'path' and value is not None:
                # The path must be absolute, because the job may run in another working folder.
                value = [absolute(path) for path in value] if info.is_list else absolute(value)
            args[info.key] = list(value) if isinstance(value, tuple) else value
    return FrozenStep(args, {**args, **automatic})


def with_mapped_sources(settings: Settings) -> Settings:
    """Return the settings with absolute paths in the face map, and its files as sources.

    Raises UsageError face-map, face-map-sources.
    """
    reference, paths = settings[ReferenceFaceOptions], settings[PathOptions]
    if reference.face_map is None:
        return settings
    entries = [
        MappedPerson(tuple(absolute(file) for file in files), person)
        for files, person in parse_face_map(reference.face_map)
    ]
    files = tuple(dict.fromkeys(file for entry in entries for file in entry.files))
    others = [source for source in paths.source_paths if absolute(source) not in files]
    if others:
        raise UsageError(
            'face-map-sources',
            f'{others[0]} is a source, but the face map gives it to no person',
            hint='leave -s/--source-paths out: the sources are those of --face-map',
        )
    settings = settings.replace(replace(reference, face_map=write_face_map(tuple(entries))))
    return settings.replace(replace(paths, source_paths=files))


def preferences_of(settings: Settings) -> dict[str, tuple[str, ...]]:
    """Return the models from which 'auto' selects for each option of the processor chain, best first."""
    chain = registrations(settings[ProcessorsOptions].processors)
    preferences: dict[str, tuple[str, ...]] = {**PREFERENCES, **MASK_PREFERENCES}
    preferences['face_recognizer_model'] = RECOGNISERS if _selects_people(settings) else (DLIB, NO_RECOGNISER)
    if any(registration.requirements(settings).source_audio for registration in chain):
        preferences |= VOICE_PREFERENCES
    for registration in chain:
        preferences |= registration.preferences
    return preferences


def freeze_models(settings: Settings, models: ModelChooser, emit: Emit) -> Settings:
    """Replace every 'auto' by the model selected for this machine; emit messages about selected and better models."""
    chain = registrations(settings[ProcessorsOptions].processors)
    preferences, needed = preferences_of(settings), joined(each.requirements(settings) for each in chain)
    settings = _with_mesh(settings, emit) if needed.mesh else settings
    # Models that this chain does not use are frozen without a message.
    reported = {key for registration in chain for key in registration.preferences}
    reported |= PREFERENCES.keys() if needed.faces or needed.source_faces else set()
    reported |= VOICE_PREFERENCES.keys() if needed.source_audio else set()
    reported |= {'face_recognizer_model'} if _selects_people(settings) else set()
    types = settings[FaceMaskOptions].face_mask_types
    reported -= {key for key, kind in MASK_MODEL_TYPES.items() if kind not in types}
    named, better = [], []
    for group, info in _automatic(settings):
        choice = models.choose(preferences[info.key])
        settings = settings.replace(replace(settings[group], **{info.key: choice.model}))
        if info.key in reported:
            named.append(f'{info.key.replace("_", " ")} {choice.model}')
            better += [choice.better] if choice.better else []
    if named:
        emit(Message('info', 'plan', 'chosen automatically: ' + ', '.join(named)))
    if better:
        emit(Message('info', 'plan', f'better models are available: `facefusion models fetch {" ".join(better)}`'))
    return settings


def _selects_people(settings: Settings) -> bool:
    chain = registrations(settings[ProcessorsOptions].processors)
    has_faces = any(registration.requirements(settings).faces for registration in chain)
    return has_faces and selects_people(settings[FaceSelectorOptions], settings[ReferenceFaceOptions])


def _with_mesh(settings: Settings, emit: Emit) -> Settings:
    """Select the mesh as landmarker, with a warning if the user requested another one."""
    options = settings[FaceLandmarkerOptions]
    if options.face_landmarker_model in ('auto', 'face_mesh'):
        return settings
    text = f'--face-landmarker-model {options.face_landmarker_model} is ignored: this chain needs face_mesh'
    emit(Message('warn', 'plan', text))
    return settings.replace(replace(options, face_landmarker_model='face_mesh'))


def _automatic(settings: Settings) -> list[tuple[type, OptionInfo]]:
    """Return the model options of the processor chain that are 'auto', with their groups."""
    preferences = preferences_of(settings)
    return [
        (group, info)
        for group in _MODEL_GROUPS
        for info in describe(group)
        if info.key in preferences and getattr(settings[group], info.key) == 'auto'
    ]


def absolute(path: str) -> str:
    """Return an absolute path; a network address stays unchanged, and the run refuses it."""
    return path if is_address(path) else str(Path.cwd() / path)


# Options that decide which faces are changed and how. An invalid value is not replaced by the default, because the
# default might change other faces.
_NEVER_GUESSED = (
    'processors',
    'face_selector_mode',
    'face_selector_order',
    'face_selector_gender',
    'face_selector_age_start',
    'face_selector_age_end',
    'reference_face_position',
    'reference_face_distance',
    'reference_frame_number',
)


def restore(args: Mapping[str, Any], version: str, emit: Emit) -> tuple[object, ...]:
    """Return the option groups of a step. Unknown keys are ignored.

    An invalid value is an error in a step of this program (``version`` 2). A step of FaceFusion 3.8 (version 1)
    contains all defaults of that program, so an invalid value is replaced by this version's default with a warning,
    except for the options of _NEVER_GUESSED. The value of an option without effect is reported unless it is the
    default. Raises UsageError step-argument, option-refused.
    """
    check_refused(args)
    groups = []
    for group in STEP_GROUPS:
        values = {}
        for info in describe(group):
            if args.get(info.key) is None:
                continue
            try:
                values[info.key] = checked_value(info, args[info.key])
            except ValueError as error:
                if version != '1' or info.key in _NEVER_GUESSED or isinstance(error, UnknownHome):
                    raise UsageError(
                        'step-argument',
                        f'the step has a value for {info.key} that this version does not accept',
                        cause=str(error),
                        hint='create the job again with this version',
                    ) from None
                text = f'{info.key}: {error}; the default {_shown(info.default)} is used instead'
                emit(Message('warn', 'jobs', text))
        groups.append(group(**values))
        for info in describe(group):
            # A step of FaceFusion 3.8 contains all keys, including those that the user did not set.
            if info.no_effect and values.get(info.key, info.default) != info.default:
                emit(Message('info', 'jobs', f'{info.key} has no effect here: {info.no_effect}'))
    return tuple(groups)


def _shown(value: Any) -> str:
    return ' '.join(str(item) for item in value) if isinstance(value, tuple) else str(value)


def checked_value(info: OptionInfo, value: Any) -> Any:
    """Return a value from JSON as the value of an option. Raises ValueError."""
    if info.is_list:
        if not isinstance(value, list | tuple):
            raise ValueError(f'{value!r} is not a list')
        return check_items(info, tuple(_checked_item(info, item) for item in value))
    return _checked_item(info, value)


def _checked_item(info: OptionInfo, value: Any) -> Any:
    kinds: dict[str, tuple[type, ...]] = {'int': (int,), 'float': (int, float), 'flag': (bool,)}
    wanted = kinds.get(info.kind, (str,))
    if not isinstance(value, wanted) or (isinstance(value, bool) and info.kind != 'flag'):
        raise ValueError(f'{value!r} is not a value of the kind {info.kind}')
    return value if info.kind == 'flag' else parse_item(info, str(value))
