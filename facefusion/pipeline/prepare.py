"""Prepare the tools of a run before its first stage."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from facefusion.events import Emit, Message
from facefusion.faces.analyser import FaceFinder
from facefusion.faces.face import LinkedFace
from facefusion.faces.measurement_types import MeterTools
from facefusion.faces.options import FaceDetectorOptions, FaceLandmarkerOptions, FaceSelectorOptions
from facefusion.faces.point_analyser import make_analyser
from facefusion.faces.skin import make_skin_meter
from facefusion.faces.topology import MeshTopology, load_topology
from facefusion.media.voice import Voice
from facefusion.pipeline.analyse import FaceTools
from facefusion.pipeline.content_screening import ContentScreening
from facefusion.pipeline.context import RunContext
from facefusion.pipeline.processor_chain import Chain, prepare_chain
from facefusion.pipeline.profiled_faces import profiled
from facefusion.pipeline.reference_face import find_wanted
from facefusion.pipeline.selection import Wanted
from facefusion.pipeline.signing import Signer
from facefusion.pipeline.work_folder import WorkFolder
from facefusion.processors.processor import ProcessorTools
from facefusion.processors.registry import registrations
from facefusion.provenance.watermarking import NO_WATERMARKS, Watermarks
from facefusion.voice.extraction import extract_voice, is_silent
from facefusion.voice.options import BAND, VoiceExtractorOptions, extractor_of


@dataclass(frozen=True, slots=True, eq=False)
class PreparedRun:
    """The tools of one run. ``work`` is None for an image whose output is an image."""

    context: RunContext
    work: WorkFolder | None
    screening: ContentScreening
    watermarks: Watermarks
    signer: Signer
    faces: FaceTools
    chain: Chain
    wanted: Wanted
    voices: tuple[Voice, ...] = ()

    def changes(self, faces: Sequence[LinkedFace]) -> bool:
        """Whether any processor will alter a frame with these faces."""
        named = registrations(tuple(processor.name for processor in self.context.plan.processors))
        return any(registration.changes(self.context.settings, faces) for registration in named)

    def watermarks_if(self, will_change: bool) -> Watermarks:
        """Return the watermarks of all frames, or none if nothing is altered."""
        return self.watermarks if will_change else NO_WATERMARKS


def prepare_run(
    context: RunContext, work: WorkFolder | None, screening: ContentScreening, watermarks: Watermarks, signer: Signer
) -> PreparedRun:
    """Load the models, screen the sources, and prepare the processors.

    Raises ModelError, ProviderError, ContentRefused, NoFaceError, MediaError.
    """
    voices = extract_voices(context, work) if work is not None else ()
    faces = prepare_faces(context)
    with context.profile.span('content gate'):
        check_sources(context, screening, faces.analyser)
    run = PreparedRun(
        context=context,
        work=work,
        screening=screening,
        watermarks=watermarks,
        signer=signer,
        faces=faces,
        wanted=find_wanted(context, faces.analyser),
        chain=prepare_processors(context, faces.analyser, voices),
        voices=voices,
    )
    # Frees the networks that only sources needed.
    context.sessions.stage_ended(context.plan.models)
    return run


def check_sources(context: RunContext, screening: ContentScreening, analyser: FaceFinder) -> None:
    """Raise ContentRefused for a refused source; a source that passed in an earlier step is not checked again."""
    sources = context.plan.sources

    def check(emit: Emit) -> None:
        screening.check_sources(sources, analyser, emit)

    context.kept.get('content gate', sources, (), check, context.emit)


def prepare_faces(context: RunContext) -> FaceTools:
    """Return the tools that find and measure the faces of the target. Raises ModelError, ProviderError."""
    plan, settings = context.plan, context.settings
    analyser = FaceFinder()
    if plan.finds_faces:
        analyser = make_analyser(
            context.sessions.at(plan.network_threads),
            settings[FaceDetectorOptions],
            settings[FaceLandmarkerOptions],
            settings[FaceSelectorOptions],
        )
    meters = plan.measurements.prepare(MeterTools(_topology(context), context.sessions, context.kept.cache))
    return FaceTools(*profiled(analyser, meters, context.profile))


def _topology(context: RunContext) -> MeshTopology:
    return context.kept.cache.get('topology', lambda emit: load_topology(), context.emit)


def prepare_processors(context: RunContext, analyser: FaceFinder, voices: Sequence[Voice]) -> Chain:
    """Return the processors, ready to process. Raises their errors, such as NoFaceError."""
    plan = context.plan
    # The frames of a clip are processed side by side, so their networks have one thread each.
    threads = plan.workers if plan.video is None else 1
    tools = ProcessorTools(
        settings=context.settings,
        sessions=context.sessions.at(threads),
        analyser=analyser,
        meter=make_skin_meter(_topology(context), context.kept.cache) if plan.requirements.mesh else None,
        emit=context.emit,
        batches=plan.batches,
        voices=tuple(voices),
        flag=context.flag,
        threads=threads,
        cast=plan.cast,
        kept=context.kept,
    )
    return prepare_chain(plan, tools, context.profile)


def extract_voices(context: RunContext, work: WorkFolder) -> tuple[Voice, ...]:
    """Return the voices for processors from the work folder; extract those that are missing there."""
    plan = context.plan
    extractor = extractor_of(context.settings[VoiceExtractorOptions])
    # The detector is too small for several threads.
    sessions = context.sessions if extractor == BAND else context.sessions.at(plan.workers)
    voices = []
    for number, sound in enumerate(plan.sounds):
        voice = extract_voice(sound, work.path, extractor, sessions, context.flag, number)
        if is_silent(voice):
            name = f'{sound.path.name}{plan.cast.users_of_voice(number)}'
            context.emit(Message('warn', 'run', f'no speech was found in {name}: mouths stay closed'))
        voices.append(voice)
    return tuple(voices)
