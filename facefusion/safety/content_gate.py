"""The content gate: the rules by which an image is positive, and an image or a clip is refused.

docs/content-gate.md explains the rules.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from facefusion.errors import ContentRefused, InternalError
from facefusion.models.catalog import Contract
from facefusion.safety.classifier import Classifier, Images, unusable_scores
from facefusion.safety.image_views import composited_views, square_parts
from facefusion.safety.open_nsfw import OpenNsfw
from facefusion.safety.published_classifiers import PublishedClassifier
from facefusion.safety.sampling import MINIMUM_SAMPLES
from facefusion.safety.voters import EMBEDDED, PUBLISHED

# A clip is refused when two positive samples are fewer than this many steps apart, the length of eight consecutive
# samples, ...
WINDOW_STEPS = 8
# ... and are at least this share of a step apart, because the start of a shot may show the same image as the regular
# sample next to it, ...
MINIMUM_STEPS = 0.5
# ... or at least this many seconds apart, because some frames may last longer than the average.
MINIMUM_SECONDS = 0.5
# A frame shown for at least this many seconds is judged like an image, because a scene of this length contains two
# samples.
STILL_SECONDS = 2.0
_FRAMES_IN_WORDS = 4
_FRAMES_IN_FACTS = 100


class Sessions(Protocol):
    """A source of model sessions and of their contracts, such as ``SessionPool``."""

    def session(self, model_id: str) -> Any: ...

    def contract(self, model_id: str) -> Contract: ...


@dataclass(frozen=True, slots=True)
class Sample:
    """A scored frame: its absolute number, its time in the file, and one score per classifier."""

    frame: int
    seconds: float
    scores: tuple[float, ...]


class ContentGate:
    """Classifiers that vote: an image is positive when the scores of at least ``votes`` of them reach thresholds."""

    def __init__(self, classifiers: Sequence[Classifier], votes: int) -> None:
        if not 1 <= votes <= len(classifiers):
            raise InternalError('gate-votes', f'{votes} votes of {len(classifiers)} classifiers are impossible')
        self._classifiers = tuple(classifiers)
        self.votes = votes

    @property
    def model_ids(self) -> tuple[str, ...]:
        """The models of the classifiers, in the order of a sample's scores."""
        return tuple(classifier.model_id for classifier in self._classifiers)

    @property
    def thresholds(self) -> tuple[float, ...]:
        """The lowest positive score of each classifier, in the same order."""
        return tuple(classifier.threshold for classifier in self._classifiers)

    def as_record(self) -> dict[str, Any]:
        """Return models, thresholds and votes as plain JSON."""
        models = [{'model_id': each.model_id, 'threshold': each.threshold} for each in self._classifiers]
        return {'models': models, 'votes': self.votes}

    def classify(self, images: Images) -> list[tuple[float, ...]]:
        """Return one score per classifier for each image, uint8 HxWx3 BGR of any size.

        Raises ModelError 'gate-scores' when a classifier returns invalid scores, so that no unscored image passes.
        """
        columns = []
        for classifier in self._classifiers:
            scores = np.asarray(classifier.scores(images))
            if scores.shape != (len(images),) or not np.isfinite(scores).all():
                raise unusable_scores(
                    classifier.model_id,
                    f'expected {len(images)} finite numbers, got {scores.ravel()[:4].tolist()}'
                    f' in the shape {list(scores.shape)}',
                )
            columns.append([float(score) for score in scores])
        return list(zip(*columns, strict=True))

    def classify_still(self, image: NDArray[np.uint8], alpha: NDArray[np.uint8] | None = None) -> tuple[float, ...]:
        """Return one score per classifier for an image of any shape: the highest over its parts and backgrounds."""
        rows = [self.classify([part])[0] for view in composited_views(image, alpha) for part in square_parts(view)]
        return tuple(max(column) for column in zip(*rows, strict=True))

    def count_votes(self, scores: Sequence[float]) -> int:
        """Return how many of the scores reach the thresholds of their classifiers."""
        return sum(score >= each.threshold for score, each in zip(scores, self._classifiers, strict=True))

    def is_positive(self, scores: Sequence[float]) -> bool:
        """Whether the scores of enough classifiers reach their thresholds."""
        return self.count_votes(scores) >= self.votes

    def refuse_if_unsafe(
        self, path: Path, samples: Sequence[Sample], step: int, shown: Callable[[int], float] = lambda frame: 0.0
    ) -> None:
        """Raise ContentRefused 'content-refused' when too many samples of a file are positive.

        ``samples`` are all samples of the file, shot starts included, in any order; regular ones are ``step`` frames
        apart (1 for an image). A file with fewer than eight samples is refused for one positive sample. Any other file
        is refused for one positive frame that is ``shown`` for two seconds or more, or for two positive samples that
        are fewer than eight steps apart, and at least half a step or half a second apart.
        """
        if not samples or any(len(sample.scores) != len(self._classifiers) for sample in samples):
            raise InternalError('gate-samples', f'{path.name} was not scored by every classifier')
        frames = {sample.frame: sample for sample in sorted(samples, key=lambda each: each.frame)}
        positive = [sample for sample in frames.values() if self.is_positive(sample.scores)]
        is_still = any(shown(sample.frame) >= STILL_SECONDS for sample in positive)
        if positive and (len(frames) < MINIMUM_SAMPLES or is_still or _are_close(positive, step)):
            raise self._refusal(path, positive, len(frames))

    def _refusal(self, path: Path, positive: Sequence[Sample], count: int) -> ContentRefused:
        subject = 'it' if count == 1 else f'{len(positive)} of the {count} frames checked'
        causes = [self._words(sample, count) for sample in positive[:_FRAMES_IN_WORDS]]
        more = len(positive) - len(causes)
        classifiers = len(self._classifiers)
        rule = f' (positive with at least {self.votes} of {classifiers} votes)' if classifiers > 1 else ''
        frames = [
            {'frame': each.frame, 'seconds': each.seconds, 'scores': list(each.scores)}
            for each in positive[:_FRAMES_IN_FACTS]
        ]
        facts = {'file': str(path), **self.as_record(), 'samples': count, 'positive': len(positive), 'frames': frames}
        return ContentRefused(
            'content-refused',
            f'{path.name} is refused: the content check classifies {subject} as sexual content',
            cause='; '.join(causes) + (f'; and {more} more' if more else '') + rule,
            hint='use other material: the check cannot be switched off. docs/content-gate.md describes its rule and '
            'its errors',
            facts=facts,
        )

    def _words(self, sample: Sample, count: int) -> str:
        position = '' if count == 1 else f'frame {sample.frame} at {sample.seconds:.2f} s: '
        return position + ', '.join(
            f'{each.model_id} {score:.3f} (threshold {each.threshold:g})'
            for score, each in zip(sample.scores, self._classifiers, strict=True)
        )


def votes_needed(classifiers: int) -> int:
    """Return the number of votes that make an image positive: at least half of them, so a tie is positive."""
    return (classifiers + 1) // 2


def prepare_gate(sessions: Sessions, models: Collection[str]) -> ContentGate:
    """Return the gate of a run: the embedded classifier, and the published ones among ``models``.

    Raises ModelError, ProviderError.
    """
    classifiers: list[Classifier] = [OpenNsfw(sessions.session(EMBEDDED))]
    for model_id in PUBLISHED:
        if model_id in models:
            classifiers.append(PublishedClassifier(model_id, sessions.session(model_id), sessions.contract(model_id)))
    return ContentGate(classifiers, votes_needed(len(classifiers)))


def _are_close(positive: Sequence[Sample], step: int) -> bool:
    """Whether a clip is refused for any two of these positive samples, which are in the order of their frames."""
    first = 0
    for sample in positive:
        # Only the earliest sample within the window needs a check, because all others are nearer.
        while sample.frame - positive[first].frame >= WINDOW_STEPS * step:
            first += 1
        earlier = positive[first]
        if sample.frame - earlier.frame >= MINIMUM_STEPS * step or sample.seconds - earlier.seconds >= MINIMUM_SECONDS:
            return True
    return False
