"""Run steps immediately, as a new or a resumed job."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Literal

from facefusion.events import Emit, Message
from facefusion.jobs.adhoc_jobs import claim_adhoc, empty_record
from facefusion.jobs.options import NotifyOptions
from facefusion.jobs.record import Origin
from facefusion.services.workplace import Workplace
from facefusion.steps.arguments import FrozenStep
from facefusion.stopping import StopFlag

if TYPE_CHECKING:
    from facefusion.jobs.batch_report import BatchReport
    from facefusion.jobs.runner import Outcome


def run_adhoc(
    workplace: Workplace,
    origin: Origin,
    steps: Sequence[FrozenStep],
    on_step_error: Literal['stop', 'continue'],
    emit: Emit,
    flag: StopFlag,
    report: BatchReport | None = None,
) -> Outcome:
    """Run a new job of these steps, or resume the unfinished job of an identical command; return the outcome."""
    notify = workplace.settings[NotifyOptions].notify
    template = replace(empty_record(), notify=notify, on_step_error=on_step_error)
    with workplace.worker(emit, flag, report.add if report is not None else None) as worker:
        worker.sweep()
        claim, record, previous_end = claim_adhoc(
            workplace.job_store(), origin, [step.args for step in steps], [step.asked for step in steps], template
        )
        if previous_end:
            emit(Message('info', 'jobs', f'resuming the job {record.id}, {previous_end}'))
        if report is not None:
            report.begin(record)
        return worker.run_claimed(claim, record)
