"""Warnings about running jobs that write the same output: the last one to finish would win."""

from __future__ import annotations

from contextlib import suppress

from facefusion.errors import JobError
from facefusion.events import Emit, Message
from facefusion.jobs.job_files import names_in, parse_job_file, read_file
from facefusion.jobs.naming import comparable
from facefusion.jobs.record import JobRecord, RecordError, parse_record
from facefusion.jobs.steps import groups_of
from facefusion.jobs.store import JobStore

# The limits keep the check below a second for any number of running jobs.
MAX_JOBS = 100
MAX_BYTES = 64 << 20
_SHOWN = 5


def warn_of_shared_outputs(store: JobStore, record: JobRecord, emit: Emit) -> None:
    """Warn about outputs that another running job of the store writes, too; raise nothing.

    If two jobs start at the same time, at least one of them finds the other, because a job is claimed before it checks.
    Jobs of dead processes do not count.
    """
    todo = [group for group in groups_of(record) if any(step.status != 'completed' for step in group.steps)]
    outputs = {comparable(group.output_path) for group in todo}
    folder, bytes_left = store.root / 'running', MAX_BYTES
    names: list[str] = []
    with suppress(JobError):
        names = names_in(folder)[:MAX_JOBS]
    for name in names:
        job_file = parse_job_file(folder, 'running', name)
        if job_file is None or job_file.owner is None or job_file.job_id == record.id or job_file.owner.is_dead():
            continue
        try:
            bytes_left -= job_file.path.stat().st_size
            if bytes_left < 0:
                return
            other = parse_record(job_file.job_id, read_file(job_file.path))
        except (OSError, RecordError):
            # The job is broken or has finished meanwhile.
            continue
        shared = [group.output_path for group in groups_of(other) if comparable(group.output_path) in outputs]
        if shared:
            more = f' and {len(shared) - _SHOWN} more' if len(shared) > _SHOWN else ''
            process = f'the process {job_file.owner.pid} on {job_file.owner.host}'
            text = f'the job {other.id}, run by {process}, writes the same output: {", ".join(shared[:_SHOWN])}{more}'
            emit(Message('warn', 'jobs', f'{text}; the last to finish wins'))
