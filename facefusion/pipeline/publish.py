"""Publish: the finished output appears under its name by a rename, and never half written."""

from __future__ import annotations

import os
import secrets
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from facefusion.errors import OutputError, ResourceError
from facefusion.events import Emit
from facefusion.media.concat import concat_clips
from facefusion.media.files import publish
from facefusion.media.frame import PixelFrame
from facefusion.media.image import write_image
from facefusion.media.join import join_segments
from facefusion.media.kinds import IMAGE_EXTENSIONS
from facefusion.media.options import OutputOptions
from facefusion.media.probe import VideoInfo
from facefusion.media.unchanged import check_unchanged
from facefusion.pipeline.output import existing_folder, make_folder
from facefusion.pipeline.plan import VideoPlan
from facefusion.stopping import StopFlag


def publish_image(
    frame: PixelFrame, output: Path, options: OutputOptions, emit: Emit, flag: StopFlag | None = None
) -> None:
    """Encodes a picture and gives it its name."""
    with _part_beside(output) as part:
        image_format = IMAGE_EXTENSIONS[output.suffix.lower()]
        quality, scale = options.output_image_quality, options.output_image_scale
        write_image(frame, part, image_format, quality, scale, emit, flag)
        publish(part, output, flag)


def publish_video(
    segments: Sequence[Path],
    target: VideoInfo,
    video: VideoPlan,
    output: Path,
    flag: StopFlag,
    on_part: Callable[[Path], None] = lambda part: None,
) -> None:
    """Joins the segments with the source's times and audio, and gives the result its name.

    ``on_part`` is told the name under which it is written, before it is. Raises what ``join_segments`` raises, and
    MediaError media-changed when the target, of which the audio is, is not the one that was probed any more.
    """
    with _part_beside(output) as part:
        on_part(part)
        check_unchanged(target)
        join_segments(segments, video.timeline, target, video.encoder, video.audio, part, flag, video.extras)
        check_unchanged(target)
        publish(part, output, flag)


def publish_joined(clips: Sequence[Path], output: Path, emit: Emit, flag: StopFlag) -> None:
    """Joins finished clips, one after the other, or takes the last of several pictures, and gives the result its name.

    Raises what ``concat_clips`` raises.
    """
    with _part_beside(output) as part:
        if output.suffix.lower() in IMAGE_EXTENSIONS:
            shutil.copyfile(clips[-1], part)
        else:
            concat_clips(clips, part, output.suffix.lower(), flag, emit)
        publish(part, output, flag)


@contextmanager
def _part_beside(output: Path) -> Iterator[Path]:
    """A name beside the output, so that the rename stays on one file system; leaves nothing behind on failure."""
    made = _missing_folders(output.parent)
    make_folder(output.parent)
    # Not the output's own name: with anything added it may be too long for the file system.
    part = output.with_name(f'.{os.getpid()}-{secrets.token_hex(4)}.part{output.suffix}')
    try:
        yield part
    except BaseException as error:
        if isinstance(error, OutputError | ResourceError):
            # What is being written has a name that means nothing to the user.
            error.message = error.message.replace(part.name, output.name)
        # The failure is what the user must see, not one of tidying up.
        with suppress(OSError):
            part.unlink(missing_ok=True)
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
