"""Runs one step from its settings to its published output."""

from __future__ import annotations

import os
import secrets
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from facefusion.engines.local import execute, prepare_run
from facefusion.events import Emit, Message, RunFinished
from facefusion.faces.detect.centerface import MODEL_ID as DETECTOR_ID
from facefusion.faces.landmarks.face_mesh import MODEL_ID as MESH_ID
from facefusion.faces.options import FaceDetectorOptions, FaceLandmarkerOptions
from facefusion.inference.options import ExecutionOptions
from facefusion.inference.pool import SessionPool
from facefusion.inference.providers import resolve_providers
from facefusion.media.probe import VideoInfo
from facefusion.models.store import ModelStore
from facefusion.pipeline.output import check_space, make_folder
from facefusion.pipeline.plan import Plan, make_plan
from facefusion.pipeline.resources import check_memory
from facefusion.processors.face_swapper.options import FaceSwapperOptions
from facefusion.processors.options import ProcessorsOptions
from facefusion.settings import Settings
from facefusion.stopping import StopFlag

# More workers than this cost memory and gain little: decoder and encoder have threads of their own.
MOST_WORKERS = 8


@dataclass(frozen=True, slots=True)
class RunFolders:
    """The job store, and where work files go instead of into it when ``temp`` is given."""

    jobs: Path
    temp: Path | None

    def work_root(self) -> Path:
        """The folder that holds one folder for each run."""
        return self.temp / 'facefusion' if self.temp is not None else self.jobs / '.work'


def freeze_models(settings: Settings, emit: Emit) -> Settings:
    """Replaces every 'auto' by the model that is the best on this machine, and says which."""
    chosen: list[tuple[Any, str, str]] = [
        (FaceDetectorOptions, 'face_detector_model', DETECTOR_ID),
        (FaceLandmarkerOptions, 'face_landmarker_model', MESH_ID),
    ]
    if 'face_swapper' in settings[ProcessorsOptions].processors:
        chosen.append((FaceSwapperOptions, 'face_swapper_model', 'mesh_warp'))
    named = []
    for group, key, model in chosen:
        if getattr(settings[group], key) == 'auto':
            settings = settings.replace(replace(settings[group], **{key: model}))
            named.append(f'{key.replace("_", " ")} {model}')
    if named:
        emit(Message('info', 'plan', 'chosen automatically: ' + ', '.join(named)))
    return settings


def worker_count(settings: Settings) -> int:
    """How many chunks or frames are worked on at once: as asked, else one a core that this process may use."""
    asked = settings[ExecutionOptions].execution_thread_count
    cores = len(os.sched_getaffinity(0)) if hasattr(os, 'sched_getaffinity') else os.cpu_count() or 1
    return asked or min(cores, MOST_WORKERS)


def plan_step(settings: Settings, emit: Emit) -> Plan:
    """The plan of a step with frozen models; says what the encoders decided. Raises what ``make_plan`` raises."""
    plan = make_plan(settings, worker_count(settings))
    if isinstance(plan.target, VideoInfo) and plan.target.has_alpha:
        emit(Message('warn', 'plan', 'the transparency of the target is not kept: video is written without alpha'))
    if plan.video is not None:
        for remark in (*plan.video.encoder.remarks, *plan.video.audio.remarks):
            emit(Message('info', 'plan', remark))
    return plan


def run_step(settings: Settings, store: ModelStore, folders: RunFolders, emit: Emit, flag: StopFlag) -> Plan:
    """Plans, checks memory and disk, fetches what is missing, runs, publishes.

    Raises any FaceFusionError; then no output and no work file is left behind.
    """
    began = time.monotonic()
    settings = freeze_models(settings, emit)
    plan = plan_step(settings, emit)
    workers = worker_count(settings)
    check_memory(plan.memory, f'this {plan.as_record()["kind"]}')
    check_space(folders.work_root(), plan.work_space, 'the work files')
    store.fetch(plan.models)
    flag.check()
    execution = settings[ExecutionOptions]
    providers = resolve_providers(execution.execution_providers)
    emit(Message('debug', 'run', f'execution providers: {", ".join(providers)}'))
    sessions = SessionPool(store, providers, execution.execution_device_ids[0])
    with _work_folder(folders) as work:
        run = prepare_run(plan, settings, sessions, work, workers, emit, flag)
        flag.check()
        report = execute(run)
    seconds = time.monotonic() - began
    emit(Message('info', 'run', f'wrote {plan.output} in {seconds:.2f} seconds'))
    facts = {'seconds': round(seconds, 3), 'size': plan.output.stat().st_size, 'models': list(plan.models)}
    emit(RunFinished(str(plan.output), report | facts))
    return plan


@contextmanager
def _work_folder(folders: RunFolders) -> Iterator[Path]:
    """A folder of this run alone; it goes with the run, whatever happens."""
    root = folders.work_root()
    name = f'headless-{time.strftime("%Y%m%d-%H%M%S")}-{os.getpid()}-{secrets.token_hex(4)}'
    work = root / name
    make_folder(work)
    try:
        yield work
    finally:
        shutil.rmtree(work, ignore_errors=True)
        if folders.temp is not None:
            # The folder between belongs to nobody; it stays while another run works in it.
            with suppress(OSError):
                root.rmdir()
