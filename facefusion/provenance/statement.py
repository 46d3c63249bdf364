"""The statements in the credentials of an output, and their manifest (C2PA specification 2.x, actions)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any, Literal

from facefusion.version import VERSION

SOFTWARE = 'FaceFusion'
# A custom assertion needs a label in reverse domain order; its version is in its data.
PROCESSING_LABEL = 'io.facefusion.processing'
PROCESSING_VERSION = 1
_SOURCE_TYPES = 'http://cv.iptc.org/newscodes/digitalsourcetype/'
COMPOSITE = _SOURCE_TYPES + 'compositeWithTrainedAlgorithmicMedia'
ENHANCED = _SOURCE_TYPES + 'algorithmicallyEnhanced'
JOINED = _SOURCE_TYPES + 'composite'
_EFFECT_TYPES = {'composite': COMPOSITE, 'enhancement': ENHANCED}

Effect = Literal['composite', 'enhancement', 'annotation']
TargetState = Literal['read', 'unreadable', 'not read']


@dataclass(frozen=True, slots=True)
class ModelUse:
    """A model that a processor ran; ``sha256`` is the digest of its file."""

    id: str
    sha256: str


@dataclass(frozen=True, slots=True)
class ProcessorUse:
    """A processor of the chain.

    ``effect`` is 'composite' for generated content of a person (face swap, lip sync), 'enhancement' for a changed look
    of existing content, 'annotation' for drawings over the image.
    """

    name: str
    effect: Effect
    models: tuple[ModelUse, ...] = ()


@dataclass(frozen=True, slots=True)
class FileFacts:
    """The name of a used file without its folder, its digest and its size in bytes."""

    name: str
    sha256: str
    size: int


@dataclass(frozen=True, slots=True)
class TargetFacts:
    """A target and its processed part, from the first frame to the last one (exclusive); None for all frames."""

    name: str
    sha256: str
    size: int
    trim_start: int | None = None
    trim_end: int | None = None


@dataclass(frozen=True, slots=True)
class LabelFacts:
    """The visible label: 'corner' or 'bar', and its text."""

    kind: str
    text: str


@dataclass(frozen=True, slots=True)
class Statement:
    """All statements about a published file.

    ``changed`` is true if any face was changed. A single entry of ``targets`` is the processed file; several entries
    are joined clips, in order. ``mark_payload`` is the payload of the invisible mark in hexadecimal digits, None
    without a mark. ``consent`` contains the text that ``safety.consent`` returns for each ``--consent``.
    """

    job_id: str
    kind: Literal['image', 'video']
    title: str
    targets: tuple[TargetFacts, ...]
    processors: tuple[ProcessorUse, ...] = ()
    sources: tuple[FileFacts, ...] = ()
    changed: bool = True
    consent: tuple[str, ...] = ()
    mark_payload: str | None = None
    label: LabelFacts | None = None

    def as_record(self) -> dict[str, Any]:
        """Return the data of this program's assertion, as plain JSON."""
        record = asdict(self)
        record.pop('title')
        software = {'name': SOFTWARE, 'version': VERSION}
        return {'version': PROCESSING_VERSION, 'software': software, **_as_json(record)}


def ingredient_id(number: int) -> str:
    """Return the name by which actions refer to the ``number``-th target."""
    return f'target-{number}'


def manifest(statement: Statement, media_type: str, states: tuple[TargetState, ...]) -> dict[str, Any]:
    """Return the manifest without its ingredients.

    ``states`` contains the state of each target's own credentials: 'read' (included in the ingredient), 'unreadable'
    (the credentials or the entire file could not be read) or 'not read' (the file is missing).
    """
    record = statement.as_record()
    for target, state in zip(record['targets'], states, strict=True):
        target['credentials'] = state
    actions = list(_actions(statement, datetime.now(UTC).strftime('%Y-%m-%dT%H:%M:%SZ')))
    return {
        'claim_generator_info': [{'name': SOFTWARE, 'version': VERSION}],
        'title': as_text(statement.title),
        'format': media_type,
        'assertions': [
            {'label': 'c2pa.actions.v2', 'data': {'actions': actions}},
            {'label': PROCESSING_LABEL, 'data': record, 'created': True},
        ],
    }


def _actions(statement: Statement, when: str) -> Iterator[dict[str, Any]]:
    agent = {'softwareAgent': {'name': SOFTWARE, 'version': VERSION}, 'when': when}
    effects = {use.effect for use in statement.processors} if statement.changed else set()
    if len(statement.targets) == 1:
        yield {'action': 'c2pa.opened', 'parameters': {'ingredientIds': [ingredient_id(0)]}, **agent}
    else:
        source_type = COMPOSITE if 'composite' in effects else JOINED
        yield {'action': 'c2pa.created', 'digitalSourceType': source_type, **agent}
        for number in range(len(statement.targets)):
            yield {'action': 'c2pa.placed', 'parameters': {'ingredientIds': [ingredient_id(number)]}, **agent}
    if any(target.trim_start is not None or target.trim_end is not None for target in statement.targets):
        yield {'action': 'c2pa.trimmed', **agent}
    # For joined clips, the credentials of each clip state its edits.
    if statement.changed and len(statement.targets) == 1:
        for use in statement.processors:
            kind = {'digitalSourceType': _EFFECT_TYPES[use.effect]} if use.effect in _EFFECT_TYPES else {}
            yield {'action': 'c2pa.edited', 'description': use.name, **kind, **agent}
    if not effects:
        yield {'action': 'c2pa.transcoded', **agent}
    if statement.label is not None:
        yield {'action': 'c2pa.edited', 'description': f'visible label: {as_text(statement.label.text)}', **agent}
    if statement.mark_payload is not None:
        yield {'action': 'c2pa.watermarked.unbound', 'description': 'invisible mark in the luma plane', **agent}


def _as_json(value: Any) -> Any:
    """Return ``value`` with lists instead of tuples, with valid UTF-8 text, and without entries that are None."""
    if isinstance(value, dict):
        return {key: _as_json(entry) for key, entry in value.items() if entry is not None}
    if isinstance(value, list | tuple):
        return [_as_json(entry) for entry in value]
    return as_text(value) if isinstance(value, str) else value


def as_text(value: str) -> str:
    """Return the text without surrogates, which file names may contain and UTF-8 cannot encode."""
    return value.encode('utf-8', 'replace').decode('utf-8')
