"""What was done to a file, as its credentials and those of its ingredients tell it.

Everything here comes from a file that anybody may have made: text is cleaned and cut, lists are bounded, and what has
another shape than the standard demands is left out.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from facefusion.provenance.library import plain
from facefusion.provenance.statement import PROCESSING_LABEL
from facefusion.provenance.validation import EXPIRED, TRUSTED, UNTRUSTED, failures_of

MOST_CLAIMS = 500
MOST_ACTIONS = 200
LARGEST_PROCESSING = 1_000_000
_LONGEST_VALUE = 5000
_DEEPEST = 8
_MANIFESTS = 'self#jumbf=/c2pa/'
# What shows that media was changed, and leaves the statements as they were signed.
_MEDIA_FAILURES = ('assertion.dataHash.mismatch', 'assertion.bmffHash.mismatch', 'assertion.boxesHash.mismatch')

Trust = Literal['trusted', 'unknown-signer', 'expired', 'tampered']


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
    itself, and ``name`` what the next one calls it. ``problems`` are those that the next signer found in an ingredient,
    in plain words. ``signed_at`` is the time of a time stamp, '' without one. ``processing`` is the data of our own
    assertion, None where there is none; ``left_out`` says why it, or a part of it, is not shown.

    ``trust`` is what its statements are worth: 'trusted' is signed by somebody for whom a root of the reader vouches,
    or whose signature such a signer had found to be trusted; 'unknown-signer' anything that nobody trusted vouches
    for; 'expired' and 'tampered' are what they are in ``CredentialFinding``.
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
class _Place:
    """A manifest that is still to be gone into, and what the next signer says of it."""

    label: str
    name: str = ''
    relationship: str = ''
    problems: tuple[str, ...] = ()


def read_chain(store: Mapping[str, Any], own: Trust = 'unknown-signer') -> tuple[Claim, ...]:
    """The claims of a manifest store as the library tells it, oldest first, that of the file itself last.

    ``own`` is what the claim of the file itself is worth.
    """
    manifests = _mapping(store.get('manifests'))
    order: list[Claim] = []
    seen: set[str] = set()
    # What was found of ingredients: by the library now, as far as nobody had said so before, and by signers that are
    # trusted, the last one first. What a stranger says that he found is no evidence.
    records = [_mapping(store.get('validation_results'))]
    # What is to do: a manifest to go into, or a claim all of whose ingredients are done.
    stack: list[Claim | _Place] = [_Place(str(store.get('active_manifest', '')))]
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
        stack += [place for place, _ in reversed(ingredients)]
        if trust == 'trusted':
            records += [results for _, results in ingredients]
    return tuple(order)


def _trust(label: str, records: Iterable[Mapping[str, Any]]) -> Trust:
    """What the signature of an ingredient is worth; the first record that speaks of its signer counts."""
    failures: set[str] = set()
    trust: Trust | None = None
    for results in records:
        good, bad = _codes_of(label, results)
        failures |= bad
        if trust is None and (TRUSTED in good or UNTRUSTED in bad):
            trust = 'unknown-signer' if UNTRUSTED in bad else 'trusted'
    rest = failures - {UNTRUSTED, *_MEDIA_FAILURES}
    if rest - set(EXPIRED):
        return 'tampered'
    return 'expired' if rest and trust == 'trusted' else trust or 'unknown-signer'


def _codes_of(label: str, results: Mapping[str, Any]) -> tuple[set[str], set[str]]:
    """The codes of success and of failure that a validation gives for one manifest."""
    deltas = [_mapping(_mapping(delta).get('validationDeltas')) for delta in _list(results.get('ingredientDeltas'))]
    good: set[str] = set()
    bad: set[str] = set()
    for part in (_mapping(results.get('activeManifest')), *deltas):
        for kind, codes in (('success', good), ('failure', bad)):
            for entry in map(_mapping, _list(part.get(kind))):
                url = str(entry.get('url', ''))
                if url.startswith(_MANIFESTS) and url.removeprefix(_MANIFESTS).partition('/')[0] == label:
                    codes.add(str(entry.get('code', '')))
    return good, bad


def active_claim(store: Mapping[str, Any]) -> Mapping[str, Any]:
    """The manifest of the file itself; empty where the store names none."""
    return _mapping(_mapping(store.get('manifests')).get(str(store.get('active_manifest', ''))))


def _ingredients(manifest: Mapping[str, Any]) -> Iterator[tuple[_Place, Mapping[str, Any]]]:
    """Those that have credentials, and what the signer of ``manifest`` found of them."""
    for entry in _list(manifest.get('ingredients')):
        ingredient = _mapping(entry)
        label = ingredient.get('active_manifest')
        if isinstance(label, str):
            results = _mapping(ingredient.get('validation_results'))
            name, relationship = _text(ingredient.get('title')), _text(ingredient.get('relationship'))
            yield _Place(label, name, relationship, failures_of(results)), results


def _claim(place: _Place, manifest: Mapping[str, Any], trust: Trust) -> Claim:
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
    return Claim(
        manifest=plain(place.label),
        title=_text(manifest.get('title')),
        name=place.name,
        relationship=place.relationship,
        generator=_generator(manifest),
        signer=_text(signature.get('common_name')),
        organisation=_text(signature.get('issuer')),
        trust=trust,
        signed_at=_text(signature.get('time')),
        problems=place.problems,
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


def _generator(manifest: Mapping[str, Any]) -> str:
    named = _list(manifest.get('claim_generator_info'))
    return _software(named[0]) if named else _text(manifest.get('claim_generator'))


def _software(value: Any) -> str:
    if isinstance(value, Mapping):
        return ' '.join(word for word in (_text(value.get('name')), _text(value.get('version'))) if word)
    return _text(value)


def _processing(data: Any) -> tuple[dict[str, Any] | None, str]:
    """The data of our own assertion, and why not all of it is shown."""
    cleaned = _cleaned(data, _DEEPEST)
    if not isinstance(cleaned, dict):
        return None, ''
    if len(json.dumps(cleaned)) > LARGEST_PROCESSING:
        return None, f'it is larger than {LARGEST_PROCESSING} bytes'
    return cleaned, f'it lies deeper than {_DEEPEST} levels' if _is_deeper(data, _DEEPEST) else ''


def _is_deeper(value: Any, depth: int) -> bool:
    inner = value.values() if isinstance(value, Mapping) else value if isinstance(value, list) else None
    return inner is not None and (not depth or any(_is_deeper(entry, depth - 1) for entry in inner))


def _cleaned(value: Any, depth: int) -> Any:
    """The same JSON with clean text; what lies too deep is left out."""
    if isinstance(value, str):
        # Texts of several lines, such as a consent, become one.
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
