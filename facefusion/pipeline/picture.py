"""A run on a picture: a clip of one frame, analysed in memory, that stays a picture or is shown with a sound."""

from __future__ import annotations

from facefusion.faces.chunk import LinkedChunk, Selection
from facefusion.faces.track import still_chunk
from facefusion.media.file_stamp import check_unchanged
from facefusion.media.frame import PixelFrame
from facefusion.media.image import read_image
from facefusion.media.options import OutputOptions
from facefusion.media.planes import scaled_size
from facefusion.media.still import read_still
from facefusion.pipeline.plan import Plan, Span
from facefusion.pipeline.prepare import PreparedRun
from facefusion.pipeline.progress import Progress
from facefusion.pipeline.publish import Publication, publish_image
from facefusion.pipeline.render import faces_of
from facefusion.pipeline.report import FaceReport
from facefusion.pipeline.selection import Selector
from facefusion.pipeline.signing import WorkDone
from facefusion.pipeline.tracking import Tracker
from facefusion.pipeline.work_folder import WorkFolder
from facefusion.processors.processor import FrameTask
from facefusion.provenance.credentials_writer import Signed


def execute_picture(run: PreparedRun, report: FaceReport) -> tuple[WorkDone, Signed]:
    """Works on a picture that stays one, analysed in memory."""
    plan, flag, emit = run.context.plan, run.context.flag, run.context.emit
    frame = read_image(plan.target.path, emit)
    _, linked, _ = _linked(run, frame, frame, report)
    faces = faces_of(linked, 0)
    watermarks = run.watermarks_if(run.changes(faces))
    original = frame.untouched() if plan.requirements.original else None
    with Progress(emit, 'processing', 1) as progress:
        task = FrameTask(frame.untouched(), faces, original=original, neighbours=_neighbours(plan, frame))
        (is_changed,) = run.chain.apply([task])
        # Label and mark are put on at the size that is written.
        options = run.context.settings[OutputOptions]
        assert isinstance(task.frame, PixelFrame)
        written = task.frame.sized(*scaled_size(plan.target.width, plan.target.height, options.output_image_scale))
        is_marked = watermarks.apply(written)
        progress.advance()
    flag.check()
    worked = WorkDone(int(is_changed), int(is_marked), watermarks.label is not None)

    def check() -> None:
        check_unchanged(plan.target, flag)

    publication = Publication(plan.output, run.signer, worked, flag, check)
    return worked, publish_image(written, options, publication, emit)


def _neighbours(plan: Plan, frame: PixelFrame) -> tuple[PixelFrame, ...]:
    """A picture is a clip of one frame, which is repeated at its ends."""
    reach = plan.requirements.neighbours
    return tuple(frame.untouched() for _ in range(2 * reach + 1)) if reach else ()


def link_picture(run: PreparedRun, work: WorkFolder, report: FaceReport) -> bool:
    """Looks at a picture that is shown as a clip and links its faces; tells whether anything will be altered."""
    path, flag = run.context.plan.target.path, run.context.flag
    every, linked, selection = _linked(run, read_image(path), read_still(path, run.context.emit), report)
    work.save_linked(every, flag)
    work.save_selection(Span(0, 1), selection, flag)
    return run.changes(faces_of(linked, 0))


def _linked(
    run: PreparedRun, judged: PixelFrame, frame: PixelFrame, report: FaceReport
) -> tuple[LinkedChunk, LinkedChunk, Selection]:
    """All faces of ``frame``, those that are worked on, and which these are; the guard looks at ``judged``.

    Raises ContentRefused, MediaError media-changed, Interrupted.
    """
    plan, flag = run.context.plan, run.context.flag
    check_unchanged(plan.target, flag)
    run.screening.check_picture(plan.target.path, judged)
    flag.check()
    tracker = Tracker(plan.measurements)
    (every,) = tracker.track([still_chunk(frame, run.faces.analyser, run.faces.meters)])
    selection = Selector(run.selector, tracker.tracks()).select(every)
    linked = every.select(selection)
    report.add(linked)
    run.screening.check_ages(plan.target.path, frame, linked)
    flag.check()
    return every, linked, selection
