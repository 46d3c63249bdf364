"""The units of a clip in a worker process, with sessions and decoders of its own."""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property, partial
from typing import NoReturn

from facefusion.engines.messages import ChunkUnit, SegmentUnit, WorkerTask
from facefusion.errors import InternalError
from facefusion.events import Emit
from facefusion.inference.pool import SessionPool
from facefusion.media.info import VideoInfo
from facefusion.media.reader import ReaderPool
from facefusion.media.sources import FrameSource, open_frames
from facefusion.models.store import ModelStore
from facefusion.pipeline.analyse import FaceTools
from facefusion.pipeline.analysis_cache import AnalysisCache
from facefusion.pipeline.content_screening import ClipScreening, prepare_screening
from facefusion.pipeline.context import RunContext
from facefusion.pipeline.manifest import Manifest
from facefusion.pipeline.plan import VideoPlan
from facefusion.pipeline.prepare import extract_voices, prepare_faces, prepare_processors
from facefusion.pipeline.processor_chain import Chain
from facefusion.pipeline.units import Advance, AnalysisUnits, RenderUnits, analysis_units, render_units
from facefusion.pipeline.watermarking import watermarks_of_run
from facefusion.pipeline.work_folder import WorkFolder
from facefusion.provenance.watermarking import NO_WATERMARKS
from facefusion.stopping import StopFlag


class WorkerUnits:
    """Prepares what a unit needs when the first unit of its kind comes, and keeps it for the next ones."""

    def __init__(self, task: WorkerTask, flag: StopFlag, emit: Emit) -> None:
        self._task = task
        self._flag = flag
        self._emit = emit
        # The run has fetched and verified the models.
        store = ModelStore(task.catalog, task.weights, offline=True, emit=emit, stop=flag)
        self._store = store
        sessions = SessionPool(store, task.providers, task.device_id)
        self._context = RunContext(task.plan, task.settings, sessions, task.digests, emit, flag)
        # The folder is not opened, because the run has marked it as in use.
        self._folder = WorkFolder(task.work, task.digests, AnalysisCache(*task.cache, emit))

    def prepared(self, unit: object) -> Callable[[Advance], Manifest]:
        """Prepare a unit, and return the function that runs it. Raises the errors of ``pipeline.prepare``."""
        if isinstance(unit, ChunkUnit):
            return partial(self._chunks.run, unit.span, self._flag)
        if isinstance(unit, SegmentUnit):
            units = self._segments(unit)
            return partial(units.run, unit.number, self._flag)
        raise InternalError('worker-task', f'a worker process got a {type(unit).__name__} instead of a unit')

    @property
    def _video(self) -> VideoPlan:
        return self._task.plan.video or _fail('an image has no units')

    @cached_property
    def _faces(self) -> FaceTools:
        return prepare_faces(self._context)

    @cached_property
    def _chunks(self) -> AnalysisUnits:
        target, stop = self._task.plan.target, self._video.timeline.stop
        if not isinstance(target, VideoInfo):
            _fail('an image has no chunks')
        units = analysis_units(target, stop, self._faces, self._screening(target), self._folder)
        return units.reading_with(ReaderPool(target, 1, stop=self._flag))

    def _screening(self, target: VideoInfo) -> ClipScreening:
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
            _fail('the age estimator was removed while the run used it')
        return screening.screen_clip(target, self._video.timeline, task.digests.target)

    @cached_property
    def _chain(self) -> Chain:
        return prepare_processors(self._context, self._faces.analyser, extract_voices(self._context, self._folder))

    @cached_property
    def _readers(self) -> FrameSource:
        return open_frames(self._task.plan.target, 1, self._flag)

    def _segments(self, unit: SegmentUnit) -> RenderUnits:
        plan, settings = self._task.plan, self._task.settings
        watermarks = NO_WATERMARKS
        if unit.is_altered:
            watermarks = watermarks_of_run(plan, settings, self._task.mark, self._emit)
        units = render_units(plan, self._video, self._chain, watermarks, self._folder, self._flag)
        return units.reading_with(self._readers, unit.threads)


def _fail(text: str) -> NoReturn:
    raise InternalError('worker-task', text)
