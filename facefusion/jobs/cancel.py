"""Ending a job that waits or runs."""

from __future__ import annotations

import time
from contextlib import suppress
from dataclasses import replace

from facefusion.errors import ClaimLost, JobError
from facefusion.jobs.claim import WORK_FOLDER, cancel_path
from facefusion.jobs.record import now_text
from facefusion.jobs.states import check_move
from facefusion.jobs.store import JobStore, unknown
from facefusion.stopping import POLL_SECONDS, StopFlag

# A worker looks for requests every second, and stops at the next frame.
PATIENCE_SECONDS = 60.0


def cancel(store: JobStore, job_id: str, flag: StopFlag) -> None:
    """Makes a queued or running job a failed one, with the reason 'cancelled'.

    Raises JobError job-unknown, job-wrong-state, job-not-stopping, and Interrupted when ``flag`` is set.
    """
    end = time.monotonic() + PATIENCE_SECONDS
    asked: set[str] = set()
    while time.monotonic() < end:
        job_file = store.find(job_id)
        if job_file is None:
            raise unknown(job_id)
        if asked and job_file.state == 'failed':
            return
        check_move('cancel', job_id, job_file.state)
        if job_file.kind != 'claim' or job_file.owner is None:
            if _cancel_waiting(store, job_id):
                return
        elif job_file.owner.is_dead():
            # Nobody would answer: the job is had by taking the claim over, unless a reaper is faster.
            with suppress(ClaimLost):
                hold, record = store.take_over(job_file)
                hold.finish('failed', replace(record, error=_reason(job_id).as_record(), date_finished=now_text()))
                store.clean_work(job_id, [attempt.nonce for attempt in record.attempts])
                return
        elif job_file.owner.nonce not in asked:
            # Its folder is not there in the first moment of a claim: then it is asked a moment later.
            with suppress(FileNotFoundError):
                folder = store.root / WORK_FOLDER / job_id
                with suppress(FileExistsError):
                    store.files.write(cancel_path(folder, job_file.owner), b'', sync=False)
                asked.add(job_file.owner.nonce)
        flag.check()
        time.sleep(POLL_SECONDS)
    raise JobError(
        'job-not-stopping',
        f'the job {job_id} has not stopped within {PATIENCE_SECONDS:.0f} seconds',
        cause='its process was asked to, and does not answer',
        hint='end that process: job-show names it',
    )


def _cancel_waiting(store: JobStore, job_id: str) -> bool:
    """Cancels a job that nobody works on; False when somebody has begun to, or ended it, meanwhile."""
    try:
        with store.edit(job_id, 'cancel') as (hold, record):
            hold.finish('failed', replace(record, error=_reason(job_id).as_record(), date_finished=now_text()))
    except JobError as error:
        if error.reference in ('job-busy', 'job-taken', 'job-claim-lost', 'job-wrong-state'):
            return False
        raise
    return True


def _reason(job_id: str) -> JobError:
    return JobError('cancelled', f'the job {job_id} was cancelled', hint='run it again with job-retry')
