"""The certificate that this program makes itself, once per user and machine.

The folder holds ``root.pem`` (key and certificate of a root for ten years), ``signer.pem`` (key and chain of the
certificate that signs, for one year, issued anew when it nears its end) and ``root-certificate.pem`` (to hand to others
who shall trust this machine). The root's key is kept: without it every renewal would need a new root, and what was
signed before would come from a stranger. It protects nothing less than the signer's key beside it, for whoever can read
one can read the other; both are readable by their owner only.
"""

from __future__ import annotations

import os
import secrets
import sys
from collections.abc import Callable, Mapping
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from facefusion.events import Emit, Message
from facefusion.provenance.certificate import Credential, make_credential
from facefusion.provenance.pem import LARGEST_FILE

ROOT_LIFE = timedelta(days=3652)
SIGNER_LIFE = timedelta(days=365)
# The signer is issued anew when it is valid for less than this, and the root when no whole signer fits in any more.
RENEWAL = timedelta(days=30)
# Clocks of machines that read a file may be behind.
_BACKDATED = timedelta(days=1)
_ORGANISATION = 'Self-made by FaceFusion, vouched for by nobody'
SIGNER_NAME = 'FaceFusion local signer on this machine'
_ROOT, _SIGNER, _PUBLIC = 'root.pem', 'signer.pem', 'root-certificate.pem'
_MOST_ROOTS = 50

_Pair = tuple[ec.EllipticCurvePrivateKey, tuple[x509.Certificate, ...]]


def default_folder(environ: Mapping[str, str]) -> Path:
    """This user's folder for data of programs, as the platform has it; it need not exist."""
    if sys.platform == 'win32':
        base = environ.get('LOCALAPPDATA')
        return (Path(base) if base else _home(environ) / 'AppData' / 'Local') / 'FaceFusion' / 'provenance'
    if sys.platform == 'darwin':
        return _home(environ) / 'Library' / 'Application Support' / 'FaceFusion' / 'provenance'
    base = environ.get('XDG_DATA_HOME', '')
    # The XDG base directory specification has relative paths ignored.
    return (Path(base) if Path(base).is_absolute() else _home(environ) / '.local' / 'share') / 'facefusion/provenance'


def local_credential(folder: Path, emit: Emit, now: datetime | None = None) -> Credential:
    """The signer of ``folder``; it, its root and the folder are made where they are missing, damaged or at their end.

    Several processes may do so at once: they agree on one root. Raises OSError when the folder cannot be written and
    has no signer that is valid.
    """
    moment = now or datetime.now(UTC)
    found = _read_pair(folder / _SIGNER)
    root = _read_pair(folder / _ROOT)
    if found and root and found[1][1:] == root[1] and _lasts(found[1][0], moment, RENEWAL):
        return make_credential(found[1], found[0])
    try:
        return _renewed(folder, root, emit, moment)
    except OSError:
        # A folder that cannot be written may still hold what signs today.
        if found and _lasts(found[1][0], moment, timedelta(0)):
            return make_credential(found[1], found[0])
        raise


def own_roots(folder: Path) -> tuple[x509.Certificate, ...]:
    """The root certificates that this program ever made in ``folder``; none where it cannot be read."""
    roots: list[x509.Certificate] = []
    with suppress(OSError):
        # The shortest names are those of today's root.
        for path in sorted(folder.glob('root*.pem'), key=lambda path: (len(path.name), path.name))[:_MOST_ROOTS]:
            roots += (certificate for certificate in _read_certificates(path) if certificate not in roots)
    return tuple(roots)


def _renewed(folder: Path, root: _Pair | None, emit: Emit, now: datetime) -> Credential:
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    with suppress(OSError):
        folder.chmod(0o700)
    if root is None or not _lasts(root[1][0], now, RENEWAL):
        root = _new_root(folder, emit, now)
    root_key, root_chain = root
    key, certificate = _issue_signer(root_key, root_chain[0], now)
    chain = (certificate, *root_chain)
    _write(folder / _SIGNER, _as_pem(key, chain), secret=True, replace=True)
    _write(folder / _PUBLIC, root_chain[0].public_bytes(serialization.Encoding.PEM), secret=False, replace=True)
    return make_credential(chain, key)


def _new_root(folder: Path, emit: Emit, now: datetime) -> _Pair:
    path = folder / _ROOT
    is_damaged = False
    if path.exists():
        # Another process may have made it since it was looked for.
        made = _read_pair(path)
        if made and _lasts(made[1][0], now, RENEWAL):
            return made
        is_damaged = made is None
        # Its certificate still tells what was signed by this machine.
        path.replace(folder / f'root-until-{now:%Y%m%d}-{secrets.token_hex(4)}.pem')
    _write(path, _as_pem(*_make_root(now)), secret=True, replace=False)
    # Another process may have been faster: its root is everybody's.
    made = _read_pair(path)
    if made is None:
        raise OSError(f'{path} cannot be read back')
    if _keep_roots(folder, made[1][0]) or is_damaged:
        text = f'the key of the certificate of this machine was damaged or gone: a new root was made in {folder}. '
        text += 'What was signed before stays known here, as far as the old certificate could be read; whoever trusts '
        emit(Message('warn', 'provenance', text + f'this machine needs the new {_PUBLIC}, too'))
        return made
    emit(
        Message(
            'info',
            'provenance',
            f'made a certificate for this user and machine in {folder}: what it signs is told apart from what others '
            'signed, but vouches for nobody',
        )
    )
    return made


def _keep_roots(folder: Path, new: x509.Certificate) -> bool:
    """Keeps the certificates of older roots that only files hold which are overwritten now; whether there are any."""
    overwritten = (folder / _PUBLIC, folder / _SIGNER)
    kept = [new]
    for path in sorted(folder.glob('root*.pem')):
        kept += _read_certificates(path) if path not in overwritten else ()
    lost = [*_read_certificates(overwritten[0]), *_read_certificates(overwritten[1])[1:]]
    lost = [certificate for certificate in dict.fromkeys(lost) if certificate not in kept]
    for certificate in lost:
        name = f'root-certificate-{certificate.fingerprint(hashes.SHA256()).hex()[:16]}.pem'
        _write(folder / name, certificate.public_bytes(serialization.Encoding.PEM), secret=False, replace=True)
    return bool(lost)


def _make_root(now: datetime) -> tuple[ec.EllipticCurvePrivateKey, tuple[x509.Certificate, ...]]:
    key = ec.generate_private_key(ec.SECP256R1())
    # A random word: roots of several machines can be told apart by people, and say nothing about the machine.
    name = _name(f'FaceFusion local root {secrets.token_hex(4)}')
    builder = _builder(name, name, key.public_key(), now, ROOT_LIFE)
    builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
    builder = builder.add_extension(_key_usage(is_root=True), critical=True)
    return key, (builder.sign(key, hashes.SHA256()),)


def _issue_signer(
    root_key: ec.EllipticCurvePrivateKey, root: x509.Certificate, now: datetime
) -> tuple[ec.EllipticCurvePrivateKey, x509.Certificate]:
    key = ec.generate_private_key(ec.SECP256R1())
    life = min(SIGNER_LIFE, root.not_valid_after_utc - now)
    builder = _builder(_name(SIGNER_NAME), root.subject, key.public_key(), now, life)
    builder = builder.add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
    builder = builder.add_extension(_key_usage(is_root=False), critical=True)
    # The C2PA library knows the usage of mail protection, and no authority is needed for it.
    builder = builder.add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.EMAIL_PROTECTION]), critical=False)
    identifier = x509.AuthorityKeyIdentifier.from_issuer_public_key(root_key.public_key())
    builder = builder.add_extension(identifier, critical=False)
    return key, builder.sign(root_key, hashes.SHA256())


def _builder(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey, now: datetime, life: timedelta
) -> x509.CertificateBuilder:
    builder = x509.CertificateBuilder().subject_name(subject).issuer_name(issuer).public_key(key)
    builder = builder.serial_number(x509.random_serial_number())
    builder = builder.not_valid_before(now - _BACKDATED).not_valid_after(now + life)
    return builder.add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)


def _name(common: str) -> x509.Name:
    return x509.Name(
        [
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, _ORGANISATION),
            x509.NameAttribute(NameOID.COMMON_NAME, common),
        ]
    )


def _key_usage(is_root: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not is_root,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=is_root,
        crl_sign=is_root,
        encipher_only=False,
        decipher_only=False,
    )


def _lasts(certificate: x509.Certificate, now: datetime, margin: timedelta) -> bool:
    return certificate.not_valid_before_utc <= now and certificate.not_valid_after_utc > now + margin


def _as_pem(key: ec.EllipticCurvePrivateKey, chain: tuple[x509.Certificate, ...]) -> bytes:
    encoding = serialization.Encoding.PEM
    plain = key.private_bytes(encoding, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    return plain + b''.join(certificate.public_bytes(encoding) for certificate in chain)


def _read_certificates(path: Path) -> tuple[x509.Certificate, ...]:
    try:
        with path.open('rb') as file:
            return tuple(x509.load_pem_x509_certificates(file.read(LARGEST_FILE)))
    except (OSError, ValueError):
        return ()


def _read_pair(path: Path) -> _Pair | None:
    """Key and chain of a file of this folder; None when it is missing, damaged or not from one piece."""
    chain = _read_certificates(path)
    try:
        with path.open('rb') as file:
            key = serialization.load_pem_private_key(file.read(LARGEST_FILE), None)
            _protect(path)
    except (OSError, ValueError, TypeError):
        return None
    fits = isinstance(key, ec.EllipticCurvePrivateKey) and chain and chain[0].public_key() == key.public_key()
    return (key, chain) if fits and isinstance(key, ec.EllipticCurvePrivateKey) else None


def _protect(path: Path) -> None:
    """Copies and restored backups may have lost the mode."""
    if os.name == 'posix' and path.stat().st_mode & 0o077:
        with suppress(OSError):
            path.chmod(0o600)


def _write(path: Path, data: bytes, secret: bool, replace: bool) -> None:
    """Writes a file in one piece; without ``replace`` the one that is there already stays."""
    part = path.with_name(f'.{path.name}.{secrets.token_hex(8)}.part')
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, 'O_BINARY', 0)
    handle = os.open(part, flags, 0o600 if secret else 0o644)
    try:
        with os.fdopen(handle, 'wb') as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        if replace:
            part.replace(path)
        else:
            with suppress(FileExistsError):
                _name_once(part, path)
    finally:
        with suppress(OSError):
            part.unlink(missing_ok=True)


def _name_once(part: Path, path: Path) -> None:
    """Gives ``part`` its name unless there is one; raises FileExistsError then."""
    rename: Callable[[Path, Path], None] = os.rename
    if os.name == 'nt':
        # It refuses a name that is taken there.
        rename(part, path)
        return
    try:
        os.link(part, path)
    except FileExistsError:
        raise
    except OSError:
        # Some file systems (exFAT, some shared folders) have no links: two processes at the same moment may then
        # make two roots there, of which the last one stays.
        if path.exists():
            raise FileExistsError(path) from None
        rename(part, path)


def _home(environ: Mapping[str, str]) -> Path:
    named = environ.get('USERPROFILE' if sys.platform == 'win32' else 'HOME')
    if named:
        return Path(named)
    try:
        return Path.home()
    except RuntimeError:
        # There is no such user, as in some containers: this folder cannot be made, and the fallback is taken.
        return Path('/nonexistent')
