"""Runs one step from its settings to its published output."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from facefusion.engines.local import execute, prepare_run
from facefusion.events import Emit, Event, Message, RunFinished
from facefusion.inference.options import ExecutionOptions
from facefusion.inference.pool import SessionPool
from facefusion.inference.providers import resolve_providers
from facefusion.jobs.arguments import freeze_models
from facefusion.jobs.claim import WORK_FOLDER
from facefusion.media.options import OutputOptions
from facefusion.media.probe import VideoInfo
from facefusion.models.store import ModelStore
from facefusion.ownership import new_owner, split_tag
from facefusion.pipeline.guard import prepare_guard
from facefusion.pipeline.output import check_space, make_folder, shares_disk
from facefusion.pipeline.plan import Plan, make_plan
from facefusion.pipeline.resources import check_memory
from facefusion.safety.consent import check_consent
from facefusion.settings import Settings
from facefusion.stopping import StopFlag

# More workers than this cost memory and gain little: decoder and encoder have threads of their own.
MOST_WORKERS = 8
CONTENT_FOLDER = '.content'


@dataclass(frozen=True, slots=True)
class RunFolders:
    """The job store, and where work files go instead of into it when ``temp`` is given."""

    jobs: Path
    temp: Path | None

    def work_root(self) -> Path:
        """The folder that holds one folder for each run."""
        return self.temp / 'facefusion' if self.temp is not None else self.jobs / WORK_FOLDER

    def kept_content(self) -> Path:
        """The folder of what the content gate has seen."""
        return self.jobs / WORK_FOLDER / CONTENT_FOLDER


def worker_count(settings: Settings) -> int:
    """How many chunks or frames are worked on at once: as asked, else one a core that this process may use."""
    asked = settings[ExecutionOptions].execution_thread_count
    cores = len(os.sched_getaffinity(0)) if hasattr(os, 'sched_getaffinity') else os.cpu_count() or 1
    return asked or min(cores, MOST_WORKERS)


def plan_step(settings: Settings, emit: Emit, flag: StopFlag | None = None) -> Plan:
    """The plan of a step with frozen models; says what the encoders decided. Raises what ``make_plan`` raises."""
    plan = make_plan(settings, worker_count(settings), flag=flag)
    if isinstance(plan.target, VideoInfo):
        for remark in plan.target.remarks:
            emit(Message('warn', 'plan', f'{plan.target.path.name}: {remark}'))
    if isinstance(plan.target, VideoInfo) and plan.target.has_alpha:
        emit(Message('warn', 'plan', 'the transparency of the target is not kept: video is written without alpha'))
    asked = settings[OutputOptions].output_video_fps
    if plan.video is not None and asked is not None and not 1 <= asked <= 60:
        taken = float(plan.video.timeline.rate)
        emit(Message('warn', 'plan', f'the frame rate {asked:g} is not within 1 to 60: {taken:g} is taken'))
    if plan.video is not None:
        for remark in (*plan.video.encoder.remarks, *plan.video.audio.remarks):
            emit(Message('info', 'plan', remark))
    return plan


def run_step(
    settings: Settings, store: ModelStore, folders: RunFolders, name: str, emit: Emit, flag: StopFlag
) -> dict[str, Any]:
    """Plans, checks memory and disk, fetches what is missing, runs, publishes; gives the report.

    ``name`` is that of the work folder. Raises any FaceFusionError; then no output and no work file is left behind.
    """
    began = time.monotonic()
    check_consent(settings)
    # Said when the plan stands: before an error it would only be noise.
    notes: list[Event] = []
    settings = freeze_models(settings, notes.append)
    plan = plan_step(settings, notes.append, flag)
    for note in notes:
        emit(note)
    workers = worker_count(settings)
    check_memory(plan.memory, f'this {plan.as_record()["kind"]}')
    root, beside = folders.work_root(), plan.output.parent
    _remove_dead(root)
    if shares_disk(root, beside):
        check_space(beside, plan.work_space + plan.output_space, 'work files and output')
    else:
        check_space(root, plan.work_space, 'the work files')
        check_space(beside, plan.output_space, 'the output')
    store.fetch(plan.models)
    flag.check()
    execution = settings[ExecutionOptions]
    device_id = execution.execution_device_ids[0]
    providers = resolve_providers(execution.execution_providers, device_id)
    emit(Message('debug', 'run', f'execution providers: {", ".join(providers)}'))
    sessions = SessionPool(store, providers, device_id)
    with _work_folder(folders, name) as work:
        swaps = any('source-image' in processor.needs for processor in plan.processors)
        guard = prepare_guard(sessions, store, folders.kept_content(), swaps, emit, flag)
        run = prepare_run(plan, settings, sessions, guard, work, workers, emit, flag)
        flag.check()
        report = execute(run)
    seconds = time.monotonic() - began
    emit(Message('info', 'run', f'wrote {plan.output} in {seconds:.2f} seconds'))
    facts = {'seconds': round(seconds, 3), 'size': plan.output.stat().st_size, 'models': list(plan.models)}
    emit(RunFinished(str(plan.output), report | facts))
    return report | facts


@contextmanager
def _work_folder(folders: RunFolders, name: str) -> Iterator[Path]:
    """A folder of this run alone; it goes with the run, whatever happens."""
    root = folders.work_root()
    work = root / f'{name}@{new_owner().tag}'
    make_folder(work)
    try:
        yield work
    finally:
        shutil.rmtree(work, ignore_errors=True)
        if folders.temp is not None:
            # The folder between belongs to nobody; it stays while another run works in it.
            with suppress(OSError):
                root.rmdir()


def _remove_dead(root: Path) -> None:
    """Removes the work folders that killed runs of this machine have left."""
    try:
        folders = list(root.iterdir())
    except OSError:
        # Not there yet, or a run that ends has just taken it away.
        return
    for folder in folders:
        tagged = split_tag(folder.name)
        if tagged is not None and tagged[1].is_dead():
            shutil.rmtree(folder, ignore_errors=True)
