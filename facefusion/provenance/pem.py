"""Reading small PEM files of certificates and keys that a user names."""

from __future__ import annotations

import stat
from pathlib import Path

from cryptography import x509
from cryptography.x509.oid import NameOID

from facefusion.errors import ProvenanceError

# A chain of three certificates has 5 KB; a bundle of all roots of an operating system 250 KB.
LARGEST_FILE = 4_000_000
_BEGIN = b'-----BEGIN '


def read_pem(path: Path, kind: str) -> bytes:
    """The bytes of the PEM file at ``path``; ``kind`` names it in errors: 'certificate', 'private key', ...

    Raises ProvenanceError <kind>-missing, <kind>-unreadable, <kind>-not-pem.
    """
    name = kind.replace(' ', '-')
    try:
        if not stat.S_ISREG(path.stat().st_mode):
            # Opening a pipe would wait for a writer, perhaps for ever.
            raise _unreadable(name, kind, path, 'it is a folder, a pipe, a socket or a device')
        with path.open('rb') as file:
            data = file.read(LARGEST_FILE + 1)
    except (FileNotFoundError, NotADirectoryError):
        raise ProvenanceError(
            f'{name}-missing',
            f'no {kind} file at {path}',
            hint='check the path, which an option or [provenance] of the ini file names',
        ) from None
    except (OSError, ValueError) as error:
        cause = str(getattr(error, 'strerror', None) or error)
        raise _unreadable(name, kind, path, cause) from None
    if len(data) > LARGEST_FILE:
        raise _unreadable(name, kind, path, f'it is larger than {LARGEST_FILE // 1_000_000} MB')
    if _BEGIN not in data:
        raise _not_pem(name, kind, path, 'it holds no line that starts with -----BEGIN')
    return data


def read_certificates(path: Path, kind: str = 'certificate') -> tuple[x509.Certificate, ...]:
    """All certificates of a PEM file, in its order, at least one. Raises what ``read_pem`` raises."""
    data = read_pem(path, kind)
    try:
        return tuple(x509.load_pem_x509_certificates(data))
    except ValueError as error:
        cause = 'it holds no certificate that can be read: ' + ' '.join(str(error).split())[:200]
        raise _not_pem(kind.replace(' ', '-'), kind, path, cause) from None


def name_of(name: x509.Name) -> str:
    """A name for people: its common name, and its organisation where that says more."""
    words = []
    for oid in (NameOID.COMMON_NAME, NameOID.ORGANIZATION_NAME):
        found = [str(entry.value) for entry in name.get_attributes_for_oid(oid)]
        words += [value for value in found[:1] if value not in words]
    if len(words) == 2:
        return f'{words[0]} ({words[1]})'
    return ''.join(words) or name.rfc4514_string() or 'without a name'


def _unreadable(name: str, kind: str, path: Path, cause: str) -> ProvenanceError:
    return ProvenanceError(
        f'{name}-unreadable', f'the {kind} file {path} cannot be read', cause=cause, hint='check path and permissions'
    )


def _not_pem(name: str, kind: str, path: Path, cause: str) -> ProvenanceError:
    return ProvenanceError(
        f'{name}-not-pem',
        f'the {kind} file {path} is no PEM file',
        cause=cause,
        hint='convert it: "openssl pkcs12 -in A.p12 -out A.pem", or "openssl x509 -inform DER -in A.cer -out A.pem"',
    )
