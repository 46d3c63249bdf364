"""Runs a plan on this machine: analyse and render in threads, link and publish in between and after."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from facefusion.errors import InternalError, Interrupted
from facefusion.events import (
    ChunkAnalysed,
    Emit,
    FacesLinked,
    FramesDamaged,
    FramesWithoutFaces,
    Message,
    OutputPublished,
    SegmentRendered,
)
from facefusion.faces.analyser import FaceAnalyser
from facefusion.faces.chunk import FaceChunk
from facefusion.faces.embed import MODEL_ID as EMBEDDER
from facefusion.faces.embed import FaceEmbedder
from facefusion.faces.options import FaceDetectorOptions, FaceLandmarkerOptions, FaceSelectorOptions
from facefusion.faces.skin import SkinMeter
from facefusion.faces.track import still_chunk
from facefusion.inference.pool import SessionPool
from facefusion.media.files import called
from facefusion.media.image import read_image
from facefusion.media.options import OutputOptions
from facefusion.media.probe import VideoInfo
from facefusion.media.reader import ReaderPool
from facefusion.media.unchanged import blaming_change, check_unchanged
from facefusion.pipeline.analyse import analyse_chunk
from facefusion.pipeline.guard import Guard
from facefusion.pipeline.identity import clip_digest
from facefusion.pipeline.kept_chunks import KeptChunks
from facefusion.pipeline.link import Linker
from facefusion.pipeline.manifest import Manifest
from facefusion.pipeline.plan import CHUNK_FRAMES, Plan, Span, VideoPlan
from facefusion.pipeline.progress import Progress
from facefusion.pipeline.publish import join_clip, publish_clip, publish_image
from facefusion.pipeline.render import LinkedFaces, apply_processors, faces_of, render_segment
from facefusion.pipeline.report import FaceReport
from facefusion.pipeline.resources import return_freed_memory
from facefusion.pipeline.seal import Sealing, Worked
from facefusion.pipeline.stream import ordered_map
from facefusion.pipeline.work_folder import WorkFolder
from facefusion.processors.processor import FrameTask, Processor, ProcessorTools
from facefusion.provenance.credentials import Signed
from facefusion.provenance.traces import NO_TRACES, Traces
from facefusion.settings import Settings
from facefusion.stopping import StopFlag

# The fact of a segment or clip: how many of its frames carry the invisible mark.
_MARKED = 'marked_frames'


@dataclass(frozen=True, slots=True, eq=False)
class Run:
    """Everything that the stages of one run share; nothing of it outlives the run.

    What lies in ``work`` is not done again; a picture has none. ``workers`` is how many chunks or frames are worked on
    at once.
    """

    plan: Plan
    settings: Settings
    work: WorkFolder | None
    workers: int
    analyser: FaceAnalyser
    meter: SkinMeter
    processors: tuple[Processor, ...]
    guard: Guard
    traces: Traces
    seal: Sealing
    emit: Emit
    flag: StopFlag


def prepare_run(
    plan: Plan,
    settings: Settings,
    sessions: SessionPool,
    guard: Guard,
    work: WorkFolder | None,
    traces: Traces,
    seal: Sealing,
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
    return Run(plan, settings, work, plan.workers, analyser, meter, processors, guard, traces, seal, emit, flag)


def execute(run: Run) -> dict[str, Any]:
    """Does what the plan says and gives the report; the output exists when this returns."""
    report = FaceReport()
    with blaming_change(run.plan.target, run.flag):
        if run.plan.video is None:
            worked, signed = _execute_image(run, report)
        else:
            worked, signed = _execute_video(run, run.plan.video, report)
    _tell_of_traces(run, worked)
    run.emit(OutputPublished(str(run.plan.output), run.plan.output.stat().st_size))
    if report.faces:
        run.emit(Message('info' if report.worked_on else 'warn', 'run', report.as_text()))
    else:
        advice = (
            'try --face-detector-size 1280x1280, --face-detector-angles 0 90 180 270, or less --face-detector-score'
        )
        run.emit(Message('warn', 'run', f'{report.as_text()} ({advice})'))
    credentials = signed.as_record() | {'marked_frames': worked.marked_frames}
    return report.as_record() | {'credentials': credentials}


def _tell_of_traces(run: Run, worked: Worked) -> None:
    """Says which of the traces that were meant for the output it does not have."""
    if run.traces.label is not None and not worked.is_changed:
        run.emit(Message('warn', 'provenance', 'no label was drawn: no face was worked on, so nothing is altered'))
    if run.traces.mark is not None and worked.is_changed and not worked.marked_frames:
        text = 'the pictures are too flat or too small for the invisible mark: the output carries none'
        run.emit(Message('warn', 'provenance', text))


def _execute_image(run: Run, report: FaceReport) -> tuple[Worked, Signed]:
    frame = read_image(run.plan.target.path, run.emit)
    check_unchanged(run.plan.target, run.flag)
    run.guard.check_picture(run.plan.target.path, frame)
    run.flag.check()
    chunk = still_chunk(frame, run.analyser, run.meter if run.plan.measures_skin else None)
    linked = next(Linker(run.settings[FaceSelectorOptions]).link([chunk]))
    report.add(linked)
    run.guard.check_ages(run.plan.target.path, frame, linked)
    run.flag.check()
    with Progress(run.emit, 'processing', 1) as progress:
        task = FrameTask(frame, faces_of(linked, 0))
        _, is_marked = apply_processors(task, run.processors, _traces_for(run, report))
        progress.advance()
    run.flag.check()
    worked = Worked(report.worked_on > 0, int(is_marked))
    options = run.settings[OutputOptions]

    def check() -> None:
        check_unchanged(run.plan.target, run.flag)

    return worked, publish_image(frame, run.plan.output, options, run.seal, worked, run.emit, run.flag, check)


def _traces_for(run: Run, report: FaceReport) -> Traces:
    """What is left on the pictures: nothing where no face is worked on, for then nothing is altered."""
    return run.traces if report.worked_on else NO_TRACES


def _execute_video(run: Run, video: VideoPlan, report: FaceReport) -> tuple[Worked, Signed]:
    target = run.plan.target
    work = run.work
    if not isinstance(target, VideoInfo) or work is None:
        raise InternalError('plan-inconsistent', 'a video plan has no video target, or no work folder')
    report.gaps = tuple(gap for gap in target.gaps if video.timeline.start <= gap.number < video.timeline.stop - 1)
    with work.explained():
        watch = run.guard.watch(target, video.timeline, work.digests.target)
        _link(run, video, target, KeptChunks(target, video.timeline.stop, work, watch, run.flag), report)
        return_freed_memory()
        clip, manifest = _finished_clip(run, video, target, work, _traces_for(run, report))
        worked = Worked(report.worked_on > 0, int(manifest.facts.get(_MARKED, 0)))

        def check() -> None:
            work.check([(clip, manifest)], run.flag)
            # Signing has looked at it, too.
            check_unchanged(target, run.flag)

        return worked, publish_clip(clip, run.plan.output, run.seal, worked, run.flag, check)


def _link(run: Run, video: VideoPlan, target: VideoInfo, kept: KeptChunks, report: FaceReport) -> None:
    """Analyses and links every chunk; what the guard has seen of those that are kept counts as if it saw it now."""
    watch = kept.watch
    with closing(_analysed(run, video, target, kept)) as chunks:
        for linked in Linker(run.settings[FaceSelectorOptions]).link(chunks):
            kept.folder.save_linked(linked, run.flag)
            report.add(linked)
            watch.note(linked)
    report.damaged = watch.damaged
    _tell_damage(run, target, report)
    # Nothing is rendered before this, whatever earlier runs have rendered.
    watch.decide()
    run.emit(FacesLinked(report.frames, report.faces, len(report.tracks), report.without.count))
    without = report.without
    if without.count:
        run.emit(FramesWithoutFaces(without.count, without.as_lists(), without.more_ranges))


def _tell_damage(run: Run, target: VideoInfo, report: FaceReport) -> None:
    """Says which frames are damaged: before the content gate decides, for a refused clip has them, too."""
    damaged = report.damaged
    if damaged.count:
        frames = 'frame is' if damaged.count == 1 else 'frames are'
        advice = 'each shows what could be read of it, or the picture before; what follows may show traces of that'
        text = f'{target.path.name}: {damaged.count} {frames} damaged: {damaged.as_text()}; {advice}'
        run.emit(Message('warn', 'analyse', text))
        run.emit(FramesDamaged(damaged.count, damaged.as_lists(), damaged.more_ranges))


def _finished_clip(
    run: Run, video: VideoPlan, target: VideoInfo, work: WorkFolder, traces: Traces
) -> tuple[Path, Manifest]:
    """The joined clip, that of an earlier run if it is whole.

    There are no segments any more when this returns.
    """
    extension = run.plan.output.suffix.lower()
    clip, digest = work.clip_path(extension), clip_digest(work.digests.plan, video, extension)
    whole = Span(0, video.timeline.frame_count)
    manifest = work.kept('clip', digest, whole, (), clip, run.flag)
    if manifest is None:
        segments = _render(run, video, target, work, traces)
        facts = {_MARKED: sum(entry.facts.get(_MARKED, 0) for _, entry in segments)}
        with work.unaltered(segments, run.flag):
            paths, name = [path for path, _ in segments], run.plan.output.name
            join_clip(paths, target, video, work.part(clip), run.flag, name, run.emit)
        manifest = work.publish('clip', digest, whole, (), clip, run.flag, facts)
    else:
        for number, span in enumerate(video.segments):
            run.emit(SegmentRendered(number, len(video.segments), *span, 'work'))
    # A third copy of all frames would be needed beside them while the output is written.
    work.forget_segments()
    return clip, manifest


def _render(
    run: Run, video: VideoPlan, target: VideoInfo, work: WorkFolder, traces: Traces
) -> list[tuple[Path, Manifest]]:
    """The segments in order: those of earlier runs that are whole, and what is missing."""
    segments, count, digest = [], len(video.segments), work.digests.plan
    with (
        Progress(run.emit, 'processing', video.timeline.frame_count) as progress,
        closing(ReaderPool(target, 1, stop=run.flag)) as readers,
    ):
        for number, span in enumerate(video.segments):
            run.flag.check()
            check_unchanged(target, run.flag)
            progress.at(f'segment {number + 1} of {count}')
            path = work.segment_path(number)
            pts = tuple(video.timeline.pts[span.start : span.stop].tolist())
            manifest = work.kept('segment', digest, span, pts, path, run.flag)
            origin = 'rendered' if manifest is None else 'work'
            if manifest is None:
                faces = LinkedFaces(lambda chunk: work.load_linked(_chunk_start(video, chunk), run.flag))
                part = work.part(path)
                # fmt: off
                with called(path.name, part):
                    marked = render_segment(
                        target, video, span, faces, run.processors, part, run.workers, run.flag, progress.advance,
                        readers, traces,
                    )
                # fmt: on
                check_unchanged(target, run.flag)
                manifest = work.publish('segment', digest, span, pts, path, run.flag, {_MARKED: marked})
            else:
                progress.skip(span.stop - span.start)
            segments.append((path, manifest))
            run.emit(SegmentRendered(number, count, span.start, span.stop, origin))
    return segments


def _analysed(run: Run, video: VideoPlan, target: VideoInfo, kept: KeptChunks) -> Generator[FaceChunk, None, None]:
    """The chunks of the clip in order, each kept from before or analysed by one of the workers.

    When one fails, or the chunks are not wanted any more, the others stop at their next frame.
    """
    meter = run.meter if run.plan.measures_skin else None
    flag, failures = StopFlag(run.flag), list[BaseException]()
    kept = replace(kept, flag=flag)
    with (
        Progress(run.emit, 'analysing', video.timeline.stop - video.timeline.start) as progress,
        closing(ReaderPool(target, run.workers, stop=flag)) as readers,
    ):

        def analyse(span: Span) -> FaceChunk:
            try:
                flag.check()
                found = kept.find(span)
                if found is not None:
                    progress.skip(span.stop - span.start)
                    chunk, origin = found
                else:
                    stop = video.timeline.stop
                    chunk = analyse_chunk(
                        target, span, stop, run.analyser, meter, flag, progress.advance, readers, kept.watch
                    )
                    check_unchanged(target, flag)
                    kept.keep(span, chunk)
                    origin = 'analysed'
                run.emit(ChunkAnalysed(*span, len(chunk.frame), origin))
                return chunk
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
