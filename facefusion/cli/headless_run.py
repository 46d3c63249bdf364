"""``headless-run``: one step, now."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from facefusion.cli.invocation import Invocation, use_one_library_thread
from facefusion.cli.options import ConsoleOptions
from facefusion.cli.signals import stop_on_signals
from facefusion.errors import FaceFusionError
from facefusion.events import RunFailed
from facefusion.faces.options import FaceDetectorOptions, FaceLandmarkerOptions, FaceSelectorOptions
from facefusion.inference.options import ExecutionOptions
from facefusion.media.options import OutputOptions, TrimOptions
from facefusion.models.options import ModelOptions
from facefusion.pipeline.options import PathOptions, WorkflowOptions, WorkOptions
from facefusion.processors.options import ProcessorsOptions
from facefusion.processors.registry import REGISTRATIONS
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
    """Runs the step, or prints its plan."""
    use_one_library_thread()
    from facefusion.jobs.runner import RunFolders, plan_step, run_step

    emit = invocation.emit()
    flag = StopFlag()
    settings = invocation.settings
    if settings[WorkOptions].dry_run:
        json.dump(plan_step(settings, emit).as_record(), sys.stdout, indent=2)
        print()
        return 0
    work = settings[WorkOptions]
    folders = RunFolders(
        jobs=Path(work.jobs_path) if work.jobs_path else invocation.home / 'jobs',
        temp=Path(work.temp_path) if work.temp_path else None,
    )
    with stop_on_signals(flag):
        try:
            run_step(settings, invocation.model_store(emit, flag), folders, emit, flag)
        except FaceFusionError as error:
            emit(RunFailed(error.as_record()))
            raise
    return 0
