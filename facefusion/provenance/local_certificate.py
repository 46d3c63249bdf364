"""The certificate of this machine: one root and one signing certificate, created by this program for each user.

The folder contains ``root.pem`` (key and certificate of a root, for ten years), ``signer.pem`` (key and chain of the
signing certificate, for one year) and ``root-certificate.pem`` (for other people, so that they can trust this machine).
The root's key is stored so that a renewed signing certificate has the same root, which others may already trust.
Storing it adds no risk, because the signer's key is in the same folder; only the owner can read the two keys.
Certificates of older roots remain in additional ``root*.pem`` files.
"""

from __future__ import annotations

import os
import secrets
import sys
import tempfile
from collections.abc import Mapping
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import NamedTuple

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from facefusion.events import Emit, Message
from facefusion.file_lock import locked
from facefusion.provenance.certificate import Credential, make_credential

_ROOT_LIFE = timedelta(days=3652)
_SIGNER_LIFE = timedelta(days=365)
# A certificate is renewed when its remaining validity is shorter than this.
_RENEWAL = timedelta(days=30)
# Certificates are backdated by this duration, because the clock of a verifying machine may be slow.
_BACKDATED = timedelta(days=1)
_ORGANISATION = 'Self-made by FaceFusion, proves no identity'
_SIGNER_NAME = 'FaceFusion local signer on this machine'
_ROOT, _SIGNER, _PUBLIC = 'root.pem', 'signer.pem', 'root-certificate.pem'
_MOST_ROOTS = 50


class _Pair(NamedTuple):
    """A private key and its certificate chain, leaf first."""

    key: ec.EllipticCurvePrivateKey
    chain: tuple[x509.Certificate, ...]

    def is_valid(self, now: datetime, margin: timedelta = _RENEWAL) -> bool:
        """Whether the certificate of the key is valid at ``now`` and stays valid for ``margin``."""
        return self.chain[0].not_valid_before_utc <= now and self.chain[0].not_valid_after_utc > now + margin


def default_folder(environ: Mapping[str, str]) -> Path:
    """Return the platform's folder for this user's data.

    The package platformdirs is not used, because it ignores ``environ`` and accepts a relative XDG_DATA_HOME, which
    the specification forbids.
    """
    if sys.platform == 'win32':
        base = environ.get('LOCALAPPDATA')
        return (Path(base) if base else _home(environ) / 'AppData' / 'Local') / 'FaceFusion' / 'provenance'
    if sys.platform == 'darwin':
        return _home(environ) / 'Library' / 'Application Support' / 'FaceFusion' / 'provenance'
    base = environ.get('XDG_DATA_HOME', '')
    return (Path(base) if Path(base).is_absolute() else _home(environ) / '.local' / 'share') / 'facefusion/provenance'


def _home(environ: Mapping[str, str]) -> Path:
    home = environ.get('USERPROFILE' if sys.platform == 'win32' else 'HOME')
    try:
        return Path(home) if home else Path.home()
    except RuntimeError:
        # A user may have no home, as in some containers. This folder cannot be created, so the fallback is used.
        return Path('/nonexistent')


def local_credential(folder: Path, emit: Emit, now: datetime | None = None) -> Credential:
    """Return the signer in ``folder``; create the signer, its root and the folder if missing, damaged or expiring.

    Several processes may call this function at once; they use the same root. Raises OSError when the folder cannot be
    written and contains no valid signer.
    """
    now = now or datetime.now(UTC)
    signer, root = _read_pair(folder / _SIGNER), _read_pair(folder / _ROOT)
    if not (signer and root and signer.chain[1:] == root.chain and signer.is_valid(now)):
        try:
            signer = _renew_signer(folder, emit, now)
        except OSError:
            # A signer in a read-only folder cannot be renewed, so it is used until it expires.
            if not (signer and signer.is_valid(now, timedelta(0))):
                raise
    return make_credential(signer.chain, signer.key)


def own_roots(folder: Path) -> tuple[x509.Certificate, ...]:
    """Return all root certificates that this program created in ``folder``; none for an unreadable folder."""
    roots: list[x509.Certificate] = []
    with suppress(OSError):
        # The files of the current root have the shortest names.
        for path in sorted(folder.glob('root*.pem'), key=lambda path: (len(path.name), path.name))[:_MOST_ROOTS]:
            roots += (certificate for certificate in _read_certificates(path) if certificate not in roots)
    return tuple(roots)


def _renew_signer(folder: Path, emit: Emit, now: datetime) -> _Pair:
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    with suppress(OSError):
        folder.chmod(0o700)
    with locked(folder / 'renewal.lock'):
        # Another process may have created the root while this one waited.
        root = _read_pair(folder / _ROOT)
        if root is None or not root.is_valid(now):
            root = _renew_root(folder, root, emit, now)
    signer = _make_pair(_SIGNER_NAME, now, min(_SIGNER_LIFE, root.chain[0].not_valid_after_utc - now), root)
    _write(folder / _SIGNER, _as_pem(signer))
    _write(folder / _PUBLIC, root.chain[0].public_bytes(serialization.Encoding.PEM))
    return signer


def _renew_root(folder: Path, old: _Pair | None, emit: Emit, now: datetime) -> _Pair:
    path = folder / _ROOT
    copies = {*_read_certificates(folder / _PUBLIC), *_read_certificates(folder / _SIGNER)[1:]}
    is_damaged = old is None and (path.exists() or bool(copies))
    # The file of the old root and the copies of its certificate are preserved: files signed earlier still verify.
    with suppress(FileNotFoundError):
        path.replace(folder / f'root-until-{now:%Y%m%d}-{secrets.token_hex(4)}.pem')
    for certificate in copies:
        name = f'root-certificate-{certificate.fingerprint(hashes.SHA256()).hex()[:16]}.pem'
        _write(folder / name, certificate.public_bytes(serialization.Encoding.PEM))
    # The random word distinguishes the roots of several machines without revealing anything about them.
    created = _make_pair(f'FaceFusion local root {secrets.token_hex(4)}', now, _ROOT_LIFE)
    _write(path, _as_pem(created), replace=False)
    # Without locks on a network file system, another process may have created a root first; then that one is used.
    root = _read_pair(path)
    if root is None:
        raise OSError(f'{path} cannot be read back')
    if is_damaged:
        text = f"the key of this machine's certificate was damaged or missing: a new root was created in {folder}. "
        text += 'Files signed earlier still verify here if the old certificate was readable. Other machines that '
        emit(Message('warn', 'provenance', text + f'trust this one also need the new {_PUBLIC}'))
    else:
        text = f'created a certificate for this user and machine in {folder}: it distinguishes files signed here, '
        emit(Message('info', 'provenance', text + 'but does not prove who you are'))
    return root


def _make_pair(name: str, now: datetime, life: timedelta, issuer: _Pair | None = None) -> _Pair:
    """Return a new key with a signing certificate of ``issuer``, or with a root certificate without ``issuer``."""
    key = ec.generate_private_key(ec.SECP256R1())
    is_root = issuer is None
    names = {NameOID.ORGANIZATION_NAME: _ORGANISATION, NameOID.COMMON_NAME: name}
    subject = x509.Name([x509.NameAttribute(oid, value) for oid, value in names.items()])
    builder = (
        x509.CertificateBuilder().subject_name(subject).issuer_name(issuer.chain[0].subject if issuer else subject)
    )
    builder = builder.public_key(key.public_key()).serial_number(x509.random_serial_number())
    builder = builder.not_valid_before(now - _BACKDATED).not_valid_after(now + life)
    extensions: list[tuple[x509.ExtensionType, bool]] = [
        (x509.SubjectKeyIdentifier.from_public_key(key.public_key()), False),
        (x509.BasicConstraints(ca=is_root, path_length=0 if is_root else None), True),
        # The signer gets digitalSignature, the root keyCertSign and cRLSign.
        (x509.KeyUsage(not is_root, False, False, False, False, is_root, is_root, False, False), True),
    ]
    if issuer:
        # The C2PA library accepts the usage 'email protection' even if no public authority issued the certificate.
        extensions.append((x509.ExtendedKeyUsage([ExtendedKeyUsageOID.EMAIL_PROTECTION]), False))
        extensions.append((x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer.key.public_key()), False))
    for extension, is_critical in extensions:
        builder = builder.add_extension(extension, is_critical)
    certificate = builder.sign(issuer.key if issuer else key, hashes.SHA256())
    return _Pair(key, (certificate, *(issuer.chain if issuer else ())))


def _as_pem(pair: _Pair) -> bytes:
    credential = make_credential(pair.chain, pair.key)
    return credential.key + credential.chain


def _read_certificates(path: Path) -> tuple[x509.Certificate, ...]:
    try:
        return tuple(x509.load_pem_x509_certificates(path.read_bytes()))
    except (OSError, ValueError):
        return ()


def _read_pair(path: Path) -> _Pair | None:
    """Return the key and chain of a file; None if it is missing or damaged, or its key and certificate do not match."""
    chain = _read_certificates(path)
    try:
        key = serialization.load_pem_private_key(path.read_bytes(), None)
    except (OSError, ValueError, TypeError):
        return None
    with suppress(OSError):
        # A copied or restored file may have lost its permissions.
        path.chmod(0o600)
    if isinstance(key, ec.EllipticCurvePrivateKey) and chain and chain[0].public_key() == key.public_key():
        return _Pair(key, chain)
    return None


def _write(path: Path, data: bytes, replace: bool = True) -> None:
    """Write a file with permissions 0600 atomically; without ``replace`` an existing file remains unchanged."""
    handle, name = tempfile.mkstemp('.part', f'.{path.name}.', path.parent)
    part = Path(name)
    try:
        with os.fdopen(handle, 'wb') as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        if not replace:
            with suppress(OSError):
                os.link(part, path)
        # Without hard links (exFAT), the later file of two simultaneous processes replaces the earlier one.
        if replace or not path.exists():
            part.replace(path)
    finally:
        part.unlink(missing_ok=True)
