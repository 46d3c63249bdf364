"""Whom a reader trusts: the roots that the settings name, and those of this machine."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization

from facefusion.errors import ProvenanceError
from facefusion.provenance.local_certificate import default_folder, own_roots
from facefusion.provenance.options import ProvenanceOptions
from facefusion.provenance.pem import name_of, read_certificates

MOST_ROOTS = 1000


@dataclass(frozen=True, slots=True)
class Root:
    """A root certificate that is trusted; ``is_own`` is true for one that this machine made itself.

    ``name`` is its subject for people, ``fingerprint`` the SHA-256 of the certificate, ``pem`` its text.
    """

    name: str
    fingerprint: str
    pem: str
    is_own: bool


def trusted_roots(options: ProvenanceOptions, environ: Mapping[str, str], fallback_folder: Path) -> tuple[Root, ...]:
    """The roots of ``options`` and of this machine.

    Raises ProvenanceError trusted-root-missing, trusted-root-unreadable, trusted-root-not-pem, trusted-root-too-many.
    """
    roots: dict[str, Root] = {}
    for folder in local_folders(options, environ, fallback_folder):
        for certificate in own_roots(folder):
            root = _root(certificate, is_own=True)
            roots.setdefault(root.fingerprint, root)
    for named in options.trusted_roots:
        for certificate in read_certificates(Path(named), 'trusted root'):
            root = _root(certificate, is_own=False)
            roots.setdefault(root.fingerprint, root)
    if len(roots) > MOST_ROOTS:
        raise ProvenanceError(
            'trusted-root-too-many',
            f'{len(roots)} certificates stand in the files of trusted_roots',
            cause=f'at most {MOST_ROOTS} are used',
            hint='name files with the roots of signers, not all that an operating system has',
        )
    return tuple(roots.values())


def local_folders(options: ProvenanceOptions, environ: Mapping[str, str], fallback_folder: Path) -> tuple[Path, ...]:
    """The folders in which certificates of this machine are looked for, the preferred one first."""
    if options.provenance_path:
        return (Path(options.provenance_path),)
    return default_folder(environ), fallback_folder


def _root(certificate: x509.Certificate, is_own: bool) -> Root:
    return Root(
        name_of(certificate.subject),
        certificate.fingerprint(hashes.SHA256()).hex(),
        certificate.public_bytes(serialization.Encoding.PEM).decode('ascii'),
        is_own,
    )
