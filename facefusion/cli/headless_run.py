"""``headless-run``: run one step now."""

from __future__ import annotations

import json
from dataclasses import replace

from facefusion.cli.invocation import Invocation
from facefusion.cli.reporting import reported
from facefusion.cli.signals import stop_on_signals
from facefusion.events import EVENT_VERSION, Emit
from facefusion.jobs.options import NotifyOptions
from facefusion.pipeline.options import PathOptions, PlanOptions
from facefusion.pipeline.request import required_paths
from facefusion.services.adhoc_run import run_adhoc
from facefusion.services.option_groups import PROCESS_GROUPS
from facefusion.services.options import ConsoleOptions, PageOptions
from facefusion.services.step_plan import plan_of
from facefusion.steps.arguments import STEP_GROUPS, freeze
from facefusion.stopping import StopFlag

GROUPS: tuple[type, ...] = (*STEP_GROUPS, *PROCESS_GROUPS, NotifyOptions, PlanOptions, PageOptions)


def run(invocation: Invocation) -> int:
    """Run the step as a job, or print its plan; a failure is also emitted as an event."""
    emit = invocation.emit()
    with reported(emit):
        required_paths(invocation.settings[PathOptions])
        if invocation.settings[PlanOptions].dry_run:
            return _print_plan(invocation)
        flag = StopFlag()
        with stop_on_signals(flag):
            _run(invocation, emit, flag)
    return 0


def _run(invocation: Invocation, emit: Emit, flag: StopFlag) -> None:
    outcome = run_adhoc(
        invocation, 'headless-run', [freeze(invocation.settings, invocation.local_models(), emit)], 'stop', emit, flag
    )
    if outcome.error is not None:
        raise outcome.error


def _print_plan(invocation: Invocation) -> int:
    """Print only the plan on stdout: one JSON document, or one line with ``--progress json``."""
    console = invocation.settings[ConsoleOptions]
    quiet = invocation.settings.replace(replace(console, progress='none'))
    emit = replace(invocation, settings=quiet).emit()
    record = plan_of(invocation, invocation.settings, emit).record
    if console.progress == 'json':
        print(json.dumps({'version': EVENT_VERSION, 'event': 'plan', 'plan': record}))
    else:
        print(json.dumps(record, indent=2))
    return 0
