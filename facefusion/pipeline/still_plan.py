"""The plan of a single frame of a target, which is processed in memory and never written to a file."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace
from pathlib import Path

from facefusion.faces.options import FaceDetectorOptions
from facefusion.media.info import MediaInfo, VideoInfo
from facefusion.media.options import OutputOptions
from facefusion.pipeline.crew import Crew
from facefusion.pipeline.estimates import SOURCE_BYTES, MediaSize, fitted_memory
from facefusion.pipeline.options import PathOptions
from facefusion.pipeline.plan import Plan
from facefusion.pipeline.plan_sources import find_cast
from facefusion.pipeline.planning import needed_models, planned_processors, processed_size, source_users
from facefusion.pipeline.resources import check_memory
from facefusion.pipeline.selection_requirements import (
    check_detector_size,
    check_selection,
    selection_measurements,
)
from facefusion.processors.registration import joined
from facefusion.processors.registry import ProcessorsOptions
from facefusion.safety.voters import Voters
from facefusion.settings import Settings


def still_settings(settings: Settings, target: MediaInfo) -> tuple[Settings, tuple[str, ...]]:
    """Return the settings for a frame of a target, and the processors left out because they need a voice.

    The scale of the output is that of the target's kind.
    """
    options, chain = settings[OutputOptions], planned_processors(settings)
    left_out = tuple(each.name for each in chain if each.requirements.source_audio)
    if isinstance(target, VideoInfo):
        settings = settings.replace(replace(options, output_image_scale=options.output_video_scale))
    kept = tuple(each.name for each in chain if each.name not in left_out)
    return settings.replace(replace(settings[ProcessorsOptions], processors=kept)), left_out


def make_still_plan(
    settings: Settings, target: MediaInfo, workers: int, voters: Voters, measured: Collection[str] = ()
) -> Plan:
    """Return the plan of a frame of a probed target, without ``video`` and with an empty output.

    ``settings`` has frozen models. Processors that need a voice are left out, although their sources are checked.
    ``measured`` are further measurements of the faces. Raises UsageError, MediaError and ResourceError as
    ``make_plan`` does.
    """
    sources = tuple(Path(path) for path in settings[PathOptions].source_paths)
    cast = find_cast(settings, sources, source_users(planned_processors(settings)))
    settings, _ = still_settings(settings, target)
    chain = planned_processors(settings)
    needed = joined(each.requirements for each in chain)
    if needed.faces or needed.source_faces:
        check_detector_size(settings[FaceDetectorOptions])
    selecting: tuple[str, ...] = ()
    if needed.faces:
        check_selection(settings, target, cast)
        selecting = tuple(dict.fromkeys((*selection_measurements(settings, target), *measured)))
    processed, working = processed_size(settings, target)
    has_alpha = any(each.writes_alpha for each in chain)
    extension = '.mp4' if isinstance(target, VideoInfo) else '.png'
    size = MediaSize(target, settings[OutputOptions], extension, processed, has_alpha, working)
    others = {'further source faces': SOURCE_BYTES * max(len(cast.images) - 1, 0)}
    parts = fitted_memory(size, Crew(1), None, 0, others)[1]
    check_memory(sum(parts.values()), 'this frame', 1)
    return Plan(
        target=target,
        sources=sources if cast.people is None else cast.files,
        output=Path(),
        processors=chain,
        models=needed_models(settings, cast, chain, {*needed.measurements, *selecting}, voters),
        settings=settings.as_record(),
        video=None,
        memory=sum(parts.values()),
        work_space=0,
        output_space=0,
        memory_parts=parts,
        workers=workers,
        processed_size=processed,
        cast=cast,
        selecting=selecting,
    )
