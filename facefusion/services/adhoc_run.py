"""Running steps at once, as a job that is made for them."""

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
    """Works on a job of these steps at once: a new one, or that of an equal call that can be gone on with."""
    notify = workplace.settings[NotifyOptions].notify
    template = replace(empty_record(), notify=notify, on_step_error=on_step_error)
    with workplace.worker(emit, flag, report.add if report is not None else None) as worker:
        worker.sweep()
        claim, record, left = claim_adhoc(
            workplace.job_store(), origin, [step.args for step in steps], [step.asked for step in steps], template
        )
        if left:
            emit(Message('info', 'jobs', f'goes on with the job {record.id}, {left}'))
        if report is not None:
            report.begin(record)
        return worker.run_claimed(claim, record)
