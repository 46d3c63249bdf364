"""Plan a run: make all its decisions in advance, from the settings of a step and the probe of its target."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass, replace
from pathlib import Path

from facefusion.errors import InternalError, UsageError
from facefusion.faces.embed import MODEL_ID as EMBEDDER
from facefusion.faces.measurement_table import measurements_named
from facefusion.faces.options import FaceDetectorOptions, FaceLandmarkerOptions, detector_models, landmarker_models
from facefusion.inference.options import ExecutionOptions
from facefusion.media.audio import plan_audio
from facefusion.media.audio_mix import mix_duration, plan_mix
from facefusion.media.containers import check_alpha
from facefusion.media.encoder import Picture, choose_encoder
from facefusion.media.info import ImageInfo, MediaInfo, VideoInfo
from facefusion.media.options import OutputOptions, TrimOptions
from facefusion.media.planes import scaled_size
from facefusion.media.probe import probe
from facefusion.media.side_streams import plan_extras
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
from facefusion.pipeline.plan import CHUNK_FRAMES, SEGMENT_FRAMES, Plan, PlannedProcessor, Span, VideoPlan, grid
from facefusion.pipeline.plan_sources import SourceUsers, find_cast, find_sounds
from facefusion.pipeline.request import required_paths
from facefusion.pipeline.resources import check_memory
from facefusion.pipeline.selection_requirements import (
    check_detector_size,
    check_selection,
    selection_measurements,
    selection_models,
)
from facefusion.processors.cast import Cast
from facefusion.processors.registration import Requirements, joined
from facefusion.processors.registry import ProcessorsOptions, registrations
from facefusion.safety.voters import ONLY_EMBEDDED, Voters
from facefusion.settings import Settings
from facefusion.stopping import StopFlag
from facefusion.voice.options import VoiceExtractorOptions, extraction_memory, extractor_networks


@dataclass(frozen=True, slots=True)
class _Request:
    """The checked inputs of a run. ``family`` is the kind of the output, 'image' or 'video'."""

    settings: Settings
    target: MediaInfo
    output: Path
    sources: tuple[Path, ...]
    sounds: tuple[SoundInfo, ...]
    cast: Cast
    chain: tuple[PlannedProcessor, ...]
    selecting: tuple[str, ...]
    family: str

    @property
    def requirements(self) -> Requirements:
        """The requirements of the chain."""
        return joined(processor.requirements for processor in self.chain)

    @property
    def writes_alpha(self) -> bool:
        """Whether the output has transparency."""
        return any(processor.writes_alpha for processor in self.chain)

    @property
    def extension(self) -> str:
        """The extension of the output, in lower case."""
        return self.output.suffix.lower()


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
    request = _check_request(settings, flag)
    processed, working = processed_size(settings, request.target)
    alpha = request.writes_alpha
    size = MediaSize(request.target, settings[OutputOptions], request.extension, processed, alpha, working)
    measured = {*request.requirements.measurements, *request.selecting}
    models = needed_models(settings, request.cast, request.chain, measured, voters)
    weights = sum(map(weight_bytes, models))
    timeline = _plan_timeline(request) if request.family == 'video' else None
    segments = grid(0, timeline.frame_count, segment_frames) if timeline is not None else ()

    def fit(crew: Crew) -> tuple[Crew, dict[str, int]]:
        return fitted_memory(size, crew, memory_limit, weights, _further_memory(request))

    (workers, processes), memory_parts = choose_crew(settings[ExecutionOptions], workers, len(segments), fit)
    # Check the memory before an encoder is tried, because the encoder would run out of memory first.
    check_memory(sum(memory_parts.values()), f'this {request.family}', workers)
    target, video, frames, encoded = request.target, None, 0, 0
    if timeline is not None:
        video, frames = _plan_video(request, timeline, segments), timeline.frame_count
        encoded = encoded_bytes(video.encoder, frames, settings[OutputOptions].output_video_quality)
        if isinstance(target, VideoInfo):
            target = replace(target, remarks=(*target.remarks, *video.extras.remarks))
    return Plan(
        target=target,
        sources=request.sources,
        output=request.output,
        processors=request.chain,
        models=models,
        settings=settings.as_record(),
        video=video,
        memory=sum(memory_parts.values()),
        work_space=work_bytes(frames, encoded, request.sounds),
        output_space=output_bytes(size, encoded),
        memory_parts=memory_parts,
        workers=workers,
        processes=processes,
        processed_size=processed,
        sounds=request.sounds,
        cast=request.cast,
        selecting=request.selecting,
    )


def _check_request(settings: Settings, flag: StopFlag | None) -> _Request:
    """Probe the files of a step and return them, checked against its processors and its output."""
    paths = settings[PathOptions]
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
    return _Request(settings, target, output, sources, sounds, cast, chain, selecting, family)


def _further_memory(request: _Request) -> dict[str, int]:
    """Return the bytes that a run needs besides frames and weights, by their names."""
    extraction = extraction_memory(request.settings[VoiceExtractorOptions]) if request.sounds else 0
    return {
        'voice extraction': extraction,
        'further source faces': SOURCE_BYTES * max(len(request.cast.images) - 1, 0),
    }


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


def _plan_timeline(request: _Request) -> Timeline:
    options, trim = request.settings[OutputOptions], request.settings[TrimOptions]
    if isinstance(request.target, VideoInfo):
        return build_timeline(request.target, trim.trim_frame_start, trim.trim_frame_end, options.output_video_fps)
    if not request.sounds:
        raise InternalError('plan-inconsistent', 'an image without audio has no duration')
    return still_timeline(mix_duration(request.sounds), options.output_video_fps)


def _plan_video(request: _Request, timeline: Timeline, segments: tuple[Span, ...]) -> VideoPlan:
    target, options, extension = request.target, request.settings[OutputOptions], request.extension
    sounds = request.sounds
    if len(sounds) > 1:
        audio = plan_mix(target, timeline, options, extension, sounds)
    else:
        audio = plan_audio(target, timeline, options, extension, sounds[0] if sounds else None)
    size = scaled_size(target.width, target.height, options.output_video_scale)
    picture = Picture(*size, request.writes_alpha)
    return VideoPlan(
        timeline=timeline,
        chunks=grid(timeline.start, timeline.stop, CHUNK_FRAMES),
        segments=segments,
        encoder=choose_encoder(target, options, extension, timeline, picture),
        audio=audio,
        extras=plan_extras(target, timeline, extension),
    )
