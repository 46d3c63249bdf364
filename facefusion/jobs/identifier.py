"""Check job ids, generate new ones, and convert names to the ids of FaceFusion 3.8."""

from __future__ import annotations

import hashlib
import os
import re
import time

from facefusion.errors import UsageError

LONGEST_ID = 128
_ID = re.compile(r'[A-Za-z0-9_-][A-Za-z0-9._-]*')


def check_job_id(text: str) -> str:
    """Return a valid id unchanged. Raises UsageError job-id-invalid."""
    if len(text) <= LONGEST_ID and _ID.fullmatch(text):
        return text
    shown = text if len(text) <= LONGEST_ID else f'{text[:40]}...'
    raise UsageError(
        'job-id-invalid',
        f'{shown!r} is not a valid job id',
        cause=f'it has {len(text)} characters' if len(text) > LONGEST_ID else 'it has characters that are not allowed',
        hint='use at most 128 letters, digits, dots, dashes and underscores, with no leading dot',
    )


def peer_job_id(text: str) -> str:
    """Return the id under which FaceFusion 3.8 stores a job named ``text``.

    A name that consists only of dashes and of letters and digits of any script is its own id. The id of any other name
    is the SHA-1 of its UTF-8 encoding.
    """
    if text.replace('-', '').isalnum():
        return text
    return hashlib.sha1(text.encode('utf-8', 'surrogateescape'), usedforsecurity=False).hexdigest()


def new_job_id(kind: str, fingerprint: str = '') -> str:
    """Return ``<kind>-<local time>-[<fingerprint>-]<random>``, unique on all machines."""
    marks = [fingerprint] if fingerprint else []
    return '-'.join([kind, time.strftime('%Y-%m-%d-%H-%M-%S'), *marks, os.urandom(5).hex()])
