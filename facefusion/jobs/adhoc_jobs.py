"""The jobs of headless-run, batch-run and benchmark: create one, or find one that an equal command can resume."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

from facefusion.errors import ClaimLost, Interrupted, JobError
from facefusion.jobs.claim import Claim
from facefusion.jobs.identifier import new_job_id
from facefusion.jobs.record import JobRecord, Origin, now_text
from facefusion.jobs.steps import add_step, requeued, submitted
from facefusion.jobs.store import JobStore

_KINDS: dict[Origin, str] = {'headless-run': 'headless', 'batch-run': 'batch', 'benchmark': 'benchmark'}
# Errors after which an equal command resumes the job, because they do not prove that the command was wrong.
_RESUMABLE_FILES = ('work-file-damaged', 'work-unwritable', 'output-unwritable', 'media-missing')
_RESUMABLE = ('worker-lost', 'system-call', 'unexpected', *_RESUMABLE_FILES)
# Exit codes of interruptions and of errors about memory, disk, models and providers: finished work must not be lost
# when the disk is still full, or the host of a model is still unreachable, at the next command.
_RESUMABLE_CODES = (4, 5, 6, 7)
_FINGERPRINT_LENGTH = 10


class ClaimedJob(NamedTuple):
    """A claimed job; ``previous_end`` is a clause about the end of its last attempt, empty for a new job."""

    claim: Claim
    record: JobRecord
    previous_end: str


def claim_adhoc(
    store: JobStore,
    origin: Origin,
    steps: Sequence[Mapping[str, Any]],
    asked: Sequence[Mapping[str, Any]],
    template: JobRecord,
) -> ClaimedJob:
    """Claim the newest resumable job of an equal command, or a new job with these steps.

    ``asked`` are the arguments as the user gave them, which identify equal commands. ``template`` contains all fields
    of the job except its steps.
    """
    fingerprint = _fingerprint(asked)
    for job_id in _candidates(store, origin, fingerprint):
        try:
            failed = store.open(job_id).record
            if failed.fingerprint != fingerprint or not _is_resumable(failed):
                continue
            claim, record = store.claim(job_id, 'retry')
        except (ClaimLost, JobError):
            continue
        record = replace(requeued(record, missing=True), retries_used=0)
        return ClaimedJob(claim, record, _previous_end(failed.error or {}))
    record = replace(
        template, id=new_job_id(_KINDS[origin], fingerprint), origin=origin, fingerprint=fingerprint, steps=()
    )
    for args in steps:
        record = add_step(record, args)
    record = submitted(record)
    return ClaimedJob(store.create_running(record), record, '')


def _fingerprint(steps: Sequence[Mapping[str, Any]]) -> str:
    """Return a digest of the arguments of all steps, and the size and modification time of their files."""
    digest = hashlib.sha256()
    for args in steps:
        digest.update(json.dumps(args, sort_keys=True).encode())
        for path in (*args.get('source_paths', ()), args.get('target_path')):
            try:
                status = Path(path).stat()
                digest.update(f'{status.st_size} {status.st_mtime_ns}'.encode())
            except (OSError, TypeError, ValueError):
                digest.update(b'-')
    return digest.hexdigest()[:_FINGERPRINT_LENGTH]


def _is_resumable(record: JobRecord) -> bool:
    """Whether the cause of the failure may have disappeared when the command runs again."""
    errors = [record.error or {}]
    if errors[0].get('reference') == 'steps-failed':
        errors = [step.error or {} for step in record.steps if step.status == 'failed']
    return bool(errors) and all(
        error.get('exit_code') in _RESUMABLE_CODES or error.get('reference') in _RESUMABLE for error in errors
    )


def _previous_end(error: Mapping[str, Any]) -> str:
    if error.get('exit_code') == Interrupted.exit_code:
        return 'which was interrupted'
    if error.get('reference') == 'worker-lost':
        return 'whose process died or stopped responding'
    return f'which failed [{error.get("reference")}]'


def empty_record() -> JobRecord:
    """Return a new job record without an id and steps."""
    return JobRecord('', now_text())


def _candidates(store: JobStore, origin: Origin, fingerprint: str) -> list[str]:
    pattern = re.compile(rf'({_KINDS[origin]}-[0-9-]+-{fingerprint}-[0-9a-f]+)\.json')
    try:
        names = [path.name for path in (store.root / 'failed').iterdir()]
    except OSError:
        return []
    return sorted((match[1] for name in names if (match := pattern.fullmatch(name))), reverse=True)
