"""Read the Content Credentials of any file: their state, the signer and the history."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, BinaryIO, Literal

import c2pa

from facefusion.errors import MediaError
from facefusion.media.kinds import find_kind
from facefusion.provenance.chain import Claim, Trust, read_chain
from facefusion.provenance.library import WatchedStream, make_context, plain, words_of
from facefusion.provenance.media_types import reading_type
from facefusion.provenance.sidecar import read_sidecar
from facefusion.provenance.trust import Root
from facefusion.provenance.validation import EXPIRED, UNTRUSTED, failure_codes, failures_of
from facefusion.stopping import StopFlag

State = Literal['trusted', 'unknown-signer', 'expired', 'tampered', 'unreadable', 'none']
Place = Literal['embedded', 'sidecar', 'none']
TimeStamp = Literal['trusted', 'untrusted', 'none']
# The maximum length of the library's JSON for a store; a sidecar of 64 MB results in less.
_LARGEST_REPORT = 64_000_000
# Errors in an existing store; all other errors concern the file that contains it.
_STORE_ERRORS = (
    c2pa.C2paError.Assertion,
    c2pa.C2paError.AssertionNotFound,
    c2pa.C2paError.Decoding,
    c2pa.C2paError.Json,
    c2pa.C2paError.Manifest,
    c2pa.C2paError.ResourceNotFound,
    c2pa.C2paError.Signature,
    c2pa.C2paError.Verify,
)
# Errors that are ignored, because a file that this program cannot process may still have credentials.
_KIND_PROBLEMS = ('media-kind-unsupported', 'media-content-unknown')


@dataclass(frozen=True, slots=True)
class CredentialFinding:
    """The result of checking the credentials of a file.

    ``state`` is 'trusted' if the credentials are intact and one of the roots certifies the signer; 'unknown-signer' if
    they are intact, but no root certifies the signer; 'expired' if they are intact, but the certificate has expired
    and no timestamp proves an earlier signature; 'tampered' if they do not match the file, or contradict themselves;
    'unreadable' if they could not be checked (``detail`` is the reason); 'none' if there are none. ``root`` is the
    subject of the certifying root, '' without one, and ``is_own_root`` is true if this machine created it.
    ``problems`` are the failures in plain words, ``codes`` their C2PA codes. ``signed_at`` is the time of the
    timestamp ('' without one), ``chain`` the history, oldest first.
    """

    state: State
    place: Place
    signer: str = ''
    organisation: str = ''
    root: str = ''
    root_fingerprint: str = ''
    is_own_root: bool = False
    signed_at: str = ''
    time_stamp: TimeStamp = 'none'
    generator: str = ''
    problems: tuple[str, ...] = ()
    codes: tuple[str, ...] = ()
    detail: str = ''
    chain: tuple[Claim, ...] = ()

    def as_record(self) -> dict[str, Any]:
        """Return plain JSON."""
        record: dict[str, Any] = json.loads(json.dumps(asdict(self)))
        return record


def read_credentials(
    path: Path, roots: Sequence[Root], sidecar: Path | None = None, flag: StopFlag | None = None
) -> CredentialFinding:
    """Check the credentials in the file at ``path``, or those of its sidecar if the file contains none.

    The sidecar is the file ``sidecar`` if given, otherwise ``<path>.c2pa``.

    Reads the entire file with little memory and without network access. Raises MediaError only for a missing, empty,
    irregular or unreadable file or ``sidecar``, and Interrupted when ``flag`` is set.
    """
    for named in (path, sidecar):
        try:
            if named is not None:
                find_kind(named)
        except MediaError as error:
            if error.reference not in _KIND_PROBLEMS:
                raise
    with make_context(roots) as context:
        try:
            with path.open('rb') as file:
                kind = reading_type(path)
                found = _examine(file, kind, None, context, roots, flag)
                if found.place == 'embedded':
                    return found
                data = read_sidecar(path, sidecar)
                if data is not None:
                    file.seek(0)
                    found = _examine(file, kind, data, context, roots, flag)
                return found
        except OSError as error:
            raise MediaError(
                'media-unreadable',
                f'{path.name} cannot be read',
                cause=error.strerror or str(error),
                hint='check the file and its disk',
            ) from None


def _examine(
    file: BinaryIO,
    kind: str,
    sidecar: bytes | None,
    context: c2pa.Context,
    roots: Sequence[Root],
    flag: StopFlag | None,
) -> CredentialFinding:
    place: Place = 'embedded' if sidecar is None else 'sidecar'
    stream = WatchedStream(file, flag)
    try:
        with c2pa.Reader(kind, stream, sidecar, context=context) as reader:
            text = reader.json()
            validation = str(reader.get_validation_state())
        if len(text) > _LARGEST_REPORT:
            return CredentialFinding('unreadable', place, detail=f'the credentials have {len(text)} characters')
        store = json.loads(text)
    except c2pa.C2paError as error:
        # Only an invalid file makes the library seek to a negative offset (ValueError).
        if stream.failure is not None and not isinstance(stream.failure, ValueError):
            raise stream.failure from None
        if isinstance(error, c2pa.C2paError.ManifestNotFound | c2pa.C2paError.NotSupported):
            return CredentialFinding('none', 'none')
        # The library does not always use its own type for this error.
        if isinstance(error, c2pa.C2paError.RemoteManifest) or str(error).startswith('Remote:'):
            return CredentialFinding('none', 'none', detail=f'its credentials are stored elsewhere: {words_of(error)}')
        # The place is 'none' if the file itself cannot be parsed, because its sidecar may still match.
        is_store = sidecar is not None or isinstance(error, _STORE_ERRORS)
        return CredentialFinding('unreadable', place if is_store else 'none', detail=words_of(error))
    except (ValueError, RecursionError) as error:
        return CredentialFinding('unreadable', place, detail=words_of(error))
    return _finding(store, validation, place, roots)


def _finding(store: Mapping[str, Any], validation: str, place: Place, roots: Sequence[Root]) -> CredentialFinding:
    results = store.get('validation_results') or {}
    codes = failure_codes(results)
    state = _state(validation, codes)
    root = next((root for root in roots if root.fingerprint == results.get('trustListUri')), None)
    chain = read_chain(store, state)
    own = chain[-1] if chain else None
    return CredentialFinding(
        state=state,
        place=place,
        signer=own.signer if own else '',
        organisation=own.organisation if own else '',
        root=plain(root.name) if root else '',
        root_fingerprint=root.fingerprint if root else '',
        is_own_root=bool(root and root.is_own),
        signed_at=own.signed_at if own else '',
        time_stamp=_time_stamp(results) if own and own.signed_at else 'none',
        generator=own.generator if own else '',
        problems=failures_of(results),
        codes=codes,
        chain=chain,
    )


def _state(validation: str, codes: Sequence[str]) -> Trust:
    failures = [code for code in codes if code != UNTRUSTED]
    if failures:
        return 'expired' if all(code in EXPIRED for code in failures) else 'tampered'
    if validation == 'Trusted' and not codes:
        return 'trusted'
    # The library reports 'Valid' for intact credentials of any signer.
    return 'unknown-signer' if validation in ('Valid', 'Trusted') else 'tampered'


def _time_stamp(results: Mapping[str, Any]) -> TimeStamp:
    active = results.get('activeManifest') or {}
    codes = [entry.get('code') for kind in ('success', 'informational') for entry in active.get(kind) or ()]
    return 'trusted' if 'timeStamp.trusted' in codes else 'untrusted'
