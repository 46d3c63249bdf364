"""Commands that run and cancel jobs: ``job-run(-all)``, ``job-retry(-all)``, ``job-cancel``."""

from __future__ import annotations

import argparse
import sys
import threading
from contextlib import suppress
from typing import TYPE_CHECKING

from facefusion.cli.commands import Spec
from facefusion.cli.invocation import Invocation
from facefusion.cli.job_drafting import for_all, warn_without_worker
from facefusion.cli.parser import add_job_id, job_id_of
from facefusion.cli.reporting import reported
from facefusion.cli.signals import stop_on_signals
from facefusion.errors import Interrupted, UsageError
from facefusion.events import Emit, Message
from facefusion.failures import as_job_failure
from facefusion.jobs.options import HaltOptions
from facefusion.services.job_actions import requeue_job
from facefusion.services.option_groups import PROCESS_GROUPS, STORE_GROUPS
from facefusion.stopping import StopFlag

if TYPE_CHECKING:
    from facefusion.jobs.runner import Outcome

GROUPS: tuple[type, ...] = (*PROCESS_GROUPS, HaltOptions)


def _configure_run(parser: argparse.ArgumentParser) -> None:
    add_job_id(parser, required=False)


def _run(invocation: Invocation) -> int:
    """Run the queued job with the given id, or the next one; wait for a job that another process is running."""
    emit, flag = invocation.emit(), StopFlag()
    store = invocation.job_store()
    with stop_on_signals(flag), reported(emit):
        named = job_id_of(invocation.arguments)
        job_id = store.resolve_id(named) if named is not None else None
        with invocation.worker(emit, flag) as worker:
            outcome = worker.run_one(job_id, 'run') if job_id is not None else worker.run_next()
        return _conclude(invocation, outcome, emit)


def _configure_retry(parser: argparse.ArgumentParser) -> None:
    add_job_id(parser)
    _add_retry_flags(parser)


def _add_retry_flags(parser: argparse.ArgumentParser) -> None:
    parser.add_argument('--queue', action='store_true', help='put failed jobs back into the queue for a worker')
    parser.add_argument('--from-scratch', action='store_true', help='also rerun completed steps')


def _retry(invocation: Invocation) -> int:
    """Run the remaining steps of a failed job, or put it back into the queue."""
    emit, flag = invocation.emit(), StopFlag()
    store = invocation.job_store()
    with stop_on_signals(flag), reported(emit):
        job_id = store.resolve_id(job_id_of(invocation.arguments) or '')
        if invocation.arguments.queue:
            requeue_job(store, job_id, emit, from_scratch=invocation.arguments.from_scratch)
            warn_without_worker(invocation, store, emit)
            return 0
        with invocation.worker(emit, flag) as worker:
            outcome = worker.run_one(job_id, 'retry', invocation.arguments.from_scratch)
        return _conclude(invocation, outcome, emit)


def _retry_all(invocation: Invocation) -> int:
    """Apply ``job-retry`` to every failed job."""
    emit, flag = invocation.emit(), StopFlag()
    store = invocation.job_store()
    with stop_on_signals(flag), reported(emit):
        if invocation.arguments.queue:

            def requeue(job_id: str) -> None:
                requeue_job(store, job_id, emit, from_scratch=invocation.arguments.from_scratch)

            return for_all(invocation, store, ('failed',), requeue, flag)
        with invocation.worker(emit, flag) as worker:

            def retry(job_id: str) -> None:
                error = worker.run_one(job_id, 'retry', invocation.arguments.from_scratch).error
                if error is not None:
                    raise error

            return for_all(invocation, store, ('failed',), retry, flag)


def _configure_run_all(parser: argparse.ArgumentParser) -> None:
    parser.add_argument('--watch', action='store_true', help='run as a worker: wait when the queue is empty')
    parser.add_argument('--max-jobs', type=_count, metavar='N', help='exit after this number of jobs')
    parser.add_argument(
        '--stop-after-current',
        action='store_true',
        help='on the first SIGINT or SIGTERM finish the current job and exit; on the second one stop the job too',
    )
    parser.add_argument(
        '--until-eof',
        action='store_true',
        help='finish the current job and exit when stdin ends, which programs use that start a worker',
    )


def _count(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f'{text} is not a whole number from 1 upwards')
    return int(text)


def _run_all(invocation: Invocation) -> int:
    """Run the queued jobs in order; return 1 if one failed. Raises JobError if there is none, unless with --watch."""
    from facefusion.jobs.worker import none_queued

    arguments, emit = invocation.arguments, invocation.emit()
    gentle, flag = StopFlag(), StopFlag()
    first = gentle if arguments.stop_after_current else flag
    with stop_on_signals(first, flag), reported(emit):
        if arguments.until_eof:
            threading.Thread(target=_stop_at_eof, args=(gentle,), name='stdin', daemon=True).start()
        if arguments.watch:
            text = f'waiting for jobs in {invocation.jobs_path().absolute()}; SIGTERM ends this worker'
            emit(Message('info', 'jobs', text))
        with invocation.worker(emit, flag) as worker:
            tally = worker.run_queue(
                watch=arguments.watch,
                max_jobs=arguments.max_jobs,
                halt_on_error=invocation.settings[HaltOptions].halt_on_error,
                stop_after_current=gentle,
            )
        if not tally.ended and not arguments.watch and not flag.is_set() and not gentle.is_set():
            raise none_queued(tally.waiting)
        if flag.is_set() and not arguments.watch and not tally.failed:
            raise Interrupted(cause=flag.reason, hint='the remaining jobs are in the queue: run the same command again')
        return 1 if tally.failed else 0


def _stop_at_eof(flag: StopFlag) -> None:
    """Set the flag when stdin ends: the program that started this worker has closed it, or has ended."""
    with suppress(OSError, ValueError):
        while sys.stdin is not None and sys.stdin.buffer.read(1024):
            pass
    flag.set('its standard input has ended')


def _conclude(invocation: Invocation, outcome: Outcome, emit: Emit) -> int:
    """Return 0 for a completed job; raise the error of a failed job."""
    error = outcome.error
    if error is not None and outcome.state == 'failed':
        command = invocation.on_this_store(f'job-retry {outcome.job_id}')
        emit(Message('info', 'jobs', f'job {outcome.job_id} failed: `{command}` runs the remaining steps'))
    if isinstance(error, UsageError):
        # The settings of the step are invalid, not this command line.
        raise as_job_failure(error) from error
    if error is not None:
        raise error
    emit(Message('info', 'jobs', f'job {outcome.job_id} {outcome.state}'))
    return 0


def _cancel(invocation: Invocation) -> int:
    """Cancel a queued or running job; waits until the process that runs it has released its claim."""
    from facefusion.jobs.cancel import cancel

    emit, flag = invocation.emit(), StopFlag()
    store = invocation.job_store()
    job_id = store.resolve_id(job_id_of(invocation.arguments) or '')
    with stop_on_signals(flag):
        cancel(store, job_id, flag)
    emit(Message('info', 'jobs', f'job {job_id} cancelled'))
    return 0


RUN = Spec(PROCESS_GROUPS, _configure_run, _run)
RETRY = Spec(PROCESS_GROUPS, _configure_retry, _retry)
RUN_ALL = Spec(GROUPS, _configure_run_all, _run_all)
RETRY_ALL = Spec(GROUPS, _add_retry_flags, _retry_all)
CANCEL = Spec(STORE_GROUPS, add_job_id, _cancel)
