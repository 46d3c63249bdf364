"""A run on an image, analysed in memory as a clip of one frame; the output is an image, or a video with audio."""

from __future__ import annotations

from facefusion.faces.chunk import LinkedChunk, Selection
from facefusion.faces.people import people_of_image
from facefusion.faces.track import still_chunk
from facefusion.media.file_stamp import check_unchanged
from facefusion.media.frame import PixelFrame
from facefusion.media.image import read_image
from facefusion.media.options import OutputOptions
from facefusion.media.planes import scaled_size
from facefusion.media.still import read_still
from facefusion.pipeline.plan import Span
from facefusion.pipeline.prepare import PreparedRun
from facefusion.pipeline.progress import Progress
from facefusion.pipeline.publish import Publication, publish_image
from facefusion.pipeline.render import RENDER, faces_of, still_task
from facefusion.pipeline.report import FaceReport
from facefusion.pipeline.selection import Selector, refuse_if_nobody
from facefusion.pipeline.signing import WorkDone
from facefusion.pipeline.tracking import Tracker
from facefusion.pipeline.work_folder import WorkFolder
from facefusion.provenance.credentials_writer import Signed


def execute_image(run: PreparedRun, report: FaceReport) -> tuple[WorkDone, Signed]:
    """Process an image whose output is an image."""
    plan, flag, emit = run.context.plan, run.context.flag, run.context.emit
    profile = run.context.profile
    with profile.span('decode'):
        frame = read_image(plan.target.path, emit)
    _, selected, _ = _find_faces(run, frame, frame, report)
    faces = faces_of(selected, 0)
    watermarks = run.watermarks_if(run.changes(faces))
    with Progress(emit, 'processing', 1) as progress:
        task = still_task(frame, faces, plan.requirements)
        with profile.span(RENDER, 1):
            (is_changed,) = run.chain.apply([task])
        # The label and the mark are applied at the size of the output.
        options = run.context.settings[OutputOptions]
        assert isinstance(task.frame, PixelFrame)
        written = task.frame.sized(*scaled_size(plan.target.width, plan.target.height, options.output_image_scale))
        is_marked = watermarks.apply(written, profile)
        progress.advance()
    flag.check()
    done = WorkDone(int(is_changed), int(is_marked), watermarks.label is not None)
    publication = Publication(plan.output, run.signer, done, flag, lambda: check_unchanged(plan.target, flag), profile)
    return done, publish_image(written, options, publication, emit)


def link_image(run: PreparedRun, work: WorkFolder, report: FaceReport) -> bool:
    """Screen an image whose output is a video and link its faces; return whether anything will be altered."""
    path, flag = run.context.plan.target.path, run.context.flag
    linked, selected, selection = _find_faces(run, read_image(path), read_still(path, run.context.emit), report)
    work.save_linked(linked, Span(0, 1), flag)
    work.save_linked(selection, Span(0, 1), flag)
    return run.changes(faces_of(selected, 0))


def _find_faces(
    run: PreparedRun, image: PixelFrame, frame: PixelFrame, report: FaceReport
) -> tuple[LinkedChunk, LinkedChunk, Selection]:
    """Return all faces of ``frame``, the selected ones, and the selection; the content gate checks ``image``.

    Raises ContentRefused, MediaError media-changed, Interrupted.
    """
    plan, flag, profile = run.context.plan, run.context.flag, run.context.profile
    check_unchanged(plan.target, flag)
    with profile.span('content gate'):
        run.screening.check_image(plan.target.path, image)
    flag.check()
    tracker = Tracker(plan.measurements)
    with profile.span('analyse'):
        chunk = still_chunk(frame, run.faces.analyser, run.faces.meters)
    with profile.span('link'):
        (linked,) = tracker.track([chunk])
        tracks = tracker.tracks()
        people = people_of_image(tracks, run.wanted.kind)
        selector = Selector(run.wanted, tracks, people)
        selection = selector.select(linked)
        selected = linked.select(selection)
    report.count_people(people, run.wanted)
    report.add(linked, selected, selector.track_reasons)
    with profile.span('content gate'):
        run.screening.check_ages(plan.target.path, frame, selected)
    refuse_if_nobody(selector, people, len(selected.frame), run.wanted)
    flag.check()
    return linked, selected, selection
