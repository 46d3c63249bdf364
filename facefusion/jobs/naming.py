"""Names of the files that the steps of a job write before they are joined."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

from facefusion.provenance.media_types import holds_credentials
from facefusion.provenance.sidecar import SIDECAR_SUFFIX

# The limit of the common file systems, in bytes.
LONGEST_NAME = 255


def comparable(path: str) -> str:
    """Return a path for comparisons: absolute, normalized, and in lower case where the system ignores case."""
    return os.path.normcase(os.path.normpath(Path(path).absolute()))


def step_output_path(output_path: str, job_id: str, index: int) -> str:
    """Return ``<folder>/<stem>-<job>-<index><extension>``, as FaceFusion 3.8 names the output of a step.

    The extension is in lower case. If this name or the name of its sidecar would be too long for a file
    system, the stem is shortened and ends with a digest.
    """
    path = Path(output_path)
    if not path.name:
        # The path has no file name, such as '/': the run reports that it cannot write there.
        path = path / 'output'
    ending = f'-{job_id}-{index}{path.suffix.lower()}'
    stem = path.stem
    suffix = '' if holds_credentials(path) else SIDECAR_SUFFIX
    limit = LONGEST_NAME - len(os.fsencode(ending + suffix))
    if len(os.fsencode(stem)) > limit:
        digest = hashlib.sha256(os.fsencode(stem)).hexdigest()[:8]
        stem = os.fsencode(stem)[: max(limit - 9, 0)].decode('utf-8', 'ignore') + '-' + digest
    return str(path.with_name(stem + ending))
