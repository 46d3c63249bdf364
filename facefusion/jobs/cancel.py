"""Cancellation of a queued or running job."""

from __future__ import annotations

import time
from contextlib import suppress
from dataclasses import replace

from facefusion.errors import ClaimLost, JobError
from facefusion.jobs.claim import WORK_FOLDER, Claim, cancel_path
from facefusion.jobs.record import JobRecord, now_text
from facefusion.jobs.states import check_move
from facefusion.jobs.store import JobStore, unknown
from facefusion.stopping import POLL_SECONDS, StopFlag

# A worker checks for requests every second, and stops at the next frame.
PATIENCE_SECONDS = 60.0


def cancel(store: JobStore, job_id: str, flag: StopFlag) -> None:
    """Cancel a queued or running job: it becomes a failed job with the error 'cancelled'.

    Raises JobError job-unknown, job-wrong-state, job-not-stopping, and Interrupted when ``flag`` is set.
    """
    end = time.monotonic() + PATIENCE_SECONDS
    requested: set[str] = set()
    while time.monotonic() < end:
        job_file = store.find(job_id)
        if job_file is None:
            raise unknown(job_id)
        if requested and job_file.state == 'failed':
            return
        check_move('cancel', job_id, job_file.state)
        if job_file.kind != 'claim' or job_file.owner is None:
            if _cancel_unclaimed(store, job_id):
                return
        elif job_file.owner.is_dead():
            # A dead process does not react, so its claim is taken over here, unless a reaper is faster.
            with suppress(ClaimLost):
                claim, record = store.take_over(job_file)
                _finish(claim, record)
                store.clean_work(job_id, [attempt.nonce for attempt in record.attempts])
                return
        elif job_file.owner.nonce not in requested:
            # The folder of a new claim does not exist yet: the next iteration writes the request.
            with suppress(FileNotFoundError):
                folder = store.root / WORK_FOLDER / job_id
                with suppress(FileExistsError):
                    store.files.write(cancel_path(folder, job_file.owner), b'', sync=False)
                requested.add(job_file.owner.nonce)
        flag.check()
        time.sleep(POLL_SECONDS)
    raise JobError(
        'job-not-stopping',
        f'the job {job_id} has not stopped within {PATIENCE_SECONDS:.0f} seconds',
        cause='its process does not react to the request',
        hint='end that process, which job-show lists',
    )


def _cancel_unclaimed(store: JobStore, job_id: str) -> bool:
    """Cancel an unclaimed job; return False when another process claimed or ended it meanwhile."""
    try:
        with store.edit(job_id, 'cancel') as (claim, record):
            _finish(claim, record)
    except JobError as error:
        if error.reference in ('job-busy', 'job-taken', 'job-claim-lost', 'job-wrong-state'):
            return False
        raise
    return True


def _finish(claim: Claim, record: JobRecord) -> None:
    error = cancelled(record.id).as_record()
    claim.finish('failed', replace(record, error=error, date_finished=now_text()))


def cancelled(job_id: str) -> JobError:
    """Return the error of a cancelled job."""
    return JobError('cancelled', f'the job {job_id} was cancelled', hint='run it again with job-retry')
