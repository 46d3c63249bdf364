"""A run as plain data: all its decisions, made by ``planning`` before anything is written."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

from facefusion.faces.measurement_table import measurements_named
from facefusion.faces.measurement_types import Measurements
from facefusion.faces.track import INTERVAL
from facefusion.media.audio import AudioPlan
from facefusion.media.encoder import EncoderSettings
from facefusion.media.info import MediaInfo, VideoInfo
from facefusion.media.planes import scaled_size
from facefusion.media.side_streams import ExtrasPlan
from facefusion.media.sound import SoundInfo
from facefusion.media.timeline import Timeline
from facefusion.processors.cast import NO_CAST, Cast
from facefusion.processors.registration import Effect, Requirements, joined
from facefusion.safety.voters import GATE_MODELS

# Analysis chunks always have this length, on an absolute grid of source frames, because the faces found in a clip
# must not depend on its segments.
CHUNK_FRAMES = 250
SEGMENT_FRAMES = 250
# The number of frames that each reader decodes ahead.
DECODED_AHEAD = 4


class Span(NamedTuple):
    """A half-open range of frames."""

    start: int
    stop: int


@dataclass(frozen=True, slots=True, eq=False)
class VideoPlan:
    """The video part of a plan; chunks are ranges of source frames, segments are ranges of output frames."""

    timeline: Timeline
    chunks: tuple[Span, ...]
    segments: tuple[Span, ...]
    encoder: EncoderSettings
    audio: AudioPlan
    extras: ExtrasPlan


@dataclass(frozen=True, slots=True)
class PlannedProcessor:
    """A processor of the chain, as its registration describes it for the settings of the step."""

    name: str
    effect: Effect
    models: tuple[str, ...]
    requirements: Requirements
    writes_alpha: bool = False


@dataclass(frozen=True, slots=True, eq=False)
class Plan:
    """A run as plain data. ``memory``, ``work_space`` and ``output_space`` are estimates in bytes.

    ``memory_parts`` add up to ``memory``; ``workers`` is the number of chunks or frames processed at once,
    ``processes`` the number of processes that share them. They depend on the machine, and none changes a pixel.
    ``processed_size`` is the width and height after the processors, ``written_size`` that of the output. ``batch`` is
    the number of frames per call of a processor, ``batches`` that of crops per call of the network of a model, if it is
    not 1. ``models`` are the catalogue ids of all networks. ``sounds`` are the voices of ``cast``, whose audio the
    processors use and whose mix the output contains; an image target is shown for the duration of the longest
    one. ``cast`` has the sources of each person. ``selecting`` are the names of the measurements that the face selector
    reads.
    """

    target: MediaInfo
    sources: tuple[Path, ...]
    output: Path
    processors: tuple[PlannedProcessor, ...]
    models: tuple[str, ...]
    settings: Mapping[str, Any]
    video: VideoPlan | None
    memory: int
    work_space: int
    output_space: int
    memory_parts: Mapping[str, int] = field(default_factory=dict)
    workers: int = 1
    processes: int = 1
    batch: int = 1
    processed_size: tuple[int, int] = (0, 0)
    sounds: tuple[SoundInfo, ...] = ()
    cast: Cast = NO_CAST
    selecting: tuple[str, ...] = ()
    batches: Mapping[str, int] = field(default_factory=dict)

    @property
    def written_size(self) -> tuple[int, int]:
        """Width and height of the written frames, before an encoder pads odd sides."""
        if self.video is not None:
            return self.video.encoder.picture_size
        scale = float(self.settings['output_image_scale'])
        return scaled_size(self.target.width, self.target.height, scale)

    @property
    def gate_models(self) -> tuple[str, ...]:
        """The models of the content gate."""
        return tuple(name for name in self.models if name in GATE_MODELS)

    @property
    def processor_models(self) -> tuple[str, ...]:
        """The models of the processors."""
        return tuple(name for processor in self.processors for name in processor.models)

    @property
    def requirements(self) -> Requirements:
        """The requirements of the chain."""
        return joined(processor.requirements for processor in self.processors)

    @property
    def finds_faces(self) -> bool:
        """Whether the run detects faces."""
        return self.requirements.faces or self.requirements.source_faces

    @property
    def measurements(self) -> Measurements:
        """The measurements of the faces, in addition to their landmarks."""
        return measurements_named({*self.requirements.measurements, *self.selecting})

    @property
    def network_threads(self) -> int:
        """The number of threads of a network in analyse, so that workers without a chunk are not idle."""
        parallel = min(len(self.video.chunks), self.workers) if self.video is not None else 1
        return max(self.workers // parallel, 1)

    def summary(self) -> dict[str, Any]:
        """Return a summary of the plan as plain JSON for ``--dry-run``; ``plan_record`` stores the complete plan."""
        record: dict[str, Any] = {
            'version': 1,
            'kind': 'image' if self.video is None else 'video',
            'target': _target_record(self.target),
            'sources': [str(path) for path in self.sources],
            'output': str(self.output),
            'processors': [processor.name for processor in self.processors],
            'models': list(self.models),
            'settings': dict(self.settings),
            'memory_bytes': self.memory,
            'memory_parts': dict(self.memory_parts),
            'workers': self.workers,
            'processes': self.processes,
            'batch': self.batch,
            'batches': dict(self.batches),
            'work_bytes': self.work_space,
            'output_bytes': self.output_space,
            'processed_size': list(self.processed_size),
            'written_size': list(self.written_size),
            'scale_of_all_pixels': self.processed_size[0] / self.target.width,
        }
        if self.video is not None:
            record |= {
                'timeline': self.video.timeline.as_record(),
                'detection_interval': INTERVAL,
                'chunks': [list(span) for span in self.video.chunks],
                'segments': [list(span) for span in self.video.segments],
                'encoder': self.video.encoder.as_record(),
                'audio': self.video.audio.as_record(),
                'extras': self.video.extras.as_record(),
                'queues': {
                    'decoded ahead, for each worker': DECODED_AHEAD,
                    'chunks analysed ahead': self.workers,
                    'frames rendered ahead': self.workers + 1,
                    'linked chunks held': 2,
                },
            }
        return record


def grid(start: int, stop: int, length: int) -> tuple[Span, ...]:
    """Return spans that cover start .. stop, cut at the multiples of ``length``."""
    cuts = [start, *range((start // length + 1) * length, stop, length), stop]
    return tuple(Span(a, b) for a, b in pairwise(cuts) if a < b)


def _target_record(target: MediaInfo) -> dict[str, Any]:
    record: dict[str, Any] = {
        'path': str(target.path),
        'width': target.width,
        'height': target.height,
        'size': target.size,
    }
    if isinstance(target, VideoInfo):
        record |= {'frame_count': target.frame_count, 'codec': target.codec, 'pix_fmt': target.pix_fmt}
        record |= {'rotation': target.rotation, 'rate': str(target.average_rate), 'duration': float(target.duration)}
    else:
        record |= {'format': target.format, 'mode': target.mode}
    return record
