"""The plan of a step without running it, for ``--dry-run`` and the page."""

from __future__ import annotations

from typing import Any, NamedTuple

from facefusion.engines.process_settings import tune_process
from facefusion.events import Emit, Message
from facefusion.pipeline.options import PathOptions
from facefusion.pipeline.request import required_paths
from facefusion.services.workplace import Workplace
from facefusion.settings import Settings


class StepPlan(NamedTuple):
    """The plan as plain JSON, and whether it needs more memory than the run may use."""

    record: dict[str, Any]
    is_over_limit: bool


def plan_of(workplace: Workplace, settings: Settings, emit: Emit) -> StepPlan:
    """Return the plan of a step; fetches and writes nothing, and emits remarks.

    Raises UsageError for missing paths, and the errors of ``make_plan``.
    """
    tune_process()
    from facefusion.steps.arguments import freeze_models, with_mapped_sources
    from facefusion.steps.step_run import memory_limit, plan_step

    required_paths(settings[PathOptions])
    frozen = freeze_models(with_mapped_sources(settings), workplace.local_models(), emit)
    plan = plan_step(frozen, workplace.model_store(emit), emit)
    limit = memory_limit(settings)
    is_over = limit is not None and plan.memory > limit
    if limit is not None and is_over:
        text = f'--system-memory-limit allows {limit / 1e6:.0f} MB, and one worker needs {plan.memory / 1e6:.0f} MB'
        emit(Message('warn', 'plan', f'the run would be refused: {text}'))
    return StepPlan(plan.summary(), is_over)
