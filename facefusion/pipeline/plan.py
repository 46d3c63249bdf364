"""Plan a run: make all its decisions in advance, from the settings of a step and the probe of its target."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field, replace
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

from facefusion.errors import InternalError, UsageError
from facefusion.faces.embed import MODEL_ID as EMBEDDER
from facefusion.faces.measurement_table import measurements_named
from facefusion.faces.measurement_types import Measurements
from facefusion.faces.options import (
    FaceDetectorOptions,
    FaceLandmarkerOptions,
    detector_models,
    landmarker_models,
)
from facefusion.faces.track import INTERVAL
from facefusion.inference.options import ExecutionOptions
from facefusion.media.audio import AudioPlan, plan_audio
from facefusion.media.audio_mix import mix_duration, plan_mix
from facefusion.media.containers import check_alpha
from facefusion.media.encoder import EncoderSettings, Picture, choose_encoder
from facefusion.media.info import ImageInfo, MediaInfo, VideoInfo
from facefusion.media.options import OutputOptions, TrimOptions
from facefusion.media.planes import scaled_size
from facefusion.media.probe import probe
from facefusion.media.side_streams import ExtrasPlan, plan_extras
from facefusion.media.sound import SoundInfo
from facefusion.media.timeline import Timeline, build_timeline, still_timeline
from facefusion.pipeline.crew import Crew, choose_crew
from facefusion.pipeline.estimates import (
    SOURCE_BYTES,
    MediaSize,
    encoded_bytes,
    fitted_memory,
    output_bytes,
    work_bytes,
)
from facefusion.pipeline.options import PathOptions, WorkflowOptions
from facefusion.pipeline.output import check_opaque_format, check_output, check_picture_size
from facefusion.pipeline.plan_sources import SourceUsers, find_cast, find_sounds
from facefusion.pipeline.request import required_paths
from facefusion.pipeline.resources import check_memory
from facefusion.pipeline.selection_requirements import (
    check_detector_size,
    check_selection,
    selection_measurements,
    selection_models,
)
from facefusion.processors.cast import NO_CAST, Cast
from facefusion.processors.registration import Effect, Requirements, joined
from facefusion.processors.registry import ProcessorsOptions, registrations
from facefusion.safety.voters import GATE_MODELS, ONLY_EMBEDDED, Voters
from facefusion.settings import Settings
from facefusion.stopping import StopFlag
from facefusion.voice.options import VoiceExtractorOptions, extraction_memory, extractor_networks

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


def make_plan(
    settings: Settings,
    workers: int,
    segment_frames: int = SEGMENT_FRAMES,
    flag: StopFlag | None = None,
    memory_limit: int | None = None,
    voters: Voters = ONLY_EMBEDDED,
    weight_bytes: Callable[[str], int] = lambda model_id: 0,
) -> Plan:
    """Probe target and output and return the plan; write nothing.

    ``settings`` has frozen models, without 'auto'. ``workers`` is reduced to fit ``memory_limit`` and the limits of
    the system; a single worker may still exceed ``memory_limit``. ``voters`` are the classifiers of the content gate;
    ``weight_bytes`` returns the size of published weights by model id. Raises UsageError for missing settings,
    MediaError for target and sources, OutputError for the output, ResourceError memory-short.
    """
    paths, options = settings[PathOptions], settings[OutputOptions]
    target_path, output_path = required_paths(paths)
    target, output = probe(Path(target_path), flag), Path(output_path)
    sources = tuple(Path(path) for path in paths.source_paths)
    chain = planned_processors(settings)
    if not chain:
        raise UsageError('processors-missing', 'the processor is missing', hint='add --processors NAME')
    needed = joined(processor.requirements for processor in chain)
    if needed.faces or needed.source_faces:
        check_detector_size(settings[FaceDetectorOptions])
    users = source_users(chain)
    cast = find_cast(settings, sources, users)
    # Only files of the plan are screened, hashed and named in the credentials.
    sources = sources if cast.people is None else cast.files
    sounds = find_sounds(cast, sources, users, flag)
    family = _family(settings, target, sounds)
    selecting: tuple[str, ...] = ()
    if needed.faces:
        check_selection(settings, target, cast)
        selecting = selection_measurements(settings, target)
    _check_output(settings, output, target, sources, family)
    processed, working = processed_size(settings, target)
    has_alpha = any(processor.writes_alpha for processor in chain)
    size = MediaSize(target, options, output.suffix.lower(), processed, has_alpha, working)
    models = needed_models(settings, cast, chain, {*needed.measurements, *selecting}, voters)
    others = {
        'voice extraction': extraction_memory(settings[VoiceExtractorOptions]) if sounds else 0,
        'further source faces': SOURCE_BYTES * max(len(cast.images) - 1, 0),
    }
    timeline = _plan_timeline(target, sounds, settings) if family == 'video' else None
    segments = grid(0, timeline.frame_count, segment_frames) if timeline is not None else ()
    weights = sum(map(weight_bytes, models))

    def fit(crew: Crew) -> tuple[Crew, dict[str, int]]:
        return fitted_memory(size, crew, memory_limit, weights, others)

    (workers, processes), memory_parts = choose_crew(settings[ExecutionOptions], workers, len(segments), fit)
    # Check the memory before an encoder is tried, because the encoder would run out of memory first.
    check_memory(sum(memory_parts.values()), f'this {family}', workers)
    picture = Picture(*scaled_size(target.width, target.height, options.output_video_scale), has_alpha)
    video, frames, encoded = None, 0, 0
    if timeline is not None:
        video = _plan_video(target, sounds, settings, output, picture, timeline, segments)
        frames = timeline.frame_count
        encoded = encoded_bytes(video.encoder, frames, options.output_video_quality)
        if isinstance(target, VideoInfo):
            target = replace(target, remarks=(*target.remarks, *video.extras.remarks))
    return Plan(
        target=target,
        sources=sources,
        output=output,
        processors=chain,
        models=models,
        settings=settings.as_record(),
        video=video,
        memory=sum(memory_parts.values()),
        work_space=work_bytes(frames, encoded, sounds),
        output_space=output_bytes(size, encoded),
        memory_parts=memory_parts,
        workers=workers,
        processes=processes,
        processed_size=processed,
        sounds=sounds,
        cast=cast,
        selecting=selecting,
    )


def source_users(chain: tuple[PlannedProcessor, ...]) -> SourceUsers:
    """Return the names of the processors that use sources."""
    faces = [each.name for each in chain if each.requirements.source_faces]
    audio = [each.name for each in chain if each.requirements.source_audio]
    return SourceUsers(', '.join(faces), ', '.join(audio))


def _family(settings: Settings, target: MediaInfo, sounds: tuple[SoundInfo, ...]) -> str:
    """Return the kind of the output, 'image' or 'video'. Raises UsageError workflow-mode."""
    family = 'image' if isinstance(target, ImageInfo) and not sounds else 'video'
    mode = settings[WorkflowOptions].workflow_mode
    if mode not in ('auto', f'image-to-{family}'):
        raise UsageError(
            'workflow-mode',
            f'--workflow-mode {mode} does not match {target.path}, whose output is of the kind {family}',
            hint='leave the option out',
        )
    return family


def _check_output(settings: Settings, output: Path, target: MediaInfo, sources: tuple[Path, ...], family: str) -> None:
    """Raise OutputError for an output that cannot be written, or UsageError for one that cannot be transparent."""
    becomes = 'an image with a voice becomes a video' if isinstance(target, ImageInfo) and family == 'video' else ''
    check_output(output, target.path, sources, family, becomes)
    if family == 'image':
        scale = settings[OutputOptions].output_image_scale
        check_picture_size(output, *scaled_size(target.width, target.height, scale))
    _check_transparency(settings, output, family)


def _check_transparency(settings: Settings, output: Path, family: str) -> None:
    """Raise UsageError alpha-format or alpha-container for transparency that the output cannot have."""
    for each in registrations(settings[ProcessorsOptions].processors):
        if each.writes_alpha(settings) and family == 'image':
            check_opaque_format(output, each.opaque_hint)
        elif each.writes_alpha(settings):
            check_alpha(settings[OutputOptions].output_video_encoder, output.suffix.lower(), each.opaque_hint)


def processed_size(settings: Settings, target: MediaInfo) -> tuple[tuple[int, int], int]:
    """Return the size of the processed frames, and the memory that the processors need for a frame."""
    size, working = (target.width, target.height), 0
    for registration in registrations(settings[ProcessorsOptions].processors):
        working += registration.working_bytes(settings, size)
        size = registration.output_size(settings, size)
    return size, working


def planned_processors(settings: Settings) -> tuple[PlannedProcessor, ...]:
    """Return the processors of the settings in their order."""
    return tuple(
        PlannedProcessor(
            name=each.name,
            effect=each.effect(settings),
            models=each.models(settings),
            requirements=each.requirements(settings),
            writes_alpha=each.writes_alpha(settings),
        )
        for each in registrations(settings[ProcessorsOptions].processors)
    )


def needed_models(
    settings: Settings,
    cast: Cast,
    chain: tuple[PlannedProcessor, ...],
    measured: Collection[str],
    voters: Voters,
) -> tuple[str, ...]:
    """Return the catalogue ids of all networks of a chain, the content gate and the measurements ``measured``."""
    needed, models = joined(processor.requirements for processor in chain), list[str]()
    if needed.faces or needed.source_faces:
        models += detector_models(settings[FaceDetectorOptions])
        models += landmarker_models(settings[FaceLandmarkerOptions])
    models += voters.models
    # The embedder checks that the images of a group show one person.
    if needed.mesh and needed.source_faces and any(len(group) > 1 for group in cast.images):
        models.append(EMBEDDER)
    models += measurements_named(measured).models
    models += selection_models(settings) if needed.faces else ()
    if needed.source_audio:
        models += extractor_networks(settings[VoiceExtractorOptions])
    models += (name for processor in chain for name in processor.models)
    return tuple(dict.fromkeys(models))


def grid(start: int, stop: int, length: int) -> tuple[Span, ...]:
    """Return spans that cover start .. stop, cut at the multiples of ``length``."""
    cuts = [start, *range((start // length + 1) * length, stop, length), stop]
    return tuple(Span(a, b) for a, b in pairwise(cuts) if a < b)


def _plan_timeline(target: MediaInfo, sounds: tuple[SoundInfo, ...], settings: Settings) -> Timeline:
    options, trim = settings[OutputOptions], settings[TrimOptions]
    if isinstance(target, VideoInfo):
        return build_timeline(target, trim.trim_frame_start, trim.trim_frame_end, options.output_video_fps)
    if not sounds:
        raise InternalError('plan-inconsistent', 'an image without audio has no duration')
    return still_timeline(mix_duration(sounds), options.output_video_fps)


def _plan_video(
    target: MediaInfo,
    sounds: tuple[SoundInfo, ...],
    settings: Settings,
    output: Path,
    picture: Picture,
    timeline: Timeline,
    segments: tuple[Span, ...],
) -> VideoPlan:
    options, extension = settings[OutputOptions], output.suffix.lower()
    if len(sounds) > 1:
        audio = plan_mix(target, timeline, options, extension, sounds)
    else:
        audio = plan_audio(target, timeline, options, extension, sounds[0] if sounds else None)
    return VideoPlan(
        timeline=timeline,
        chunks=grid(timeline.start, timeline.stop, CHUNK_FRAMES),
        segments=segments,
        encoder=choose_encoder(target, options, extension, timeline, picture),
        audio=audio,
        extras=plan_extras(target, timeline, extension),
    )


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
