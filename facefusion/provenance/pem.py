"""Small PEM files of certificates and keys that a user names."""

from __future__ import annotations

import stat
from pathlib import Path

from cryptography import x509
from cryptography.x509.oid import NameOID

from facefusion.errors import ProvenanceError

# A chain of three certificates has 5 KB; a bundle of all roots of an operating system 250 KB.
_LARGEST_FILE = 4_000_000


# Message and hint by the end of the error reference.
_PROBLEMS = {
    'missing': ('does not exist', 'check the path in the option or in [provenance] of the ini file'),
    'unreadable': ('cannot be read', 'check path and permissions'),
    'not-pem': (
        'is not a PEM file',
        'convert it: "openssl pkcs12 -in A.p12 -out A.pem", or "openssl x509 -inform DER -in A.cer -out A.pem"',
    ),
}


def read_pem(path: Path, kind: str) -> bytes:
    """Return the bytes of the PEM file at ``path``; errors name it by ``kind``: 'certificate', 'private key', ...

    Raises ProvenanceError <kind>-missing, <kind>-unreadable, <kind>-not-pem.
    """
    try:
        if not stat.S_ISREG(path.stat().st_mode):
            # Opening a pipe would wait for a writer.
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
    """Return all certificates of a PEM file, at least one, in its order. Raises the errors of ``read_pem``."""
    try:
        return tuple(x509.load_pem_x509_certificates(read_pem(path, kind)))
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
    return ''.join(names[:1]) or name.rfc4514_string() or 'without a name'


def _error(problem: str, kind: str, path: Path, cause: str = '') -> ProvenanceError:
    message, hint = _PROBLEMS[problem]
    reference = f'{kind.replace(" ", "-")}-{problem}'
    return ProvenanceError(reference, f'the {kind} file {path} {message}', cause=cause, hint=hint)
