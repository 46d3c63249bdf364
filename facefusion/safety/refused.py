"""Options and option values of FaceFusion 3.8 that this program always refuses, and the reasons."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Any

from facefusion.errors import UsageError

_RACE = 'this program does not sort people by race: no selection needs it, and it does harm'
_NAMED = 'these are models of named people without their consent'
_LIVE = 'other people see a live video before it can be checked, marked and signed'
REFUSED_OPTIONS: Mapping[str, str] = MappingProxyType(
    {'face_selector_race': _RACE, 'deep_swapper_model': _NAMED, 'deep_swapper_morph': _NAMED}
)
REFUSED_PROCESSORS: Mapping[str, str] = MappingProxyType({'deep_swapper': _NAMED})
_REFUSED_VALUES = MappingProxyType({'processors': REFUSED_PROCESSORS, 'ui_layouts': {'webcam': _LIVE}})
_INSTEAD = MappingProxyType(
    {
        _RACE: 'choose faces with --face-selector-order, or by a reference face',
        _NAMED: 'use face_swapper with a source image of a person who agreed',
        _LIVE: 'record the video first, and process it with headless-run',
    }
)


def refusal(name: str, reason: str) -> UsageError:
    """Return the error for a refused option or processor."""
    return UsageError('option-refused', f'{name} is refused', cause=reason, hint=_INSTEAD[reason])


def value_refusal(name: str, key: str, words: Iterable[str]) -> UsageError | None:
    """Return the error for the first refused value among the words of an option, None without one.

    ``name`` is the option as the user wrote it, such as ``--processors``.
    """
    reasons = _REFUSED_VALUES.get(key, {})
    return next((refusal(f'{name} {word}', reasons[word]) for word in words if word in reasons), None)


def check_refused(args: Mapping[str, Any]) -> None:
    """Raise UsageError option-refused when the arguments of a step use a refused option or processor.

    Steps of FaceFusion 3.8 contain all keys, whether used or not. So a step is refused only if it selects faces by race
    or uses a refused processor.
    """
    if args.get('face_selector_race') is not None:
        raise refusal('face_selector_race', _RACE)
    processors = args.get('processors')
    for name in processors if isinstance(processors, list | tuple) else ():
        if name in REFUSED_PROCESSORS:
            raise refusal(f'the processor {name}', REFUSED_PROCESSORS[name])
