"""Estimates of the memory and disk space of a run, made before it starts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from facefusion.media.audio_mix import mix_size
from facefusion.media.containers import CONTAINERS
from facefusion.media.encoder import EncoderSettings, meant_encoder
from facefusion.media.encoder_room import frames_held
from facefusion.media.info import MediaInfo, VideoInfo
from facefusion.media.options import OutputOptions
from facefusion.media.planes import PLANE_FORMATS, scaled_size
from facefusion.media.sound import SoundInfo
from facefusion.pipeline.crew import Crew
from facefusion.pipeline.resources import (
    lowest_room,
    memory_of_enlarged,
    memory_of_image,
    memory_of_published,
    memory_of_video,
)
from facefusion.voice.extraction import extraction_size

# Bytes on disk per face and frame, for the analysed and the linked record together.
FACE_BYTES = 36_000
# Bytes in memory of the source of a further person: the texture of mesh_warp with its smaller sizes, measured.
SOURCE_BYTES = 5_200_000
# Bytes per pixel of x264 at quality 80 (crf 10); the demo has 0.032. Six more crf steps halve the size (a rule of
# x264).
ENCODED_BYTES = 0.06
CRF_A_QUALITY = 0.51


@dataclass(frozen=True, slots=True, eq=False)
class MediaSize:
    """The frame sizes of a run: those of the target, of the processed frames, and of the output.

    ``processed`` is the width and height after the processors. ``options`` and ``extension`` are those of the output.
    ``working`` is the memory in bytes that the processors need for a frame in addition to its pixels.
    """

    target: MediaInfo
    options: OutputOptions
    extension: str
    processed: tuple[int, int]
    has_alpha: bool = False
    working: int = 0

    @property
    def is_video(self) -> bool:
        """Whether the output is a video; an image with audio becomes one."""
        return isinstance(self.target, VideoInfo) or self.extension in CONTAINERS


def fitted_memory(
    size: MediaSize, crew: Crew, limit: int | None, weight_bytes: int = 0, others: Mapping[str, int] | None = None
) -> tuple[Crew, dict[str, int]]:
    """Return the crew that ``limit`` and the system allow (at least one worker), and its memory in bytes by part.

    ``weight_bytes`` is the size of the weights of the published models, ``others`` are further parts.
    """
    workers = crew.workers
    while True:
        processes = min(crew.processes, workers)
        at_once = workers if size.is_video else 1
        parts = _memory(size, workers, processes) | memory_of_published(weight_bytes, at_once, processes)
        parts |= {'work on frames': size.working * at_once} if size.working else {}
        parts |= {name: each for name, each in (others or {}).items() if each}
        lowest = lowest_room(workers)
        allowed = [limit] if limit is not None else []
        allowed += [lowest[0]] if lowest is not None else []
        if workers == 1 or not size.is_video or all(sum(parts.values()) <= each for each in allowed):
            return Crew(workers, processes), parts
        workers -= 1


def _memory(size: MediaSize, workers: int, processes: int) -> dict[str, int]:
    target, options = size.target, size.options
    processed = size.processed[0] * size.processed[1]
    if size.is_video:
        width, height = scaled_size(target.width, target.height, options.output_video_scale)
        shape = PLANE_FORMATS[target.plane_format]
        bytes_a_pixel = (1 + 2 / (shape.sub_x * shape.sub_y)) * (1 if target.bits <= 8 else 2)
        codec = meant_encoder(target, options, size.extension, size.has_alpha)
        held = frames_held(codec, options.output_video_preset)
        # The input of libx264rgb has full chroma.
        held = round(held * 3 / bytes_a_pixel) if codec == 'libx264rgb' else held
        coded = max(target.width * target.height, width * height)
        enlarged = processed if processed > target.width * target.height else 0
        return memory_of_video(coded, bytes_a_pixel, workers, held, processes) | memory_of_enlarged(
            enlarged, 3 if target.bits <= 8 else 6, workers
        )
    width, height = scaled_size(target.width, target.height, options.output_image_scale)
    return memory_of_image(max(target.width * target.height, processed), width * height)


def encoded_bytes(encoder: EncoderSettings, frames: int, quality: float) -> int:
    """Return the size in bytes of this many frames encoded at ``--output-video-quality``."""
    finer = (quality - 80) * CRF_A_QUALITY / 6
    return int(encoder.width * encoder.height * frames * ENCODED_BYTES * 2**finer)


def work_bytes(frames: int, encoded: int, sounds: Sequence[SoundInfo] = ()) -> int:
    """Return the size of the work files of a clip; ``encoded`` is the size of its encoded frames."""
    return frames * FACE_BYTES + encoded + sum(map(extraction_size, sounds)) + mix_size(sounds)


def output_bytes(size: MediaSize, encoded: int) -> int:
    """Return the size of the output; ``encoded`` is the size of the encoded frames of a clip."""
    if not size.is_video:
        scale = size.options.output_image_scale
        return int(size.target.width * size.target.height * scale * scale)
    # The size of the target serves as an estimate of the copied audio.
    return encoded + size.target.size
