"""Jobs that headless-run and batch-run make for themselves, and finding one of them that was interrupted."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from facefusion.errors import ClaimLost, JobError
from facefusion.jobs.claim import Hold
from facefusion.jobs.identifier import new_job_id
from facefusion.jobs.record import JobRecord, Origin, now_text
from facefusion.jobs.steps import add_step, requeued, submitted
from facefusion.jobs.store import JobStore

_KINDS: dict[Origin, str] = {'headless-run': 'headless', 'batch-run': 'batch'}
# Ends after which the same call goes on where the job was left: as far as is known the call was not wrong.
_INTERRUPTED = (
    'worker-lost',
    'work-file-damaged',
    'work-unwritable',
    'output-unwritable',
    'media-missing',
    'system-call',
    'unexpected',
)
# Stopped, memory or disk, models, providers: what an earlier run has finished must not be lost for the next one that
# finds the disk still full, or the host of a model away.
_CODES_OF_INTERRUPTED = (4, 5, 6, 7)
_FINGERPRINT_SIGNS = 10


def fingerprint_of(steps: Sequence[Mapping[str, Any]]) -> str:
    """What tells equal calls: the arguments of all steps, and size and time of change of their files."""
    digest = hashlib.sha256()
    for args in steps:
        digest.update(json.dumps(args, sort_keys=True).encode())
        for path in (*args.get('source_paths', ()), args.get('target_path')):
            try:
                status = Path(path).stat()
                digest.update(f'{status.st_size} {status.st_mtime_ns}'.encode())
            except (OSError, TypeError, ValueError):
                digest.update(b'-')
    return digest.hexdigest()[:_FINGERPRINT_SIGNS]


def claim_automatic(
    store: JobStore, origin: Origin, steps: Sequence[Mapping[str, Any]], template: JobRecord
) -> tuple[Hold, JobRecord, bool]:
    """A job with these steps, claimed: the newest one of an equal call that was interrupted, or a new one.

    Says also whether it is an interrupted one. ``template`` holds what is kept with the job beside its steps.
    """
    fingerprint = fingerprint_of(steps)
    for job_id in _candidates(store, origin, fingerprint):
        try:
            opened = store.open(job_id)
            if opened.record.fingerprint != fingerprint or not _was_interrupted(opened.record.error or {}):
                continue
            hold, record = store.claim(job_id, 'retry')
        except (ClaimLost, JobError):
            continue
        return hold, replace(requeued(record, missing=True), retries_used=0), True
    record = replace(
        template, id=new_job_id(_KINDS[origin], fingerprint), origin=origin, fingerprint=fingerprint, steps=()
    )
    for args in steps:
        record = add_step(record, args)
    record = submitted(record)
    return store.create_running(record), record, False


def _was_interrupted(error: Mapping[str, Any]) -> bool:
    return error.get('exit_code') in _CODES_OF_INTERRUPTED or error.get('reference') in _INTERRUPTED


def empty_record() -> JobRecord:
    """A job without an id and steps, made now."""
    return JobRecord('', now_text())


def _candidates(store: JobStore, origin: Origin, fingerprint: str) -> list[str]:
    pattern = re.compile(rf'({_KINDS[origin]}-[0-9-]+-{fingerprint}-[0-9a-f]+)\.json')
    try:
        names = [path.name for path in (store.root / 'failed').iterdir()]
    except OSError:
        return []
    return sorted((match[1] for name in names if (match := pattern.fullmatch(name))), reverse=True)
