"""Options as JSON, from which the page makes its controls."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from facefusion.options import OptionInfo, describe
from facefusion.processors.registry import REGISTRATIONS
from facefusion.settings import Layer, Settings

_PROCESSOR_OF = {
    info.key: registration.name for registration in REGISTRATIONS for info in describe(registration.options)
}


def option_record(info: OptionInfo, value: Any, layer: Layer) -> dict[str, Any]:
    """Return the declaration of an option with its value in force."""
    return {
        'key': info.key,
        'flag': info.flag,
        'kind': info.kind,
        'help': info.help,
        'section': info.section,
        'default': _plain(info.default),
        'value': _plain(value),
        'layer': layer,
        'is_list': info.is_list,
        'most_items': info.most_items,
        'choices': list(info.choices),
        'minimum': info.minimum,
        'maximum': info.maximum,
        'step': info.step,
        'metavar': info.placeholder,
        'processor': _PROCESSOR_OF.get(info.key),
        'no_effect': info.no_effect,
    }


def option_records(groups: Iterable[type], settings: Settings, layers: Mapping[str, Layer]) -> list[dict[str, Any]]:
    """Return all options of the groups, except policies and options without effect."""
    return [
        option_record(info, getattr(settings[group], info.key), layers.get(info.key, 'default'))
        for group in groups
        for info in describe(group)
        if not info.is_policy and not info.no_effect
    ]


def sections_of(records: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the options by section, in order."""
    sections: dict[str, list[dict[str, Any]]] = {}
    for record in records:
        sections.setdefault(record['section'], []).append(record)
    return [
        {'name': name, 'title': name.replace('_', ' ').capitalize(), 'options': options}
        for name, options in sections.items()
    ]


def processor_records(settings: Settings) -> list[dict[str, Any]]:
    """Return the processors with the keys of their options and the kinds of sources that they can take."""
    records = []
    for registration in REGISTRATIONS:
        needed = registration.requirements(settings)
        records.append(
            {
                'name': registration.name,
                'title': registration.name.replace('_', ' ').capitalize(),
                'options': [info.key for info in describe(registration.options)],
                'takes_sources': needed.source_faces,
                'takes_audio': needed.source_audio,
            }
        )
    return records


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value
