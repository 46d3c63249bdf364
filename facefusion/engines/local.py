"""Runs a plan on this machine: analyse and render in threads, link and publish in between and after."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from facefusion.errors import InternalError, Interrupted
from facefusion.events import Emit, Message
from facefusion.faces.analyser import FaceAnalyser
from facefusion.faces.chunk import FaceChunk, LinkedChunk
from facefusion.faces.embed import MODEL_ID as EMBEDDER
from facefusion.faces.embed import FaceEmbedder
from facefusion.faces.options import FaceDetectorOptions, FaceLandmarkerOptions, FaceSelectorOptions
from facefusion.faces.skin import SkinMeter
from facefusion.faces.track import still_chunk
from facefusion.inference.pool import SessionPool
from facefusion.media.image import read_image
from facefusion.media.options import OutputOptions
from facefusion.media.probe import VideoInfo
from facefusion.media.reader import ReaderPool
from facefusion.pipeline.analyse import analyse_chunk
from facefusion.pipeline.guard import Guard, TargetWatch
from facefusion.pipeline.link import Linker
from facefusion.pipeline.plan import CHUNK_FRAMES, Plan, Span, VideoPlan
from facefusion.pipeline.progress import Progress
from facefusion.pipeline.publish import publish_image, publish_video
from facefusion.pipeline.render import LinkedFaces, apply_processors, faces_of, render_segment
from facefusion.pipeline.report import FaceReport
from facefusion.pipeline.resources import return_freed_memory
from facefusion.pipeline.stream import ordered_map
from facefusion.processors.processor import FrameTask, Processor, ProcessorTools
from facefusion.settings import Settings
from facefusion.stopping import StopFlag


@dataclass(frozen=True, slots=True, eq=False)
class Run:
    """Everything that the stages of one run share; nothing of it outlives the run.

    ``work`` is a folder of this run alone. ``workers`` is how many chunks or frames are worked on at once.
    """

    plan: Plan
    settings: Settings
    work: Path
    workers: int
    analyser: FaceAnalyser
    meter: SkinMeter
    processors: tuple[Processor, ...]
    guard: Guard
    emit: Emit
    flag: StopFlag


def prepare_run(
    plan: Plan,
    settings: Settings,
    sessions: SessionPool,
    guard: Guard,
    work: Path,
    workers: int,
    emit: Emit,
    flag: StopFlag,
) -> Run:
    """Loads the models, lets the guard look at the sources, and builds the processors.

    Raises ModelError, ProviderError, ContentRefused, NoFaceError, MediaError.
    """
    analyser = FaceAnalyser(
        sessions,
        settings[FaceDetectorOptions],
        settings[FaceLandmarkerOptions],
        selector=settings[FaceSelectorOptions],
    )
    meter = SkinMeter(analyser.topology)
    guard.check_sources(plan.sources, analyser, emit)
    embedder = FaceEmbedder(sessions.session(EMBEDDER)) if EMBEDDER in plan.models else None
    tools = ProcessorTools(settings, plan.sources, analyser, meter, emit, embedder)
    processors = tuple(processor.prepare(tools) for processor in plan.processors)
    return Run(plan, settings, work, workers, analyser, meter, processors, guard, emit, flag)


def execute(run: Run) -> dict[str, Any]:
    """Does what the plan says and gives the report; the output exists when this returns."""
    report = FaceReport()
    if run.plan.video is None:
        _execute_image(run, report)
    else:
        _execute_video(run, run.plan.video, report)
    if report.faces:
        run.emit(Message('info' if report.worked_on else 'warn', 'run', report.as_text()))
    else:
        advice = (
            'try --face-detector-size 1280x1280, --face-detector-angles 0 90 180 270, or less --face-detector-score'
        )
        run.emit(Message('warn', 'run', f'{report.as_text()} ({advice})'))
    return report.as_record()


def _execute_image(run: Run, report: FaceReport) -> None:
    frame = read_image(run.plan.target.path, run.emit)
    run.guard.check_picture(run.plan.target.path, frame)
    run.flag.check()
    chunk = still_chunk(frame, run.analyser, run.meter if run.plan.measures_skin else None)
    linked = next(Linker(run.settings[FaceSelectorOptions]).link([chunk]))
    report.add(linked)
    run.guard.check_ages(run.plan.target.path, frame, linked)
    run.flag.check()
    with Progress(run.emit, 'processing', 1) as progress:
        apply_processors(FrameTask(frame, faces_of(linked, 0)), run.processors)
        progress.advance()
    run.flag.check()
    publish_image(frame, run.plan.output, run.settings[OutputOptions], run.emit, run.flag)


def _execute_video(run: Run, video: VideoPlan, report: FaceReport) -> None:
    target = run.plan.target
    if not isinstance(target, VideoInfo):
        raise InternalError('plan-inconsistent', 'a video plan has no video target')
    watch = run.guard.watch(target, video.timeline)
    with closing(_analysed(run, video, target, watch)) as chunks:
        for linked in Linker(run.settings[FaceSelectorOptions]).link(chunks):
            linked.save(_linked_path(run.work, linked.first))
            report.add(linked)
            watch.note(linked)
    watch.decide()
    return_freed_memory()
    segments = []
    with (
        Progress(run.emit, 'processing', video.timeline.frame_count) as progress,
        closing(ReaderPool(target, 1, stop=run.flag)) as readers,
    ):
        for number, segment in enumerate(video.segments):
            path = run.work / f'segment-{number:05d}.nut'
            faces = LinkedFaces(lambda chunk: LinkedChunk.load(_linked_path(run.work, _chunk_start(video, chunk))))
            render_segment(
                target, video, segment, faces, run.processors, path, run.workers, run.flag, progress.advance, readers
            )
            segments.append(path)
    publish_video(segments, target, video, run.plan.output, run.flag)


def _analysed(run: Run, video: VideoPlan, target: VideoInfo, watch: TargetWatch) -> Generator[FaceChunk, None, None]:
    """The chunks of the clip in order, each analysed by one of the workers.

    When one fails, or the chunks are not wanted any more, the others stop at their next frame.
    """
    meter = run.meter if run.plan.measures_skin else None
    flag, failures = StopFlag(run.flag), list[BaseException]()
    with (
        Progress(run.emit, 'analysing', video.timeline.stop - video.timeline.start) as progress,
        closing(ReaderPool(target, run.workers, stop=flag)) as readers,
    ):

        def analyse(chunk: Span) -> FaceChunk:
            try:
                stop = video.timeline.stop
                return analyse_chunk(target, chunk, stop, run.analyser, meter, flag, progress.advance, readers, watch)
            except BaseException as error:
                failures.append(error)
                flag.set('another chunk failed')
                raise

        with closing(ordered_map(analyse, video.chunks, run.workers, ahead=run.workers)) as chunks:
            try:
                # Not `yield from`: leaving must set the flag before it waits for the workers.
                for chunk in chunks:  # noqa: UP028
                    yield chunk
            except Interrupted:
                # The first failure in time is the reason, whichever chunk comes first in order.
                raise failures[0] from None
            finally:
                flag.set('the chunks are not wanted any more')


def _chunk_start(video: VideoPlan, number: int) -> int:
    """The first frame of the chunk with this number on the absolute grid."""
    return max(number * CHUNK_FRAMES, video.timeline.start)


def _linked_path(work: Path, first: int) -> Path:
    return work / f'linked-{first:09d}.npz'
