"""A user's own certificate and private key: loaded, and checked before any work starts.

What C2PA demands of them is in section 14.5.1 of its specification 2.x (certificate profiles).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID

from facefusion.errors import ProvenanceError
from facefusion.provenance.pem import name_of, read_certificates, read_pem

PASSWORD_VARIABLE = 'FACEFUSION_PRIVATE_KEY_PASSWORD'
SMALLEST_RSA_KEY = 2048
_CURVES = {'secp256r1': 'es256', 'secp384r1': 'es384', 'secp521r1': 'es512'}
# Those that the C2PA library takes: mail protection, signing of documents, C2PA itself.
_USAGES = ('1.3.6.1.5.5.7.3.4', '1.3.6.1.5.5.7.3.36', '1.3.6.1.4.1.62558.2.1', '1.3.6.1.4.1.311.76.59.1.9')

PrivateKey = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey | ed25519.Ed25519PrivateKey


@dataclass(frozen=True, slots=True)
class Credential:
    """A certificate with its key, checked.

    ``chain`` is PEM, leaf first; ``key`` an unencrypted PKCS#8 PEM, which never leaves memory and no representation
    shows. ``algorithm`` is the COSE name in lower case: 'es256', 'ps256', 'ed25519', ...
    """

    chain: bytes
    key: bytes = field(repr=False)
    algorithm: str
    signer_name: str
    expires: datetime


def load_credential(certificate_path: Path, key_path: Path, environ: Mapping[str, str]) -> Credential:
    """The certificate chain and key of two PEM files, found fit to sign now.

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
            cause=f'the first certificate there is that of {name_of(leaf.subject)}',
            hint='name the key that the certificate was issued for; the certificate of the signer must stand first',
        )
    _check_time(chain, certificate_path, datetime.now(UTC))
    _check_usage(leaf, certificate_path)
    _check_chain(chain, certificate_path)
    return make_credential(chain, key)


def make_credential(chain: tuple[x509.Certificate, ...], key: PrivateKey) -> Credential:
    """The credential of a chain and its key, without any check."""
    encoding = serialization.Encoding.PEM
    return Credential(
        chain=b''.join(certificate.public_bytes(encoding) for certificate in chain),
        key=key.private_bytes(encoding, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()),
        algorithm=_algorithm(key),
        signer_name=name_of(chain[0].subject),
        expires=min(certificate.not_valid_after_utc for certificate in chain),
    )


def _load_key(path: Path, environ: Mapping[str, str]) -> PrivateKey:
    data = read_pem(path, 'private key')
    password = environ.get(PASSWORD_VARIABLE) or None
    try:
        key: object = serialization.load_pem_private_key(data, _encoded(password))
    except TypeError as error:
        if password is None:
            raise ProvenanceError(
                'private-key-password-missing',
                f'the private key in {path} is encrypted',
                cause='no password is given',
                hint=f'put its password into the environment variable {PASSWORD_VARIABLE}',
            ) from None
        if 'not encrypted' not in str(error):
            raise _key_unreadable(path, str(error)) from None
        # A password that is not needed does no harm: the variable may be set for other keys.
        key = _load_plain(path, data)
    except ValueError as error:
        if b'ENCRYPTED' in data and password is not None:
            raise ProvenanceError(
                'private-key-password-wrong',
                f'the private key in {path} cannot be decrypted',
                cause=f'the password in {PASSWORD_VARIABLE} is not the one of the key, or the file is damaged',
                hint='correct the environment variable',
            ) from None
        raise _key_unreadable(path, str(error)) from None
    except UnsupportedAlgorithm as error:
        raise _key_unsupported(path, ' '.join(str(error).split())) from None
    if isinstance(key, ec.EllipticCurvePrivateKey) and key.curve.name in _CURVES:
        return key
    if isinstance(key, rsa.RSAPrivateKey) and key.key_size >= SMALLEST_RSA_KEY:
        return key
    if isinstance(key, ed25519.Ed25519PrivateKey):
        return key
    raise _key_unsupported(path, f'it is of the kind {_describe(key)}')


def _load_plain(path: Path, data: bytes) -> object:
    try:
        return serialization.load_pem_private_key(data, None)
    except (TypeError, ValueError) as error:
        raise _key_unreadable(path, str(error)) from None
    except UnsupportedAlgorithm as error:
        raise _key_unsupported(path, ' '.join(str(error).split())) from None


def _encoded(password: str | None) -> bytes | None:
    # What the system took for bytes that are no UTF-8 comes back as it was given.
    return None if password is None else password.encode('utf-8', 'surrogateescape')


def _algorithm(key: PrivateKey) -> str:
    if isinstance(key, ec.EllipticCurvePrivateKey):
        return _CURVES[key.curve.name]
    return 'ps256' if isinstance(key, rsa.RSAPrivateKey) else 'ed25519'


def _describe(key: object) -> str:
    if isinstance(key, ec.EllipticCurvePrivateKey):
        return f'EC with the curve {key.curve.name}'
    if isinstance(key, rsa.RSAPrivateKey):
        return f'RSA with {key.key_size} bits'
    return type(key).__name__.removesuffix('PrivateKey').lstrip('_')


def _check_time(chain: tuple[x509.Certificate, ...], path: Path, now: datetime) -> None:
    for certificate in chain:
        who = name_of(certificate.subject)
        if certificate.not_valid_after_utc < now:
            raise ProvenanceError(
                'certificate-expired',
                f'the certificate of {who} in {path} has expired',
                cause=f'it was valid until {certificate.not_valid_after_utc:%Y-%m-%d %H:%M} UTC',
                hint='renew it, or leave certificate_path out to sign with a certificate of this machine',
            )
        if certificate.not_valid_before_utc > now:
            raise ProvenanceError(
                'certificate-not-yet-valid',
                f'the certificate of {who} in {path} is not valid yet',
                cause=f'it is valid from {certificate.not_valid_before_utc:%Y-%m-%d %H:%M} UTC; it is {now:%Y-%m-%d}',
                hint='check the clock of this machine, or wait',
            )


def _check_usage(leaf: x509.Certificate, path: Path) -> None:
    """Raises ProvenanceError certificate-usage for a leaf that C2PA does not let sign."""
    problem = ''
    extensions = leaf.extensions
    try:
        if extensions.get_extension_for_class(x509.BasicConstraints).value.ca:
            problem = 'it is that of an authority (CA), which signs certificates, not files'
    except x509.ExtensionNotFound:
        pass
    try:
        if not problem and not extensions.get_extension_for_class(x509.KeyUsage).value.digital_signature:
            problem = 'its key usage lacks digitalSignature'
    except x509.ExtensionNotFound:
        problem = 'it has no key usage extension, which must allow digitalSignature'
    try:
        uses = [use.dotted_string for use in extensions.get_extension_for_class(x509.ExtendedKeyUsage).value]
        if not problem and ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE.dotted_string in uses:
            problem = 'its extended key usage allows everything (anyExtendedKeyUsage)'
        elif not problem and not set(uses) & set(_USAGES):
            problem = 'its extended key usage allows neither C2PA signing, nor signing documents, nor protecting mail'
    except x509.ExtensionNotFound:
        problem = problem or 'it has no extended key usage extension'
    if problem:
        raise ProvenanceError(
            'certificate-usage',
            f'the certificate of {name_of(leaf.subject)} in {path} may not sign Content Credentials',
            cause=problem,
            hint='ask its authority for one for C2PA, for signing documents or for S/MIME; the signer must stand first',
        )


def _check_chain(chain: tuple[x509.Certificate, ...], path: Path) -> None:
    if chain[0].subject == chain[0].issuer:
        raise ProvenanceError(
            'certificate-self-signed',
            f'the certificate in {path} is signed by itself',
            cause='C2PA wants one that an authority has issued, be it a root of your own',
            hint='make a root and let it issue the certificate, or leave certificate_path out',
        )
    for issued, issuer in pairwise(chain):
        try:
            issued.verify_directly_issued_by(issuer)
        except (ValueError, TypeError, InvalidSignature, UnsupportedAlgorithm):
            raise ProvenanceError(
                'certificate-chain-broken',
                f'the certificates in {path} form no chain',
                cause=f'that of {name_of(issued.subject)} was not issued by {name_of(issuer.subject)}, '
                'which stands after it',
                hint='put the certificate of the signer first, then the one that issued it, and so on',
            ) from None


def _key_unreadable(path: Path, cause: str) -> ProvenanceError:
    return ProvenanceError(
        'private-key-not-pem',
        f'the file {path} holds no private key that can be read',
        cause=' '.join(cause.split())[:200],
        hint='name a PEM file with a block "PRIVATE KEY" or "ENCRYPTED PRIVATE KEY"',
    )


def _key_unsupported(path: Path, cause: str) -> ProvenanceError:
    return ProvenanceError(
        'private-key-unsupported',
        f'the private key in {path} cannot sign Content Credentials',
        cause=cause,
        hint=f'use EC (P-256, P-384 or P-521), Ed25519, or RSA with at least {SMALLEST_RSA_KEY} bits',
    )
