"""Publish an output: rename it to its final name once it is complete, so that no partial output is ever visible."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path

from facefusion.events import Emit, Message
from facefusion.media.audio_mix import write_mix
from facefusion.media.concat import concat_clips
from facefusion.media.file_stamp import check_unchanged
from facefusion.media.files import called, publish, second_name, write_failure
from facefusion.media.frame import PixelFrame
from facefusion.media.image import write_image
from facefusion.media.join import Joining, join_segments
from facefusion.media.kinds import IMAGE_EXTENSIONS
from facefusion.media.options import OutputOptions
from facefusion.pipeline.output import existing_folder, make_folder
from facefusion.pipeline.partial_files import partial_path, remove_abandoned
from facefusion.pipeline.plan import Plan
from facefusion.pipeline.signing import Signer, WorkDone
from facefusion.profiling import NO_PROFILE, Profile
from facefusion.provenance.credentials_writer import Signed
from facefusion.provenance.sidecar import sidecar_of
from facefusion.stopping import StopFlag


@dataclass(frozen=True, slots=True, eq=False)
class Publication:
    """The publication of a finished output; ``check`` is called after signing, and raises if an input changed."""

    output: Path
    signer: Signer
    done: WorkDone
    flag: StopFlag
    check: Callable[[], None] = lambda: None
    profile: Profile = NO_PROFILE


def publish_image(frame: PixelFrame, options: OutputOptions, publication: Publication, emit: Emit) -> Signed:
    """Encode an image of the output's size, sign it and rename it to the output.

    Raises the errors of ``write_image``, the signer and the check.
    """
    with _partial_file(publication.output) as part:
        image_format = IMAGE_EXTENSIONS[publication.output.suffix.lower()]
        with publication.profile.span('encode'):
            write_image(frame, part, image_format, options.output_image_quality, emit, publication.flag)
        with publication.profile.span('sign'):
            signed = publish_file(part, publication)
        part.unlink()
    return signed


def join_clip(joining: Joining, plan: Plan, part: Path, emit: Emit, flag: StopFlag) -> None:
    """Join the segments with the target's times, audio, subtitles and metadata into the file ``part``.

    Several voices are mixed into a file next to ``part``, which is removed. Emits a warning for each loss that the plan
    could not foresee. Raises the errors of ``join_segments`` and ``write_mix``, and MediaError media-changed when the
    file of an audio has changed since it was probed.
    """
    audio_files = plan.sounds or (plan.target,)
    for file in audio_files:
        check_unchanged(file, flag)
    mix = part.with_suffix('.wav')
    try:
        if joining.audio.mixed:
            with called('mix.wav', mix):
                remarks = write_mix(plan.sounds, mix, joining.audio.volume, flag)
            for text in remarks:
                emit(Message('warn', 'publish', text))
            joining = replace(joining, audio=replace(joining.audio, path=mix, volume=1.0))
        with called(plan.output.name, part):
            lost = join_segments(joining, part, flag)
    finally:
        mix.unlink(missing_ok=True)
    for file in audio_files:
        check_unchanged(file, flag)
    name = 'the mix of the voices' if joining.audio.mixed else audio_files[0].path.name
    for text in lost:
        emit(Message('warn', 'publish', f'{name}: {text}'))


def publish_file(unsigned: Path, publication: Publication) -> Signed:
    """Sign a finished file without changing it, and rename the signed copy to the output.

    Raises the errors of the signer and the check, ResourceError, OutputError, Interrupted.
    """
    output, flag = publication.output, publication.flag
    with _partial_file(output) as part:
        signed = publication.signer.sign(unsigned, part, publication.done)
        if signed.media == unsigned:
            try:
                second_name(unsigned, part, flag)
            except OSError as error:
                raise write_failure(error, output) from None
        publication.check()
        _publish_signed(part, signed.sidecar, output, flag)
    return signed


def publish_joined(clips: Sequence[Path], output: Path, signer: Signer, emit: Emit, flag: StopFlag) -> Signed | None:
    """Join finished clips one after the other, sign the result and rename it to the output.

    If the clips are images, the last one is copied with its own credentials, and None is returned. Raises the errors
    of ``concat_clips`` and the signer.
    """
    remove_abandoned(output.parent)
    if output.suffix.lower() in IMAGE_EXTENSIONS:
        with _partial_file(output) as part:
            shutil.copyfile(clips[-1], part)
            sidecar = sidecar_of(part) if sidecar_of(clips[-1]).exists() else None
            if sidecar is not None:
                shutil.copyfile(sidecar_of(clips[-1]), sidecar)
            _publish_signed(part, sidecar, output, flag)
        return None
    with _partial_file(output) as part:
        concat_clips(clips, part, output.suffix.lower(), flag, emit)
        signed = publish_file(part, Publication(output, signer, WorkDone(changed_frames=1, is_labelled=True), flag))
        part.unlink()
    return signed


def _publish_signed(part: Path, sidecar: Path | None, output: Path, flag: StopFlag | None) -> None:
    """Rename the sidecar and then the signed file to the output, so that the file never exists without its sidecar."""
    output_sidecar = sidecar_of(output)
    if sidecar is None:
        publish(part, output, flag)
        # If an earlier file of this name was replaced, its sidecar no longer matches any file.
        with suppress(OSError):
            output_sidecar.unlink(missing_ok=True)
        return
    backup = partial_path(output_sidecar)
    try:
        with suppress(OSError):
            second_name(output_sidecar, backup)
        publish(sidecar, output_sidecar, flag)
        try:
            # The stop flag is ignored from here on, because the new sidecar belongs to this file.
            publish(part, output)
        except BaseException:
            # The output is still the previous file, so it needs its previous sidecar.
            with suppress(OSError):
                backup.replace(output_sidecar) if backup.exists() else output_sidecar.unlink()
            raise
    finally:
        backup.unlink(missing_ok=True)


@contextmanager
def _partial_file(output: Path) -> Iterator[Path]:
    """Yield a new path next to the output; remove the file and new folders on failure."""
    existing, folder = existing_folder(output.parent), output.parent.absolute()
    created = [path for path in (folder, *folder.parents) if existing in path.parents]
    make_folder(output.parent)
    part = partial_path(output)
    try:
        with called(output.name, part):
            yield part
    except BaseException:
        # The user must see the original failure, not a failure of the removal.
        with suppress(OSError):
            part.unlink(missing_ok=True)
            sidecar_of(part).unlink(missing_ok=True)
            for path in created:
                path.rmdir()
        raise
