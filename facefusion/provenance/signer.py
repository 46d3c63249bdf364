"""Load and test the signer of outputs before a run starts."""

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

# A shorter remaining validity causes a warning, because a run may take hours.
_SOON = timedelta(days=1)
_TRIAL_ACTION = {
    'action': 'c2pa.created',
    'digitalSourceType': 'http://cv.iptc.org/newscodes/digitalsourcetype/digitalCreation',
}
_TRIAL = {
    'claim_generator_info': [{'name': 'FaceFusion'}],
    'assertions': [{'label': 'c2pa.actions.v2', 'data': {'actions': [_TRIAL_ACTION]}}],
}


@dataclass(frozen=True, slots=True)
class Signing:
    """A signer and the settings of signing.

    ``is_local`` is true for a certificate that this program created. ``roots`` are the trusted roots for checking the
    credentials of targets.
    """

    credential: Credential
    is_local: bool
    timestamp_url: str | None = None
    require_timestamp: bool = False
    roots: tuple[Root, ...] = ()

    @property
    def timestamp_host(self) -> str:
        """The host of the timestamp authority, for messages, because the full address may contain a password."""
        return urlsplit(self.timestamp_url or '').hostname or ''


def prepare_signing(
    options: ProvenanceOptions,
    environ: Mapping[str, str],
    fallback_folder: Path,
    emit: Emit,
    offline: bool = False,
) -> Signing:
    """Return the signer that the options name, or else this machine's, after testing it by signing a few bytes.

    ``fallback_folder`` is used for this machine's certificate when the user's data folder cannot be written. With
    ``offline`` no timestamp is requested. Raises the errors of ``load_credential`` and ``trusted_roots``, and
    ProvenanceError certificate-without-key, certificate-unusable, provenance-folder-unwritable, timestamp-url-invalid,
    timestamp-url-missing, timestamp-offline.
    """
    url = _timestamp_url(options, offline, emit)
    if options.certificate_path or options.private_key_path:
        if not (options.certificate_path and options.private_key_path):
            present, missing = ('certificate_path', 'private_key_path')[:: 1 if options.certificate_path else -1]
            raise ProvenanceError(
                'certificate-without-key',
                f'{present} is set, but {missing} is not',
                cause='a signature needs a certificate and its private key',
                hint=f'set [provenance] {missing} too, or neither of them to sign with a certificate of this machine',
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
    _test(signing, where)
    if credential.expires - datetime.now(UTC) < _SOON:
        text = f'{where} expires at {credential.expires:%Y-%m-%d %H:%M} UTC: a run that ends later cannot be signed; '
        emit(Message('warn', 'provenance', text + 'renew it before longer runs'))
    return signing


def make_signer(signing: Signing, relay_url: str | None = None) -> c2pa.Signer:
    """Return the C2PA library's signer, which requests a timestamp at ``relay_url``. Raises C2paError."""
    credential = signing.credential
    return c2pa.Signer.from_info(c2pa.C2paSignerInfo(credential.algorithm, credential.chain, credential.key, relay_url))


def _local(
    options: ProvenanceOptions, environ: Mapping[str, str], fallback_folder: Path, emit: Emit
) -> tuple[Credential, Path]:
    problems: list[str] = []
    for folder in local_folders(options, environ, fallback_folder):
        try:
            credential = local_credential(folder, emit)
        except OSError as error:
            problems.append(f'{folder}: {error.strerror or error}')
            continue
        if problems:
            text = f'the certificate of this machine is stored in {folder}, because the default folder is not writable '
            emit(Message('warn', 'provenance', text + f'({problems[0]}); set another folder with --provenance-path'))
        return credential, folder
    raise ProvenanceError(
        'provenance-folder-unwritable',
        'the certificate of this machine cannot be stored',
        cause='; '.join(problems),
        hint='set --provenance-path to a writable folder, or use a certificate of your own in [provenance]',
    )


def _timestamp_url(options: ProvenanceOptions, offline: bool, emit: Emit) -> str | None:
    url = (options.timestamp_url or '').strip()
    if not url:
        if options.require_timestamp:
            raise ProvenanceError(
                'timestamp-url-missing',
                'a timestamp is required, but no authority is set',
                hint='set --timestamp-url, or leave --require-timestamp out',
            )
        return None
    try:
        parts = urlsplit(url)
        is_valid = parts.scheme in ('http', 'https') and bool(parts.hostname) and parts.port != 0
    except ValueError:
        is_valid = False
    if not (is_valid and ' ' not in url and url.isprintable() and url.isascii()):
        raise ProvenanceError(
            'timestamp-url-invalid',
            'the address of the timestamp authority is not an http or https address',
            hint='write it as http://host/path',
        )
    if not offline:
        return url
    if options.require_timestamp:
        raise ProvenanceError(
            'timestamp-offline',
            'a timestamp is required, but the network may not be used',
            cause='--offline and --require-timestamp exclude each other',
            hint='leave one of them out',
        )
    emit(Message('info', 'provenance', 'no timestamp is requested because of --offline'))
    return None


def _test(signing: Signing, where: str) -> None:
    """Sign a few bytes, because only the library checks all requirements of the standard."""
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
            hint='use an EC, Ed25519 or RSA-PSS certificate that an authority issued for document signing, S/MIME or '
            'C2PA',
        ) from None
