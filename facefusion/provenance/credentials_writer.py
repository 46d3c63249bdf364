"""Sign an output: write its Content Credentials into the file, or into a sidecar if it cannot contain them."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, Literal

import c2pa

from facefusion.errors import InternalError, ProvenanceError
from facefusion.events import Emit, Message
from facefusion.media.files import write_failure, write_synced
from facefusion.provenance.library import Discarded, WatchedStream, make_context, plain, words_of
from facefusion.provenance.media_types import (
    PLAIN,
    file_type,
    holds_credentials,
    media_type,
    reading_type,
    signing_type,
)
from facefusion.provenance.sidecar import read_sidecar, sidecar_of
from facefusion.provenance.signer import Signing, make_signer
from facefusion.provenance.statement import Statement, TargetState, as_text, ingredient_id, manifest
from facefusion.provenance.validation import EXPIRED, UNTRUSTED, failure_codes, failures_of
from facefusion.stopping import StopFlag

if TYPE_CHECKING:
    from facefusion.provenance.timestamp import Relay

Inherited = Literal['none', 'intact', 'unknown-signer', 'expired', 'tampered', 'elsewhere', 'unreadable', 'not read']


@dataclass(frozen=True, slots=True)
class Ingredient:
    """The path of a target (None if it is missing), and of its sidecar if that is not ``<path>.c2pa``."""

    path: Path | None
    sidecar: Path | None = None


@dataclass(frozen=True, slots=True)
class Signed:
    """A signed output: ``media`` is the file to publish, ``sidecar`` the one to publish as ``<output>.c2pa``.

    ``time_stamp`` is the time that the authority attests (ISO 8601), None without one. ``inherited`` is the state of
    each target's own credentials ('unknown-signer': intact, but no trusted root certifies the signer; 'expired':
    intact, but their certificate has expired; 'elsewhere': stored at a network address instead of in the file).
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
        """Return plain JSON for reports and job files, without paths."""
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
    """Sign the finished file ``unsigned``, which is only read.

    If the extension of ``signed`` allows embedded credentials, the signed copy is written to ``signed``. Otherwise the
    credentials are written to ``<signed>.c2pa``, and ``unsigned`` is the file to publish. ``ingredients`` are the files
    of ``statement.targets``, in order; their credentials are included, with a warning if they are damaged.

    Raises ProvenanceError signing-failed, timestamp-failed; ResourceError disk-full, OutputError output-unwritable;
    Interrupted when ``flag`` is set, which is checked at each read and write and during the wait for the timestamp
    authority. After any exception the files at ``signed`` are removed.
    """
    if len(ingredients) != len(statement.targets):
        raise InternalError('provenance-targets', 'the ingredients are not the targets of the statement')
    work = _Work(unsigned, signed, statement, tuple(ingredients), signing, emit, flag)
    with _removed_on_failure(signed, sidecar_of(signed)):
        store, states = work.sign()
        is_embedded = holds_credentials(signed)
        if not is_embedded:
            try:
                write_synced(sidecar_of(signed), store)
            except OSError as error:
                raise write_failure(error, sidecar_of(signed)) from None
        report = _read_store(store, signing)
        return Signed(
            media=signed if is_embedded else unsigned,
            sidecar=None if is_embedded else sidecar_of(signed),
            manifest_id=report['active_manifest'],
            signer=signing.credential.signer_name,
            is_local=signing.is_local,
            time_stamp=_active(report).get('signature_info', {}).get('time'),
            inherited=_inherited(report, statement, states, emit),
            credentials_size=len(store),
        )


@dataclass(frozen=True, slots=True)
class _Work:
    """The signing of one output."""

    unsigned: Path
    signed: Path
    statement: Statement
    ingredients: tuple[Ingredient, ...]
    signing: Signing
    emit: Emit
    flag: StopFlag | None

    def sign(self) -> tuple[bytes, tuple[TargetState, ...]]:
        """Return the manifest store, and the states of the targets' credentials."""
        if self.signing.timestamp_url is not None:
            # Most runs ask for no timestamp, and the import of an HTTP client takes a tenth of a second.
            from facefusion.provenance.timestamp import Relay, RelayFailure

            relay: Relay | None = None
            try:
                with Relay(self.signing.timestamp_url, self.flag) as relay:
                    return self._attempt(relay.url)
            except (c2pa.C2paError, RelayFailure) as error:
                if self.flag is not None:
                    self.flag.check()
                reason = _timestamp_failure(error, relay)
                if self.signing.require_timestamp:
                    raise ProvenanceError(
                        'timestamp-failed',
                        f'{self.statement.title} cannot be signed with a timestamp of {self.signing.timestamp_host}',
                        cause=reason,
                        hint='try again later, choose another authority, or leave --require-timestamp out',
                    ) from None
        try:
            signed = self._attempt(None)
        except c2pa.C2paError as error:
            if self.flag is not None:
                self.flag.check()
            hint = 'nothing was published; if it happens again, please report it with this message'
            if self.signing.credential.expires <= datetime.now(UTC):
                hint = 'the certificate has expired: renew the certificate, then run the same command again'
            raise ProvenanceError(
                'signing-failed', f'{self.statement.title} cannot be signed', cause=words_of(error), hint=hint
            ) from None
        if self.signing.timestamp_url is not None:
            text = f'no timestamp from {self.signing.timestamp_host} ({reason}); signed without one'
            self.emit(Message('warn', 'provenance', text))
        return signed

    def _attempt(self, relay_url: str | None) -> tuple[bytes, tuple[TargetState, ...]]:
        states: list[TargetState] = ['not read' if entry.path is None else 'read' for entry in self.ingredients]
        with make_context(self.signing.roots, relay_url, verify_signature=True) as context:
            while True:
                definition = manifest(self.statement, media_type(self.signed), tuple(states))
                with c2pa.Builder(definition, context) as builder:
                    failure = self._add_ingredients(builder, context, states)
                    if failure is None:
                        return self._write(builder, relay_url), tuple(states)
                    # The manifest contains the states, so a changed state needs a new builder.
                    number, state = failure
                    states[number] = state

    def _add_ingredients(
        self, builder: c2pa.Builder, context: c2pa.Context, states: Sequence[TargetState]
    ) -> tuple[int, TargetState] | None:
        """Add the targets; return number and actual state of the first target whose stated state is wrong, or None."""
        relationship = 'parentOf' if len(self.ingredients) == 1 else 'componentOf'
        for number, (target, entry, state) in enumerate(
            zip(self.statement.targets, self.ingredients, states, strict=True)
        ):
            facts = {
                'title': as_text(target.name),
                'format': file_type(entry.path) if entry.path is not None else media_type(Path(target.name)),
                'relationship': relationship,
                'instance_id': ingredient_id(number),
                'label': ingredient_id(number),
            }
            if entry.path is None or state != 'read':
                builder.add_ingredient(facts, PLAIN, io.BytesIO(b''))
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
        kind = reading_type(entry.path)
        sidecar = read_sidecar(entry.path, entry.sidecar)
        stream = WatchedStream(file, self.flag)
        with _stream_failures(stream):
            if sidecar is None or _has_embedded(stream, kind, context):
                file.seek(0)
                builder.add_ingredient(facts, kind, stream)
                return
            file.seek(0)
            with c2pa.Reader(kind, stream, sidecar, context=context) as reader:
                known = json.loads(reader.json())
            facts |= {
                'active_manifest': known['active_manifest'],
                'validation_results': known['validation_results'],
                'manifest_data': {'format': 'application/c2pa', 'identifier': facts['label']},
            }
            builder.add_resource(facts['label'], io.BytesIO(sidecar))
            builder.add_ingredient(facts, PLAIN, io.BytesIO(b''))

    def _write(self, builder: c2pa.Builder, relay_url: str | None) -> bytes:
        kind = signing_type(self.signed)
        try:
            with self.unsigned.open('rb') as file, make_signer(self.signing, relay_url) as signer:
                source = WatchedStream(file, self.flag)
                if not holds_credentials(self.signed):
                    builder.set_no_embed()
                    with _stream_failures(source):
                        return bytes(builder.sign(signer, kind, source, Discarded()))
                with self.signed.open('w+b') as copy:
                    output = WatchedStream(copy, self.flag)
                    with _stream_failures(source, output):
                        return bytes(builder.sign(signer, kind, source, output))
        except OSError as error:
            raise write_failure(error, self.signed) from None


def _timestamp_failure(error: BaseException, relay: Relay | None) -> str:
    """Return the reason for the missing timestamp; the library's own error states only that its request failed."""
    if relay is None or (relay.failure is None and not relay.was_answered):
        return words_of(error)
    return str(relay.failure) if relay.failure else f'its reply cannot be used: {words_of(error)}'


def _has_embedded(stream: WatchedStream, kind: str, context: c2pa.Context) -> bool:
    reader = c2pa.Reader.try_create(kind, stream, context=context) if kind != PLAIN else None
    if reader is not None:
        reader.close()
    return reader is not None


@contextmanager
def _stream_failures(*streams: WatchedStream) -> Iterator[None]:
    """Raise the failure of a stream instead of the library's error, which hides it."""
    try:
        yield
    except c2pa.C2paError:
        for stream in streams:
            if stream.failure is not None:
                raise stream.failure from None
        raise


@contextmanager
def _removed_on_failure(*paths: Path) -> Iterator[None]:
    try:
        yield
    except BaseException:
        for path in paths:
            with suppress(OSError):
                path.unlink(missing_ok=True)
        raise


def _read_store(store: bytes, signing: Signing) -> dict[str, Any]:
    """Return the library's report on the store alone; its errors about the missing file are irrelevant."""
    with (
        make_context(signing.roots) as context,
        c2pa.Reader('application/c2pa', io.BytesIO(store), context=context) as reader,
    ):
        report: dict[str, Any] = json.loads(reader.json())
    return report


def _active(report: dict[str, Any]) -> dict[str, Any]:
    active: dict[str, Any] = report['manifests'][report['active_manifest']]
    return active


def _inherited(
    report: dict[str, Any], statement: Statement, states: Sequence[TargetState], emit: Emit
) -> tuple[Inherited, ...]:
    """Return the states of the targets' own credentials, with a warning about damaged ones."""
    by_name = {entry.get('instance_id'): entry for entry in _active(report).get('ingredients', [])}
    inherited: list[Inherited] = []
    for number, (target, state) in enumerate(zip(statement.targets, states, strict=True)):
        found, warning = _state_of(target.name, state, by_name.get(ingredient_id(number), {}), report)
        inherited.append(found)
        if warning:
            emit(Message('warn', 'provenance', warning))
    return tuple(inherited)


def _state_of(name: str, state: TargetState, entry: dict[str, Any], report: dict[str, Any]) -> tuple[Inherited, str]:
    """Return the state of the credentials of a target, and a warning about it ('' if there is none)."""
    if state != 'read':
        problem = 'cannot be read' if state == 'unreadable' else 'were not read, because the file is missing'
        return state, f'Content Credentials of {name}, if any, {problem}; only its digest is stated'
    results = entry.get('validation_results') or {}
    own_codes = failure_codes({'activeManifest': results.get('activeManifest')})
    codes = [code for code in failure_codes(results) if code != UNTRUSTED]
    if 'manifest.inaccessible' in own_codes:
        text = f'the credentials of {name} are stored at a network address and are not included: '
        return 'elsewhere', text + 'this program does not fetch credentials'
    if UNTRUSTED in own_codes and not codes:
        signature = report['manifests'].get(entry.get('active_manifest'), {}).get('signature_info') or {}
        signer = plain(str(signature.get('common_name') or signature.get('issuer') or 'an unnamed signer'))
        text = f'the credentials of {name} were signed by {signer}, whom no trusted root certifies: '
        return 'unknown-signer', text + 'their statements are included, but not confirmed'
    if not codes:
        return ('intact' if entry.get('active_manifest') else 'none'), ''
    if all(code in EXPIRED for code in codes):
        return 'expired', ''
    text = f'the Content Credentials of {name} do not match it: {"; ".join(failures_of(results))}; '
    return 'tampered', text + 'they are included as they are'
