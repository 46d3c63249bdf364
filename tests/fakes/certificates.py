"""Root certificates and signing certificates for tests, both valid ones and ones that C2PA does not accept."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

_PEM = serialization.Encoding.PEM
MAIL = ExtendedKeyUsageOID.EMAIL_PROTECTION


class Pair(NamedTuple):
    certificate: x509.Certificate
    key: Any


def _name(common: str) -> x509.Name:
    return x509.Name(
        [
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, 'Test house'),
            x509.NameAttribute(NameOID.COMMON_NAME, common),
        ]
    )


def _usage(signs_files: bool, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(signs_files, False, False, False, False, signs_certificates, signs_certificates, False, False)


def _builder(subject: str, issuer: x509.Name, key: Any, begin: datetime, end: datetime) -> x509.CertificateBuilder:
    builder = x509.CertificateBuilder().subject_name(_name(subject)).issuer_name(issuer).public_key(key.public_key())
    builder = builder.serial_number(x509.random_serial_number()).not_valid_before(begin).not_valid_after(end)
    return builder.add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)


def make_root(name: str = 'test root') -> Pair:
    key = ec.generate_private_key(ec.SECP256R1())
    now = datetime.now(UTC)
    builder = _builder(name, _name(name), key, now - timedelta(days=400), now + timedelta(days=4000))
    builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
    builder = builder.add_extension(_usage(False, True), critical=True)
    return Pair(builder.sign(key, hashes.SHA256()), key)


def issue(
    root: Pair,
    name: str = 'test signer',
    *,
    key: Any = None,
    begin: timedelta = timedelta(days=-1),
    end: timedelta = timedelta(days=300),
    extended: Sequence[x509.ObjectIdentifier] = (MAIL,),
    signs_files: bool = True,
    is_authority: bool = False,
    critical: bool = False,
) -> Pair:
    """Issue a certificate of ``root``; ``begin`` and ``end`` are relative to now."""
    key = key or ec.generate_private_key(ec.SECP256R1())
    now = datetime.now(UTC)
    builder = _builder(name, root.certificate.subject, key, now + begin, now + end)
    builder = builder.add_extension(x509.BasicConstraints(ca=is_authority, path_length=None), critical=True)
    builder = builder.add_extension(_usage(signs_files, is_authority), critical=True)
    if extended:
        builder = builder.add_extension(x509.ExtendedKeyUsage(extended), critical=critical)
    identifier = x509.AuthorityKeyIdentifier.from_issuer_public_key(root.key.public_key())
    builder = builder.add_extension(identifier, critical=False)
    return Pair(
        builder.sign(root.key, None if isinstance(root.key, ed25519.Ed25519PrivateKey) else hashes.SHA256()), key
    )


def write_chain(path: Path, *pairs: Pair) -> Path:
    path.write_bytes(b''.join(pair.certificate.public_bytes(_PEM) for pair in pairs))
    return path


def write_key(path: Path, key: Any, password: str | None = None) -> Path:
    plain = serialization.NoEncryption()
    protection = serialization.BestAvailableEncryption(password.encode()) if password else plain
    path.write_bytes(key.private_bytes(_PEM, serialization.PrivateFormat.PKCS8, protection))
    return path
