"""``headless-run``: one step, now."""

from __future__ import annotations

import argparse
import json
from dataclasses import replace
from pathlib import Path

from facefusion.cli.failures import as_failure
from facefusion.cli.invocation import Invocation
from facefusion.cli.options import ConsoleOptions
from facefusion.cli.process import tune_process
from facefusion.cli.signals import stop_on_signals
from facefusion.events import Emit, RunFailed
from facefusion.faces.options import FaceDetectorOptions, FaceLandmarkerOptions, FaceSelectorOptions
from facefusion.inference.options import ExecutionOptions
from facefusion.media.options import OutputOptions, TrimOptions
from facefusion.models.options import ModelOptions
from facefusion.pipeline.options import PathOptions, WorkflowOptions, WorkOptions
from facefusion.processors.registry import REGISTRATIONS, ProcessorsOptions
from facefusion.settings import Settings
from facefusion.stopping import StopFlag

STEP_GROUPS: tuple[type, ...] = (
    PathOptions,
    FaceDetectorOptions,
    FaceLandmarkerOptions,
    FaceSelectorOptions,
    TrimOptions,
    OutputOptions,
    WorkflowOptions,
    ProcessorsOptions,
    *(registration.options for registration in REGISTRATIONS),
)
GROUPS: tuple[type, ...] = (*STEP_GROUPS, ExecutionOptions, ModelOptions, WorkOptions, ConsoleOptions)


def configure(parser: argparse.ArgumentParser) -> None:
    """Adds nothing of its own."""


def run(invocation: Invocation) -> int:
    """Runs the step, or prints its plan; a failure is an event too."""
    emit = invocation.emit()
    try:
        if invocation.settings[WorkOptions].dry_run:
            return _print_plan(invocation)
        flag = StopFlag()
        with stop_on_signals(flag):
            return _run(invocation, emit, flag)
    except Exception as error:
        emit(RunFailed(as_failure(error).as_record()))
        raise


def _print_plan(invocation: Invocation) -> int:
    """Prints the plan as the only thing on stdout: a document, or one line where lines of JSON were asked for."""
    tune_process()
    from facefusion.events import EVENT_VERSION
    from facefusion.jobs.runner import freeze_models, plan_step

    console = invocation.settings[ConsoleOptions]
    said = replace(invocation, settings=_quiet(invocation.settings)).emit()
    record = plan_step(freeze_models(invocation.settings, said), said).as_record()
    if console.progress == 'json':
        print(json.dumps({'version': EVENT_VERSION, 'event': 'plan', 'plan': record}))
    else:
        print(json.dumps(record, indent=2))
    return 0


def _quiet(settings: Settings) -> Settings:
    return settings.replace(replace(settings[ConsoleOptions], progress='none'))


def _run(invocation: Invocation, emit: Emit, flag: StopFlag) -> int:
    tune_process()
    from facefusion.jobs.runner import RunFolders, run_step

    settings = invocation.settings
    work = settings[WorkOptions]
    folders = RunFolders(
        jobs=Path(work.jobs_path) if work.jobs_path else invocation.home / 'jobs',
        temp=Path(work.temp_path) if work.temp_path else None,
    )
    run_step(settings, invocation.model_store(emit, flag), folders, emit, flag)
    return 0
