"""Options of FaceFusion 3.8, and values of them, that this program refuses for good, and why."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Any

from facefusion.errors import UsageError

_RACE = 'people are not sorted by race here: it says nothing that a selection needs, and it does harm'
_NAMED = 'these are models of named people, who were not asked'
_LIVE = 'a live picture is shown to others before it could be checked, marked and signed'
REFUSED_OPTIONS: Mapping[str, str] = MappingProxyType(
    {'face_selector_race': _RACE, 'deep_swapper_model': _NAMED, 'deep_swapper_morph': _NAMED}
)
REFUSED_PROCESSORS: Mapping[str, str] = MappingProxyType({'deep_swapper': _NAMED})
_REFUSED_VALUES = MappingProxyType({'processors': REFUSED_PROCESSORS, 'ui_layouts': {'webcam': _LIVE}})
_INSTEAD = MappingProxyType(
    {
        _RACE: 'choose faces with --face-selector-order, or by a reference face',
        _NAMED: 'use face_swapper with a source picture of somebody who agreed',
        _LIVE: 'record the clip first, and work on it with headless-run',
    }
)


def refusal(name: str, reason: str) -> UsageError:
    """The error for a refused option or processor."""
    return UsageError('option-refused', f'{name} is refused', cause=reason, hint=_INSTEAD[reason])


def value_refusal(name: str, key: str, words: Iterable[str]) -> UsageError | None:
    """The error for the first refused value among the words that are given for an option, None when there is none.

    ``name`` says where they stand, such as ``--processors``.
    """
    reasons = _REFUSED_VALUES.get(key, {})
    return next((refusal(f'{name} {word}', reasons[word]) for word in words if word in reasons), None)


def check_refused(args: Mapping[str, Any]) -> None:
    """Raises UsageError option-refused when the arguments of a step use what is refused.

    Steps of FaceFusion 3.8 hold all keys, used or not: what counts is a race, or the processor that needs the models.
    """
    if args.get('face_selector_race') is not None:
        raise refusal('face_selector_race', _RACE)
    processors = args.get('processors')
    for name in processors if isinstance(processors, list | tuple) else ():
        if name in REFUSED_PROCESSORS:
            raise refusal(f'the processor {name}', REFUSED_PROCESSORS[name])
