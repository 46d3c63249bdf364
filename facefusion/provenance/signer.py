"""Who signs: found, and proved to be able to, before any work starts."""

from __future__ import annotations

import io
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import urlsplit

import c2pa

from facefusion.errors import ProvenanceError
from facefusion.events import Emit, Message
from facefusion.provenance.certificate import Credential, load_credential
from facefusion.provenance.library import make_context, words_of
from facefusion.provenance.local_certificate import local_credential
from facefusion.provenance.media_types import PLAIN
from facefusion.provenance.options import ProvenanceOptions
from facefusion.provenance.trust import Root, local_folders, trusted_roots

# A certificate that is valid for less is warned about: runs may take hours.
_SOON = timedelta(days=1)
_TRIAL = {
    'claim_generator_info': [{'name': 'FaceFusion'}],
    'assertions': [
        {
            'label': 'c2pa.actions.v2',
            'data': {
                'actions': [
                    {
                        'action': 'c2pa.created',
                        'digitalSourceType': 'http://cv.iptc.org/newscodes/digitalsourcetype/digitalCreation',
                    }
                ]
            },
        }
    ],
}


@dataclass(frozen=True, slots=True)
class Signing:
    """Everything that signing needs.

    ``is_local`` is true for the certificate that this program made itself. ``roots`` are those by which credentials of
    targets are judged.
    """

    credential: Credential
    is_local: bool
    timestamp_url: str | None = None
    require_timestamp: bool = False
    roots: tuple[Root, ...] = ()

    @property
    def signer_name(self) -> str:
        """The signer as people read it."""
        return self.credential.signer_name

    @property
    def timestamp_host(self) -> str:
        """The host of the time stamp authority: its whole address may hold a password."""
        return urlsplit(self.timestamp_url or '').hostname or ''


def prepare_signing(
    options: ProvenanceOptions,
    environ: Mapping[str, str],
    fallback_folder: Path,
    emit: Emit,
    offline: bool = False,
) -> Signing:
    """The signer that the options name, or this machine's own; proved by signing a few bytes.

    ``fallback_folder`` takes this machine's certificate when the user's folder for data cannot be written. With
    ``offline`` no time stamp is asked for. Raises ProvenanceError: what ``load_credential`` raises,
    what ``trusted_roots`` raises, certificate-without-key, certificate-unusable, provenance-folder-unwritable,
    timestamp-url-invalid, timestamp-url-missing, timestamp-offline.
    """
    url = _timestamp_url(options, offline, emit)
    if options.certificate_path or options.private_key_path:
        if not (options.certificate_path and options.private_key_path):
            given, missing = ('certificate_path', 'private_key_path')[:: 1 if options.certificate_path else -1]
            raise ProvenanceError(
                'certificate-without-key',
                f'{given} is given, but {missing} is not',
                cause='a signature needs a certificate and its private key',
                hint=f'give [provenance] {missing}, too, or neither of them to sign with a certificate of this machine',
            )
        paths = Path(options.certificate_path), Path(options.private_key_path)
        credential = load_credential(*paths, environ)
        where = f'the certificate in {options.certificate_path}'
    else:
        credential, folder = _local(options, environ, fallback_folder, emit)
        where = f'the certificate of this machine in {folder}'
    is_local = not options.certificate_path
    roots = trusted_roots(options, environ, fallback_folder)
    signing = Signing(credential, is_local, url, options.require_timestamp, roots)
    _try(signing, where)
    if credential.expires - datetime.now(UTC) < _SOON:
        text = f'{where} expires at {credential.expires:%Y-%m-%d %H:%M} UTC: a run that ends later cannot be signed; '
        emit(Message('warn', 'provenance', text + 'renew it before longer runs'))
    return signing


def make_signer(signing: Signing, relay_url: str | None = None) -> c2pa.Signer:
    """The C2PA library's signer, which asks for a time stamp at ``relay_url``. Raises what the library raises."""
    credential = signing.credential
    return c2pa.Signer.from_info(c2pa.C2paSignerInfo(credential.algorithm, credential.chain, credential.key, relay_url))


def _local(
    options: ProvenanceOptions, environ: Mapping[str, str], fallback_folder: Path, emit: Emit
) -> tuple[Credential, Path]:
    folders = local_folders(options, environ, fallback_folder)
    problems: list[str] = []
    for folder in folders:
        try:
            credential = local_credential(folder, emit)
        except OSError as error:
            problems.append(f'{folder}: {error.strerror or error}')
        else:
            if problems:
                emit(
                    Message(
                        'warn',
                        'provenance',
                        f'the certificate of this machine is kept in {folder}, since no other folder can be written '
                        f'({problems[0]}); --provenance-path names one',
                    )
                )
            return credential, folder
    raise ProvenanceError(
        'provenance-folder-unwritable',
        'the certificate of this machine cannot be kept anywhere',
        cause='; '.join(problems),
        hint='give --provenance-path a folder that may be written, or a certificate of your own in [provenance]',
    )


def _timestamp_url(options: ProvenanceOptions, offline: bool, emit: Emit) -> str | None:
    url = (options.timestamp_url or '').strip()
    if not url:
        if options.require_timestamp:
            raise ProvenanceError(
                'timestamp-url-missing',
                'a time stamp is required, but no authority is named',
                hint='give --timestamp-url, or leave --require-timestamp out',
            )
        return None
    try:
        parts = urlsplit(url)
        is_address = parts.scheme in ('http', 'https') and bool(parts.hostname) and ' ' not in url
        is_address = is_address and url.isprintable() and url.isascii()
        is_address = is_address and parts.port != 0
    except ValueError:
        is_address = False
    if not is_address:
        raise ProvenanceError(
            'timestamp-url-invalid',
            'the address of the time stamp authority is no http or https address',
            hint='write it as http://host/path',
        )
    if not offline:
        return url
    if options.require_timestamp:
        raise ProvenanceError(
            'timestamp-offline',
            'a time stamp is required, but the network may not be used',
            cause='--offline and --require-timestamp exclude each other',
            hint='leave one of them out',
        )
    emit(Message('info', 'provenance', 'no time stamp is asked for: --offline'))
    return None


def _try(signing: Signing, where: str) -> None:
    """Signs a few bytes: only the library itself knows every demand of the standard."""
    try:
        context = make_context(verify_signature=True)
        with context, make_signer(signing) as signer, c2pa.Builder(_TRIAL, context) as builder:
            builder.set_no_embed()
            builder.sign(signer, PLAIN, io.BytesIO(b'FaceFusion'), io.BytesIO())
    except c2pa.C2paError as error:
        raise ProvenanceError(
            'certificate-unusable',
            f'{where} cannot sign Content Credentials',
            cause=words_of(error),
            hint='C2PA takes EC, Ed25519 and RSA-PSS certificates that an authority issued for signing documents, '
            'for S/MIME or for C2PA',
        ) from None
