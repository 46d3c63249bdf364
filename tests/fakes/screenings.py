"""Content screenings with stand-in classifiers, so that the tests need no harmful images."""

from __future__ import annotations

import threading
from pathlib import Path

import numpy as np

from facefusion.pipeline.content_screening import ContentScreening
from facefusion.safety.age import AgeEstimate
from facefusion.safety.content_gate import ContentGate
from facefusion.safety.sample_cache import SampleCache
from facefusion.stopping import StopFlag


class BrightIsBad:
    """A classifier that scores the mean brightness of an image, 0 to 1, and counts the scored images."""

    def __init__(self, threshold: float = 0.8, model_id: str = 'bright_is_bad') -> None:
        self.model_id = model_id
        self.threshold = threshold
        self.seen = 0
        self._lock = threading.Lock()

    def scores(self, images):
        with self._lock:
            self.seen += len(images)
        return np.array([image.mean() / 255 for image in images], np.float32)


class GreenIsBad(BrightIsBad):
    """A classifier that scores the mean of green, on a scale from -20 to 20."""

    def __init__(self, threshold: float = 10.5, model_id: str = 'green_is_bad') -> None:
        super().__init__(threshold, model_id)

    def scores(self, images):
        with self._lock:
            self.seen += len(images)
        return np.array([40 * image[:, :, 1].mean() / 255 - 20 for image in images], np.float32)


class LeftIsYoung:
    """An age estimator that estimates every face in the left half of the frame as under 18."""

    model_id = 'left_is_young'

    def under_18(self, frame, landmarks):
        return AgeEstimate(bool(landmarks[:, 0].mean() < frame.width / 2), 'a face on the left')


def make_screening(
    kept: Path, *classifiers, estimator=None, flag: StopFlag | None = None, votes: int = 1
) -> ContentScreening:
    """Return a screening that refuses nothing, or only images that enough stand-in classifiers refuse."""
    classifiers = classifiers or (BrightIsBad(threshold=2.0),)
    digests = {classifier.model_id: 'ab' * 32 for classifier in classifiers}
    gate = ContentGate(classifiers, votes)
    return ContentScreening(gate, estimator, SampleCache(kept), digests, flag or StopFlag())
