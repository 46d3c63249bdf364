"""The Python interface: plan, run, submit and follow steps from a program.

All functions are re-entrant: they keep nothing between calls, print nothing, and may be called from several threads.
``args`` are the options of a step by key, as plain JSON: ``{'processors': ['face_debugger'], 'target_path': ...}``. A
``Session`` has the settings of everything else. Failures are raised as ``facefusion.errors.FaceFusionError`` with a
reference, a cause and a hint. docs/python-api.md has an example.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal, NamedTuple

from facefusion.errors import UsageError
from facefusion.events import Event, silent
from facefusion.jobs.options import NotifyOptions, QueueOptions
from facefusion.services.option_groups import PROCESS_GROUPS
from facefusion.services.workplace import Workplace
from facefusion.settings import INI_NAME, home_path, program_path, read_ini, resolve
from facefusion.steps.arguments import STEP_GROUPS
from facefusion.stopping import StopFlag

__all__ = ['Event', 'FollowedJob', 'JobResult', 'Session', 'StopFlag', 'follow', 'plan', 'run', 'submit']

Args = Mapping[str, Any]
_JOB_GROUPS = (QueueOptions, NotifyOptions)
_POLL_SECONDS = 0.25


@dataclass(frozen=True, slots=True)
class Session:
    """The settings of a program: those of the ini file and the environment, and ``options`` over them.

    ``options`` are options of processes and of the queue by key, such as ``{'jobs_path': '/srv/jobs', 'offline':
    True}``. ``config_path`` is an ini file in place of that of the home. ``environ`` replaces the environment.
    """

    options: Args = field(default_factory=dict)
    config_path: str | Path | None = None
    environ: Mapping[str, str] | None = None

    def workplace(self) -> Workplace:
        """Return the folders and settings of the session. Raises UsageError for invalid values."""
        from facefusion.services.step_request import request_settings

        environ = dict(os.environ if self.environ is None else self.environ)
        home = home_path(environ)
        path = home / INI_NAME if self.config_path is None else Path(self.config_path)
        ini = read_ini(path, required=self.config_path is not None)
        # The policy of the home and of the program always applies, as for commands.
        paths = {home / INI_NAME, program_path() / INI_NAME} - {path}
        house = [found for each in sorted(paths) if (found := read_ini(each, required=False)) is not None]
        groups = (*PROCESS_GROUPS, *_JOB_GROUPS)
        settings = resolve((*STEP_GROUPS, *groups), {}, ini, environ, house)
        return Workplace(request_settings(settings, self.options, groups), home, environ)


class JobResult(NamedTuple):
    """A completed job: its id, the paths of its published files, and the report of each step."""

    job_id: str
    outputs: tuple[str, ...]
    reports: tuple[Mapping[str, Any], ...]


class FollowedJob(NamedTuple):
    """A job when it has changed: its state, and the finished frames of the stage of its running step.

    ``progress`` has stage, done, total, rate and seconds_left, or is None. ``error`` is the record of the failure.
    """

    job_id: str
    state: Literal['drafted', 'queued', 'running', 'completed', 'failed', 'broken']
    steps_completed: int
    progress: Mapping[str, Any] | None
    error: Mapping[str, Any] | None


def plan(args: Args, session: Session | None = None, on_event: Callable[[Event], None] = silent) -> dict[str, Any]:
    """Return the plan of a step as of ``headless-run --dry-run``: frames, memory, disk space and models.

    Nothing is fetched or written; ``on_event`` gets remarks. Raises UsageError, MediaError, NoFaceError, ModelError.
    """
    from facefusion.services.step_plan import plan_of

    workplace = _workplace_of(args, session)
    return plan_of(workplace, workplace.settings, on_event).record


def run(
    args: Args,
    session: Session | None = None,
    on_event: Callable[[Event], None] = silent,
    stop: StopFlag | None = None,
) -> JobResult:
    """Run a step in this process, as ``headless-run`` does, and return its result.

    ``on_event`` gets progress and messages, from any thread. Another thread stops the run with ``stop.set('reason')``;
    then Interrupted is raised, and the same call continues the work. Raises the error of the step.
    """
    from facefusion.pipeline.options import PathOptions
    from facefusion.pipeline.request import required_paths
    from facefusion.services.adhoc_run import run_adhoc
    from facefusion.steps.arguments import freeze

    workplace = _workplace_of(args, session)
    required_paths(workplace.settings[PathOptions])
    step = freeze(workplace.settings, workplace.local_models(), on_event)
    outcome = run_adhoc(workplace, 'headless-run', [step], 'stop', on_event, stop or StopFlag())
    if outcome.error is not None:
        raise outcome.error
    record = outcome.record
    reports = tuple(step.report for step in record.steps if step.report is not None)
    return JobResult(record.id, tuple(str(output['path']) for output in record.outputs), reports)


def submit(steps: Args | Sequence[Args], session: Session | None = None, job_id: str | None = None) -> str:
    """Put a job of one or more steps into the queue for a worker, and return its id.

    Raises UsageError step-incomplete and the errors of ``job-create`` and ``job-submit``; then there is no new job.
    """
    from facefusion.pipeline.options import PathOptions
    from facefusion.services.job_actions import create_job, new_record, submit_job, with_step
    from facefusion.steps.arguments import freeze

    entries = [steps] if isinstance(steps, Mapping) else list(steps)
    workplace = (session or Session()).workplace()
    store, record = workplace.job_store(), new_record(workplace.settings, job_id)
    for args in entries:
        settings = _step_settings(workplace, args).settings
        if settings[PathOptions].target_path is None or settings[PathOptions].output_path is None:
            raise UsageError(
                'step-incomplete', 'a step needs a target and an output', hint='set target_path and output_path'
            )
        record = with_step(record, freeze(settings, workplace.local_models(), silent).args)
    create_job(store, record)
    try:
        submit_job(store, record.id, silent)
    except Exception:
        store.delete(record.id)
        raise
    return record.id


def follow(
    job_id: str, session: Session | None = None, timeout: float | None = None, stop: StopFlag | None = None
) -> Iterator[FollowedJob]:
    """Yield a job now and after each change, until it has completed or failed; it does not run the job itself.

    It ends early after ``timeout`` seconds, or when ``stop`` is set. Raises JobError job-unknown, also when the job is
    deleted.
    """
    from facefusion.jobs.board import summary_now

    store = (session or Session()).workplace().job_store()
    job_id, end = store.resolve_id(job_id), None if timeout is None else time.monotonic() + timeout
    shown: FollowedJob | None = None
    while True:
        summary = summary_now(store, job_id)
        done = int(summary.get('steps_completed') or 0)
        job = FollowedJob(job_id, summary['state'], done, summary['progress'], summary['error'])
        if job != shown:
            shown = job
            yield job
        if job.state in ('completed', 'failed', 'broken') or (stop is not None and stop.is_set()):
            return
        if end is not None and time.monotonic() >= end:
            return
        time.sleep(_POLL_SECONDS)


def _workplace_of(args: Args, session: Session | None) -> Workplace:
    return _step_settings((session or Session()).workplace(), args)


def _step_settings(workplace: Workplace, args: Args) -> Workplace:
    """Return the workplace with the options of a step. Raises UsageError request-argument, option-refused."""
    from facefusion.services.step_request import request_settings

    plain = {key: _plain(value) for key, value in args.items()}
    return replace(workplace, settings=request_settings(workplace.settings, plain, STEP_GROUPS))


def _plain(value: Any) -> Any:
    """Return a value as JSON: paths as text, tuples as lists."""
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return str(value) if isinstance(value, Path) else value
