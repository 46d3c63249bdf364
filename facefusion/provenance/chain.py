"""The history of a file, from its credentials and those of its ingredients.

The file is untrusted: text is cleaned and cut, lists are bounded, and values that do not follow the standard are
skipped.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from facefusion.provenance.library import plain
from facefusion.provenance.statement import PROCESSING_LABEL
from facefusion.provenance.validation import EXPIRED, TRUSTED, UNTRUSTED, entries, failures_of

MOST_CLAIMS = 500
MOST_ACTIONS = 200
LARGEST_PROCESSING = 1_000_000
_LONGEST_VALUE = 5000
_DEEPEST = 8
_MANIFESTS = 'self#jumbf=/c2pa/'
# Failures which show that the media was changed, although the signed statements are intact.
_MEDIA_FAILURES = ('assertion.dataHash.mismatch', 'assertion.bmffHash.mismatch', 'assertion.boxesHash.mismatch')

Trust = Literal['trusted', 'unknown-signer', 'expired', 'tampered']


@dataclass(frozen=True, slots=True)
class Action:
    """An action: its C2PA name, time ('' if not stated), software and description.

    ``source_type`` is the last part of the digital source type, such as 'compositeWithTrainedAlgorithmicMedia'.
    """

    action: str
    when: str
    software: str
    description: str
    source_type: str


@dataclass(frozen=True, slots=True)
class Claim:
    """A manifest of the chain.

    ``relationship`` is the relationship of its file to the next file: 'parentOf', 'componentOf', 'inputTo', or '' for
    the checked file itself; ``name`` is the name of its file in the next manifest. ``problems`` are the failures that
    the next signer found in this ingredient, in plain words. ``signed_at`` is the time of a timestamp, '' without one.
    ``processing`` is the data of this program's assertion, None without one; ``left_out`` is the reason why this
    data, or a part of it, is omitted.

    ``trust`` rates the statements of the manifest. 'trusted': a trusted root certifies the signer, or another trusted
    signer recorded that it trusts this signer. 'unknown-signer': no root certifies the signer. 'expired' and 'tampered'
    have the meaning given in ``CredentialFinding``.
    """

    manifest: str
    title: str
    name: str
    relationship: str
    generator: str
    signer: str
    organisation: str
    trust: Trust
    signed_at: str
    problems: tuple[str, ...]
    actions: tuple[Action, ...]
    processing: dict[str, Any] | None
    left_out: str = ''


@dataclass(frozen=True, slots=True)
class _Visit:
    """A manifest to visit, with the statements of the next signer about it."""

    label: str
    name: str = ''
    relationship: str = ''
    problems: tuple[str, ...] = ()


def read_chain(store: Mapping[str, Any], own: Trust = 'unknown-signer') -> tuple[Claim, ...]:
    """Return the claims of a manifest store (the library's JSON), oldest first; the claim of the file itself is last.

    ``own`` is the trust of the claim of the file itself.
    """
    manifests = _mapping(store.get('manifests'))
    order: list[Claim] = []
    seen: set[str] = set()
    # Validations of ingredients: the library's new results first, then the results that trusted signers recorded, the
    # last signer first. Records of an untrusted signer are not used, because they prove nothing.
    records = [_mapping(store.get('validation_results'))]
    # Manifests to visit, and claims to append after their ingredients.
    stack: list[Claim | _Visit] = [_Visit(str(store.get('active_manifest', '')))]
    while stack:
        entry = stack.pop()
        if isinstance(entry, Claim):
            order.append(entry)
            continue
        found = _mapping(manifests.get(entry.label))
        if not found or entry.label in seen or len(seen) >= MOST_CLAIMS:
            continue
        trust = _trust(entry.label, records) if seen else own
        seen.add(entry.label)
        stack.append(_claim(entry, found, trust))
        ingredients = list(_ingredients(found))
        stack += [visit for visit, _ in reversed(ingredients)]
        if trust == 'trusted':
            records += [results for _, results in ingredients]
    return tuple(order)


def _trust(label: str, records: Iterable[Mapping[str, Any]]) -> Trust:
    """Return the trust of an ingredient; the first record about its signer decides."""
    failures: set[str] = set()
    trust: Trust | None = None
    for results in records:
        good, bad = _codes_of(label, results, 'success'), _codes_of(label, results, 'failure')
        failures |= bad
        if trust is None and (TRUSTED in good or UNTRUSTED in bad):
            trust = 'unknown-signer' if UNTRUSTED in bad else 'trusted'
    rest = failures - {UNTRUSTED, *_MEDIA_FAILURES}
    if rest - set(EXPIRED):
        return 'tampered'
    return 'expired' if rest and trust == 'trusted' else trust or 'unknown-signer'


def _codes_of(label: str, results: Mapping[str, Any], kind: str) -> set[str]:
    """Return the codes of one kind in a validation of one manifest."""
    codes = set()
    for entry in entries(results, kind):
        url = str(entry.get('url', ''))
        # Compared as a path segment, because a hostile label may contain slashes.
        if url.startswith(_MANIFESTS) and url.removeprefix(_MANIFESTS).partition('/')[0] == label:
            codes.add(str(entry.get('code', '')))
    return codes


def _ingredients(manifest: Mapping[str, Any]) -> Iterator[tuple[_Visit, Mapping[str, Any]]]:
    """Yield the ingredients with credentials, and their validations by the signer of ``manifest``."""
    for entry in _list(manifest.get('ingredients')):
        ingredient = _mapping(entry)
        label = ingredient.get('active_manifest')
        if isinstance(label, str):
            results = _mapping(ingredient.get('validation_results'))
            name, relationship = _text(ingredient.get('title')), _text(ingredient.get('relationship'))
            yield _Visit(label, name, relationship, failures_of(results)), results


def _claim(visit: _Visit, manifest: Mapping[str, Any], trust: Trust) -> Claim:
    signature = _mapping(manifest.get('signature_info'))
    assertions = [_mapping(entry) for entry in _list(manifest.get('assertions'))]
    actions = [
        _action(_mapping(entry))
        for assertion in assertions
        if str(assertion.get('label', '')).startswith('c2pa.actions')
        for entry in _list(_mapping(assertion.get('data')).get('actions'))
    ]
    own = [assertion.get('data') for assertion in assertions if assertion.get('label') == PROCESSING_LABEL]
    processing, left_out = _processing(own[0]) if own else (None, '')
    generators = _list(manifest.get('claim_generator_info')) or [manifest.get('claim_generator')]
    return Claim(
        manifest=plain(visit.label),
        title=_text(manifest.get('title')),
        name=visit.name,
        relationship=visit.relationship,
        generator=_software(generators[0]),
        signer=_text(signature.get('common_name')),
        organisation=_text(signature.get('issuer')),
        trust=trust,
        signed_at=_text(signature.get('time')),
        problems=visit.problems,
        actions=tuple(actions[:MOST_ACTIONS]),
        processing=processing,
        left_out=left_out,
    )


def _action(entry: Mapping[str, Any]) -> Action:
    return Action(
        action=_text(entry.get('action')),
        when=_text(entry.get('when')),
        software=_software(entry.get('softwareAgent')),
        description=_text(entry.get('description')),
        source_type=_text(entry.get('digitalSourceType')).rpartition('/')[2],
    )


def _software(value: Any) -> str:
    if isinstance(value, Mapping):
        return ' '.join(word for word in (_text(value.get('name')), _text(value.get('version'))) if word)
    return _text(value)


def _processing(data: Any) -> tuple[dict[str, Any] | None, str]:
    """Return the data of this program's assertion, and the reason why it is incomplete ('' if it is complete)."""
    cleaned = _cleaned(data, _DEEPEST)
    if not isinstance(cleaned, dict):
        return None, ''
    if len(json.dumps(cleaned)) > LARGEST_PROCESSING:
        return None, f'it is larger than {LARGEST_PROCESSING} bytes'
    return cleaned, f'it is nested deeper than {_DEEPEST} levels' if _is_deeper(data, _DEEPEST) else ''


def _is_deeper(value: Any, depth: int) -> bool:
    inner = value.values() if isinstance(value, Mapping) else value if isinstance(value, list) else None
    return inner is not None and (not depth or any(_is_deeper(entry, depth - 1) for entry in inner))


def _cleaned(value: Any, depth: int) -> Any:
    """Return the JSON with cleaned text; values nested too deeply become None."""
    if isinstance(value, str):
        # Texts of several lines, such as a consent, become a single line.
        return plain(' '.join(value.split()) if len(value.splitlines()) > 1 else value, _LONGEST_VALUE)
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
