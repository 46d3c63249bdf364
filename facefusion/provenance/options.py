"""Options of provenance: signing certificate, timestamp authority and trusted roots."""

from __future__ import annotations

from dataclasses import dataclass

from facefusion.options import option


@dataclass(frozen=True, slots=True)
class ProvenanceOptions:
    """How to sign and mark outputs, and which signers to trust.

    The password of the private key is not an option, because ini files, job files and process lists would expose it.
    The environment variable FACEFUSION_PRIVATE_KEY_PASSWORD contains the password.
    """

    certificate_path: str | None = option(
        'path',
        None,
        'PEM file with the signing certificate, followed by the certificates of its issuers; default: a certificate '
        'that this program creates for this user and machine',
        section='provenance',
        stored='job',
    )
    private_key_path: str | None = option(
        'path',
        None,
        'PEM file with the private key of the certificate; FACEFUSION_PRIVATE_KEY_PASSWORD contains its password',
        section='provenance',
        stored='job',
    )
    timestamp_url: str | None = option(
        'text',
        None,
        'address of a timestamp authority (RFC 3161), which gets a digest of each signature',
        section='provenance',
        stored='job',
    )
    require_timestamp: bool = option(
        'flag',
        False,
        'fail when the timestamp authority returns no timestamp, instead of continuing without one',
        section='provenance',
        stored='job',
    )
    trusted_roots: tuple[str, ...] = option(
        'path',
        (),
        'PEM files with root certificates of trusted signers, in addition to this machine',
        section='provenance',
        is_list=True,
        stored='job',
    )
    provenance_path: str | None = option(
        'path',
        None,
        "folder of the certificates that this program creates; default: in this user's data folder",
        section='provenance',
        metavar='FOLDER',
        stored='job',
    )
    invisible_mark: bool = option(
        'flag',
        True,
        'add the invisible mark to outputs; on by default, and only an ini file switches it off',
        section='provenance',
        stored='job',
        is_policy=True,
    )
