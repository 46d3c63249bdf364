"""Jobs that headless-run and batch-run make for themselves, and finding one of them that an equal call goes on with."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

from facefusion.errors import ClaimLost, Interrupted, JobError
from facefusion.jobs.claim import Hold
from facefusion.jobs.identifier import new_job_id
from facefusion.jobs.record import JobRecord, Origin, now_text
from facefusion.jobs.steps import add_step, requeued, submitted
from facefusion.jobs.store import JobStore

_KINDS: dict[Origin, str] = {'headless-run': 'headless', 'batch-run': 'batch'}
# Failures after which the same call goes on where the job was left: as far as is known the call was not wrong.
_PASSING = (
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
_PASSING_CODES = (4, 5, 6, 7)
_FINGERPRINT_SIGNS = 10


class Claimed(NamedTuple):
    """A claimed job; ``left`` says how it ended before, to stand behind its id, and is empty for a new one."""

    hold: Hold
    record: JobRecord
    left: str


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


def claim_adhoc(
    store: JobStore,
    origin: Origin,
    steps: Sequence[Mapping[str, Any]],
    asked: Sequence[Mapping[str, Any]],
    template: JobRecord,
) -> Claimed:
    """A job with these steps, claimed: the newest one of an equal call that can be gone on with, or a new one.

    ``asked`` are the arguments as they were asked for, by which equal calls are told. ``template`` holds what is kept
    with the job beside its steps.
    """
    fingerprint = fingerprint_of(asked)
    for job_id in _candidates(store, origin, fingerprint):
        try:
            found = store.open(job_id).record
            if found.fingerprint != fingerprint or not _may_pass(found):
                continue
            hold, record = store.claim(job_id, 'retry')
        except (ClaimLost, JobError):
            continue
        return Claimed(hold, replace(requeued(record, missing=True), retries_used=0), _left(found.error or {}))
    record = replace(
        template, id=new_job_id(_KINDS[origin], fingerprint), origin=origin, fingerprint=fingerprint, steps=()
    )
    for args in steps:
        record = add_step(record, args)
    record = submitted(record)
    return Claimed(store.create_running(record), record, '')


def _may_pass(record: JobRecord) -> bool:
    """Whether the job ended for reasons that may be gone when the same call is made again."""
    error = record.error or {}
    if error.get('reference') == 'steps-failed':
        failed = [step.error or {} for step in record.steps if step.status == 'failed']
        return bool(failed) and all(map(_is_passing, failed))
    return _is_passing(error)


def _is_passing(error: Mapping[str, Any]) -> bool:
    return error.get('exit_code') in _PASSING_CODES or error.get('reference') in _PASSING


def _left(error: Mapping[str, Any]) -> str:
    if error.get('exit_code') == Interrupted.exit_code:
        return 'which was interrupted'
    if error.get('reference') == 'worker-lost':
        return 'whose process died or fell silent'
    return f'which failed [{error.get("reference")}]'


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
