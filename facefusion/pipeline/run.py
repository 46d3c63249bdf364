"""Execute a run from its plan to its published output, in the same order for every engine.

An engine implements two calls, ``analyse`` and ``render``; it decides where the units of a clip run.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator, Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any, Protocol

from facefusion.errors import InternalError
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
from facefusion.faces.chunk import FaceChunk, LinkedChunk
from facefusion.faces.options import FaceTrackerOptions
from facefusion.faces.people import find_people
from facefusion.media.file_stamp import blaming_change, check_unchanged
from facefusion.media.info import VideoInfo
from facefusion.media.join import Joining
from facefusion.pipeline.chunk_checkpoints import FACES, ChunkCheckpoints, Origin
from facefusion.pipeline.fingerprints import clip_digest
from facefusion.pipeline.image_run import execute_image, link_image
from facefusion.pipeline.manifest import Manifest, WorkKey
from facefusion.pipeline.plan import Span, VideoPlan
from facefusion.pipeline.prepare import PreparedRun
from facefusion.pipeline.progress import Progress
from facefusion.pipeline.publish import Publication, join_clip, publish_file
from facefusion.pipeline.render import SegmentFacts, faces_of
from facefusion.pipeline.report import FaceReport
from facefusion.pipeline.resources import return_freed_memory
from facefusion.pipeline.selection import Selector, refuse_if_nobody
from facefusion.pipeline.signing import WorkDone
from facefusion.pipeline.tracking import Tracker, least_overlap
from facefusion.pipeline.units import AnalysisUnits, RenderUnits, analysis_units, render_units
from facefusion.pipeline.work_folder import WorkFolder
from facefusion.provenance.credentials_writer import Signed
from facefusion.provenance.watermarking import Watermarks
from facefusion.stopping import StopFlag


class Engine(Protocol):
    """Runs the units of a clip, in any order; both calls yield each unit with the manifest of its work file.

    Closing the generators stops the units that still run.
    """

    def analyse(
        self, units: AnalysisUnits, spans: Sequence[Span], progress: Progress, flag: StopFlag
    ) -> Generator[tuple[Span, Manifest], None, None]: ...

    def render(
        self, units: RenderUnits, numbers: Sequence[int], progress: Progress, flag: StopFlag
    ) -> Generator[tuple[int, Manifest], None, None]: ...


def execute(run: PreparedRun, engine: Engine) -> dict[str, Any]:
    """Execute the plan and return the report; the output exists when this returns."""
    plan, emit = run.context.plan, run.context.emit
    report = FaceReport(finds_faces=plan.finds_faces)
    try:
        with blaming_change(plan.target, run.context.flag):
            if plan.video is None:
                done, signed = execute_image(run, report)
            else:
                done, signed = _execute_clip(run, plan.video, engine, report)
    finally:
        for voice in run.voices:
            voice.close()
    _report_watermarks(run, done)
    emit(OutputPublished(str(plan.output), plan.output.stat().st_size))
    emit(report.message(done.changed_frames))
    changes = {'frames_changed': done.changed_frames, 'effects': {each.name: each.effect for each in plan.processors}}
    credentials = signed.as_record() | {'marked_frames': done.marked_frames}
    return report.as_record() | changes | {'credentials': credentials}


def _report_watermarks(run: PreparedRun, done: WorkDone) -> None:
    """Warn about planned watermarks that the output lacks."""
    emit = run.context.emit
    if run.watermarks.label is not None and not done.is_labelled:
        emit(Message('warn', 'provenance', 'no label was drawn: no face was processed, so nothing was altered'))
    if run.watermarks.mark is not None and done.changed_frames and not done.marked_frames:
        text = 'the output has no invisible mark: its frames are too flat or too small'
        emit(Message('warn', 'provenance', text))


def _execute_clip(run: PreparedRun, video: VideoPlan, engine: Engine, report: FaceReport) -> tuple[WorkDone, Signed]:
    plan, flag, work = run.context.plan, run.context.flag, run.work
    target = plan.target
    if work is None:
        raise InternalError('plan-inconsistent', 'a clip has no work folder')
    with work.explaining_removal():
        if isinstance(target, VideoInfo):
            will_change = _find_faces(run, video, target, work, engine, report)
        else:
            will_change = link_image(run, work, report)
        watermarks = run.watermarks_if(will_change)
        run.context.sessions.stage_ended(plan.processor_models)
        return_freed_memory()
        clip, manifest = _finished_clip(run, engine, _segments(run, video, work, watermarks))
        run.context.sessions.stage_ended()
        done = WorkDone(**manifest.facts, is_labelled=watermarks.label is not None)

        def check() -> None:
            work.check_intact([(clip, manifest)], flag)
            # Signing has read the target again, so check again that the target is unchanged.
            check_unchanged(target, flag)

        with run.context.profile.span('sign'):
            return done, publish_file(clip, Publication(plan.output, run.signer, done, flag, check))


def _find_faces(
    run: PreparedRun, video: VideoPlan, target: VideoInfo, work: WorkFolder, engine: Engine, report: FaceReport
) -> bool:
    """Analyse and link a clip; return whether anything will be altered."""
    report.gaps = tuple(gap for gap in target.gaps if video.timeline.start <= gap.number < video.timeline.stop - 1)
    screening = run.screening.screen_clip(target, video.timeline, work.digests.target)
    profile = run.context.profile
    units = analysis_units(target, video.timeline.stop, run.faces, screening, work, profile)
    _analyse(run, video, engine, units)
    with profile.span('link'):
        return _link(run, video, units.checkpoints, report)


def _analyse(run: PreparedRun, video: VideoPlan, engine: Engine, units: AnalysisUnits) -> None:
    emit, flag = run.context.emit, run.context.flag
    for span, manifest, origin in analysed_chunks(units, video.chunks, engine, emit, flag):
        emit(ChunkAnalysed(*span, int(manifest.facts.get(FACES, 0)), origin))


def analysed_chunks(
    units: AnalysisUnits, spans: Sequence[Span], engine: Engine, emit: Emit, flag: StopFlag
) -> Iterator[tuple[Span, Manifest, Origin]]:
    """Analyse every chunk that has no checkpoint; yield those with a checkpoint first, then the others."""
    missing = list[Span]()
    with Progress(emit, 'analysing', spans[-1].stop - spans[0].start) as progress:
        for span in spans:
            flag.check()
            found = units.checkpoints.find(span, flag)
            if found is None:
                missing.append(span)
            else:
                progress.skip(span.stop - span.start)
                yield span, *found
        with closing(engine.analyse(units, missing, progress, flag)) as analysed:
            for span, manifest in analysed:
                yield span, manifest, 'analysed'


def _link(run: PreparedRun, video: VideoPlan, checkpoints: ChunkCheckpoints, report: FaceReport) -> bool:
    """Track and select the faces of every chunk, and refuse an unsafe clip; return whether anything will be altered.

    Screening findings of earlier runs count like those of this run.
    """
    flag, emit, work, screening = run.context.flag, run.context.emit, checkpoints.folder, checkpoints.screening
    tracker = Tracker(run.context.plan.measurements, least_overlap(run.context.settings[FaceTrackerOptions]))

    def chunks() -> Iterator[FaceChunk]:
        for span in video.chunks:
            chunk, findings = checkpoints.load(span, flag)
            screening.add_findings(findings)
            yield chunk

    for linked in tracker.track(chunks()):
        work.save_linked(linked, Span(linked.first, linked.first + linked.count), flag)
    tracks = tracker.tracks()
    people = find_people(tracks, run.wanted.kind)
    selector, will_change = Selector(run.wanted, tracks, people), False
    report.count_people(people, run.wanted)
    reasons = selector.track_reasons
    for span in video.chunks:
        linked = work.load_linked(LinkedChunk, span, flag)
        selection = selector.select(linked)
        work.save_linked(selection, span, flag)
        selected = linked.select(selection)
        report.add(linked, selected, reasons)
        screening.add_linked(selected)
        numbers = range(span.start, span.stop)
        will_change = will_change or any(run.changes(faces_of(selected, number)) for number in numbers)
    report.damaged = screening.damaged
    _report_damage(run, report)
    # Nothing is rendered before this check, even if an earlier run already rendered segments.
    screening.refuse_if_unsafe()
    refuse_if_nobody(selector, people, report.faces, run.wanted)
    without = report.without
    emit(FacesLinked(report.frames, report.faces, len(report.tracks), without.count))
    if run.context.plan.finds_faces and without.count:
        emit(FramesWithoutFaces(without.count, without.as_lists(), without.more_ranges))
    return will_change


def _report_damage(run: PreparedRun, report: FaceReport) -> None:
    """Report the damaged frames, even those of a refused clip: called before the content gate decides."""
    damaged, emit = report.damaged, run.context.emit
    if damaged.count:
        frames = 'frame is' if damaged.count == 1 else 'frames are'
        advice = 'each shows its readable part, or the frame before it; later frames may show traces of the damage'
        text = f'{run.context.plan.target.path.name}: {damaged.count} {frames} damaged: {damaged.as_text()}; {advice}'
        emit(Message('warn', 'analyse', text))
        emit(FramesDamaged(damaged.count, damaged.as_lists(), damaged.more_ranges))


def _segments(run: PreparedRun, video: VideoPlan, work: WorkFolder, watermarks: Watermarks) -> RenderUnits:
    context = run.context
    units = render_units(context.plan, video, run.chain, watermarks, work, context.flag, context.profile)
    return replace(units, ladder=context.sessions.ladder)


def _finished_clip(run: PreparedRun, engine: Engine, units: RenderUnits) -> tuple[Path, Manifest]:
    """Return the joined clip, from an earlier run if its clip is intact; remove the segments."""
    plan, flag, emit = run.context.plan, run.context.flag, run.context.emit
    video, work = units.rendering.video, units.folder
    extension = plan.output.suffix.lower()
    clip = work.path / f'clip{extension}'
    key = WorkKey('clip', clip_digest(work.digests.plan, video, extension), 0, video.timeline.frame_count)
    manifest = work.find_intact(key, clip, flag)
    if manifest is None:
        segments = _rendered(run, engine, units)
        facts = [SegmentFacts(*(entry.facts[name] for name in SegmentFacts._fields)) for _, entry in segments]
        with work.verifying(segments, flag) as opener:
            parts = [path for path, _ in segments], video.timeline, plan.target, video.encoder, video.audio
            joining = Joining(*parts, video.extras, max(each.delay for each in facts), opener)
            with run.context.profile.span('join'):
                join_clip(joining, plan, work.part(clip), emit, flag)
        changed, marked = sum(each.changed_frames for each in facts), sum(each.marked_frames for each in facts)
        manifest = work.publish(key, clip, flag, {'changed_frames': changed, 'marked_frames': marked})
    else:
        for number, span in enumerate(video.segments):
            emit(SegmentRendered(number, len(video.segments), *span, 'work'))
    # If the segments stayed, they would be a third copy of all frames while the output is written.
    work.remove_segments()
    return clip, manifest


def _rendered(run: PreparedRun, engine: Engine, units: RenderUnits) -> list[tuple[Path, Manifest]]:
    """Return the segments in order: the intact ones of earlier runs, and the missing ones, rendered now."""
    flag, emit, work, video = run.context.flag, run.context.emit, units.folder, units.rendering.video
    found: dict[int, Manifest] = {}
    with Progress(emit, 'processing', video.timeline.frame_count) as progress:
        for number, span in enumerate(video.segments):
            flag.check()
            manifest = work.find_intact(units.key(number), units.path(number), flag)
            if manifest is not None:
                found[number] = manifest
                progress.skip(span.stop - span.start)
                emit(SegmentRendered(number, len(video.segments), *span, 'work'))
        missing = [number for number in range(len(video.segments)) if number not in found]
        with closing(engine.render(units, missing, progress, flag)) as rendered:
            for number, manifest in rendered:
                found[number] = manifest
                emit(SegmentRendered(number, len(video.segments), *video.segments[number], 'rendered'))
    return [(units.path(number), found[number]) for number in sorted(found)]
