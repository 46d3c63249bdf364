"""Find the people of an image or a clip, as a run does, but without processing it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

import numpy as np

from facefusion.errors import NoFaceError
from facefusion.events import Emit
from facefusion.faces.attributes import AGES, ATTRIBUTES, GENDERS, age_of, gender_of
from facefusion.faces.chunk import FaceChunk
from facefusion.faces.clip_tracks import ClipTracks
from facefusion.faces.identity import identity_name
from facefusion.faces.measurement_table import measurements_named
from facefusion.faces.measurement_types import MeterTools
from facefusion.faces.options import (
    FaceDetectorOptions,
    FaceLandmarkerOptions,
    FaceSelectorOptions,
    FaceTrackerOptions,
)
from facefusion.faces.people import DoubtfulMerge, People, Person, find_people, people_of_image
from facefusion.faces.point_analyser import make_analyser
from facefusion.faces.recognisers import KINDS
from facefusion.faces.skin import SKIN
from facefusion.faces.topology import load_topology
from facefusion.faces.track import still_chunk
from facefusion.inference.pool import SessionPool
from facefusion.media.file_stamp import blaming_change, check_unchanged
from facefusion.media.image import read_image
from facefusion.media.info import MediaInfo, VideoInfo
from facefusion.media.options import TrimOptions
from facefusion.media.probe import probe
from facefusion.media.timeline import Timeline, build_timeline
from facefusion.pipeline.analyse import FaceTools
from facefusion.pipeline.analysis_cache import AnalysisCache
from facefusion.pipeline.content_screening import ContentScreening
from facefusion.pipeline.fingerprints import InputDigests, fingerprint_survey, target_sha256
from facefusion.pipeline.person_views import TrackViews, View, best_view, spread_views
from facefusion.pipeline.plan import CHUNK_FRAMES, grid
from facefusion.pipeline.ranges import LISTED_RANGES
from facefusion.pipeline.resources import check_memory, lowest_room, memory_of_video
from facefusion.pipeline.run import Engine, analysed_chunks
from facefusion.pipeline.tracking import Tracker, least_overlap
from facefusion.pipeline.units import analysis_units
from facefusion.pipeline.work_folder import WorkFolder
from facefusion.settings import Settings
from facefusion.stopping import StopFlag

# People and doubtful merges beyond these numbers are only counted.
LISTED_PEOPLE = 1000
LISTED_DOUBTS = 100
RECORD_VERSION = 1
"""The version of the record of a survey (docs/faces-command.md)."""


@dataclass(frozen=True, slots=True, eq=False)
class SurveyTools:
    """The tools and settings of a survey; ``settings`` has frozen models, without 'auto'.

    ``recogniser`` is the catalogue id of the recogniser, ``measured`` are the names of all measurements. ``screening``
    scores the frames, so that later runs can use the analysis from the ``cache``; it refuses nothing here. ``digests``
    are those of the weights by model id. ``temp`` is the folder of the work files, or None for that of the system.
    ``threads`` is the number of threads in use; those that chunks leave idle run the networks.
    """

    settings: Settings
    recogniser: str
    measured: tuple[str, ...]
    sessions: SessionPool
    screening: ContentScreening
    digests: Mapping[str, str]
    cache: AnalysisCache
    temp: Path | None
    threads: int
    emit: Emit
    flag: StopFlag


class Place(NamedTuple):
    """A track of a person: its frames, and its best view."""

    track: int
    first: int
    last: int
    view: View


@dataclass(frozen=True, slots=True, eq=False)
class SurveyedPerson:
    """A person with the places that show it.

    ``ranges`` are pairs of the first and last frame; ``seconds`` is the screen time, None for an image; ``size`` is the
    mean of the longer side of the face in pixels. ``views`` are in the order of time, ``best`` is the best of all.
    """

    person: Person
    ranges: tuple[tuple[int, int], ...]
    seconds: float | None
    size: float
    views: tuple[View, ...]
    best: View

    @property
    def number(self) -> int:
        """The number of the person."""
        return self.person.number

    @property
    def gender(self) -> str | None:
        """The gender, None where unknown."""
        index = gender_of(self.person.attributes) if self.person.attributes is not None else -1
        return GENDERS[index] if index >= 0 else None

    @property
    def age(self) -> tuple[int, int] | None:
        """The first and last year of the age group, None where unknown."""
        index = age_of(self.person.attributes) if self.person.attributes is not None else -1
        return (AGES[index].start, AGES[index].stop) if index >= 0 else None

    def as_record(self, crop: str | None = None) -> dict[str, Any]:
        """Return the person as plain JSON; ``crop`` is the name of the file with the best view."""
        return {
            'number': self.number,
            'frames': self.person.frames,
            'seconds': None if self.seconds is None else round(self.seconds, 3),
            'ranges': [list(pair) for pair in self.ranges[:LISTED_RANGES]],
            'more_ranges': max(len(self.ranges) - LISTED_RANGES, 0),
            'tracks': len(self.person.tracks),
            'mean_size': round(self.size, 1),
            'gender': self.gender,
            'age': list(self.age) if self.age is not None else None,
            'best_frames': [view.frame for view in self.views],
            'crop': crop,
        }


@dataclass(frozen=True, slots=True, eq=False)
class Doubt:
    """A doubtful merge with both of its places."""

    merge: DoubtfulMerge
    places: tuple[Place, Place]

    def as_record(self) -> dict[str, Any]:
        """Return the merge as plain JSON."""
        return {
            'person': self.merge.person,
            'distance': round(self.merge.distance, 4),
            'reason': self.merge.reason,
            'places': [
                {
                    'first_frame': place.first,
                    'last_frame': place.last,
                    'best_frame': place.view.frame,
                    'box': [round(side) for side in place.view.box],
                }
                for place in self.places
            ],
        }


@dataclass(frozen=True, slots=True, eq=False)
class Survey:
    """The people of a target in its frames ``start`` to ``stop`` (exclusive)."""

    target: MediaInfo
    start: int
    stop: int
    recogniser: str
    persons: tuple[SurveyedPerson, ...]
    doubts: tuple[Doubt, ...]

    def seconds_at(self, frame: int) -> float | None:
        """Return the time of a frame since the first frame of the target; None for an image."""
        target = self.target
        if not isinstance(target, VideoInfo):
            return None
        return float((target.pts[frame] - target.pts[0]) * target.time_base)

    def as_record(self) -> dict[str, Any]:
        """Return the survey as plain JSON, without files."""
        return {
            'version': RECORD_VERSION,
            'target': str(self.target.path),
            'kind': 'video' if isinstance(self.target, VideoInfo) else 'image',
            'frames': self.stop - self.start,
            'trim': [self.start, self.stop],
            'recogniser': self.recogniser,
            'persons': [each.as_record() for each in self.persons[:LISTED_PEOPLE]],
            'more_persons': max(len(self.persons) - LISTED_PEOPLE, 0),
            'doubtful': [each.as_record() for each in self.doubts[:LISTED_DOUBTS]],
            'more_doubtful': max(len(self.doubts) - LISTED_DOUBTS, 0),
            'sheet': None,
        }


def survey_people(path: Path, tools: SurveyTools, engine: Engine) -> Survey:
    """Find the people of an image or a clip.

    Raises NoFaceError target-no-face, MediaError, ModelError, ResourceError, Interrupted.
    """
    target = probe(path, tools.flag)
    with blaming_change(target, tools.flag):
        if isinstance(target, VideoInfo):
            trim = tools.settings[TrimOptions]
            timeline = build_timeline(target, trim.trim_frame_start, trim.trim_frame_end)
            with _chunks(target, timeline, tools, engine) as chunks:
                survey = _survey(target, (timeline.start, timeline.stop), chunks, tools)
        else:
            frame = read_image(path, tools.emit)
            check_unchanged(target, tools.flag)
            faces = _face_tools(tools, 1)
            survey = _survey(target, (0, 1), [still_chunk(frame, faces.analyser, faces.meters)], tools)
    return survey


def measured_with(recogniser: str, settings: Settings, with_attributes: bool) -> tuple[str, ...]:
    """Return the names of the measurements of a survey, with those of the masks, which nearly every run needs."""
    has_mesh = settings[FaceLandmarkerOptions].face_landmarker_model == 'face_mesh'
    names = [identity_name(recogniser)]
    names += [ATTRIBUTES.name] if with_attributes else []
    return measurements_named([*names, SKIN.name] if has_mesh else names).names


def fitting_workers(path: Path, workers: int, limit: int | None, flag: StopFlag) -> int:
    """Return how many workers the memory allows for a target, at least one. Raises MediaError, ResourceError."""
    target = probe(path, flag)
    if not isinstance(target, VideoInfo):
        return 1
    while True:
        needed = sum(_memory(target, workers))
        rooms = [room for room in (limit, (lowest_room(workers) or (None,))[0]) if room is not None]
        if workers == 1 or all(needed <= room for room in rooms):
            check_memory(needed, f'the analysis of {path.name}', workers)
            return workers
        workers -= 1


def _memory(target: VideoInfo, workers: int) -> Iterable[int]:
    return memory_of_video(target.width * target.height, 3 if target.bits <= 8 else 6, workers, 0).values()


def _face_tools(tools: SurveyTools, chunks: int) -> FaceTools:
    """Return the tools that find and measure the faces of this many chunks."""
    settings, sessions = tools.settings, tools.sessions.at(max(tools.threads // min(chunks, tools.threads), 1))
    analyser = make_analyser(
        sessions, settings[FaceDetectorOptions], settings[FaceLandmarkerOptions], settings[FaceSelectorOptions]
    )
    return FaceTools(analyser, measurements_named(tools.measured).prepare(MeterTools(load_topology(), sessions)))


@contextmanager
def _chunks(target: VideoInfo, timeline: Timeline, tools: SurveyTools, engine: Engine) -> Iterator[Iterator[FaceChunk]]:
    """Analyse every chunk that is not in the cache, and yield all chunks in order."""
    flag, measurements = tools.flag, measurements_named(tools.measured)
    content = target_sha256(target, flag)
    estimator = tools.screening.estimator
    ages = tools.digests[estimator.model_id] if estimator is not None else None
    key = tools.screening.findings_key(target, timeline, ages)
    inputs = InputDigests(content, (), tools.digests)
    digests = fingerprint_survey(measurements, tools.settings, inputs, [key], tools.sessions.providers)
    screening = tools.screening.screen_clip(target, timeline, content)
    spans = grid(timeline.start, timeline.stop, CHUNK_FRAMES)
    with TemporaryDirectory(prefix='facefusion-faces-', dir=tools.temp, ignore_cleanup_errors=True) as temp:
        folder = WorkFolder(Path(temp) / 'chunks', digests, tools.cache)
        folder.open()
        units = analysis_units(target, timeline.stop, _face_tools(tools, len(spans)), screening, folder)
        for _ in analysed_chunks(units, spans, engine, tools.emit, flag):
            pass
        yield (units.checkpoints.load(span, flag)[0] for span in spans)
    tools.cache.trim()


def _survey(target: MediaInfo, span: tuple[int, int], chunks: Iterable[FaceChunk], tools: SurveyTools) -> Survey:
    kind, start, stop = KINDS[tools.recogniser], *span
    tracker = Tracker(measurements_named(tools.measured), least_overlap(tools.settings[FaceTrackerOptions]))
    views = TrackViews(target.width, target.height)
    for linked in tracker.track(chunks):
        tools.flag.check()
        views.add(linked)
    tracks = tracker.tracks()
    if not tracks.count:
        raise NoFaceError(
            'target-no-face',
            f'no face was found in {target.path.name}',
            cause=f'{stop - start} frames were searched' if stop - start > 1 else '',
            hint='try --face-detector-size 1280x1280, --face-detector-angles 0 90 180 270, or a lower '
            '--face-detector-score',
        )
    people = find_people(tracks, kind) if isinstance(target, VideoInfo) else people_of_image(tracks, kind)
    persons = tuple(_surveyed(person, tracks, views, target) for person in people.persons)
    return Survey(target, start, stop, tools.recogniser, persons, _doubts(people, tracks, views))


def _surveyed(person: Person, tracks: ClipTracks, views: TrackViews, target: MediaInfo) -> SurveyedPerson:
    facts, own = tracks.facts, list(person.tracks)
    ranges = _joined(zip(facts.first[own].tolist(), (facts.stop[own] - 1).tolist(), strict=True))
    seen = [view for track in own for view in views.of(track)]
    size = float(np.average(facts.size[own], weights=facts.frames[own]))
    seconds = sum(_seconds(target, *pair) for pair in ranges) if isinstance(target, VideoInfo) else None
    return SurveyedPerson(person, ranges, seconds, size, spread_views(seen), best_view(seen))


def _joined(ranges: Iterable[tuple[int, int]]) -> tuple[tuple[int, int], ...]:
    """Return ranges of first and last frame in order; those that overlap or touch are joined."""
    joined = list[tuple[int, int]]()
    for first, last in sorted(ranges):
        if joined and first <= joined[-1][1] + 1:
            joined[-1] = joined[-1][0], max(joined[-1][1], last)
        else:
            joined.append((first, last))
    return tuple(joined)


def _seconds(target: VideoInfo, first: int, last: int) -> float:
    end = target.pts[last + 1] if last + 1 < target.frame_count else target.pts[last] + target.last_duration
    return float((end - target.pts[first]) * target.time_base)


def _doubts(people: People, tracks: ClipTracks, views: TrackViews) -> tuple[Doubt, ...]:
    facts = tracks.facts

    def place(track: int) -> Place:
        return Place(track, int(facts.first[track]), int(facts.stop[track]) - 1, best_view(views.of(track)))

    return tuple(Doubt(each, (place(each.tracks[0]), place(each.tracks[1]))) for each in people.doubtful)
