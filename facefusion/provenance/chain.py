"""What was done to a file, as its credentials and those of its ingredients tell it.

Everything here comes from a file that anybody may have made: text is cleaned and cut, lists are bounded, and what has
another shape than the standard demands is left out.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from facefusion.provenance.library import plain
from facefusion.provenance.statement import PROCESSING_LABEL
from facefusion.provenance.store import failures_of

MOST_CLAIMS = 500
MOST_ACTIONS = 200
LARGEST_PROCESSING = 64_000
_LONGEST_VALUE = 5000
_DEEPEST = 8


@dataclass(frozen=True, slots=True)
class Action:
    """One thing that was done: its C2PA name, when ('' where nothing says), with which software, and in what words.

    ``source_type`` is the last part of the digital source type, such as 'compositeWithTrainedAlgorithmicMedia'.
    """

    action: str
    when: str
    software: str
    description: str
    source_type: str


@dataclass(frozen=True, slots=True)
class Claim:
    """One manifest of the chain.

    ``relationship`` says what its file was for the next one: 'parentOf', 'componentOf', 'inputTo', '' for the file
    itself. ``problems`` are those that the next signer found in an ingredient, in plain words. ``signed_at`` is the
    time of a time stamp, '' without one. ``processing`` is the data of our own assertion, None where there is none.
    """

    manifest: str
    title: str
    relationship: str
    generator: str
    signer: str
    organisation: str
    signed_at: str
    problems: tuple[str, ...]
    actions: tuple[Action, ...]
    processing: dict[str, Any] | None


def read_chain(store: Mapping[str, Any]) -> tuple[Claim, ...]:
    """The claims of a manifest store as the library tells it, oldest first, that of the file itself last."""
    manifests = _mapping(store.get('manifests'))
    order: list[Claim] = []
    seen: set[str] = set()
    # What is to do: a manifest to go into, or a claim all of whose ingredients are done.
    stack: list[Claim | tuple[str, str, tuple[str, ...]]] = [(str(store.get('active_manifest', '')), '', ())]
    while stack:
        entry = stack.pop()
        if isinstance(entry, Claim):
            order.append(entry)
            continue
        label, relationship, problems = entry
        found = _mapping(manifests.get(label))
        if not found or label in seen or len(seen) >= MOST_CLAIMS:
            continue
        seen.add(label)
        stack.append(_claim(label, found, relationship, problems))
        stack += reversed(list(_ingredients(found)))
    return tuple(order)


def active_claim(store: Mapping[str, Any]) -> Mapping[str, Any]:
    """The manifest of the file itself; empty where the store names none."""
    return _mapping(_mapping(store.get('manifests')).get(str(store.get('active_manifest', ''))))


def _ingredients(manifest: Mapping[str, Any]) -> Iterator[tuple[str, str, tuple[str, ...]]]:
    for entry in _list(manifest.get('ingredients')):
        ingredient = _mapping(entry)
        label = ingredient.get('active_manifest')
        if isinstance(label, str):
            problems = failures_of(_mapping(ingredient.get('validation_results')))
            yield label, _text(ingredient.get('relationship')), problems


def _claim(label: str, manifest: Mapping[str, Any], relationship: str, problems: tuple[str, ...]) -> Claim:
    signature = _mapping(manifest.get('signature_info'))
    assertions = [_mapping(entry) for entry in _list(manifest.get('assertions'))]
    actions = [
        _action(_mapping(entry))
        for assertion in assertions
        if str(assertion.get('label', '')).startswith('c2pa.actions')
        for entry in _list(_mapping(assertion.get('data')).get('actions'))
    ]
    own = [assertion.get('data') for assertion in assertions if assertion.get('label') == PROCESSING_LABEL]
    return Claim(
        manifest=plain(label),
        title=_text(manifest.get('title')),
        relationship=relationship,
        generator=_generator(manifest),
        signer=_text(signature.get('common_name')),
        organisation=_text(signature.get('issuer')),
        signed_at=_text(signature.get('time')),
        problems=problems,
        actions=tuple(actions[:MOST_ACTIONS]),
        processing=_processing(own[0]) if own else None,
    )


def _action(entry: Mapping[str, Any]) -> Action:
    return Action(
        action=_text(entry.get('action')),
        when=_text(entry.get('when')),
        software=_software(entry.get('softwareAgent')),
        description=_text(entry.get('description')),
        source_type=_text(entry.get('digitalSourceType')).rpartition('/')[2],
    )


def _generator(manifest: Mapping[str, Any]) -> str:
    named = _list(manifest.get('claim_generator_info'))
    return _software(named[0]) if named else _text(manifest.get('claim_generator'))


def _software(value: Any) -> str:
    if isinstance(value, Mapping):
        return ' '.join(word for word in (_text(value.get('name')), _text(value.get('version'))) if word)
    return _text(value)


def _processing(data: Any) -> dict[str, Any] | None:
    cleaned = _cleaned(data, _DEEPEST)
    if not isinstance(cleaned, dict) or len(json.dumps(cleaned)) > LARGEST_PROCESSING:
        return None
    return cleaned


def _cleaned(value: Any, depth: int) -> Any:
    """The same JSON with clean text; what lies too deep is left out."""
    if isinstance(value, str):
        return plain(value, _LONGEST_VALUE)
    if depth and isinstance(value, Mapping):
        return {plain(str(key)): _cleaned(entry, depth - 1) for key, entry in value.items()}
    if depth and isinstance(value, list):
        return [_cleaned(entry, depth - 1) for entry in value]
    return value if isinstance(value, int | float) else None


def _text(value: Any) -> str:
    return plain(value) if isinstance(value, str) else ''


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []
