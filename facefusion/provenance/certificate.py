"""Load and check a user's certificates and private keys from PEM files before a run starts.

Section 14.5.1 of the C2PA specification 2.x (certificate profiles) defines the requirements.
"""

from __future__ import annotations

import stat
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from facefusion.errors import ProvenanceError

PASSWORD_VARIABLE = 'FACEFUSION_PRIVATE_KEY_PASSWORD'
_SMALLEST_RSA_KEY = 2048
_CURVES = {'secp256r1': 'es256', 'secp384r1': 'es384', 'secp521r1': 'es512'}
# The usages that the C2PA library accepts: mail protection, document signing, C2PA signing, Microsoft's C2PA signing.
_USAGES = {'1.3.6.1.5.5.7.3.4', '1.3.6.1.5.5.7.3.36', '1.3.6.1.4.1.62558.2.1', '1.3.6.1.4.1.311.76.59.1.9'}
_ENCRYPTED = (b'-----BEGIN ENCRYPTED PRIVATE KEY', b'Proc-Type: 4,ENCRYPTED')
# The PEM file of three certificates has 5 KB; a bundle of all roots of an operating system has 250 KB.
_LARGEST_FILE = 4_000_000
# Message and hint by the last part of the error reference.
_PROBLEMS = {
    'missing': ('does not exist', 'check the path in the option or in [provenance] of the ini file'),
    'unreadable': ('cannot be read', 'check path and permissions'),
    'not-pem': (
        'is not a PEM file',
        'convert it: "openssl pkcs12 -in A.p12 -out A.pem", or "openssl x509 -inform DER -in A.cer -out A.pem"',
    ),
}

PrivateKey = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey | ed25519.Ed25519PrivateKey


@dataclass(frozen=True, slots=True)
class Credential:
    """A checked certificate and its key.

    ``chain`` is PEM, leaf first; ``key`` is unencrypted PKCS#8 PEM, held only in memory and excluded from ``repr``.
    ``algorithm`` is the COSE name in lower case: 'es256', 'ps256', 'ed25519', ...
    """

    chain: bytes
    key: bytes = field(repr=False)
    algorithm: str
    signer_name: str
    expires: datetime


def load_credential(certificate_path: Path, key_path: Path, environ: Mapping[str, str]) -> Credential:
    """Load a certificate chain and its key from two PEM files, and check that they are valid for signing now.

    Raises ProvenanceError certificate-missing, -unreadable, -not-pem, -expired, -not-yet-valid, -usage, -self-signed,
    -chain-broken; private-key-missing, -unreadable, -not-pem, -unsupported, -mismatch, -password-missing,
    -password-wrong.
    """
    chain = read_certificates(certificate_path)
    key = _load_key(key_path, environ)
    leaf = chain[0]
    if leaf.public_key() != key.public_key():
        raise ProvenanceError(
            'private-key-mismatch',
            f'the key in {key_path} does not belong to the certificate in {certificate_path}',
            cause=f'the first certificate in the file belongs to {name_of(leaf.subject)}',
            hint='specify the private key that belongs to this certificate, and put the certificate of the signer '
            'first',
        )
    _check_time(chain, certificate_path, datetime.now(UTC))
    if problem := _usage_problem(leaf):
        raise ProvenanceError(
            'certificate-usage',
            f'the certificate of {name_of(leaf.subject)} in {certificate_path} may not sign Content Credentials',
            cause=problem,
            hint='ask its authority for a certificate for C2PA, document signing or S/MIME, and put the certificate '
            'of the signer first',
        )
    _check_chain(chain, certificate_path)
    return make_credential(chain, key)


def make_credential(chain: tuple[x509.Certificate, ...], key: PrivateKey) -> Credential:
    """Return the credential of a chain and its key, without any check."""
    encoding = serialization.Encoding.PEM
    if isinstance(key, ec.EllipticCurvePrivateKey):
        algorithm = _CURVES[key.curve.name]
    else:
        algorithm = 'ps256' if isinstance(key, rsa.RSAPrivateKey) else 'ed25519'
    return Credential(
        chain=b''.join(certificate.public_bytes(encoding) for certificate in chain),
        key=key.private_bytes(encoding, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()),
        algorithm=algorithm,
        signer_name=name_of(chain[0].subject),
        expires=min(certificate.not_valid_after_utc for certificate in chain),
    )


def _read_pem(path: Path, kind: str) -> bytes:
    """Return the bytes of the PEM file at ``path``; errors call it by its ``kind``: 'certificate', 'private key', ...

    Raises ProvenanceError <kind>-missing, <kind>-unreadable, <kind>-not-pem.
    """
    try:
        if not stat.S_ISREG(path.stat().st_mode):
            # Opening a pipe would block until a program writes to it.
            raise _error('unreadable', kind, path, 'it is a folder, a pipe, a socket or a device')
        with path.open('rb') as file:
            data = file.read(_LARGEST_FILE + 1)
    except (FileNotFoundError, NotADirectoryError):
        raise _error('missing', kind, path) from None
    except (OSError, ValueError) as error:
        raise _error('unreadable', kind, path, str(getattr(error, 'strerror', None) or error)) from None
    if len(data) > _LARGEST_FILE:
        raise _error('unreadable', kind, path, f'it is larger than {_LARGEST_FILE // 1_000_000} MB')
    if b'-----BEGIN ' not in data:
        raise _error('not-pem', kind, path, 'it contains no line that starts with -----BEGIN')
    return data


def read_certificates(path: Path, kind: str = 'certificate') -> tuple[x509.Certificate, ...]:
    """Return all certificates of a PEM file, at least one, in its order. Raises ProvenanceError like ``_read_pem``."""
    try:
        return tuple(x509.load_pem_x509_certificates(_read_pem(path, kind)))
    except ValueError as error:
        cause = f'no certificate in it can be read: {" ".join(str(error).split())[:200]}'
        raise _error('not-pem', kind, path, cause) from None


def name_of(name: x509.Name) -> str:
    """Return a readable name: the common name, and the organisation where it differs."""
    names = [
        str(attribute.value)
        for oid in (NameOID.COMMON_NAME, NameOID.ORGANIZATION_NAME)
        for attribute in name.get_attributes_for_oid(oid)[:1]
    ]
    if len(set(names)) == 2:
        return f'{names[0]} ({names[1]})'
    return ''.join(names[:1]) or name.rfc4514_string() or 'an unnamed subject'


def _error(problem: str, kind: str, path: Path, cause: str = '') -> ProvenanceError:
    message, hint = _PROBLEMS[problem]
    reference = f'{kind.replace(" ", "-")}-{problem}'
    return ProvenanceError(reference, f'the {kind} file {path} {message}', cause=cause, hint=hint)


def _load_key(path: Path, environ: Mapping[str, str]) -> PrivateKey:
    data = _read_pem(path, 'private key')
    password: bytes | None = None
    # The variable is ignored for an unencrypted key, because it may be set for another key.
    if any(marker in data for marker in _ENCRYPTED):
        # os.environ represents bytes that are not UTF-8 as surrogates; surrogateescape restores the bytes.
        password = environ.get(PASSWORD_VARIABLE, '').encode('utf-8', 'surrogateescape')
        if not password:
            raise ProvenanceError(
                'private-key-password-missing',
                f'the private key in {path} is encrypted',
                cause='no password is set',
                hint=f'set the environment variable {PASSWORD_VARIABLE} to its password',
            )
    try:
        key: object = serialization.load_pem_private_key(data, password)
    except UnsupportedAlgorithm as error:
        raise _key_unsupported(path, ' '.join(str(error).split())) from None
    except (ValueError, TypeError) as error:
        if password is not None:
            raise ProvenanceError(
                'private-key-password-wrong',
                f'the private key in {path} cannot be decrypted',
                cause=f'the password in {PASSWORD_VARIABLE} is wrong, or the file is damaged',
                hint='correct the environment variable',
            ) from None
        raise ProvenanceError(
            'private-key-not-pem',
            f'the file {path} contains no readable private key',
            cause=' '.join(str(error).split())[:200],
            hint='specify a PEM file with a block "PRIVATE KEY" or "ENCRYPTED PRIVATE KEY"',
        ) from None
    if isinstance(key, ec.EllipticCurvePrivateKey) and key.curve.name in _CURVES:
        return key
    if isinstance(key, rsa.RSAPrivateKey) and key.key_size >= _SMALLEST_RSA_KEY:
        return key
    if isinstance(key, ed25519.Ed25519PrivateKey):
        return key
    raise _key_unsupported(path, f'the type of the key is {_describe(key)}')


def _describe(key: object) -> str:
    if isinstance(key, ec.EllipticCurvePrivateKey):
        return f'EC with the curve {key.curve.name}'
    if isinstance(key, rsa.RSAPrivateKey):
        return f'RSA with {key.key_size} bits'
    return type(key).__name__.removesuffix('PrivateKey').lstrip('_')


def _key_unsupported(path: Path, cause: str) -> ProvenanceError:
    return ProvenanceError(
        'private-key-unsupported',
        f'the private key in {path} cannot sign Content Credentials',
        cause=cause,
        hint=f'use EC (P-256, P-384 or P-521), Ed25519, or RSA with at least {_SMALLEST_RSA_KEY} bits',
    )


def _check_time(chain: tuple[x509.Certificate, ...], path: Path, now: datetime) -> None:
    for certificate in chain:
        name = name_of(certificate.subject)
        if certificate.not_valid_after_utc < now:
            raise ProvenanceError(
                'certificate-expired',
                f'the certificate of {name} in {path} has expired',
                cause=f'it was valid until {certificate.not_valid_after_utc:%Y-%m-%d %H:%M} UTC',
                hint='renew it, or leave certificate_path out to sign with a certificate of this machine',
            )
        if certificate.not_valid_before_utc > now:
            raise ProvenanceError(
                'certificate-not-yet-valid',
                f'the certificate of {name} in {path} is not valid yet',
                cause=f'it is valid from {certificate.not_valid_before_utc:%Y-%m-%d %H:%M} UTC; it is {now:%Y-%m-%d}',
                hint='check the clock of this machine, or wait',
            )


def _usage_problem(leaf: x509.Certificate) -> str:
    """Return the reason why C2PA rejects signatures of a leaf certificate; '' if it accepts them."""
    extensions: dict[type, Any] = {type(extension.value): extension.value for extension in leaf.extensions}
    constraints = extensions.get(x509.BasicConstraints)
    if constraints and constraints.ca:
        return 'it belongs to an authority (CA), which signs certificates, not files'
    usage = extensions.get(x509.KeyUsage)
    if usage is None:
        return 'it has no key usage extension; one that allows digitalSignature is required'
    if not usage.digital_signature:
        return 'its key usage lacks digitalSignature'
    extended = extensions.get(x509.ExtendedKeyUsage)
    if extended is None:
        return 'it has no extended key usage extension'
    if ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE in extended:
        return 'its extended key usage allows everything (anyExtendedKeyUsage)'
    if not any(use.dotted_string in _USAGES for use in extended):
        return 'its extended key usage allows neither C2PA signing, document signing nor mail protection'
    return ''


def _check_chain(chain: tuple[x509.Certificate, ...], path: Path) -> None:
    if chain[0].subject == chain[0].issuer:
        raise ProvenanceError(
            'certificate-self-signed',
            f'the certificate in {path} is self-signed',
            cause='C2PA requires a certificate from an authority, which may be a root of your own',
            hint='create a root and use it to issue the certificate, or leave certificate_path out',
        )
    for issued, issuer in pairwise(chain):
        try:
            issued.verify_directly_issued_by(issuer)
        except (ValueError, TypeError, InvalidSignature, UnsupportedAlgorithm):
            raise ProvenanceError(
                'certificate-chain-broken',
                f'the certificates in {path} are not a chain',
                cause=f'{name_of(issuer.subject)} did not issue the certificate of {name_of(issued.subject)}',
                hint='put the certificate of the signer first, then the certificate of its issuer, and so on',
            ) from None
