"""Run one step from its settings to its published output."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from facefusion.engines.choice import running_engine
from facefusion.errors import ContentRefused, MediaError, ResourceError, UsageError
from facefusion.events import Emit, Event, LogLevel, Message, RunFinished, RunPlanned
from facefusion.faces.options import FaceDetectorOptions, FaceLandmarkerOptions, FaceSelectorOptions
from facefusion.inference.memory import Lifetime, check_video_memory
from facefusion.inference.options import ExecutionOptions
from facefusion.jobs.claim import CERTIFICATE_FOLDER, WORK_FOLDER
from facefusion.jobs.work_files import JobWork
from facefusion.media.info import VideoInfo
from facefusion.media.kinds import find_kind
from facefusion.media.options import OutputOptions
from facefusion.models.choice import EmbeddedModels, ModelChooser
from facefusion.models.store import ModelStore
from facefusion.pipeline.accelerator_batches import with_batches
from facefusion.pipeline.analysis_cache import AnalysisCache
from facefusion.pipeline.content_screening import ContentScreening, prepare_screening
from facefusion.pipeline.context import RunContext
from facefusion.pipeline.crew import worker_count
from facefusion.pipeline.fingerprints import (
    InputDigests,
    RunDigests,
    check_sources_unchanged,
    fingerprint_run,
    hash_inputs,
    stamp_sources,
)
from facefusion.pipeline.options import WorkOptions
from facefusion.pipeline.output import check_space, check_work_folder, naming_work_folder, shares_disk
from facefusion.pipeline.partial_files import remove_abandoned
from facefusion.pipeline.plan import Plan
from facefusion.pipeline.plan_checkpoint import describe_changes, load_plan, save_plan
from facefusion.pipeline.planning import make_plan
from facefusion.pipeline.prepare import prepare_run
from facefusion.pipeline.resources import check_asked, check_threads
from facefusion.pipeline.run import execute
from facefusion.pipeline.signing import signer_of_run
from facefusion.pipeline.watermarking import mark_of_run, watermarks_of_run
from facefusion.pipeline.work_folder import WorkFolder
from facefusion.processors.source_results import SourceResults
from facefusion.profiling import NO_PROFILE, Profile
from facefusion.provenance.options import ProvenanceOptions
from facefusion.provenance.sidecar import sidecar_of
from facefusion.provenance.signer import Signing, prepare_signing
from facefusion.provenance.watermarking import Watermarks
from facefusion.safety.consent import check_consent
from facefusion.safety.fairface import MODEL_ID as AGE_MODEL
from facefusion.safety.sample_cache import model_digests
from facefusion.safety.voters import find_voters
from facefusion.settings import Settings
from facefusion.steps.arguments import freeze_models
from facefusion.steps.kept import Kept
from facefusion.stopping import StopFlag

CONTENT_FOLDER = '.content'
CACHE_FOLDER = '.cache'
DEFAULT_CACHE_BYTES = 2_000_000_000


class StepEnvironment(NamedTuple):
    """Model files, folders and environment variables of a process that runs steps.

    ``models`` selects a model for steps of older records that contain 'auto'. ``profile`` times the steps. ``kept`` is
    what the steps share; without it each step loads everything itself.
    """

    store: ModelStore
    folders: RunFolders
    environ: Mapping[str, str]
    models: ModelChooser = EmbeddedModels()
    profile: Profile = NO_PROFILE
    kept: Kept | None = None

    def signing(self, settings: Settings, emit: Emit) -> Signing:
        """Return the signer of outputs, tested. Raises ProvenanceError."""
        fallback, options = self.folders.jobs / CERTIFICATE_FOLDER, settings[ProvenanceOptions]

        def make(emit: Emit) -> Signing:
            return prepare_signing(options, self.environ, fallback, emit, self.store.offline)

        if self.kept is None:
            return make(emit)
        return self.kept.signing(options, self.environ, fallback, make, emit)


@dataclass(frozen=True, slots=True)
class RunFolders:
    """Folder of the job store, optional folder ``temp`` for work files, and size limit of the analysis cache."""

    jobs: Path
    temp: Path | None
    cache_bytes: int = DEFAULT_CACHE_BYTES

    def work_of(self, job_id: str) -> JobWork:
        """Return the work files of a job."""
        return JobWork(self.jobs, self.temp, job_id)

    def content_scores(self) -> Path:
        """Return the folder of the content gate's scores."""
        return self.jobs / WORK_FOLDER / CONTENT_FOLDER

    def cache(self, emit: Emit) -> AnalysisCache:
        """Return the analysis cache, which several runs of the same clip share."""
        return AnalysisCache(self.jobs / CACHE_FOLDER, self.cache_bytes, emit)


def plan_step(settings: Settings, store: ModelStore, emit: Emit, flag: StopFlag | None = None) -> Plan:
    """Return the plan of a step with frozen models, and emit remarks on it; nothing is fetched.

    Raises the errors of ``make_plan``.
    """
    voters = find_voters(store)
    plan = make_plan(
        settings,
        worker_count(settings[ExecutionOptions]),
        flag=flag,
        memory_limit=memory_limit(settings),
        voters=voters,
        weight_bytes=store.published_bytes,
    )
    for level, remark in _remarks(plan, settings):
        emit(Message(level, 'plan', remark))
    emit(voters.message('plan'))
    return plan


def _remarks(plan: Plan, settings: Settings) -> Iterator[tuple[LogLevel, str]]:
    """Yield remarks on a plan for the user."""
    target, video, options = plan.target, plan.video, settings[OutputOptions]
    for path in dict.fromkeys((target.path, *plan.sources)):
        remark = find_kind(path, takes_audio=True).remark
        if remark:
            yield 'warn', remark
    if isinstance(target, VideoInfo):
        for remark in target.remarks:
            yield 'warn', f'{target.path.name}: {remark}'
        if target.has_alpha and video is not None and not video.encoder.has_alpha:
            yield 'warn', 'the output loses the transparency of the target: its encoder has no alpha'
    asked = options.output_video_fps
    if video is not None and asked is not None and not 1 <= asked <= 60:
        yield 'warn', f'the frame rate {asked:g} is not within 1 to 60: {float(video.timeline.rate):g} is used instead'
    if plan.processed_size[0] > plan.written_size[0]:
        option = '--output-image-scale' if video is None else '--output-video-scale'
        processed, written = ('x'.join(map(str, size)) for size in (plan.processed_size, plan.written_size))
        scale = plan.processed_size[0] / target.width
        yield (
            'info',
            f'frames are processed at {processed}, written at {written}: {option} {scale:g} keeps all pixels',
        )
    if video is not None:
        for remark in (*video.encoder.remarks, *video.audio.remarks):
            yield 'info', remark


class StepName(NamedTuple):
    """The ids of the job and the step that own work files."""

    job_id: str
    step_id: str


def memory_limit(settings: Settings) -> int | None:
    """Return the memory limit of a run in bytes; None if there is no limit."""
    if WorkOptions not in settings:
        return None
    return int(settings[WorkOptions].system_memory_limit * 1e9) or None


def run_step(
    settings: Settings, environment: StepEnvironment, name: StepName, emit: Emit, flag: StopFlag
) -> dict[str, Any]:
    """Plan, check memory and disk, fetch missing models, run, sign and publish; return the report.

    ``name`` identifies the work files. Work of earlier runs of the step with the same plan is reused. May raise any
    FaceFusionError; then there is no output, and complete work files remain until ``JobWork.forget``.
    """
    started = time.monotonic()
    check_consent(settings)
    with environment.profile.span('plan'):
        signing = environment.signing(settings, emit)
        settings, plan = _frozen_plan(settings, environment, emit, flag)
    kind = 'video' if plan.video is not None else 'image'
    check_asked(plan.memory, f'this {kind}', memory_limit(settings))
    check_threads(plan.workers, f'this {kind}', plan.processes)
    store, folders = environment.store, environment.folders
    work, step_id = folders.work_of(name.job_id), name.step_id
    mark = mark_of_run(plan, settings, name.job_id)
    watermarks = watermarks_of_run(plan, settings, mark, emit)
    # Files of a killed run may occupy the space that this run needs.
    remove_abandoned(plan.output.parent)
    _check_disk(plan, work, step_id)
    with environment.profile.span('fetch models'):
        store.fetch(plan.models)
    flag.check()
    report = _run(plan, settings, environment, name, Publishing(signing, mark, watermarks), emit, flag)
    seconds = time.monotonic() - started
    files = str(plan.output)
    if report['credentials']['sidecar']:
        files += f' and its sidecar {sidecar_of(plan.output).name} (keep both in one folder)'
    emit(Message('info', 'run', f'wrote {files} in {seconds:.2f} seconds'))
    facts: dict[str, Any] = {'seconds': round(seconds, 3), 'size': plan.output.stat().st_size}
    facts |= {'frame_size': list(plan.processed_size), 'models': list(plan.models)}
    emit(RunFinished(str(plan.output), report | facts))
    return report | facts


class Publishing(NamedTuple):
    """Signer, payload of the invisible mark, and watermarks of an output."""

    signing: Signing
    mark: bytes | None
    watermarks: Watermarks


def _run(
    plan: Plan,
    settings: Settings,
    environment: StepEnvironment,
    name: StepName,
    publishing: Publishing,
    emit: Emit,
    flag: StopFlag,
) -> dict[str, Any]:
    """Run a plan whose models are present; return the report."""
    store, folders = environment.store, environment.folders
    profile, kept = environment.profile, environment.kept or Kept()
    sessions = kept.sessions(store, settings[ExecutionOptions], profile, emit)
    if sessions.uses_accelerator:
        sizes = {model_id: store.file_size(model_id) or 0 for model_id in plan.models}
        check_video_memory(Lifetime.of(settings[ExecutionOptions]), sizes)
    sessions.step_started((*plan.models, AGE_MODEL))
    emit(Message('debug', 'run', f'execution providers: {", ".join(sessions.providers)}'))
    sessions.ladder.begin(emit)
    with profile.span('measure batches'):
        plan = with_batches(plan, sessions, settings[ExecutionOptions], store.catalog, emit)
    # The networks of the content gate also use the cores that the processing of chunks leaves idle.
    gate_sessions, swaps = sessions.at(plan.network_threads), plan.requirements.source_faces
    scores = folders.content_scores()
    with profile.span('prepare'):
        screening = prepare_screening(gate_sessions, store, plan.gate_models, scores, swaps, emit, flag)
        stamps = stamp_sources(plan.sources)
        # The command ``faces`` measures more if the age estimator is present; its analysis serves this run, too.
        estimator = [screening.estimator.model_id] if screening.estimator is not None else []
        inputs = hash_inputs(plan, model_digests(store, (*plan.models, *estimator)), flag)
        digests = _fingerprint(plan, settings, inputs, store, screening, sessions.providers, publishing.mark)
    _report_plan(plan, digests, emit)
    cache = folders.cache(emit)
    with open_work_folder(folders.work_of(name.job_id), name.step_id, digests, cache, emit) as folder:
        if folder is not None and digests is not None:
            plan = load_plan(folder.path, plan, digests)
            save_plan(folder.path, plan, digests)
        results = _source_results(plan, settings, inputs, kept, sessions.providers)
        context = RunContext(plan, settings, sessions, digests, emit, flag, profile, results)
        with profile.span('prepare'):
            signer = signer_of_run(context, inputs, name.job_id, publishing.mark, publishing.signing)
            run = prepare_run(context, folder, screening, publishing.watermarks, signer)
            check_sources_unchanged(plan.sources, stamps, inputs.sources, flag)
        flag.check()
        devices = settings[ExecutionOptions].execution_device_ids
        with running_engine(run, store, devices, publishing.mark) as engine:
            report = execute(run, engine)
    cache.trim()
    return report | ({'plan': digests.plan} if digests is not None else {})


def _source_results(
    plan: Plan, settings: Settings, inputs: InputDigests, kept: Kept, providers: Sequence[str]
) -> SourceResults:
    """Return the kept results of the sources with these digests, models and options of detection."""
    groups = FaceDetectorOptions, FaceLandmarkerOptions, FaceSelectorOptions
    finding = tuple(settings[group] for group in groups), tuple(sorted(inputs.models.items())), tuple(providers)
    return SourceResults(kept.sources, dict(zip(plan.sources, inputs.sources, strict=True)), (*finding, plan.batch))


def _frozen_plan(settings: Settings, environment: StepEnvironment, emit: Emit, flag: StopFlag) -> tuple[Settings, Plan]:
    """Return the settings with frozen models, and their plan; emit the messages only if planning succeeds."""
    notes: list[Event] = []
    settings = freeze_models(settings, environment.models, notes.append)
    plan = plan_step(settings, environment.store, notes.append, flag)
    for note in notes:
        emit(note)
    return settings, plan


def _check_disk(plan: Plan, work: JobWork, step_id: str) -> None:
    """Raise ResourceError disk-short or OutputError work-unwritable.

    Work files of earlier runs of the step reduce the required space.
    """
    root, output_folder = work.root, plan.output.parent
    if plan.video is not None:
        check_work_folder(root, work.named_by)
    needed = max(plan.work_space - work.stored_bytes(step_id), 0)
    if shares_disk(root, output_folder):
        check_space(output_folder, needed + plan.output_space, 'work files and output')
    else:
        # The joined clip is first written to the folder of work files, then copied to the output folder.
        check_space(root, needed + plan.output_space, 'the work files')
        check_space(output_folder, plan.output_space, 'the output')


def _fingerprint(
    plan: Plan,
    settings: Settings,
    inputs: InputDigests,
    store: ModelStore,
    screening: ContentScreening,
    providers: Sequence[str],
    mark: bytes | None,
) -> RunDigests | None:
    """Return the digests of a video; None for an image, which has no work files."""
    video, target = plan.video, plan.target
    if video is None:
        return None
    estimator = screening.estimator.model_id if screening.estimator is not None else None
    ages = model_digests(store, [estimator])[estimator] if estimator is not None else None
    keys = [screening.findings_key(target, video.timeline, ages)]
    if isinstance(target, VideoInfo) and ages is None:
        # The findings of an earlier swap contain everything that this run needs, and ages, so this run can reuse them.
        others = [None, store.catalog.entry(AGE_MODEL).sha256] if AGE_MODEL in store.catalog else [None]
        keys += [screening.findings_key(target, video.timeline, other) for other in others]
    return fingerprint_run(plan, video, settings, inputs, keys, providers, mark.hex() if mark is not None else None)


def _report_plan(plan: Plan, digests: RunDigests | None, emit: Emit) -> None:
    video = plan.video
    emit(
        RunPlanned(
            kind='image' if video is None else 'video',
            digest=digests.plan if digests is not None else '',
            frames=1 if video is None else video.timeline.frame_count,
            chunks=0 if video is None else len(video.chunks),
            segments=0 if video is None else len(video.segments),
            workers=plan.workers,
            memory_bytes=plan.memory,
            work_bytes=plan.work_space,
            output_bytes=plan.output_space,
        )
    )


@contextmanager
def open_work_folder(
    work: JobWork, step_id: str, digests: RunDigests | None, cache: AnalysisCache, emit: Emit
) -> Iterator[WorkFolder | None]:
    """Yield the work folder of the step for this plan, or None for an image; complete files remain after a failure."""
    if digests is None:
        yield None
        return
    for former in work.folders_of(step_id):
        reason = describe_changes(former, digests)
        if reason:
            emit(Message('info', 'plan', f'work files of an earlier run are not used: {reason}'))
    with naming_work_folder(work.root, work.named_by):
        folder = WorkFolder(work.begin(step_id, digests.plan), digests, cache)
    try:
        with naming_work_folder(work.root, work.named_by):
            folder.open()
        yield folder
    except BaseException as error:
        folder.close()
        if isinstance(error, ResourceError) and error.reference == 'disk-full':
            folder.free_space()
        # Work files of a target that has changed cannot be reused.
        is_changed = isinstance(error, MediaError) and error.reference == 'media-changed'
        if is_changed or isinstance(error, ContentRefused | UsageError) or not folder.has_results():
            work.discard(folder.path)
        raise
    else:
        folder.close()
