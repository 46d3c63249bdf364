"""The arguments of a step: the settings of its run, frozen into plain JSON when it is added, and read to run it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

from facefusion.errors import UsageError
from facefusion.events import Emit, Message
from facefusion.faces.masks.options import FaceMaskOptions
from facefusion.faces.options import PREFERENCES, FaceDetectorOptions, FaceLandmarkerOptions, FaceSelectorOptions
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

STEP_GROUPS: tuple[type, ...] = (
    PathOptions,
    FaceDetectorOptions,
    FaceLandmarkerOptions,
    FaceSelectorOptions,
    FaceMaskOptions,
    TrimOptions,
    OutputOptions,
    WorkflowOptions,
    PeerWorkOptions,
    ProcessorsOptions,
    *(registration.options for registration in REGISTRATIONS),
    DisclosureOptions,
    ConsentOptions,
)
# Those with models that 'auto' may stand for.
_MODEL_GROUPS = (FaceDetectorOptions, FaceLandmarkerOptions, *(registration.options for registration in REGISTRATIONS))


class FrozenStep(NamedTuple):
    """The arguments of a step with frozen models, and those that were asked for, in which 'auto' stands.

    By what was asked an interrupted call is found again: another model that is there by then does not lose its work.
    """

    args: dict[str, Any]
    asked: dict[str, Any]

    def with_paths(self, **paths: Any) -> FrozenStep:
        """The same step with other files."""
        return FrozenStep({**self.args, **paths}, {**self.asked, **paths})


def freeze(settings: Settings, models: ModelChooser, emit: Emit) -> FrozenStep:
    """The arguments of a step: every 'auto' model has its name, every path is absolute, the consent its text.

    Raises UsageError for a consent that is missing or cannot be used, OutputError output-name.
    """
    automatic = {info.key: 'auto' for _, info in _automatic(settings)}
    settings = freeze_models(settings, models, emit)
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
                # The job may be run from another folder.
                value = [absolute(path) for path in value] if info.is_list else absolute(value)
            args[info.key] = list(value) if isinstance(value, tuple) else value
    return FrozenStep(args, {**args, **automatic})


def preferences_of(settings: Settings) -> dict[str, tuple[str, ...]]:
    """The models that each option of the chain may stand for when it is 'auto', best first."""
    preferences: dict[str, tuple[str, ...]] = dict(PREFERENCES)
    for registration in registrations(settings[ProcessorsOptions].processors):
        preferences |= registration.preferences
    return preferences


def freeze_models(settings: Settings, models: ModelChooser, emit: Emit) -> Settings:
    """Replaces every 'auto' by the model that it stands for on this machine; says which, and how to get better ones."""
    chain = registrations(settings[ProcessorsOptions].processors)
    preferences, needed = preferences_of(settings), joined(each.requirements(settings) for each in chain)
    # Models that do not run are frozen, too, and not told.
    told = preferences if needed.faces or needed.source_faces else preferences.keys() - PREFERENCES.keys()
    named, better = [], []
    for group, info in _automatic(settings):
        choice = models.choose(preferences[info.key])
        settings = settings.replace(replace(settings[group], **{info.key: choice.model}))
        if info.key in told:
            named.append(f'{info.key.replace("_", " ")} {choice.model}')
            better += [choice.better] if choice.better else []
    if named:
        emit(Message('info', 'plan', 'chosen automatically: ' + ', '.join(named)))
    if better:
        emit(Message('info', 'plan', f'better models can be fetched: `facefusion models fetch {" ".join(better)}`'))
    return settings


def _automatic(settings: Settings) -> list[tuple[type, OptionInfo]]:
    """The options of the chain's models that are 'auto', with their groups."""
    preferences = preferences_of(settings)
    return [
        (group, info)
        for group in _MODEL_GROUPS
        for info in describe(group)
        if info.key in preferences and getattr(settings[group], info.key) == 'auto'
    ]


def absolute(path: str) -> str:
    """A path that means the same from every folder; an address, which the run refuses, stays as it is."""
    return path if is_address(path) else str(Path.cwd() / path)


# What is done to whom: a default in the place of a value that is not known would do what nobody has asked for.
_NEVER_GUESSED = ('processors', 'face_selector_mode', 'face_selector_order')


def restore(args: Mapping[str, Any], version: str, emit: Emit) -> tuple[object, ...]:
    """The option groups of a step. Keys that are not known here are left out.

    A value that an option does not take is an error in a step of this program (``version`` 2). In one of FaceFusion
    3.8 (version 1), which holds all its defaults, this version's default is taken, and that is said; but not where it
    decides what is done to whom. What has no effect here is said where it is not the default. Raises UsageError
    step-argument, option-refused.
    """
    check_refused(args)
    groups = []
    for group in STEP_GROUPS:
        values = {}
        for info in describe(group):
            if args.get(info.key) is None:
                continue
            try:
                values[info.key] = _checked(info, args[info.key])
            except ValueError as error:
                if version != '1' or info.key in _NEVER_GUESSED or isinstance(error, UnknownHome):
                    raise UsageError(
                        'step-argument',
                        f'the step has a value for {info.key} that this version does not take',
                        cause=str(error),
                        hint='make the job again with this version',
                    ) from None
                text = f'{info.key}: {error}; the default {_shown(info.default)} is taken'
                emit(Message('warn', 'jobs', text))
        groups.append(group(**values))
        for info in describe(group):
            # A step of FaceFusion 3.8 holds all keys, given or not.
            if info.no_effect and values.get(info.key, info.default) != info.default:
                emit(Message('info', 'jobs', f'{info.key} has no effect here: {info.no_effect}'))
    return tuple(groups)


def _shown(value: Any) -> str:
    return ' '.join(str(item) for item in value) if isinstance(value, tuple) else str(value)


def _checked(info: OptionInfo, value: Any) -> Any:
    """A value from JSON as the option's own. Raises ValueError."""
    if info.is_list:
        if not isinstance(value, list | tuple):
            raise ValueError(f'{value!r} is no list')
        return check_items(info, tuple(_checked_item(info, item) for item in value))
    return _checked_item(info, value)


def _checked_item(info: OptionInfo, value: Any) -> Any:
    kinds: dict[str, tuple[type, ...]] = {'int': (int,), 'float': (int, float), 'flag': (bool,)}
    wanted = kinds.get(info.kind, (str,))
    if not isinstance(value, wanted) or (isinstance(value, bool) and info.kind != 'flag'):
        raise ValueError(f'{value!r} is no value of the kind {info.kind}')
    return value if info.kind == 'flag' else parse_item(info, str(value))
