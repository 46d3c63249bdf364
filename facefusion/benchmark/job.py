"""Run a case of the benchmark as a job with a step for each run, and measure the runs."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from facefusion.benchmark.cases import Chain
from facefusion.benchmark.clip_content import Content
from facefusion.benchmark.clips import copy_clip, size_of
from facefusion.benchmark.cycle import ANALYSING, PROCESSING, Cycle, CycleMeter, FrameProfile
from facefusion.benchmark.gpu import Gpu
from facefusion.errors import FaceFusionError
from facefusion.events import Emit, Event, Message, StageProgress, StepStarted
from facefusion.jobs.adhoc_jobs import claim_adhoc, empty_record
from facefusion.pipeline.options import PathOptions
from facefusion.provenance.sidecar import sidecar_of
from facefusion.services.workplace import Workplace
from facefusion.settings import Settings
from facefusion.steps.arguments import freeze
from facefusion.stopping import StopFlag

if TYPE_CHECKING:
    from facefusion.jobs.record import StepRecord


@dataclass(slots=True)
class Case:
    """The measured runs of a chain on a clip; ``networks`` are its models with the providers of their sessions.

    ``content`` is known only for an estimate.
    """

    chain: Chain
    resolution: str
    frames: int
    cycles: list[Cycle] = field(default_factory=list)
    networks: dict[str, tuple[str, ...]] = field(default_factory=dict)
    job_id: str = ''
    content: Content | None = None

    @property
    def size(self) -> tuple[int, int]:
        """Width and height of the clip."""
        return size_of(self.resolution)


@dataclass(frozen=True, slots=True)
class Material:
    """The files of a case: sources and clip; ``models`` are the files of its models."""

    sources: tuple[Path, ...]
    clip: Path
    models: tuple[Path, ...] = ()

    def settings(self, chain: Chain, clip: Path, output: Path) -> Settings:
        """Return the settings of a run."""
        return chain.settings.replace(PathOptions(tuple(map(str, self.sources)), str(clip), str(output)))


@dataclass(frozen=True, slots=True)
class Runs:
    """The runs of a case: the number of untimed and timed ones; if they are ``cold``, models leave the file cache."""

    untimed: int
    timed: int
    cold: bool = False


@dataclass(frozen=True, slots=True, eq=False)
class JobTools:
    """The tools that measure jobs; ``emit`` gets messages, and ``advance`` the runs and frames that have ended."""

    workplace: Workplace
    profile: FrameProfile
    gpu: Gpu | None
    emit: Emit
    flag: StopFlag
    advance: Callable[[int, float], None]


def run_case(case: Case, material: Material, runs: Runs, tools: JobTools) -> FaceFusionError | None:
    """Run the job of a case and add its timed runs to ``case.cycles``; return the error of the job.

    Raises the errors of a worker, such as ProvenanceError.
    """
    workplace, clip = tools.workplace, material.clip
    numbers = range(runs.untimed + runs.timed)
    names = [(f'clip-{number}.mp4', f'out-{number}{case.chain.output_suffix}') for number in numbers]
    files = [(clip.with_name(copy), clip.with_name(output)) for copy, output in names]
    measurement = _JobMeasurement(case, material, runs, tools)
    try:
        for copy, _ in files:
            copy_clip(clip, copy)
        models = workplace.local_models()
        steps = [freeze(material.settings(case.chain, *pair), models, tools.emit) for pair in files]
        args, asked = [step.args for step in steps], [step.asked for step in steps]
        template = replace(empty_record(), on_step_error='stop')
        # Each run loads its models and prepares its source, like a run of its own process.
        opened = workplace.worker(measurement.take, tools.flag, measurement.end_step, tools.profile, shares=False)
        with opened as worker:
            worker.sweep()
            claim, record, _ = claim_adhoc(workplace.job_store(), 'benchmark', args, asked, template)
            case.job_id = record.id
            error = worker.run_claimed(claim, record).error
        # The clips are temporary, so nothing can resume the job.
        workplace.job_store().remove_work_files(record.id)
        return error
    finally:
        measurement.close()
        case.networks = tools.profile.take_networks()
        for path in (path for pair in files for path in pair):
            path.unlink(missing_ok=True)
            sidecar_of(path).unlink(missing_ok=True)


class _JobMeasurement:
    """Takes the events of a job; measures its steps one after the other."""

    def __init__(self, case: Case, material: Material, runs: Runs, tools: JobTools) -> None:
        self._case = case
        self._material = material
        self._runs = runs
        self._tools = tools
        self._meter: CycleMeter | None = None
        self._ended = 0

    def take(self, event: Event) -> None:
        """Measure, show progress, and pass on warnings."""
        if isinstance(event, StepStarted):
            if self._runs.cold:
                _leave_file_cache(self._material.models)
            self._meter = CycleMeter(self._tools.profile, self._tools.gpu)
        elif self._meter is not None:
            self._meter(event)
        if isinstance(event, StageProgress) and event.stage in (ANALYSING, PROCESSING):
            # Both phases process all frames.
            frames = event.done / 2 + (self._case.frames / 2 if event.stage == PROCESSING else 0)
            self._tools.advance(self._ended, frames)
        elif isinstance(event, Message) and event.level in ('warn', 'error'):
            self._tools.emit(event)

    def end_step(self, job_id: str, index: int, step: StepRecord) -> None:
        """Keep the values of a completed run; remove its output, so that the outputs need no more space."""
        cycle = self._meter.cycle if self._meter is not None else None
        self.close()
        self._ended += 1
        if step.status == 'completed' and cycle is not None and index >= self._runs.untimed:
            self._case.cycles.append(cycle)
        if step.output_path is not None:
            Path(step.output_path).unlink(missing_ok=True)
        self._tools.advance(self._ended, 0)

    def close(self) -> None:
        """Stop measuring."""
        if self._meter is not None:
            self._meter.close()
            self._meter = None


def _leave_file_cache(paths: Sequence[Path]) -> None:
    """Let the system read files from disk at their next use, where it permits this."""
    if not hasattr(os, 'posix_fadvise'):
        return
    for path in paths:
        with suppress(OSError):
            descriptor = os.open(path, os.O_RDONLY)
            try:
                os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
            finally:
                os.close(descriptor)
