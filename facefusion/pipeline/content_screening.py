"""The content screening of a run: the content gate and the age rule check sources and target.

The target is checked while it is analysed, on frames that are decoded anyway. Nothing is rendered before the screening
has passed, and a run without its classifiers does not start.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from facefusion.errors import InternalError
from facefusion.events import Emit, Message, silent
from facefusion.faces.analyser import FaceFinder
from facefusion.faces.chunk import LinkedChunk
from facefusion.faces.face import Face
from facefusion.faces.track import INTERVAL
from facefusion.inference.pool import SessionPool
from facefusion.media.frame import Frame, PixelFrame, PlaneFrame
from facefusion.media.image import read_image
from facefusion.media.info import MediaInfo, VideoInfo
from facefusion.media.kinds import images_of
from facefusion.media.timeline import Timeline
from facefusion.models.store import ModelStore
from facefusion.pipeline.ranges import FrameRanges, ranges_of
from facefusion.safety.age import AgeEstimate, AgeEstimator, AgeObservation, refuse_if_minor
from facefusion.safety.content_gate import ContentGate, Sample, prepare_gate
from facefusion.safety.fairface import find_age_estimator
from facefusion.safety.sample_cache import SampleCache, model_digests, pixels_sha256, sample_key
from facefusion.safety.sampling import IMAGE_SAMPLING, Sampling, ends_gap, is_sampled, plan_sampling
from facefusion.stopping import StopFlag

# The version of the rules, besides the sampling, that decide which frames are scored; cached scores of other versions
# are not used.
_RULE: Mapping[str, int] = {'shots': 1, 'interval': INTERVAL, 'parts': 1, 'alpha': 1, 'gaps': 1}


@dataclass(frozen=True, slots=True, eq=False)
class ContentScreening:
    """The content gate and the age estimator of a run, with the cache of scores.

    ``estimator`` is None if no faces are swapped or its weights are missing; ``digests`` are those of the weights.
    """

    gate: ContentGate
    estimator: AgeEstimator | None
    cache: SampleCache
    digests: Mapping[str, str]
    flag: StopFlag
    emit: Emit = silent

    def check_sources(self, paths: Sequence[Path], analyser: FaceFinder, emit: Emit) -> None:
        """Raise ContentRefused for a source image that is refused, MediaError for an unreadable one.

        Clips are skipped; the plan refuses them if a processor uses the images of sources.
        """
        for path in images_of(paths):
            frame = read_image(path, emit)
            self.check_image(path, frame)
            if self.estimator is not None:
                faces = sorted(analyser.find(frame), key=lambda face: -face.size)[:1]
                estimates = [self.estimator.under_18(frame, face.landmarks) for face in faces]
                self.check_estimates(path, [AgeObservation(0, 0, 0.0, estimate) for estimate in estimates])

    def check_image(self, path: Path, frame: PixelFrame) -> None:
        """Raise ContentRefused when an image is refused."""
        self.gate.refuse_if_unsafe(path, [self.score_image(frame)], IMAGE_SAMPLING.step)

    def score_image(self, frame: PixelFrame) -> Sample:
        """Return the scores of an image, from the cache if they are stored there."""
        self.flag.check()
        content = pixels_sha256(frame.pixels, frame.alpha, self.flag)
        key = sample_key(content, self.digests, IMAGE_SAMPLING, _RULE)
        samples = self.cache.get(key, IMAGE_SAMPLING, len(self.gate.model_ids))
        if samples is None:
            samples = (Sample(0, 0.0, self.gate.classify_still(frame.pixels, frame.alpha)),)
            self.cache.put(key, samples)
        return samples[0]

    def check_ages(self, path: Path, frame: Frame, linked: LinkedChunk) -> None:
        """Raise ContentRefused when a selected face of an image is too young."""
        if self.estimator is not None:
            faces = zip(linked.track, linked.landmarks, strict=True)
            estimates = [(int(track), self.estimator.under_18(frame, landmarks)) for track, landmarks in faces]
            self.check_estimates(path, [AgeObservation(track, 0, 0.0, estimate) for track, estimate in estimates])

    def check_estimates(self, path: Path, observations: Sequence[AgeObservation]) -> None:
        """Raise ContentRefused 'age-refused' for a face that is too young; do nothing without an estimator."""
        if self.estimator is not None:
            refuse_if_minor(path, observations, self.estimator.model_id)

    def screen_clip(self, target: VideoInfo, timeline: Timeline, content: str) -> ClipScreening:
        """Return the screening of a clip, with the cached scores of an earlier run; ``content`` is its digest."""
        sampling = _sampling(target, timeline)
        key = sample_key(content, self.digests, sampling, _RULE)
        cached = self.cache.get(key, sampling, len(self.gate.model_ids))
        return ClipScreening(self, SampledClip(target, sampling), key, cached)

    def findings_key(self, target: MediaInfo, timeline: Timeline, ages: str | None) -> dict[str, Any]:
        """Return everything that decides the findings stored with a chunk, as plain JSON.

        ``ages`` is the digest of the estimator's weights, or None without an estimator.
        """
        models = [[name, self.digests[name]] for name in self.gate.model_ids]
        key: dict[str, Any] = {'gate': models, 'rule': dict(_RULE), 'ages': ages}
        if isinstance(target, VideoInfo):
            sampling = _sampling(target, timeline)
            key['sampling'] = [sampling.start, sampling.step]
        return key


class FaceAge(NamedTuple):
    """An age estimate of a face; the track of the face is unknown before the link stage.

    ``center`` and ``width`` are those of the face's mesh in pixels.
    """

    frame: int
    center: tuple[float, float]
    width: float
    estimate: AgeEstimate


@dataclass(frozen=True, slots=True)
class ChunkFindings:
    """The scores and age estimates of the frames of a chunk and of the frame after it.

    ``damaged`` are the frames of the chunk that could not be decoded completely.
    """

    samples: tuple[Sample, ...]
    ages: tuple[FaceAge, ...]
    damaged: frozenset[int] = frozenset()

    def as_record(self) -> dict[str, Any]:
        """Return the findings as plain JSON."""
        return {
            'samples': [[each.frame, float(each.seconds), list(each.scores)] for each in self.samples],
            'ages': [
                [age.frame, list(age.center), age.width, age.estimate.under_18, age.estimate.words] for age in self.ages
            ],
            'damaged': ranges_of(set(self.damaged)),
        }

    @classmethod
    def from_record(cls, record: Mapping[str, Any]) -> ChunkFindings:
        """Return the findings that ``as_record`` wrote. Raises KeyError, TypeError, ValueError."""
        samples = [Sample(frame, seconds, tuple(scores)) for frame, seconds, scores in record['samples']]
        ages = [
            FaceAge(frame, (x, y), width, AgeEstimate(under_18, words))
            for frame, (x, y), width, under_18, words in record['ages']
        ]
        damaged = frozenset(number for first, last in record['damaged'] for number in range(first, last + 1))
        return cls(tuple(samples), tuple(ages), damaged)


NO_FINDINGS = ChunkFindings((), ())


@dataclass(frozen=True, slots=True, eq=False)
class SampledClip:
    """A clip, the times of its frames, and the frames that are always scored."""

    target: VideoInfo
    sampling: Sampling

    def seconds(self, number: int) -> float:
        """Return the time of a frame in seconds since the first frame."""
        return float((self.target.pts[number] - self.target.pts[0]) * self.target.time_base)

    def duration(self, number: int) -> float:
        """Return the display time of a frame in seconds."""
        pts = self.target.pts
        ticks = pts[number + 1] - pts[number] if number + 1 < len(pts) else self.target.last_duration
        return float(ticks * self.target.time_base)

    def is_sampled(self, number: int) -> bool:
        """Whether the frame is scored even if it does not start a shot."""
        start, step = self.sampling.start, self.sampling.step
        return is_sampled(number, start, step) or ends_gap(number, start, step, self.seconds)


@dataclass(slots=True, eq=False)
class ChunkScreening:
    """Screens the frames of one chunk while they are decoded; created by ``ClipScreening.chunk``.

    If ``is_cached``, ``samples`` are those of an earlier run that scored the complete clip.
    """

    screening: ContentScreening
    clip: SampledClip
    is_cached: bool
    samples: dict[int, Sample]
    ages: list[FaceAge] = field(default_factory=list)
    damaged: set[int] = field(default_factory=set)

    def screen(
        self, frame: Frame, starts_shot: bool, faces: Sequence[Face] = (), appeared: Sequence[Face] = ()
    ) -> None:
        """Score a frame if it is sampled; ``faces`` are the faces found in it.

        In other frames, only the ages of faces that have just ``appeared`` are estimated, because these faces may be
        missing in the next sample.
        """
        if isinstance(frame, PlaneFrame) and frame.is_damaged:
            self.damaged.add(frame.number)
        is_scored = starts_shot or self.clip.is_sampled(frame.number)
        if is_scored and not self.is_cached:
            scores = self.screening.gate.classify([frame.read(frame.window)])[0]
            self.samples[frame.number] = Sample(frame.number, self.clip.seconds(frame.number), scores)
        if self.screening.estimator is not None:
            for face in faces if is_scored else appeared:
                estimate = self.screening.estimator.under_18(frame, face.landmarks)
                points = face.landmarks[:, :2]
                x, y = points.mean(axis=0).tolist()
                self.ages.append(FaceAge(frame.number, (x, y), float(np.ptp(points[:, 0])), estimate))

    def screen_next(self, frame: Frame) -> None:
        """Score the frame after the chunk because it starts a shot, which the next chunk cannot detect."""
        if not self.clip.is_sampled(frame.number):
            self.screen(frame, True)

    def findings(self) -> ChunkFindings:
        """Return the findings so far."""
        samples = tuple(self.samples[number] for number in sorted(self.samples))
        return ChunkFindings(samples, tuple(self.ages), frozenset(self.damaged))


@dataclass(slots=True, eq=False)
class ClipScreening:
    """Collects the findings of one clip, and decides after the complete clip has been analysed and linked.

    ``cached`` are the samples of an earlier run under ``key``, or None without such a run. ``damaged`` are the frames
    of linked chunks that could not be decoded completely.
    """

    screening: ContentScreening
    clip: SampledClip
    key: str
    cached: Sequence[Sample] | None
    damaged: FrameRanges = field(default_factory=FrameRanges)
    _samples: dict[int, Sample] = field(default_factory=dict)
    _ages: list[FaceAge] = field(default_factory=list)
    _observations: list[AgeObservation] = field(default_factory=list)
    _damaged: set[int] = field(default_factory=set)

    def chunk(self, start: int, stop: int) -> ChunkScreening:
        """Return the screening of the frames ``start`` to ``stop`` (exclusive) and of the next one."""
        cached = {each.frame: each for each in self.cached or () if start <= each.frame <= stop}
        return ChunkScreening(self.screening, self.clip, self.is_cached, cached)

    @property
    def is_cached(self) -> bool:
        """Whether an earlier run scored every sampled frame."""
        return self.cached is not None

    @property
    def samples(self) -> tuple[Sample, ...]:
        """The samples so far in frame order."""
        return tuple(self.cached or (self._samples[number] for number in sorted(self._samples)))

    def is_complete(self, findings: ChunkFindings, start: int, stop: int) -> bool:
        """Whether the findings contain every sampled frame of a chunk, with a score of each classifier."""
        numbers = {each.frame for each in findings.samples}
        count = len(self.screening.gate.model_ids)
        if any(len(each.scores) != count for each in findings.samples):
            return False
        return all(number in numbers for number in range(start, stop) if self.clip.is_sampled(number))

    def add_findings(self, findings: ChunkFindings) -> None:
        """Add the findings of the next chunk, from this run or an earlier one."""
        self._damaged |= findings.damaged
        # A frame between two chunks may be in the findings of both.
        self._samples |= {each.frame: each for each in findings.samples if each.frame in self.clip.sampling}
        if self.screening.estimator is not None:
            self._ages += findings.ages

    def add_linked(self, linked: LinkedChunk) -> None:
        """Assign the ages up to the end of the next linked chunk to the tracks of its selected faces."""
        stop = linked.first + linked.count
        ages = [each for each in self._ages if each.frame < stop]
        self._ages = [each for each in self._ages if each.frame >= stop]
        for number in sorted(number for number in self._damaged if number < stop):
            self._damaged.remove(number)
            self.damaged.add(number)
        for age in ages:
            rows = np.flatnonzero(linked.frame == age.frame)
            if not len(rows):
                continue
            centers = linked.landmarks[rows][:, :, :2].mean(axis=1)
            distances = np.linalg.norm(centers - np.array(age.center), axis=1)
            nearest = int(distances.argmin())
            if distances[nearest] <= age.width / 2:
                track, seconds = int(linked.track[rows[nearest]]), self.clip.seconds(age.frame)
                self._observations.append(AgeObservation(track, age.frame, seconds, age.estimate))

    def refuse_if_unsafe(self) -> None:
        """Raise ContentRefused when the clip is refused; cache its samples for the next run."""
        path, samples, sampling = self.clip.target.path, self.samples, self.clip.sampling
        seen = {sample.frame for sample in samples}
        if not all(number in seen for number in sampling.regular):
            raise InternalError('gate-samples', f'not every sampled frame of {path.name} was scored')
        if not self.is_cached:
            self.screening.cache.put(self.key, samples)
        self.screening.gate.refuse_if_unsafe(path, samples, sampling.step, self.clip.duration)
        self.screening.check_estimates(path, self._observations)


def prepare_screening(
    sessions: SessionPool,
    store: ModelStore,
    models: Collection[str],
    cache: Path,
    swaps: bool,
    emit: Emit,
    flag: StopFlag,
) -> ContentScreening:
    """Return the content screening of a run, with scores cached in ``cache``; ``models`` are those of the gate.

    Raises ModelError, ProviderError.
    """
    gate = prepare_gate(sessions, models)
    estimator = find_age_estimator(sessions, store) if swaps else None
    if estimator is not None:
        emit(Message('debug', 'safety', f'ages are estimated with {estimator.model_id}'))
    return ContentScreening(gate, estimator, SampleCache(cache, emit), model_digests(store, gate.model_ids), flag, emit)


def _sampling(target: VideoInfo, timeline: Timeline) -> Sampling:
    return plan_sampling(timeline.start, timeline.stop - timeline.start, target.average_rate)
