"""Whether another job that is running writes an output of this one: the last to finish would win."""

from __future__ import annotations

from contextlib import suppress

from facefusion.errors import JobError
from facefusion.events import Emit, Message
from facefusion.jobs.claim import parse_job_file
from facefusion.jobs.job_files import names_in, read_file
from facefusion.jobs.naming import comparable
from facefusion.jobs.record import JobRecord, RecordError, parse_record
from facefusion.jobs.steps import groups_of
from facefusion.jobs.store import JobStore

# The look at the beginning of a job must not cost more than a second, however many jobs are running.
MOST_JOBS = 100
MOST_BYTES = 64 << 20
_SHOWN = 5


def warn_of_shared_outputs(store: JobStore, record: JobRecord, emit: Emit) -> None:
    """Warns of outputs that a running job of the store writes, too; raises nothing.

    Of two jobs that begin at the same time one at least is claimed when the other one looks. Jobs of processes that
    are known to be dead do not count.
    """
    todo = [group for group in groups_of(record) if any(step.status != 'completed' for step in group.steps)]
    mine = {comparable(group.output_path) for group in todo}
    folder, left = store.root / 'running', MOST_BYTES
    names: list[str] = []
    with suppress(JobError):
        names = names_in(folder)[:MOST_JOBS]
    for name in names:
        job_file = parse_job_file(folder, 'running', name)
        if job_file is None or job_file.owner is None or job_file.job_id == record.id or job_file.owner.is_dead():
            continue
        try:
            left -= job_file.path.stat().st_size
            if left < 0:
                return
            other = parse_record(job_file.job_id, read_file(job_file.path))
        except (OSError, RecordError):
            # It has ended meanwhile, or is none.
            continue
        both = [group.output_path for group in groups_of(other) if comparable(group.output_path) in mine]
        if both:
            more = f' and {len(both) - _SHOWN} more' if len(both) > _SHOWN else ''
            who = f'the job {other.id}, on which the process {job_file.owner.pid} on {job_file.owner.host} works'
            text = f'{who}, writes the same output: {", ".join(both[:_SHOWN])}{more}; the last to finish wins'
            emit(Message('warn', 'jobs', text))
