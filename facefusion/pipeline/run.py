"""A run from its plan to its published output: what every engine does, and in which order.

An engine answers two calls, ``analyse`` and ``render``; it decides who works on the units of a clip.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any, Protocol

from facefusion.errors import InternalError
from facefusion.events import (
    ChunkAnalysed,
    FacesLinked,
    FramesDamaged,
    FramesWithoutFaces,
    Message,
    OutputPublished,
    SegmentRendered,
)
from facefusion.faces.chunk import FaceChunk, LinkedChunk
from facefusion.media.file_stamp import blaming_change, check_unchanged
from facefusion.media.info import MediaInfo, VideoInfo
from facefusion.pipeline.analyse import ChunkAnalysis
from facefusion.pipeline.chunk_checkpoints import FACES, ChunkCheckpoints, Origin
from facefusion.pipeline.fingerprints import clip_digest
from facefusion.pipeline.manifest import Manifest, WorkKey
from facefusion.pipeline.picture import execute_picture, link_picture
from facefusion.pipeline.plan import Span, VideoPlan
from facefusion.pipeline.prepare import PreparedRun
from facefusion.pipeline.progress import Progress
from facefusion.pipeline.publish import Publication, join_clip, publish_clip
from facefusion.pipeline.render import LinkedFaces, SegmentRendering, faces_of
from facefusion.pipeline.report import FaceReport
from facefusion.pipeline.resources import return_freed_memory
from facefusion.pipeline.selection import Selector
from facefusion.pipeline.signing import WorkDone
from facefusion.pipeline.tracking import Tracker
from facefusion.pipeline.units import CHANGED, MARKED, AnalysisUnits, RenderUnits, chunk_span
from facefusion.pipeline.work_folder import WorkFolder
from facefusion.provenance.credentials_writer import Signed
from facefusion.provenance.watermarking import Watermarks
from facefusion.stopping import StopFlag


class Engine(Protocol):
    """Works on the units of a clip, in any order; both calls give each unit with the manifest of its work file.

    Closing what they return ends all that is still worked on.
    """

    def analyse(
        self, units: AnalysisUnits, spans: Sequence[Span], progress: Progress, flag: StopFlag
    ) -> Generator[tuple[Span, Manifest], None, None]: ...

    def render(
        self, units: RenderUnits, numbers: Sequence[int], progress: Progress, flag: StopFlag
    ) -> Generator[tuple[int, Manifest], None, None]: ...


def execute(run: PreparedRun, engine: Engine) -> dict[str, Any]:
    """Does what the plan says and gives the report; the output exists when this returns."""
    plan, emit = run.context.plan, run.context.emit
    report = FaceReport(finds_faces=plan.finds_faces)
    try:
        with blaming_change(plan.target, run.context.flag):
            if plan.video is None:
                worked, signed = execute_picture(run, report)
            else:
                worked, signed = _execute_clip(run, plan.video, engine, report)
    finally:
        if run.voice is not None:
            run.voice.close()
    _report_watermarks(run, worked)
    emit(OutputPublished(str(plan.output), plan.output.stat().st_size))
    emit(report.message(worked.changed_frames))
    done = {'frames_changed': worked.changed_frames, 'effects': {each.name: each.effect for each in plan.processors}}
    credentials = signed.as_record() | {'marked_frames': worked.marked_frames}
    return report.as_record() | done | {'credentials': credentials}


def _report_watermarks(run: PreparedRun, worked: WorkDone) -> None:
    """Says which of the traces that were meant for the output it does not have."""
    emit = run.context.emit
    if run.watermarks.label is not None and not worked.is_labelled:
        emit(Message('warn', 'provenance', 'no label was drawn: no face was worked on, so nothing is altered'))
    if run.watermarks.mark is not None and worked.changed_frames and not worked.marked_frames:
        text = 'the pictures are too flat or too small for the invisible mark: the output carries none'
        emit(Message('warn', 'provenance', text))


def _execute_clip(run: PreparedRun, video: VideoPlan, engine: Engine, report: FaceReport) -> tuple[WorkDone, Signed]:
    plan, flag, work = run.context.plan, run.context.flag, run.work
    target = plan.target
    if work is None:
        raise InternalError('plan-inconsistent', 'a clip has no work folder')
    with work.explained():
        if isinstance(target, VideoInfo):
            will_change = _find_faces(run, video, target, work, engine, report)
        else:
            will_change = link_picture(run, work, report)
        watermarks = run.watermarks_if(will_change)
        return_freed_memory()
        clip, manifest = _finished_clip(run, engine, _rendering(run, video, target, work, watermarks))
        worked = WorkDone(
            int(manifest.facts.get(CHANGED, 0)), int(manifest.facts.get(MARKED, 0)), watermarks.label is not None
        )

        def check() -> None:
            work.check([(clip, manifest)], flag)
            # Signing has looked at it, too.
            check_unchanged(target, flag)

        return worked, publish_clip(clip, Publication(plan.output, run.signer, worked, flag, check))


def _find_faces(
    run: PreparedRun, video: VideoPlan, target: VideoInfo, work: WorkFolder, engine: Engine, report: FaceReport
) -> bool:
    """Analyses and links a clip; tells whether anything will be altered."""
    report.gaps = tuple(gap for gap in target.gaps if video.timeline.start <= gap.number < video.timeline.stop - 1)
    watch = run.screening.watch(target, video.timeline, work.digests.target)
    analysis = ChunkAnalysis(target, video.timeline.stop, run.faces, watch)
    units = AnalysisUnits(analysis, ChunkCheckpoints(target, video.timeline.stop, work, watch))
    _analyse(run, video, engine, units)
    return _link(run, video, units, report)


def _analyse(run: PreparedRun, video: VideoPlan, engine: Engine, units: AnalysisUnits) -> None:
    """Analyses every chunk that is not kept."""
    flag, emit, missing = run.context.flag, run.context.emit, list[Span]()
    with Progress(emit, 'analysing', video.timeline.stop - video.timeline.start) as progress:

        def tell(span: Span, manifest: Manifest, origin: Origin) -> None:
            emit(ChunkAnalysed(*span, int(manifest.facts.get(FACES, 0)), origin))

        for span in video.chunks:
            flag.check()
            found = units.kept.find(span, flag)
            if found is None:
                missing.append(span)
            else:
                progress.skip(span.stop - span.start)
                tell(span, *found)
        with closing(engine.analyse(units, missing, progress, flag)) as analysed:
            for span, manifest in analysed:
                tell(span, manifest, 'analysed')


def _link(run: PreparedRun, video: VideoPlan, units: AnalysisUnits, report: FaceReport) -> bool:
    """Tracks and selects the faces of every chunk, and lets the guard decide; tells whether anything will be altered.

    What the guard has seen of chunks that are kept counts as if it saw it now.
    """
    flag, emit, kept = run.context.flag, run.context.emit, units.kept
    work, watch = kept.folder, kept.watch
    tracker = Tracker(run.context.plan.measurements)

    def chunks() -> Iterator[FaceChunk]:
        for span in video.chunks:
            flag.check()
            chunk, looks = kept.load(span, flag)
            watch.take(looks)
            yield chunk

    for every in tracker.track(chunks()):
        work.save_linked(every, flag)
    selector, will_change = Selector(run.selector, tracker.tracks()), False
    for span in video.chunks:
        flag.check()
        every = work.load_linked(span, flag)
        selection = selector.select(every)
        work.save_selection(span, selection, flag)
        linked = every.select(selection)
        report.add(linked)
        watch.note(linked)
        will_change = will_change or _will_change(run, linked)
    report.damaged = watch.damaged
    _tell_damage(run, report)
    # Nothing is rendered before this, whatever earlier runs have rendered.
    watch.decide()
    emit(FacesLinked(report.frames, report.faces, len(report.tracks), report.without.count))
    without = report.without
    if run.context.plan.finds_faces and without.count:
        emit(FramesWithoutFaces(without.count, without.as_lists(), without.more_ranges))
    return will_change


def _will_change(run: PreparedRun, linked: LinkedChunk) -> bool:
    return any(run.changes(faces_of(linked, number)) for number in range(linked.first, linked.first + linked.count))


def _tell_damage(run: PreparedRun, report: FaceReport) -> None:
    """Says which frames are damaged: before the content gate decides, for a refused clip has them, too."""
    damaged, emit = report.damaged, run.context.emit
    if damaged.count:
        frames = 'frame is' if damaged.count == 1 else 'frames are'
        advice = 'each shows what could be read of it, or the picture before; what follows may show traces of that'
        text = f'{run.context.plan.target.path.name}: {damaged.count} {frames} damaged: {damaged.as_text()}; {advice}'
        emit(Message('warn', 'analyse', text))
        emit(FramesDamaged(damaged.count, damaged.as_lists(), damaged.more_ranges))


def _rendering(
    run: PreparedRun, video: VideoPlan, target: MediaInfo, work: WorkFolder, watermarks: Watermarks
) -> RenderUnits:
    plan, flag = run.context.plan, run.context.flag

    def faces() -> LinkedFaces:
        return LinkedFaces(lambda number: work.load_selected(chunk_span(video, number), flag))

    rendering = SegmentRendering(
        target, video, run.chain, plan.requirements, faces, batch=plan.batch, watermarks=watermarks
    )
    return RenderUnits(rendering, work)


def _finished_clip(run: PreparedRun, engine: Engine, units: RenderUnits) -> tuple[Path, Manifest]:
    """The joined clip, that of an earlier run if it is whole.

    There are no segments any more when this returns.
    """
    plan, flag, emit = run.context.plan, run.context.flag, run.context.emit
    video, work = units.rendering.video, units.folder
    extension = plan.output.suffix.lower()
    clip = work.clip_path(extension)
    key = WorkKey('clip', clip_digest(work.digests.plan, video, extension), 0, video.timeline.frame_count)
    manifest = work.kept(key, clip, flag)
    if manifest is None:
        segments = _rendered(run, engine, units)
        facts = {fact: sum(entry.facts.get(fact, 0) for _, entry in segments) for fact in (CHANGED, MARKED)}
        with work.unaltered(segments, flag):
            join_clip([path for path, _ in segments], plan, video, work.part(clip), emit, flag)
        manifest = work.publish(key, clip, flag, facts)
    else:
        for number, span in enumerate(video.segments):
            emit(SegmentRendered(number, len(video.segments), *span, 'work'))
    # A third copy of all frames would be needed beside them while the output is written.
    work.forget_segments()
    return clip, manifest


def _rendered(run: PreparedRun, engine: Engine, units: RenderUnits) -> list[tuple[Path, Manifest]]:
    """The segments in order: those of earlier runs that are whole, and what is missing."""
    flag, emit, work, video = run.context.flag, run.context.emit, units.folder, units.rendering.video
    known: dict[int, Manifest] = {}
    with Progress(emit, 'processing', video.timeline.frame_count) as progress:
        for number, span in enumerate(video.segments):
            flag.check()
            manifest = work.kept(units.key(number), units.path(number), flag)
            if manifest is not None:
                known[number] = manifest
                progress.skip(span.stop - span.start)
                emit(SegmentRendered(number, len(video.segments), *span, 'work'))
        missing = [number for number in range(len(video.segments)) if number not in known]
        with closing(engine.render(units, missing, progress, flag)) as rendered:
            for number, manifest in rendered:
                known[number] = manifest
                emit(SegmentRendered(number, len(video.segments), *video.segments[number], 'rendered'))
    return [(units.path(number), known[number]) for number in sorted(known)]
