"""The units of a clip in a worker process, with sessions and decoders of its own."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial

from facefusion.engines.messages import ChunkUnit, SegmentUnit, WorkerTask
from facefusion.errors import InternalError
from facefusion.events import Emit
from facefusion.inference.memory import Lifetime
from facefusion.inference.options import ExecutionOptions
from facefusion.inference.pool import SessionPool
from facefusion.inference.providers import SessionRules
from facefusion.media.info import VideoInfo
from facefusion.media.reader import ReaderPool
from facefusion.media.sources import open_frames
from facefusion.models.store import ModelStore
from facefusion.pipeline.analyse import FaceTools
from facefusion.pipeline.analysis_cache import AnalysisCache
from facefusion.pipeline.content_screening import ClipScreening, prepare_screening
from facefusion.pipeline.context import RunContext
from facefusion.pipeline.manifest import Manifest
from facefusion.pipeline.plan import VideoPlan
from facefusion.pipeline.prepare import extract_voices, prepare_faces, prepare_processors
from facefusion.pipeline.units import Advance, AnalysisUnits, RenderUnits, analysis_units, render_units
from facefusion.pipeline.watermarking import watermarks_of_run
from facefusion.pipeline.work_folder import WorkFolder
from facefusion.provenance.watermarking import NO_WATERMARKS
from facefusion.stopping import StopFlag


class WorkerUnits:
    """Loads models and decoders at the first unit of each kind, and keeps them for the next units."""

    def __init__(self, task: WorkerTask, flag: StopFlag, emit: Emit) -> None:
        self._task = task
        self._flag = flag
        self._emit = emit
        # The run has fetched and verified the models.
        self._store = ModelStore(task.catalog, task.weights, offline=True, emit=emit, stop=flag)
        options = task.settings[ExecutionOptions]
        rules, lifetime = SessionRules(options.allow_cpu_fallback, emit=emit), Lifetime.of(options)
        sessions = SessionPool(self._store, task.providers, task.device_id, rules=rules, lifetime=lifetime)
        sessions.ladder.begin(emit)
        self._context = RunContext(task.plan, task.settings, sessions, task.digests, emit, flag)
        # The folder is not opened, because the run has marked it as in use.
        self._folder = WorkFolder(task.work, task.digests, AnalysisCache(*task.cache, emit))
        self._faces: FaceTools | None = None
        self._chunks: AnalysisUnits | None = None
        self._segments: RenderUnits | None = None

    def prepared(self, unit: object) -> Callable[[Advance], Manifest]:
        """Prepare a unit, and return the function that runs it. Raises the errors of ``pipeline.prepare``."""
        video = self._task.plan.video
        if video is not None and isinstance(unit, ChunkUnit):
            self._chunks = self._chunks or self._prepare_chunks(video)
            return partial(self._chunks.run, unit.span, self._flag)
        if video is not None and isinstance(unit, SegmentUnit):
            self._segments = self._segments or self._prepare_segments(video, unit.is_altered)
            rendering = replace(self._segments.rendering, workers=unit.threads)
            return partial(replace(self._segments, rendering=rendering).run, unit.number, self._flag)
        raise InternalError('worker-task', f'a worker process cannot run a {type(unit).__name__} of this plan')

    def _prepare_chunks(self, video: VideoPlan) -> AnalysisUnits:
        target, stop = self._task.plan.target, video.timeline.stop
        if not isinstance(target, VideoInfo):
            raise InternalError('worker-task', 'an image has no chunks')
        units = analysis_units(target, stop, self._face_tools(), self._screening(target, video), self._folder)
        return units.reading_with(ReaderPool(target, 1, stop=self._flag))

    def _prepare_segments(self, video: VideoPlan, is_altered: bool) -> RenderUnits:
        task, watermarks = self._task, NO_WATERMARKS
        # All chunks of the clip are analysed before its first segment is rendered.
        self._context.sessions.stage_ended(task.plan.processor_models)
        if is_altered:
            watermarks = watermarks_of_run(task.plan, task.settings, task.mark, self._emit)
        voices = extract_voices(self._context, self._folder)
        chain = prepare_processors(self._context, self._face_tools().analyser, voices)
        units = render_units(task.plan, video, chain, watermarks, self._folder, self._flag)
        units = replace(units, ladder=self._context.sessions.ladder)
        return units.reading_with(open_frames(task.plan.target, 1, self._flag), 1)

    def _face_tools(self) -> FaceTools:
        self._faces = self._faces or prepare_faces(self._context)
        return self._faces

    def _screening(self, target: VideoInfo, video: VideoPlan) -> ClipScreening:
        task, plan = self._task, self._task.plan
        screening = prepare_screening(
            self._context.sessions.at(plan.network_threads),
            self._store,
            plan.gate_models,
            task.scores,
            task.estimates_ages,
            self._emit,
            self._flag,
        )
        if (screening.estimator is not None) != task.estimates_ages:
            raise InternalError('worker-task', 'the age estimator was removed while the run used it')
        return screening.screen_clip(target, video.timeline, task.digests.target)
