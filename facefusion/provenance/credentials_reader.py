"""Reading the Content Credentials of any file: whether they are intact, who signed, and what was done."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, BinaryIO, Literal

import c2pa

from facefusion.errors import MediaError
from facefusion.media.kinds import find_kind
from facefusion.provenance import media_types
from facefusion.provenance.chain import Claim, Trust, active_claim, read_chain
from facefusion.provenance.library import WatchedStream, make_context, plain, words_of
from facefusion.provenance.sidecar import first_sidecar, read_sidecar, sidecars_of
from facefusion.provenance.trust import Root
from facefusion.provenance.validation import EXPIRED, UNTRUSTED, failure_codes, failures_of
from facefusion.stopping import StopFlag

State = Literal['trusted', 'unknown-signer', 'expired', 'tampered', 'unreadable', 'none']
Place = Literal['embedded', 'sidecar', 'none']
TimeStamp = Literal['trusted', 'untrusted', 'none']
# What the library tells of a store, as JSON: 64 MB of side-car give less.
LARGEST_REPORT = 64_000_000
# Those that tell of a store that was found; all others tell of the file around it.
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
# A file may be of a kind that this program does not work on, and have credentials.
_KIND_PROBLEMS = ('media-kind-unsupported', 'media-content-unknown')


@dataclass(frozen=True, slots=True)
class CredentialFinding:
    """What the credentials of a file are worth.

    ``state``: 'trusted' is intact and signed by one of the roots; 'unknown-signer' is intact, signed by somebody for
    whom no root vouches; 'expired' is intact, but its certificate has expired and no time stamp shows that it had not
    when it signed; 'tampered' does not fit the file or itself; 'unreadable' could not be examined (``detail`` says
    why); 'none' has no credentials. ``root`` is the subject of the root that vouches, '' where none does, and
    ``is_own_root`` tells that this machine made it. ``problems`` says in plain words what does not fit, ``codes`` are
    the C2PA codes behind it. ``signed_at`` is the time of the time stamp ('' without one), ``chain`` what was done,
    oldest first.
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
        """Plain JSON."""
        record: dict[str, Any] = json.loads(json.dumps(asdict(self)))
        return record


def read_credentials(
    path: Path, roots: Sequence[Root], sidecar: Path | None = None, flag: StopFlag | None = None
) -> CredentialFinding:
    """The credentials in the file at ``path``, or those in its side-car: ``sidecar``, else ``<path>.c2pa``.

    What is embedded comes first. Reads the whole file, in little memory, and no network. Raises MediaError only for a
    file, or a side-car that is named, that is missing, empty, no regular file or not readable, and Interrupted when
    ``flag`` is set.
    """
    for named in (path, sidecar):
        if named is not None:
            _check_is_file(named)
    with make_context(roots) as context:
        try:
            with path.open('rb') as file:
                found = _examine(file, media_types.reading_type(path), None, context, roots, flag)
                beside = _beside(path, sidecar) if found.place != 'embedded' else None
                if beside is not None:
                    file.seek(0)
                    found = _examine(file, media_types.reading_type(path), beside, context, roots, flag)
        except OSError as error:
            raise MediaError(
                'media-unreadable',
                f'{path.name} cannot be read',
                cause=error.strerror or str(error),
                hint='check the file, and the disk that it lies on',
            ) from None
    return found


def _check_is_file(path: Path) -> None:
    try:
        find_kind(path)
    except MediaError as error:
        if error.reference not in _KIND_PROBLEMS:
            raise


def _beside(path: Path, sidecar: Path | None) -> bytes | None:
    """The bytes of the side-car that is named, or else of the one that lies beside the file."""
    return read_sidecar(sidecar) if sidecar is not None else first_sidecar(sidecars_of(path))


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
            state = str(reader.get_validation_state())
        if len(text) > LARGEST_REPORT:
            return CredentialFinding('unreadable', place, detail=f'the credentials have {len(text)} letters')
        store = json.loads(text)
    except (c2pa.C2paError.ManifestNotFound, c2pa.C2paError.NotSupported):
        _raise_own(stream)
        return CredentialFinding('none', 'none')
    except c2pa.C2paError as error:
        _raise_own(stream)
        # The library has a type for it, and does not use it.
        if isinstance(error, c2pa.C2paError.RemoteManifest) or str(error).startswith('Remote:'):
            return CredentialFinding('none', 'none', detail=f'its credentials lie elsewhere: {words_of(error)}')
        # In a file that cannot be parsed nothing was found; what lies beside it may still fit.
        is_store = sidecar is not None or isinstance(error, _STORE_ERRORS)
        return CredentialFinding('unreadable', place if is_store else 'none', detail=words_of(error))
    except (ValueError, RecursionError) as error:
        return CredentialFinding('unreadable', place, detail=words_of(error))
    return _finding(store, state, place, roots)


def _raise_own(stream: WatchedStream) -> None:
    """What our own stream failed of, such as a stop that was asked for; an offset below 0 is the hostile file's."""
    if stream.failure is not None and not isinstance(stream.failure, ValueError):
        raise stream.failure


def _finding(store: Mapping[str, Any], validation: str, place: Place, roots: Sequence[Root]) -> CredentialFinding:
    results = store.get('validation_results') or {}
    codes = failure_codes(results)
    state = _state(validation, codes)
    manifest = active_claim(store)
    root = next((root for root in roots if root.fingerprint == results.get('trustListUri')), None)
    chain = read_chain(store, state)
    own = chain[-1] if chain else None
    signature = manifest.get('signature_info') or {}
    return CredentialFinding(
        state=state,
        place=place,
        signer=own.signer if own else '',
        organisation=own.organisation if own else '',
        root=plain(root.name) if root else '',
        root_fingerprint=root.fingerprint if root else '',
        is_own_root=bool(root and root.is_own),
        signed_at=own.signed_at if own else '',
        time_stamp=_time_stamp(results) if signature.get('time') else 'none',
        generator=own.generator if own else '',
        problems=failures_of(results),
        codes=codes,
        chain=chain,
    )


def _state(validation: str, codes: Sequence[str]) -> Trust:
    if validation == 'Trusted' and not codes:
        return 'trusted'
    rest = [code for code in codes if code != UNTRUSTED]
    if not rest:
        # The library calls Valid what is intact, whoever signed it.
        return 'unknown-signer' if validation in ('Valid', 'Trusted') else 'tampered'
    return 'expired' if all(code in EXPIRED for code in rest) else 'tampered'


def _time_stamp(results: Mapping[str, Any]) -> TimeStamp:
    active = results.get('activeManifest') or {}
    said = [entry.get('code') for kind in ('success', 'informational') for entry in active.get(kind) or ()]
    return 'trusted' if 'timeStamp.trusted' in said else 'untrusted'
