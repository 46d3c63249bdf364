"""Names of jobs: what a user may choose, what the program makes up, and what FaceFusion 3.8 made of others."""

from __future__ import annotations

import hashlib
import os
import re
import time

from facefusion.errors import UsageError

LONGEST_ID = 128
_ID = re.compile(r'[A-Za-z0-9_-][A-Za-z0-9._-]*')


def is_job_id(text: str) -> bool:
    """Whether a new job may have this id: letters, digits, dot, dash, underscore, up to 128, no leading dot."""
    return len(text) <= LONGEST_ID and _ID.fullmatch(text) is not None


def check_job_id(text: str) -> str:
    """The id itself. Raises UsageError job-id-invalid."""
    if is_job_id(text):
        return text
    shown = text if len(text) <= LONGEST_ID else f'{text[:40]}...'
    raise UsageError(
        'job-id-invalid',
        f'{shown!r} is no job id',
        cause=f'it has {len(text)} characters' if len(text) > LONGEST_ID else 'it has characters that an id has not',
        hint='use letters, digits, dots, dashes and underscores, no dot at the beginning, at most 128 characters',
    )


def peer_job_id(text: str) -> str:
    """The id under which FaceFusion 3.8 keeps a job that was called ``text``.

    Without dashes it must be letters and digits of any script; everything else becomes the SHA-1 of its UTF-8 bytes.
    """
    if text.replace('-', '').isalnum():
        return text
    return hashlib.sha1(text.encode('utf-8', 'surrogateescape'), usedforsecurity=False).hexdigest()


def new_job_id(kind: str, fingerprint: str = '') -> str:
    """``<kind>-<local time>-[<fingerprint>-]<random>``: no two are equal, on whatever machine they are made."""
    marks = [fingerprint] if fingerprint else []
    return '-'.join([kind, time.strftime('%Y-%m-%d-%H-%M-%S'), *marks, os.urandom(5).hex()])
