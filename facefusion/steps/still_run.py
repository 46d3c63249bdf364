"""Process a single frame of a target in memory, with everything that a run applies to it, for previews.

The frame passes the content gate, the age rule and the rules of consent, and gets the label and the mark. It differs
from the frame of a run in three ways: the frames around it have no effect, so nothing is smoothed over time; processors
that need a voice are left out; and the content gate judges the frame of a clip like an image.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from facefusion.errors import ModelError, NoFaceError, UsageError
from facefusion.events import Emit, Event, Message, silent
from facefusion.faces.analyser import FaceFinder
from facefusion.faces.chunk import FaceChunk, LinkedChunk, Selection
from facefusion.faces.clip_tracks import ClipTracks
from facefusion.faces.face import LinkedFace
from facefusion.faces.options import (
    FaceDetectorOptions,
    FaceLandmarkerOptions,
    FaceRecognizerOptions,
    FaceSelectorOptions,
    ReferenceFaceOptions,
    detector_models,
    landmarker_models,
)
from facefusion.faces.people import People, Person, people_of_image
from facefusion.faces.track import still_chunk
from facefusion.inference.options import ExecutionOptions
from facefusion.media.convert import to_8_bits
from facefusion.media.frame import Frame, PixelFrame
from facefusion.media.image import on_white, read_image
from facefusion.media.info import MediaInfo, VideoInfo
from facefusion.media.kinds import images_of
from facefusion.media.planes import Pixels
from facefusion.media.sources import frame_out_of_range
from facefusion.models.store import ModelStore
from facefusion.pipeline.content_screening import ContentScreening, prepare_screening
from facefusion.pipeline.context import RunContext
from facefusion.pipeline.crew import worker_count
from facefusion.pipeline.fingerprints import source_sha256
from facefusion.pipeline.plan import Plan
from facefusion.pipeline.prepare import check_sources, prepare_faces, prepare_processors
from facefusion.pipeline.reference_face import find_wanted
from facefusion.pipeline.render import faces_of, still_task
from facefusion.pipeline.selection import Selector, Wanted, refuse_if_nobody
from facefusion.pipeline.still_people import people_of_frame
from facefusion.pipeline.still_plan import make_still_plan, still_settings
from facefusion.pipeline.tracking import Tracker
from facefusion.pipeline.watermarking import mark_of_run, watermarks_of_run
from facefusion.processors.processor import FrameTask
from facefusion.processors.registry import registrations
from facefusion.processors.source_results import SourceResults
from facefusion.provenance.watermarking import NO_WATERMARKS
from facefusion.result_cache import ResultCache
from facefusion.safety.consent import check_consent
from facefusion.safety.fairface import MODEL_ID as AGE_MODEL
from facefusion.safety.sample_cache import model_digests
from facefusion.safety.voters import find_voters
from facefusion.settings import Settings
from facefusion.steps.arguments import freeze_models, with_mapped_sources
from facefusion.steps.frame_cache import FrameCache
from facefusion.steps.kept import Kept
from facefusion.steps.step_run import StepEnvironment
from facefusion.stopping import StopFlag

# Findings in a frame, such as its faces, its passed content gate, and the reference face; each takes up to 100 kB.
_MOST_FINDINGS = 64
_MOST_FRAME_BYTES = 200_000_000
# The mark of a preview carries this name instead of the id of a job.
_JOB = 'preview'


class StillFile(NamedTuple):
    """A frame of a file in one state: path, size in bytes, time of the last change, and the number of the frame."""

    path: Path
    size: int
    modified: int
    number: int


class FrameLibrary(Protocol):
    """A source of probed files and of their exact frames, which raises MediaError."""

    def info(self, path: Path) -> MediaInfo: ...

    def frame(self, path: Path, number: int) -> Frame: ...


@dataclass(frozen=True, slots=True, eq=False)
class Still:
    """A processed frame: uint8 HxWx3 BGR at the size of the output, on white where it is transparent.

    ``remarks`` say how a run would differ, and repeat its warnings. ``seconds`` are the times of the stages.
    """

    pixels: Pixels
    is_changed: bool
    remarks: tuple[str, ...]
    seconds: dict[str, float]


@dataclass(frozen=True, slots=True, eq=False)
class FoundFaces:
    """All faces of a frame, linked as one chunk, and those that a run would process, in the order of the selector.

    ``people`` and ``selector`` tell why the others are left alone.
    """

    target: MediaInfo
    linked: LinkedChunk
    selection: Selection
    tracks: ClipTracks
    people: People
    selector: Selector
    wanted: Wanted


@dataclass(slots=True, eq=False)
class _Work:
    """The parts of one call.

    ``key``: the file, everything that decides its faces, everything that decides those of the sources, and the digests
    of the sources.
    """

    context: RunContext
    screening: ContentScreening
    file: StillFile
    is_clip: bool
    key: tuple[Any, ...]
    persons: Sequence[Person] | None
    remarks: list[str] = field(default_factory=list)
    seconds: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def timed(self, stage: str) -> Iterator[None]:
        started = time.monotonic()
        yield
        self.seconds[stage] = self.seconds.get(stage, 0.0) + time.monotonic() - started


class StillRenderer:
    """Processes single frames; models, sources, frames and found faces stay in memory for the next call.

    One thread works at a time. ``people_of`` returns the people of a clip that a survey found, with the recogniser of
    the settings, or None; without them, the people of a frame are those seen in it.
    """

    def __init__(
        self, library: FrameLibrary, people_of: Callable[[Path, str], Sequence[Person] | None] = lambda *_: None
    ) -> None:
        self._library = library
        self._people_of = people_of
        self._kept = Kept()
        self._findings = ResultCache(_MOST_FINDINGS)
        self._frames = FrameCache(_MOST_FRAME_BYTES)

    def render(self, settings: Settings, file: StillFile, environment: StepEnvironment, flag: StopFlag) -> Still:
        """Return the frame as a run with these settings would change it; nothing is fetched or written.

        Raises ModelError model-missing, UsageError preview-people-unknown, and the errors of a run, such as
        ContentRefused.
        """
        started = time.monotonic()
        check_consent(settings)
        notes: list[str] = []

        def emit(event: Event) -> None:
            if isinstance(event, Message) and event.level in ('warn', 'error'):
                notes.append(event.text)

        work = self._prepare(settings, file, environment, (emit, flag))
        plan, settings = work.context.plan, work.context.settings
        mark = mark_of_run(plan, settings, _JOB)
        watermarks = watermarks_of_run(plan, settings, mark, emit)
        with work.timed('frame'):
            frame = self._frame(work)
        with work.timed('gate'):
            self._check_content(work, frame)
        tools = prepare_faces(work.context)
        with work.timed('sources'):
            check_sources(work.context, work.screening, tools.analyser)
        with work.timed('faces'):
            chunk = self._chunk(work, frame)
            wanted = self._wanted(work)
        found = self._select(work, chunk, wanted)
        selected = found.linked.select(found.selection)
        with work.timed('ages'):
            work.screening.check_ages(file.path, frame, selected)
        self._refuse_if_nobody(work, found, len(selected.frame))
        faces = faces_of(selected, 0)
        task, is_changed = self._process(work, tools.analyser, frame, faces)
        named = registrations(tuple(processor.name for processor in plan.processors))
        will_change = any(registration.changes(settings, faces) for registration in named)
        with work.timed('finish'):
            written = _written(task.frame, plan)
            (watermarks if will_change else NO_WATERMARKS).apply(written)
            pixels = _opaque(written)
        self._kept.step_ended()
        work.seconds['total'] = time.monotonic() - started
        return Still(pixels, is_changed, tuple(dict.fromkeys((*work.remarks, *notes))), work.seconds)

    def _process(
        self, work: _Work, analyser: FaceFinder, frame: Frame, faces: tuple[LinkedFace, ...]
    ) -> tuple[FrameTask, bool]:
        """Return the processed frame, and whether a processor changed it."""
        with work.timed('prepare'):
            chain = prepare_processors(work.context, analyser, ())
        task = still_task(frame, faces, work.context.plan.requirements)
        with work.timed('process'):
            (is_changed,) = chain.apply([task])
        return task, bool(is_changed)

    def find_faces(
        self, settings: Settings, file: StillFile, environment: StepEnvironment, measured: Sequence[str] = ()
    ) -> FoundFaces:
        """Return the faces of a frame and those that the selector would process.

        ``settings`` has a processor of faces. ``measured`` are further measurements. Raises the errors of ``render``.
        """
        work = self._prepare(settings, file, environment, (silent, StopFlag()), measured)
        chunk = self._chunk(work, self._frame(work))
        found = self._select(work, chunk, self._wanted(work))
        self._kept.step_ended()
        return found

    def free(self) -> None:
        """Free models, sources, frames and findings."""
        self._frames.clear()
        self._findings.clear()
        self._kept.free()

    def _prepare(
        self,
        settings: Settings,
        file: StillFile,
        environment: StepEnvironment,
        run: tuple[Emit, StopFlag],
        measured: Sequence[str] = (),
    ) -> _Work:
        """Plan a call, and open its models and the content gate. Raises ModelError model-missing."""
        (emit, flag), store = run, environment.store
        settings = freeze_models(with_mapped_sources(settings), environment.models, silent)
        target, workers = self._library.info(file.path), worker_count(settings[ExecutionOptions])
        plan = make_still_plan(settings, target, workers, find_voters(store), measured)
        settings, left_out = still_settings(settings, target)
        _check_models(store, plan.models)
        sessions = self._kept.sessions(store, settings[ExecutionOptions], environment.profile, emit)
        sessions.step_started((*plan.models, AGE_MODEL))
        sessions.ladder.begin(emit)
        scores, swaps = environment.folders.content_scores(), plan.requirements.source_faces
        screening = prepare_screening(sessions.at(workers), store, plan.gate_models, scores, swaps, emit, flag)
        analysis, finding = _deciding(plan, settings, sessions.providers, model_digests(store, plan.models))
        sources = {path: source_sha256(path, flag) for path in images_of(plan.sources)}
        results = SourceResults(self._kept.sources, sources, finding)
        context = RunContext(plan, settings, sessions, None, emit, flag, environment.profile, results)
        is_clip = isinstance(target, VideoInfo)
        recogniser = settings[FaceRecognizerOptions].face_recognizer_model
        persons = self._people_of(file.path, recogniser) if is_clip else None
        work = _Work(context, screening, file, is_clip, (file, analysis, finding, tuple(sources.values())), persons)
        if is_clip and plan.requirements.neighbours:
            work.remarks.append('a run also uses the frames around this one')
        if left_out:
            work.remarks.append(f'{", ".join(left_out)}: only a run shows the effect of a voice')
        return work

    def _frame(self, work: _Work) -> Frame:
        """Return the unprocessed frame. Raises MediaError frame-out-of-range and those of the decoder."""
        file, target = work.file, work.context.plan.target
        count = target.frame_count if isinstance(target, VideoInfo) else 1
        if not 0 <= file.number < count:
            raise frame_out_of_range(file.path, file.number, count)
        # An image keeps its transparency and its colour profile, as in a run.
        read = (
            (lambda: self._library.frame(file.path, file.number)) if work.is_clip else (lambda: read_image(file.path))
        )
        return self._frames.get(file, read)

    def _check_content(self, work: _Work, frame: Frame) -> None:
        """Raise ContentRefused for a refused frame; a frame that passed is not checked again."""

        def check(emit: Emit) -> None:
            image = frame if isinstance(frame, PixelFrame) else PixelFrame(frame.read(frame.window))
            work.screening.check_image(work.file.path, image)

        gate = tuple(sorted(work.screening.digests.items()))
        self._findings.get(('gate', work.file, gate), check, work.context.emit)

    def _chunk(self, work: _Work, frame: Frame) -> FaceChunk:
        context = work.context

        def find(emit: Emit) -> FaceChunk:
            tools = prepare_faces(context)
            return still_chunk(frame, tools.analyser, tools.meters)

        key = 'faces', *work.key[:2], context.plan.measurements.names, context.plan.finds_faces
        return self._findings.get(key, find, context.emit)

    def _wanted(self, work: _Work) -> Wanted:
        context = work.context
        reference = context.settings[ReferenceFaceOptions]
        picture = source_sha256(Path(reference.reference_face)) if reference.reference_face is not None else None
        groups = ReferenceFaceOptions, FaceSelectorOptions, FaceRecognizerOptions
        options = *(context.settings[group] for group in groups), picture, context.plan.cast
        key = 'wanted', work.file._replace(number=0), work.key[2:], options, context.plan.requirements.faces

        def find(emit: Emit) -> Wanted:
            return find_wanted(context, prepare_faces(context).analyser)

        return self._findings.get(key, find, context.emit)

    def _select(self, work: _Work, chunk: FaceChunk, wanted: Wanted) -> FoundFaces:
        plan, tracker = work.context.plan, Tracker(work.context.plan.measurements)
        (linked,) = tracker.track([chunk])
        tracks = tracker.tracks()
        people = people_of_image(tracks, wanted.kind)
        if work.is_clip and plan.requirements.faces:
            if work.persons is not None:
                people = people_of_frame(people, work.persons, wanted.kind)
            elif plan.cast.people is not None:
                raise UsageError(
                    'preview-people-unknown',
                    'the face map names people of the whole clip, who have not been found yet',
                    hint='find the people of the clip first, or process one person',
                )
        selector = Selector(wanted, tracks, people)
        return FoundFaces(plan.target, linked, selector.select(linked), tracks, people, selector, wanted)

    def _refuse_if_nobody(self, work: _Work, found: FoundFaces, selected: int) -> None:
        """Raise NoFaceError for an image as a run does; some frames of a clip may show no selected face."""
        try:
            refuse_if_nobody(found.selector, found.people, selected, found.wanted)
        except NoFaceError as error:
            if not work.is_clip:
                raise
            work.remarks.append(f'no face of this frame is selected: {error.cause}')


def _check_models(store: ModelStore, models: Sequence[str]) -> None:
    """Check the files of models. Raises ModelError model-missing, and the errors of ``ModelStore.fetch``."""
    missing = [model_id for model_id in models if store.file_size(model_id) is None]
    if missing:
        raise ModelError(
            'model-missing',
            f'not on this machine: {", ".join(missing)}',
            cause='a preview fetches no models',
            hint=f'run `facefusion models fetch {" ".join(missing)}`',
            facts={'models': missing},
        )
    store.fetch(models)


def _deciding(
    plan: Plan, settings: Settings, providers: Sequence[Any], digests: Mapping[str, str]
) -> tuple[tuple[Any, ...], tuple[Any, ...]]:
    """Return everything that decides the faces of the target, and everything that decides those of the sources."""
    detector, landmarker = settings[FaceDetectorOptions], settings[FaceLandmarkerOptions]
    looks = detector, landmarker, settings[FaceSelectorOptions].max_faces, tuple(providers)
    # The networks of processors and of the gate do not change the faces of the target.
    finders = {*detector_models(detector), *landmarker_models(landmarker), *plan.measurements.models}
    pairs = sorted(digests.items())
    return (*looks, tuple(pair for pair in pairs if pair[0] in finders)), (*looks, tuple(pairs))


def _written(frame: Frame, plan: Plan) -> Frame:
    """Return a frame at the size of the output."""
    if isinstance(plan.target, VideoInfo):
        return frame.to_planes(plan.target.plane_format, plan.written_size, plan.target.color)
    assert isinstance(frame, PixelFrame)
    return frame.sized(*plan.written_size)


def _opaque(frame: Frame) -> Pixels:
    pixels = frame.read(frame.window)
    return pixels if frame.alpha is None else on_white(pixels, to_8_bits(frame.alpha))
