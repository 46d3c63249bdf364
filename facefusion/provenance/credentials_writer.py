"""Signing an output: its Content Credentials are written into it, or into a side-car where it cannot hold them."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, BinaryIO, Literal

import c2pa

from facefusion.errors import InternalError, ProvenanceError
from facefusion.events import Emit, Message
from facefusion.media.files import write_failure, write_synced
from facefusion.provenance import media_types
from facefusion.provenance.library import Discarded, WatchedStream, make_context, plain, words_of
from facefusion.provenance.sidecar import first_sidecar, sidecar_of, sidecars_of
from facefusion.provenance.signer import Signing, make_signer
from facefusion.provenance.statement import (
    Statement,
    TargetFacts,
    TargetState,
    as_text,
    ingredient_id,
    manifest,
)
from facefusion.provenance.timestamp import Relay, RelayFailure
from facefusion.provenance.validation import EXPIRED, UNTRUSTED, failure_codes, failures_of
from facefusion.stopping import StopFlag

Inherited = Literal['none', 'intact', 'unknown-signer', 'expired', 'tampered', 'elsewhere', 'unreadable', 'not read']


@dataclass(frozen=True, slots=True)
class Ingredient:
    """Where a target of a statement lies, None when it is gone, and its side-car, if another than ``<path>.c2pa``."""

    path: Path | None
    sidecar: Path | None = None


@dataclass(frozen=True, slots=True)
class Signed:
    """What was made: ``media`` is the file to publish, ``sidecar`` what belongs beside it as ``<output>.c2pa``.

    ``time_stamp`` is the time that the authority attests (ISO 8601), None without one. ``inherited`` tells of each
    target what its own credentials were ('unknown-signer': intact, but no trusted root vouches for who signed them;
    'expired': intact, but their certificate is too old; 'elsewhere': not in it, but at an address).
    ``credentials_size`` is in bytes.
    """

    media: Path
    sidecar: Path | None
    manifest_id: str
    signer: str
    is_local: bool
    time_stamp: str | None
    inherited: tuple[Inherited, ...]
    credentials_size: int

    def as_record(self) -> dict[str, Any]:
        """Plain JSON for reports and job files; no paths."""
        return {
            'manifest': self.manifest_id,
            'signer': self.signer,
            'is_local': self.is_local,
            'time_stamp': self.time_stamp,
            'sidecar': self.sidecar is not None,
            'inherited': list(self.inherited),
            'size': self.credentials_size,
        }


def sign(
    unsigned: Path,
    signed: Path,
    statement: Statement,
    ingredients: Sequence[Ingredient],
    signing: Signing,
    emit: Emit,
    flag: StopFlag | None = None,
) -> Signed:
    """Signs the finished file ``unsigned``; it is read, never changed.

    Where the name of ``signed`` is that of a kind that holds credentials, the signed copy is written there; otherwise
    the credentials are written to ``<signed>.c2pa``, and ``unsigned`` is what is published. ``ingredients`` are the
    files of ``statement.targets``, in order: what credentials they have is kept, and said aloud when they are damaged.

    Raises ProvenanceError signing-failed, timestamp-failed; ResourceError disk-full, OutputError output-unwritable;
    Interrupted when ``flag`` is set, at the next piece of a file that is read or written, and while the time stamp
    authority is waited for. Nothing is left at ``signed`` then.
    """
    if len(ingredients) != len(statement.targets):
        raise InternalError('provenance-targets', 'the files to sign for are not those that are stated')
    work = _Work(unsigned, signed, statement, tuple(ingredients), signing, emit, flag)
    with _nothing_left(signed, sidecar_of(signed)):
        store, states = work.sign(with_timestamp=signing.timestamp_url is not None)
        if media_types.holds_credentials(signed):
            media, sidecar = signed, None
        else:
            media, sidecar = unsigned, sidecar_of(signed)
            _write_sidecar(sidecar, store)
        facts = _facts(store, signing)
        return Signed(
            media=media,
            sidecar=sidecar,
            manifest_id=facts['active_manifest'],
            signer=signing.signer_name,
            is_local=signing.is_local,
            time_stamp=_active(facts).get('signature_info', {}).get('time'),
            inherited=_report_inherited(facts, statement, states, emit),
            credentials_size=len(store),
        )


@dataclass(frozen=True, slots=True)
class _Work:
    """One output while it is signed."""

    unsigned: Path
    signed: Path
    statement: Statement
    ingredients: tuple[Ingredient, ...]
    signing: Signing
    emit: Emit
    flag: StopFlag | None

    def sign(self, with_timestamp: bool) -> tuple[bytes, tuple[TargetState, ...]]:
        """The manifest store, and what became of the targets."""
        url = self.signing.timestamp_url
        relay = Relay(url, self.flag) if with_timestamp and url else None
        try:
            with relay or nullcontext():
                return self._attempt(relay.url if relay else None)
        except (c2pa.C2paError, RelayFailure) as error:
            if self.flag is not None:
                self.flag.check()
            if not with_timestamp:
                raise ProvenanceError(
                    'signing-failed',
                    f'{self.statement.title} cannot be signed',
                    cause=words_of(error),
                    hint=self._hint(),
                ) from None
            if self.signing.require_timestamp:
                raise ProvenanceError(
                    'timestamp-failed',
                    f'{self.statement.title} cannot be signed with a time stamp of {self.signing.timestamp_host}',
                    cause=_reason(error, relay),
                    hint='try again later, choose another authority, or leave --require-timestamp out',
                ) from None
            problem = _reason(error, relay)
        signed = self.sign(with_timestamp=False)
        text = f'no timestamp from {self.signing.timestamp_host} ({problem}); signed without one'
        self.emit(Message('warn', 'provenance', text))
        return signed

    def _hint(self) -> str:
        if self.signing.credential.expires <= datetime.now(UTC):
            return 'the certificate has expired: renew the certificate, then run the same command again'
        return 'nothing was published; if it happens again, please report it with this message'

    def _attempt(self, relay_url: str | None) -> tuple[bytes, tuple[TargetState, ...]]:
        states: list[TargetState] = ['not read' if entry.path is None else 'read' for entry in self.ingredients]
        with make_context(self.signing.roots, relay_url, verify_signature=True) as context:
            while True:
                definition = manifest(self.statement, media_types.media_type(self.signed), tuple(states))
                with c2pa.Builder(definition, context) as builder:
                    broken = self._add_ingredients(builder, context, states)
                    if broken is None:
                        return self._write(builder, relay_url), tuple(states)
                    # What a target's state is stands in the manifest, which the builder has already taken.
                    states[broken[0]] = broken[1]

    def _add_ingredients(
        self, builder: c2pa.Builder, context: c2pa.Context, states: Sequence[TargetState]
    ) -> tuple[int, TargetState] | None:
        """Adds the targets; the first one that cannot be added as its state says, and the state that it has."""
        relationship = 'parentOf' if len(self.ingredients) == 1 else 'componentOf'
        for number, (target, entry, state) in enumerate(
            zip(self.statement.targets, self.ingredients, states, strict=True)
        ):
            name = ingredient_id(number)
            facts = _ingredient(target, entry.path, relationship, name)
            if entry.path is None or state != 'read':
                builder.add_ingredient(facts, media_types.PLAIN, io.BytesIO(b''))
                continue
            try:
                with entry.path.open('rb') as file:
                    self._add_file(builder, context, facts, entry, file)
            except OSError:
                return number, 'not read'
            except c2pa.C2paError:
                return number, 'unreadable'
        return None

    def _add_file(
        self, builder: c2pa.Builder, context: c2pa.Context, facts: dict[str, Any], entry: Ingredient, file: BinaryIO
    ) -> None:
        assert entry.path is not None
        kind = media_types.reading_type(entry.path)
        places = (entry.sidecar,) if entry.sidecar else sidecars_of(entry.path)
        sidecar = first_sidecar(places)
        stream = WatchedStream(file, self.flag)
        with _own_failures(stream):
            if sidecar is not None and not _has_embedded(stream, kind, context):
                file.seek(0)
                with c2pa.Reader(kind, stream, sidecar, context=context) as reader:
                    known = json.loads(reader.json())
                facts |= {
                    'active_manifest': known['active_manifest'],
                    'validation_results': known['validation_results'],
                    'manifest_data': {'format': 'application/c2pa', 'identifier': facts['label']},
                }
                builder.add_resource(facts['label'], io.BytesIO(sidecar))
                builder.add_ingredient(facts, media_types.PLAIN, io.BytesIO(b''))
            else:
                file.seek(0)
                builder.add_ingredient(facts, kind, stream)

    def _write(self, builder: c2pa.Builder, relay_url: str | None) -> bytes:
        kind = media_types.signing_type(self.signed)
        try:
            with self.unsigned.open('rb') as file, make_signer(self.signing, relay_url) as signer:
                source = WatchedStream(file, self.flag)
                if not media_types.holds_credentials(self.signed):
                    builder.set_no_embed()
                    with _own_failures(source):
                        return bytes(builder.sign(signer, kind, source, Discarded()))
                with self.signed.open('w+b') as copy:
                    made = WatchedStream(copy, self.flag)
                    with _own_failures(source, made):
                        return bytes(builder.sign(signer, kind, source, made))
        except OSError as error:
            raise write_failure(error, self.signed) from None


def _reason(error: BaseException, relay: Relay | None) -> str:
    """Why there is no time stamp: the library knows only that its client failed."""
    if relay is None or (relay.failure is None and not relay.was_answered):
        return words_of(error)
    return str(relay.failure) if relay.failure else f'its reply cannot be used: {words_of(error)}'


def _ingredient(target: TargetFacts, path: Path | None, relationship: str, name: str) -> dict[str, Any]:
    return {
        'title': as_text(target.name),
        'format': media_types.file_type(path) if path is not None else media_types.media_type(Path(target.name)),
        'relationship': relationship,
        'instance_id': name,
        'label': name,
    }


def _has_embedded(stream: WatchedStream, kind: str, context: c2pa.Context) -> bool:
    if kind == media_types.PLAIN:
        return False
    reader = c2pa.Reader.try_create(kind, stream, context=context)
    if reader is None:
        return False
    reader.close()
    return True


@contextmanager
def _own_failures(*streams: WatchedStream) -> Iterator[None]:
    """Raises what our own streams failed of; the library knows only that they did."""
    try:
        yield
    except c2pa.C2paError:
        for stream in streams:
            if stream.failure is not None:
                raise stream.failure from None
        raise


@contextmanager
def _nothing_left(*paths: Path) -> Iterator[None]:
    try:
        yield
    except BaseException:
        for path in paths:
            with suppress(OSError):
                path.unlink(missing_ok=True)
        raise


def _write_sidecar(path: Path, store: bytes) -> None:
    try:
        write_synced(path, store)
    except OSError as error:
        raise write_failure(error, path) from None


def _facts(store: bytes, signing: Signing) -> dict[str, Any]:
    """What the library reads of the store alone; it misses the file, of which nothing is asked here."""
    with (
        make_context(signing.roots) as context,
        c2pa.Reader('application/c2pa', io.BytesIO(store), context=context) as reader,
    ):
        facts: dict[str, Any] = json.loads(reader.json())
    return facts


def _active(facts: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = facts['manifests'][facts['active_manifest']]
    return found


def _report_inherited(
    facts: dict[str, Any], statement: Statement, states: Sequence[TargetState], emit: Emit
) -> tuple[Inherited, ...]:
    """What the targets' credentials were; damaged ones are said aloud."""
    by_name = {entry.get('instance_id'): entry for entry in _active(facts).get('ingredients', [])}
    inherited: list[Inherited] = []
    for number, (target, state) in enumerate(zip(statement.targets, states, strict=True)):
        entry = by_name.get(ingredient_id(number), {})
        results = entry.get('validation_results') or {}
        found = failure_codes({'activeManifest': results.get('activeManifest')})
        codes = [code for code in failure_codes(results) if code != UNTRUSTED]
        if state != 'read':
            inherited.append(state)
            what = 'cannot be read' if state == 'unreadable' else 'could not be looked for: the file is gone'
            text = f'the Content Credentials that {target.name} may have {what}; only its digest is stated'
            emit(Message('warn', 'provenance', text))
        elif 'manifest.inaccessible' in found:
            inherited.append('elsewhere')
            text = f'the credentials of {target.name} lie elsewhere, at an address that it names, and are not kept: '
            emit(Message('warn', 'provenance', text + 'no network is used for them'))
        elif UNTRUSTED in found and not codes:
            inherited.append('unknown-signer')
            known = facts['manifests'].get(entry.get('active_manifest'), {}).get('signature_info') or {}
            signer = plain(str(known.get('common_name') or known.get('issuer') or 'somebody'))
            text = f'the credentials of {target.name} were signed by {signer}, for whom no trusted root vouches: '
            emit(Message('warn', 'provenance', text + 'what they state is kept, not confirmed'))
        elif not codes:
            inherited.append('intact' if entry.get('active_manifest') else 'none')
        elif all(code in EXPIRED for code in codes):
            inherited.append('expired')
        else:
            inherited.append('tampered')
            text = f'the Content Credentials of {target.name} do not fit it any more: '
            text += '; '.join(failures_of(results)) + '; they are kept as such'
            emit(Message('warn', 'provenance', text))
    return tuple(inherited)
