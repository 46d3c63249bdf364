"""``batch-run``: run one job now, with a step for each combination of files that match the patterns."""

from __future__ import annotations

import json
from pathlib import Path

from facefusion.cli.invocation import Invocation
from facefusion.cli.reporting import reported
from facefusion.cli.signals import stop_on_signals
from facefusion.engines.process_settings import tune_process
from facefusion.errors import Interrupted
from facefusion.events import Emit, Message
from facefusion.failures import as_job_failure
from facefusion.jobs.batch_report import BatchReport
from facefusion.jobs.options import HaltOptions, NotifyOptions, PatternOptions, ReportOptions
from facefusion.jobs.patterns import expand
from facefusion.pipeline.file_names import check_names
from facefusion.pipeline.options import PathOptions, PlanOptions
from facefusion.services.adhoc_run import run_adhoc
from facefusion.services.option_groups import PROCESS_GROUPS
from facefusion.services.options import PageOptions
from facefusion.steps.arguments import STEP_GROUPS, FrozenStep, absolute, freeze
from facefusion.stopping import StopFlag

# The pattern options replace the path options and use their short flags.
GROUPS: tuple[type, ...] = (
    PatternOptions,
    *(group for group in STEP_GROUPS if group is not PathOptions),
    *PROCESS_GROUPS,
    HaltOptions,
    NotifyOptions,
    ReportOptions,
    PlanOptions,
    PageOptions,
)


def run(invocation: Invocation) -> int:
    """Run all steps; --halt-on-error stops at the first failure. Raises JobError when a step failed."""
    emit, flag = invocation.emit(), StopFlag()
    with reported(emit):
        steps = _steps(invocation, emit)
        if invocation.settings[PlanOptions].dry_run:
            return _print_plans(invocation, steps, emit)
        with stop_on_signals(flag):
            _run(invocation, steps, emit, flag)
    return 0


def _steps(invocation: Invocation, emit: Emit) -> list[FrozenStep]:
    """Return the arguments of every step. Raises the errors of ``expand``, and OutputError output-name."""
    patterns = invocation.settings[PatternOptions]
    items = expand(patterns.source_pattern, patterns.target_pattern, patterns.output_pattern)
    for item in items:
        check_names(Path(item.output))
    common = freeze(invocation.settings.replace(PathOptions()), invocation.local_models(), emit)
    return [
        common.with_paths(
            source_paths=[] if item.source is None else [absolute(item.source)],
            target_path=absolute(item.target),
            output_path=absolute(item.output),
        )
        for item in items
    ]


def _print_plans(invocation: Invocation, steps: list[FrozenStep], emit: Emit) -> int:
    """Print the plan of each step as a line of JSON."""
    tune_process()
    from facefusion.jobs.steps import new_step
    from facefusion.steps.step_run import plan_step
    from facefusion.steps.step_work import step_settings

    store = invocation.model_store(emit)
    for args in (step.args for step in steps):
        settings = step_settings(
            invocation.settings, new_step(args), str(args['target_path']), str(args['output_path']), emit
        )
        print(json.dumps(plan_step(settings, store, emit).summary()))
    return 0


def _run(invocation: Invocation, steps: list[FrozenStep], emit: Emit, flag: StopFlag) -> None:
    halts = invocation.settings[HaltOptions].halt_on_error
    report = _report(invocation, steps, emit)
    outcome = run_adhoc(invocation, 'batch-run', steps, 'stop' if halts else 'continue', emit, flag, report)
    if isinstance(outcome.error, Interrupted):
        raise outcome.error
    if outcome.error is not None:
        command = invocation.on_this_store(f'job-retry {outcome.job_id}')
        emit(Message('info', 'jobs', f'`{command}` runs only the remaining steps'))
        # A batch has one exit code for all failures of its steps.
        raise as_job_failure(outcome.error) from outcome.error
    emit(Message('info', 'jobs', f'job {outcome.job_id}: all {len(steps)} steps completed'))


def _report(invocation: Invocation, steps: list[FrozenStep], emit: Emit) -> BatchReport | None:
    """Return the requested report, or None. Raises the errors of ``BatchReport.check`` for an unusable report."""
    path = invocation.settings[ReportOptions].report_path
    if path is None:
        return None
    report = BatchReport(Path(absolute(path)), emit)
    report.check([step.args for step in steps])
    return report
