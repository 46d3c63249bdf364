"""Publish: the finished output appears under its name by a rename, and never half written."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from facefusion.events import Emit, Message
from facefusion.media.concat import concat_clips
from facefusion.media.file_stamp import check_unchanged
from facefusion.media.files import called, publish, second_name, write_failure
from facefusion.media.frame import PixelFrame
from facefusion.media.image import write_image
from facefusion.media.join import Joining, join_segments
from facefusion.media.kinds import IMAGE_EXTENSIONS
from facefusion.media.options import OutputOptions
from facefusion.pipeline.output import existing_folder, make_folder
from facefusion.pipeline.partial_files import part_beside, remove_abandoned
from facefusion.pipeline.plan import Plan, VideoPlan
from facefusion.pipeline.signing import Signer, WorkDone
from facefusion.provenance.credentials_writer import Signed
from facefusion.provenance.sidecar import sidecar_of
from facefusion.stopping import StopFlag


@dataclass(frozen=True, slots=True, eq=False)
class Publication:
    """A finished output on its way to its name: ``check`` is called when all of it is signed, and raises when that was
    not what it should be."""

    output: Path
    signer: Signer
    worked: WorkDone
    flag: StopFlag
    check: Callable[[], None] = lambda: None


def publish_image(frame: PixelFrame, options: OutputOptions, publication: Publication, emit: Emit) -> Signed:
    """Encodes a picture of the size that is written, signs it and gives it its name.

    Raises what ``write_image``, the seal and the check raise.
    """
    output, flag = publication.output, publication.flag
    with _part_beside(output) as part, _part_beside(output) as signed_part:
        image_format = IMAGE_EXTENSIONS[output.suffix.lower()]
        write_image(frame, part, image_format, options.output_image_quality, emit, flag)
        signed = publication.signer.sign(part, signed_part, publication.worked)
        if signed.media == part:
            part.replace(signed_part)
        publication.check()
        _publish_signed(signed_part, signed.sidecar, output, flag)
        part.unlink(missing_ok=True)
    return signed


def join_clip(segments: Sequence[Path], plan: Plan, video: VideoPlan, part: Path, emit: Emit, flag: StopFlag) -> None:
    """Joins the segments with the source's times, audio and whatever else it has, to the file ``part``.

    ``emit`` is told what the plan could not know to be lost. Raises what ``join_segments`` raises, and MediaError
    media-changed when the file of which the audio is is not the one that was probed any more.
    """
    heard = plan.sound or plan.target
    check_unchanged(heard, flag)
    with called(plan.output.name, part):
        joining = Joining(segments, video.timeline, plan.target, video.encoder, video.audio, video.extras)
        lost = join_segments(joining, part, flag)
    check_unchanged(heard, flag)
    for text in lost:
        emit(Message('warn', 'publish', f'{heard.path.name}: {text}'))


def publish_clip(clip: Path, publication: Publication) -> Signed:
    """Signs a finished clip, which stays where it is, and gives what is signed its name.

    Raises what the seal and the check raise, ResourceError, OutputError, Interrupted.
    """
    output, flag = publication.output, publication.flag
    with _part_beside(output) as part:
        signed = publication.signer.sign(clip, part, publication.worked)
        if signed.media == clip:
            try:
                second_name(clip, part, flag)
            except OSError as error:
                raise write_failure(error, output) from None
        publication.check()
        _publish_signed(part, signed.sidecar, output, flag)
    return signed


def publish_joined(clips: Sequence[Path], output: Path, signer: Signer, emit: Emit, flag: StopFlag) -> Signed | None:
    """Joins finished clips, one after the other, signs the result and gives it its name.

    Of several pictures the last one is taken as it is, with the credentials that it has; None then. Raises what
    ``concat_clips`` and ``seal`` raise.
    """
    remove_abandoned(output.parent)
    if output.suffix.lower() in IMAGE_EXTENSIONS:
        with _part_beside(output) as part:
            shutil.copyfile(clips[-1], part)
            beside = sidecar_of(clips[-1]) if sidecar_of(clips[-1]).exists() else None
            if beside is not None:
                shutil.copyfile(beside, sidecar_of(part))
            _publish_signed(part, sidecar_of(part) if beside is not None else None, output, flag)
        return None
    with _part_beside(output) as clip, _part_beside(output) as part:
        concat_clips(clips, clip, output.suffix.lower(), flag, emit)
        signed = signer.sign(clip, part, WorkDone(changed_frames=1, is_labelled=True))
        if signed.media == clip:
            clip.replace(part)
        _publish_signed(part, signed.sidecar, output, flag)
        clip.unlink(missing_ok=True)
    return signed


def _publish_signed(part: Path, sidecar: Path | None, output: Path, flag: StopFlag | None) -> None:
    """Names a signed file, its side-car first: the file never stands there without."""
    beside = sidecar_of(output)
    if sidecar is None:
        publish(part, output, flag)
        # That of a file of this name that was replaced: it fits no file any more.
        with suppress(OSError):
            beside.unlink(missing_ok=True)
        return
    before = part_beside(beside)
    try:
        with suppress(OSError):
            second_name(beside, before)
        publish(sidecar, beside, flag)
        try:
            # Nobody can stop any more: the side-car is that of this file.
            publish(part, output)
        except BaseException:
            # What lies there is the file of before.
            with suppress(OSError):
                before.replace(beside) if before.exists() else beside.unlink()
            raise
    finally:
        before.unlink(missing_ok=True)


@contextmanager
def _part_beside(output: Path) -> Iterator[Path]:
    """A name beside the output; leaves nothing behind on failure."""
    made = _missing_folders(output.parent)
    make_folder(output.parent)
    part = part_beside(output)
    try:
        with called(output.name, part):
            yield part
    except BaseException:
        # The failure is what the user must see, not one of tidying up.
        with suppress(OSError):
            part.unlink(missing_ok=True)
            sidecar_of(part).unlink(missing_ok=True)
            for folder in made:
                folder.rmdir()
        raise


def _missing_folders(folder: Path) -> list[Path]:
    """The folders that making ``folder`` will add, deepest first."""
    first = existing_folder(folder)
    folder = folder.absolute()
    missing = []
    while folder != first:
        missing.append(folder)
        folder = folder.parent
    return missing
