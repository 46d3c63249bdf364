"""Trusted roots: the roots that the settings name, and this machine's own roots."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from cryptography.hazmat.primitives import hashes, serialization

from facefusion.errors import ProvenanceError
from facefusion.provenance.certificate import name_of, read_certificates
from facefusion.provenance.local_certificate import default_folder, own_roots
from facefusion.provenance.options import ProvenanceOptions

_MOST_ROOTS = 1000


@dataclass(frozen=True, slots=True)
class Root:
    """A trusted root certificate; ``is_own`` is true for one that this machine created.

    ``name`` is its readable subject, ``fingerprint`` the SHA-256 of the certificate, ``pem`` its text.
    """

    name: str
    fingerprint: str
    pem: str
    is_own: bool


def trusted_roots(options: ProvenanceOptions, environ: Mapping[str, str], fallback_folder: Path) -> tuple[Root, ...]:
    """Return the roots of ``options`` and of this machine.

    Raises ProvenanceError trusted-root-missing, trusted-root-unreadable, trusted-root-not-pem, trusted-root-too-many.
    """
    own = [root for folder in local_folders(options, environ, fallback_folder) for root in own_roots(folder)]
    named = [root for path in options.trusted_roots for root in read_certificates(Path(path), 'trusted root')]
    roots: dict[str, Root] = {}
    for number, certificate in enumerate((*own, *named)):
        fingerprint = certificate.fingerprint(hashes.SHA256()).hex()
        pem = certificate.public_bytes(serialization.Encoding.PEM).decode('ascii')
        roots.setdefault(fingerprint, Root(name_of(certificate.subject), fingerprint, pem, number < len(own)))
    if len(roots) > _MOST_ROOTS:
        raise ProvenanceError(
            'trusted-root-too-many',
            f'the files of trusted_roots contain {len(roots)} certificates',
            cause=f'the limit is {_MOST_ROOTS}',
            hint='specify files with the roots of individual signers, not with all roots of an operating system',
        )
    return tuple(roots.values())


def local_folders(options: ProvenanceOptions, environ: Mapping[str, str], fallback_folder: Path) -> tuple[Path, ...]:
    """Return the possible folders of this machine's certificate, the preferred one first."""
    if options.provenance_path:
        return (Path(options.provenance_path),)
    return default_folder(environ), fallback_folder
