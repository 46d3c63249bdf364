"""The certificate and private key of a user, loaded and checked before a run starts.

The demands of C2PA on them are in section 14.5.1 of its specification 2.x (certificate profiles).
"""

from __future__ import annotations

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
from cryptography.x509.oid import ExtendedKeyUsageOID

from facefusion.errors import ProvenanceError
from facefusion.provenance.pem import name_of, read_certificates, read_pem

PASSWORD_VARIABLE = 'FACEFUSION_PRIVATE_KEY_PASSWORD'
_SMALLEST_RSA_KEY = 2048
_CURVES = {'secp256r1': 'es256', 'secp384r1': 'es384', 'secp521r1': 'es512'}
# The usages that the C2PA library accepts: mail protection, document signing, C2PA signing, Microsoft's C2PA signing.
_USAGES = {'1.3.6.1.5.5.7.3.4', '1.3.6.1.5.5.7.3.36', '1.3.6.1.4.1.62558.2.1', '1.3.6.1.4.1.311.76.59.1.9'}
_ENCRYPTED = (b'-----BEGIN ENCRYPTED PRIVATE KEY', b'Proc-Type: 4,ENCRYPTED')

PrivateKey = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey | ed25519.Ed25519PrivateKey


@dataclass(frozen=True, slots=True)
class Credential:
    """A checked certificate and its key.

    ``chain`` is PEM, leaf first; ``key`` an unencrypted PKCS#8 PEM, which is only in memory and in no representation.
    ``algorithm`` is the COSE name in lower case: 'es256', 'ps256', 'ed25519', ...
    """

    chain: bytes
    key: bytes = field(repr=False)
    algorithm: str
    signer_name: str
    expires: datetime


def load_credential(certificate_path: Path, key_path: Path, environ: Mapping[str, str]) -> Credential:
    """Load a certificate chain and its key from two PEM files, and check that they can sign now.

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
            cause=f'the first certificate in it is that of {name_of(leaf.subject)}',
            hint='name the key of this certificate, and put the certificate of the signer first',
        )
    _check_time(chain, certificate_path, datetime.now(UTC))
    if problem := _usage_problem(leaf):
        raise ProvenanceError(
            'certificate-usage',
            f'the certificate of {name_of(leaf.subject)} in {certificate_path} may not sign Content Credentials',
            cause=problem,
            hint='ask its authority for one for C2PA, document signing or S/MIME, and put that of the signer first',
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


def _load_key(path: Path, environ: Mapping[str, str]) -> PrivateKey:
    data = read_pem(path, 'private key')
    password: bytes | None = None
    # For a plain key the variable is ignored: it may be set for another key.
    if any(marker in data for marker in _ENCRYPTED):
        # Bytes of the environment that are not UTF-8 are restored.
        password = environ.get(PASSWORD_VARIABLE, '').encode('utf-8', 'surrogateescape')
        if not password:
            raise ProvenanceError(
                'private-key-password-missing',
                f'the private key in {path} is encrypted',
                cause='no password is set',
                hint=f'put its password into the environment variable {PASSWORD_VARIABLE}',
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
            hint='name a PEM file with a block "PRIVATE KEY" or "ENCRYPTED PRIVATE KEY"',
        ) from None
    if isinstance(key, ec.EllipticCurvePrivateKey) and key.curve.name in _CURVES:
        return key
    if isinstance(key, rsa.RSAPrivateKey) and key.key_size >= _SMALLEST_RSA_KEY:
        return key
    if isinstance(key, ed25519.Ed25519PrivateKey):
        return key
    raise _key_unsupported(path, f'it is a key of type {_describe(key)}')


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
    """Return the reason why C2PA does not accept the signatures of a leaf, '' without one."""
    extensions: dict[type, Any] = {type(extension.value): extension.value for extension in leaf.extensions}
    constraints = extensions.get(x509.BasicConstraints)
    if constraints and constraints.ca:
        return 'it is that of an authority (CA), which signs certificates, not files'
    usage = extensions.get(x509.KeyUsage)
    if usage is None:
        return 'it has no key usage extension, which must allow digitalSignature'
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
            cause='C2PA demands a certificate from an authority, which may be a root of your own',
            hint='create a root and let it issue the certificate, or leave certificate_path out',
        )
    for issued, issuer in pairwise(chain):
        try:
            issued.verify_directly_issued_by(issuer)
        except (ValueError, TypeError, InvalidSignature, UnsupportedAlgorithm):
            raise ProvenanceError(
                'certificate-chain-broken',
                f'the certificates in {path} are not a chain',
                cause=f'{name_of(issuer.subject)} did not issue the certificate before it, {name_of(issued.subject)}',
                hint='put the certificate of the signer first, then that of its issuer, and so on',
            ) from None
