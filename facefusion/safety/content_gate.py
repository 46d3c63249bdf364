"""The content gate: what is positive, and when a picture or a clip is refused. docs/content-gate.md has the reasons."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from facefusion.errors import ContentRefused, InternalError, ModelError
from facefusion.safety.classifier import Classifier, Images
from facefusion.safety.image_views import still_parts, still_views
from facefusion.safety.open_nsfw import MODEL_ID, OpenNsfw
from facefusion.safety.sampling import FEWEST_SAMPLES

# What a run must have before it starts: no gate, no work.
GATE_MODELS: tuple[str, ...] = (MODEL_ID,)
# Two positive samples refuse a clip when they lie fewer than this many steps apart, which is the length of eight
# samples in a row ...
WINDOW_STEPS = 8
# ... and at least this share of a step: a start of a shot beside a regular sample shows the same picture once more.
NEAREST_STEPS = 0.5
# ... or are that many seconds apart, where frames last longer than on average.
NEAREST_SECONDS = 0.5
# A frame that is shown for as long as a scene that two samples find is judged like a picture.
STILL_SECONDS = 2.0
_FRAMES_IN_WORDS = 4
_FRAMES_IN_FACTS = 100


class Sessions(Protocol):
    """Gives the session of a model, such as ``SessionPool``."""

    def session(self, model_id: str) -> Any: ...


@dataclass(frozen=True, slots=True)
class Sample:
    """A frame that was looked at: its absolute number, its time in the file, and one score a classifier."""

    frame: int
    seconds: float
    scores: tuple[float, ...]


class ContentGate:
    """Classifiers with a vote: a picture is positive when ``votes`` of them are at or over their thresholds."""

    def __init__(self, classifiers: Sequence[Classifier], votes: int) -> None:
        if not 1 <= votes <= len(classifiers):
            raise InternalError('gate-votes', f'{votes} of {len(classifiers)} classifiers can never be right')
        self._classifiers = tuple(classifiers)
        self.votes = votes

    @property
    def model_ids(self) -> tuple[str, ...]:
        """The classifiers' models, in the order of the scores of a sample."""
        return tuple(classifier.model_id for classifier in self._classifiers)

    @property
    def thresholds(self) -> tuple[float, ...]:
        """From which score on each classifier is positive, in the same order."""
        return tuple(classifier.threshold for classifier in self._classifiers)

    def as_record(self) -> dict[str, Any]:
        """Plain JSON of what decides: models, thresholds and votes."""
        models = [{'model_id': each.model_id, 'threshold': each.threshold} for each in self._classifiers]
        return {'models': models, 'votes': self.votes}

    def classify(self, images: Images) -> list[tuple[float, ...]]:
        """One score a classifier for each picture, uint8 HxWx3 BGR of any size.

        Raises ModelError 'gate-scores' when a classifier gives no probabilities: what cannot be judged does not pass.
        """
        columns = []
        for classifier in self._classifiers:
            scores = np.asarray(classifier.scores(images))
            if scores.shape != (len(images),) or not ((scores >= 0) & (scores <= 1)).all():
                raise ModelError(
                    'gate-scores',
                    f'the classifier {classifier.model_id} gives no usable scores',
                    cause=f'{len(images)} numbers from 0 to 1 are expected, it gave {scores.ravel()[:4].tolist()}'
                    f' in the shape {list(scores.shape)}',
                    hint=f'run: facefusion models verify {classifier.model_id}',
                )
            columns.append([float(score) for score in scores])
        return list(zip(*columns, strict=True))

    def classify_still(self, image: NDArray[np.uint8], alpha: NDArray[np.uint8] | None = None) -> tuple[float, ...]:
        """One score a classifier for a picture of any shape: the highest of its parts, on every ground."""
        rows = [self.classify([part])[0] for view in still_views(image, alpha) for part in still_parts(view)]
        return tuple(max(column) for column in zip(*rows, strict=True))

    def is_positive(self, scores: Sequence[float]) -> bool:
        """Whether enough classifiers find a picture unsafe."""
        over = (score >= each.threshold for score, each in zip(scores, self._classifiers, strict=True))
        return sum(over) >= self.votes

    def decide(
        self, path: Path, samples: Sequence[Sample], step: int, shown: Callable[[int], float] = lambda frame: 0.0
    ) -> None:
        """Raises ContentRefused 'content-refused' when the samples of a file are too often positive.

        ``samples`` are all that were taken of it, shot starts included, in any order, regular ones ``step`` frames
        apart (1 for a picture). Fewer than eight: one positive sample refuses. Else one in a frame that is ``shown``
        for two seconds or more, or two which lie at least half a step or half a second, and fewer than eight steps,
        apart.
        """
        if not samples or any(len(sample.scores) != len(self._classifiers) for sample in samples):
            raise InternalError('gate-samples', f'{path.name} was not looked at by every classifier')
        frames = {sample.frame: sample for sample in sorted(samples, key=lambda each: each.frame)}
        positive = [sample for sample in frames.values() if self.is_positive(sample.scores)]
        stays = any(shown(sample.frame) >= STILL_SECONDS for sample in positive)
        if positive and (len(frames) < FEWEST_SAMPLES or stays or _are_close(positive, step)):
            raise self._refusal(path, positive, len(frames))

    def _refusal(self, path: Path, positive: Sequence[Sample], count: int) -> ContentRefused:
        what = 'it' if count == 1 else f'{len(positive)} of the {count} frames looked at'
        told = [f'{self._place(sample, count)}{self._words(sample)}' for sample in positive[:_FRAMES_IN_WORDS]]
        more = len(positive) - len(told)
        rule = f' ({self.votes} of {len(self._classifiers)} must agree)' if len(self._classifiers) > 1 else ''
        frames = [
            {'frame': each.frame, 'seconds': each.seconds, 'scores': list(each.scores)}
            for each in positive[:_FRAMES_IN_FACTS]
        ]
        facts = {'file': str(path), **self.as_record(), 'samples': count, 'positive': len(positive), 'frames': frames}
        return ContentRefused(
            'content-refused',
            f'{path.name} is refused: the content check takes {what} for sexual content',
            cause='; '.join(told) + (f'; and {more} more' if more else '') + rule,
            hint='the check cannot be switched off: use other material. docs/content-gate.md tells how it decides, '
            'and where it errs',
            facts=facts,
        )

    @staticmethod
    def _place(sample: Sample, count: int) -> str:
        return '' if count == 1 else f'frame {sample.frame} at {sample.seconds:.2f} s: '

    def _words(self, sample: Sample) -> str:
        return ', '.join(
            f'{each.model_id} {score:.3f} (threshold {each.threshold:g})'
            for score, each in zip(sample.scores, self._classifiers, strict=True)
        )


def prepare_gate(sessions: Sessions) -> ContentGate:
    """The gate of a run, with what is embedded; raises ModelError or ProviderError as ``SessionPool.session``."""
    return ContentGate([OpenNsfw(sessions.session(MODEL_ID))], votes=1)


def _are_close(positive: Sequence[Sample], step: int) -> bool:
    """Whether any two of these samples, in the order of their frames, together refuse a clip."""
    first = 0
    for sample in positive:
        # The earliest one that is not too far back is also the one that is least likely to be too near.
        while sample.frame - positive[first].frame >= WINDOW_STEPS * step:
            first += 1
        earlier = positive[first]
        if sample.frame - earlier.frame >= NEAREST_STEPS * step or sample.seconds - earlier.seconds >= NEAREST_SECONDS:
            return True
    return False
