"""Settings from a request of the page or of a Python program: JSON values over the settings in force."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from difflib import get_close_matches
from typing import Any

from facefusion.errors import UsageError
from facefusion.options import OptionInfo, describe
from facefusion.safety.refused import REFUSED_OPTIONS, refusal, value_refusal
from facefusion.settings import Settings
from facefusion.steps.arguments import checked_value


def request_settings(base: Settings, args: Mapping[str, Any], groups: tuple[type, ...]) -> Settings:
    """Return ``base`` with the values of ``args``, which is plain JSON by option key; ``groups`` are those it may set.

    Raises UsageError request-argument, which names every unknown key and every invalid value in ``facts``, and
    UsageError option-refused.
    """
    known = {info.key: info for group in groups for info in describe(group) if not info.is_policy}
    findings = list(_findings(args, known))
    if findings:
        raise UsageError(
            'request-argument',
            f'{len(findings)} option{"s" * (len(findings) > 1)} cannot be used',
            cause='; '.join(f'{key}: {text}' for key, text in findings),
            hint='docs/options.md and GET /api/v1/options list all options with their values',
            facts={'options': dict(findings)},
        )
    settings = base
    for group in groups:
        keys = {info.key for info in describe(group)}
        values = {
            key: None if value is None else checked_value(known[key], value)
            for key, value in args.items()
            if key in keys and key in known
        }
        if values:
            settings = settings.replace(group(**{**_values(base[group]), **values}))
    return settings


def _findings(args: Mapping[str, Any], known: Mapping[str, OptionInfo]) -> Iterator[tuple[str, str]]:
    for key, value in args.items():
        if key in REFUSED_OPTIONS:
            raise refusal(key, REFUSED_OPTIONS[key])
        if key not in known:
            close = get_close_matches(key, known, n=1)
            yield key, 'is not an option' + (f'; did you mean {close[0]}?' if close else '')
            continue
        if value is None and known[key].default is None:
            continue
        words = [str(item) for item in value] if isinstance(value, list) else [str(value)]
        refused = value_refusal(key, key, words)
        if refused is not None:
            raise refused
        try:
            if any('\0' in word for word in words):
                raise ValueError('a text cannot contain the character NUL')
            for word in words:
                os.fsencode(word)
            checked_value(known[key], value)
        except UnicodeEncodeError:
            yield key, 'the text contains half of a character'
        except ValueError as error:
            yield key, str(error)


def _values(group: object) -> dict[str, Any]:
    return {info.key: getattr(group, info.key) for info in describe(type(group))}
