"""The guard of a run: looks at sources and target with the content gate and the age rule, and refuses what they do.

The target is looked at while it is analysed, by frames that are decoded anyway. Nothing is rendered before the guard
has decided. There is no way past it: a run without its classifiers does not begin.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from facefusion.errors import InternalError
from facefusion.events import Emit, Message, silent
from facefusion.faces.analyser import FaceFinder
from facefusion.faces.chunk import LinkedChunk
from facefusion.faces.face import Face, Floats
from facefusion.faces.track import INTERVAL
from facefusion.inference.pool import SessionPool
from facefusion.media.frame import Frame, PixelFrame, PlaneFrame
from facefusion.media.image import read_image
from facefusion.media.info import VideoInfo
from facefusion.media.kinds import find_kind
from facefusion.media.timeline import Timeline
from facefusion.models.store import ModelStore
from facefusion.pipeline.ranges import FrameRanges, ranges_of
from facefusion.safety.age import AgeEstimate, AgeEstimator, AgeLook, AgeRule
from facefusion.safety.content_gate import ContentGate, Sample, prepare_gate
from facefusion.safety.fairface import find_age_estimator
from facefusion.safety.sample_cache import SampleCache, content_sha256, model_digests, picture_sha256, sample_key
from facefusion.safety.sampling import PICTURE, Sampling, ends_gap, is_sampled, plan_sampling
from facefusion.stopping import StopFlag

# What decides, beside the sampling, which frames are looked at: kept results of other rules do not count.
_RULE: Mapping[str, int] = {'shots': 1, 'interval': INTERVAL, 'parts': 1, 'alpha': 1, 'gaps': 1}


@dataclass(frozen=True, slots=True, eq=False)
class ContentScreening:
    """What is asked about the material of a run. ``estimator`` is None where no faces are swapped, or none is there."""

    gate: ContentGate
    estimator: AgeEstimator | None
    cache: SampleCache
    digests: Mapping[str, str]
    flag: StopFlag
    emit: Emit = silent

    def check_sources(self, paths: Sequence[Path], analyser: FaceFinder, emit: Emit) -> None:
        """Raises ContentRefused for a source picture that is refused, MediaError for one that cannot be read.

        Clips are passed over: the plan refuses them where a processor takes sources.
        """
        for path in paths:
            if find_kind(path, takes_audio=True).family != 'image':
                continue
            frame = read_image(path, emit)
            self.check_picture(path, frame)
            if self.estimator is not None:
                faces = sorted(analyser.find(frame), key=lambda face: -face.size)[:1]
                looks = [_look(0, 0, 0.0, self.estimator, frame, face.landmarks) for face in faces]
                AgeRule(self.estimator.model_id).decide(path, looks)

    def check_picture(self, path: Path, frame: PixelFrame) -> None:
        """Raises ContentRefused when a picture is refused."""
        self.gate.decide(path, [self.look_at_picture(frame)], PICTURE.step)

    def look_at_picture(self, frame: PixelFrame) -> Sample:
        """The scores of a picture, those of an earlier look where its pixels are the same."""
        self.flag.check()
        content = picture_sha256(frame.pixels, frame.alpha, self.flag)
        key = sample_key(content, self.digests, PICTURE, _RULE)
        samples = self.cache.get(key, PICTURE, len(self.gate.model_ids))
        if samples is None:
            samples = (Sample(0, 0.0, self.gate.classify_still(frame.pixels, frame.alpha)),)
            self.cache.put(key, samples)
        return samples[0]

    def check_ages(self, path: Path, frame: Frame, linked: LinkedChunk) -> None:
        """Raises ContentRefused when a selected face of a picture is too young."""
        if self.estimator is not None:
            looks = [
                _look(int(track), 0, 0.0, self.estimator, frame, landmarks)
                for track, landmarks in zip(linked.track, linked.landmarks, strict=True)
            ]
            AgeRule(self.estimator.model_id).decide(path, looks)

    def watch(self, target: VideoInfo, timeline: Timeline, content: str = '') -> TargetWatch:
        """What analyse has to show of a clip; frames that were looked at before need not be shown again.

        ``content`` is the digest of the clip's bytes where it is known.
        """
        sampling = _sampling(target, timeline)
        content = content or content_sha256(target.path, self.flag)
        key = sample_key(content, self.digests, sampling, _RULE)
        known = self.cache.get(key, sampling, len(self.gate.model_ids))

        return TargetWatch(self, target, sampling, key, known)

    def watched_picture(self, ages: str | None) -> dict[str, Any]:
        """As ``watched``, of a picture that is shown as a clip: it is looked at whenever it is analysed."""
        models = [[name, self.digests[name]] for name in self.gate.model_ids]
        return {'gate': models, 'rule': dict(_RULE), 'ages': ages}

    def watched(self, target: VideoInfo, timeline: Timeline, ages: str | None) -> dict[str, Any]:
        """What decides the looks that are kept with a chunk, as plain JSON; ``ages`` is the digest of the estimator's
        weights, None where no ages are estimated."""
        sampling = _sampling(target, timeline)
        return {**self.watched_picture(ages), 'sampling': [sampling.start, sampling.step]}


class FoundAge(NamedTuple):
    """An estimate of a face whose track is not known before link; ``middle`` and ``width`` of its mesh in pixels."""

    frame: int
    middle: tuple[float, float]
    width: float
    estimate: AgeEstimate


@dataclass(frozen=True, slots=True)
class ChunkLooks:
    """What the guard has seen of the frames of a chunk and of the one after it.

    ``damaged`` are the frames of the chunk that could not be read, or not all of them.
    """

    samples: tuple[Sample, ...]
    ages: tuple[FoundAge, ...]
    damaged: frozenset[int] = frozenset()

    def as_record(self) -> dict[str, Any]:
        """The looks as plain JSON."""
        return {
            'samples': [[each.frame, float(each.seconds), list(each.scores)] for each in self.samples],
            'ages': [
                [age.frame, list(age.middle), age.width, age.estimate.under_18, age.estimate.words] for age in self.ages
            ],
            'damaged': ranges_of(set(self.damaged)),
        }

    @classmethod
    def from_record(cls, record: Mapping[str, Any]) -> ChunkLooks:
        """Undoes ``as_record``. Raises KeyError, TypeError, ValueError."""
        samples = [Sample(frame, seconds, tuple(scores)) for frame, seconds, scores in record['samples']]
        ages = [
            FoundAge(frame, (x, y), width, AgeEstimate(under_18, words))
            for frame, (x, y), width, under_18, words in record['ages']
        ]
        damaged = frozenset(number for first, last in record['damaged'] for number in range(first, last + 1))
        return cls(tuple(samples), tuple(ages), damaged)


NO_LOOKS = ChunkLooks((), ())


class FrameWatch:
    """Looks at the frames of one chunk as analyse decodes them; made by ``TargetWatch.frames``.

    ``known`` are the samples of an earlier run, which had looked at all of the clip; None when there was none.
    """

    def __init__(
        self, screening: ContentScreening, clock: ClipClock, sampling: Sampling, known: Sequence[Sample] | None
    ) -> None:
        self._screening = screening
        self._clock = clock
        self._sampling = sampling
        self._is_known = known is not None
        self._samples = {sample.frame: sample for sample in known or ()}
        self._ages: list[FoundAge] = []
        self._damaged = set[int]()

    def look(self, frame: Frame, starts_shot: bool, faces: Sequence[Face] = (), appeared: Sequence[Face] = ()) -> None:
        """Looks at a frame if it is one of those; ``faces`` are those that are known in it.

        In the other frames only the ages of those that have just ``appeared`` are estimated: they may be gone before
        the next sample.
        """
        if isinstance(frame, PlaneFrame) and frame.is_damaged:
            self._damaged.add(frame.number)
        is_looked_at = starts_shot or self._clock.is_sampled(frame.number, self._sampling)
        if is_looked_at and not self._is_known:
            scores = self._screening.gate.classify([frame.read(frame.window)])[0]
            self._samples[frame.number] = Sample(frame.number, self._clock.seconds(frame.number), scores)
        if self._screening.estimator is not None:
            for face in faces if is_looked_at else appeared:
                estimate = self._screening.estimator.under_18(frame, face.landmarks)
                across = face.landmarks[:, :2]
                x, y = across.mean(axis=0).tolist()
                self._ages.append(FoundAge(frame.number, (x, y), float(np.ptp(across[:, 0])), estimate))

    def look_behind(self, frame: Frame) -> None:
        """Looks at the frame after the chunk, which starts a shot: the next chunk does not know that."""
        if not self._clock.is_sampled(frame.number, self._sampling):
            self.look(frame, True)

    def looks(self) -> ChunkLooks:
        """What was seen."""
        samples = tuple(self._samples[number] for number in sorted(self._samples))
        return ChunkLooks(samples, tuple(self._ages), frozenset(self._damaged))


@dataclass(frozen=True, slots=True, eq=False)
class ClipClock:
    """When the frames of a clip are shown."""

    target: VideoInfo

    def seconds(self, number: int) -> float:
        """The time of a frame, from the first one on."""
        return float((self.target.pts[number] - self.target.pts[0]) * self.target.time_base)

    def shown(self, number: int) -> float:
        """For how many seconds a frame is shown."""
        pts = self.target.pts
        ticks = pts[number + 1] - pts[number] if number + 1 < len(pts) else self.target.last_duration
        return float(ticks * self.target.time_base)

    def is_sampled(self, number: int, sampling: Sampling) -> bool:
        """Whether the frame is looked at in any case."""
        start, step = sampling.start, sampling.step
        return is_sampled(number, start, step) or ends_gap(number, start, step, self.seconds)


class TargetWatch:
    """Collects what is seen of the frames of one clip, and decides when all were analysed and linked."""

    def __init__(
        self,
        screening: ContentScreening,
        target: VideoInfo,
        sampling: Sampling,
        key: str,
        known: Sequence[Sample] | None,
    ) -> None:
        self._screening = screening
        self._target = target
        self._clock = ClipClock(target)
        self._sampling = sampling
        self._key = key
        self._known = known
        self._samples: list[Sample] = list(known or ())
        self._ages: list[FoundAge] = []
        self._looks: list[AgeLook] = []
        self._damaged = set[int]()
        self._damage = FrameRanges()

    def frames(self, start: int, stop: int) -> FrameWatch:
        """Looks at the frames ``start`` to ``stop`` (exclusive) and the one after; its looks go to ``take``."""
        known = [each for each in self._known if start <= each.frame <= stop] if self._known is not None else None
        return FrameWatch(self._screening, self._clock, self._sampling, known)

    @property
    def is_known(self) -> bool:
        """Whether an earlier run has looked at all that is sampled."""
        return self._known is not None

    @property
    def samples(self) -> tuple[Sample, ...]:
        """What was looked at so far, in the order of the frames."""
        # A frame between two chunks may have been seen with both.
        frames = {sample.frame: sample for sample in self._samples}
        return tuple(frames[number] for number in sorted(frames))

    def is_whole(self, looks: ChunkLooks, start: int, stop: int) -> bool:
        """Whether every frame of a chunk that is sampled is among the looks, with a score of each classifier."""
        numbers = {each.frame for each in looks.samples}
        count = len(self._screening.gate.model_ids)
        if any(len(each.scores) != count for each in looks.samples):
            return False
        return all(number in numbers for number in range(start, stop) if self._clock.is_sampled(number, self._sampling))

    def take(self, looks: ChunkLooks) -> None:
        """Takes what was seen of a chunk, now or by an earlier run. Chunks are taken in order."""
        self._damaged |= looks.damaged
        if self._known is None:
            self._samples += [each for each in looks.samples if each.frame in self._sampling]
        if self._screening.estimator is not None:
            self._ages += looks.ages

    def note(self, linked: LinkedChunk) -> None:
        """Takes a linked chunk: which of the faces are selected, and whose they are."""
        last = linked.first + linked.count
        # Chunks come in order: what lies before their end is not needed again.
        ended = [each for each in self._ages if each.frame < last]
        self._ages = [each for each in self._ages if each.frame >= last]
        for number in sorted(number for number in self._damaged if number < last):
            self._damaged.remove(number)
            self._damage.add(number)
        for found in ended:
            rows = np.flatnonzero(linked.frame == found.frame)
            if not len(rows):
                continue
            middles = linked.landmarks[rows][:, :, :2].mean(axis=1)
            distances = np.linalg.norm(middles - np.array(found.middle), axis=1)
            best = int(distances.argmin())
            if distances[best] <= found.width / 2:
                track = int(linked.track[rows[best]])
                self._looks.append(AgeLook(track, found.frame, self._clock.seconds(found.frame), found.estimate))

    def decide(self) -> None:
        """Raises ContentRefused when the clip is refused; what was seen is kept for the next run of it."""
        path = self._target.path
        samples = self.samples
        seen = {sample.frame for sample in samples}
        if not all(number in seen for number in self._sampling.regular):
            raise InternalError('gate-samples', f'{path.name} was not looked at in every frame that is sampled')
        if self._known is None:
            self._screening.cache.put(self._key, samples)
        self._screening.gate.decide(path, samples, self._sampling.step, self._clock.shown)
        if self._screening.estimator is not None:
            AgeRule(self._screening.estimator.model_id).decide(path, self._looks)

    @property
    def damaged(self) -> FrameRanges:
        """The frames of linked chunks that could not be read, or not all of them."""
        return self._damage


def prepare_screening(
    sessions: SessionPool, store: ModelStore, kept: Path, swaps: bool, emit: Emit, flag: StopFlag
) -> ContentScreening:
    """The guard of a run, which keeps results in the folder ``kept``. Raises ModelError, ProviderError."""
    gate = prepare_gate(sessions)
    estimator = find_age_estimator(sessions, store) if swaps else None
    if estimator is not None:
        emit(Message('debug', 'safety', f'ages are estimated with {estimator.model_id}'))
    return ContentScreening(gate, estimator, SampleCache(kept, emit), model_digests(store, gate.model_ids), flag, emit)


def _sampling(target: VideoInfo, timeline: Timeline) -> Sampling:
    return plan_sampling(timeline.start, timeline.stop - timeline.start, target.average_rate)


def _look(track: int, number: int, seconds: float, estimator: AgeEstimator, frame: Frame, landmarks: Floats) -> AgeLook:
    return AgeLook(track, number, seconds, estimator.under_18(frame, landmarks))
