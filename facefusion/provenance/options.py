"""Options of provenance: who signs, who stamps the time, and whom a reader trusts."""

from __future__ import annotations

from dataclasses import dataclass

from facefusion.options import option


@dataclass(frozen=True, slots=True)
class ProvenanceOptions:
    """How outputs are signed and marked, and which signers are known.

    The password of the key is no option: it would stand in ini files, in job files and in the list of processes. It is
    read from the environment variable FACEFUSION_PRIVATE_KEY_PASSWORD.
    """

    certificate_path: str | None = option(
        'path',
        None,
        'PEM file with the certificate that signs outputs first and those that issued it after it; unset: one that '
        'this program makes for this user and machine',
        section='provenance',
        stored='job',
    )
    private_key_path: str | None = option(
        'path',
        None,
        'PEM file with the private key of the certificate; its password is read from FACEFUSION_PRIVATE_KEY_PASSWORD',
        section='provenance',
        stored='job',
    )
    timestamp_url: str | None = option(
        'text',
        None,
        'address of a time stamp authority (RFC 3161), which is sent a digest of each signature',
        section='provenance',
        stored='job',
    )
    require_timestamp: bool = option(
        'flag',
        False,
        'fail when the time stamp authority gives no time stamp, instead of going on without',
        section='provenance',
        stored='job',
    )
    trusted_roots: tuple[str, ...] = option(
        'path',
        (),
        'PEM files with the root certificates of signers that are trusted, beside this machine itself',
        section='provenance',
        is_list=True,
        stored='job',
    )
    provenance_path: str | None = option(
        'path',
        None,
        "folder of the certificates that this program makes itself; unset: in this user's folder for data",
        section='provenance',
        stored='job',
    )
    invisible_mark: bool = option(
        'flag',
        True,
        'mark outputs invisibly; on unless an ini file says no, and only an ini file does',
        section='provenance',
        stored='job',
        is_policy=True,
    )
