"""Check an image or a complete clip with the content gate, as a run does, but without processing it."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from facefusion.errors import ContentRefused, FaceFusionError, Interrupted
from facefusion.events import Emit
from facefusion.faces.shots import THUMBNAIL, compare_frames
from facefusion.failures import as_failure
from facefusion.media.file_stamp import blaming_change, check_unchanged
from facefusion.media.image import read_image
from facefusion.media.info import VideoInfo
from facefusion.media.kinds import find_kind
from facefusion.media.probe import probe
from facefusion.media.reader import VideoReader
from facefusion.media.timeline import build_timeline
from facefusion.pipeline.content_screening import ClipScreening, ContentScreening
from facefusion.pipeline.fingerprints import target_sha256
from facefusion.pipeline.plan import DECODED_AHEAD
from facefusion.pipeline.progress import Progress
from facefusion.pipeline.stream import prefetch
from facefusion.safety.content_gate import ContentGate, Sample
from facefusion.safety.sampling import IMAGE_SAMPLING
from facefusion.stopping import StopFlag

Verdict = Literal['passed', 'refused', 'failed']


@dataclass(frozen=True, slots=True, eq=False)
class ContentVerdict:
    """The verdict of the gate on a file, or 'failed' when the file could not be checked.

    ``scores`` are the highest scores of the classifiers, ``votes`` is the number of thresholds that a positive frame
    reaches, and ``frames`` is the number of scored frames. ``worst`` is the sample that reaches the most thresholds,
    and among these the one with the highest score of the first classifier. ``error`` is the reason why a file did not
    pass.
    """

    path: Path
    verdict: Verdict
    models: tuple[str, ...]
    thresholds: tuple[float, ...]
    votes: int
    scores: tuple[float, ...] = ()
    frames: int = 0
    worst: Sample | None = None
    error: FaceFusionError | None = None

    @property
    def reason(self) -> str:
        """The reason why the file did not pass, '' if it passed."""
        if self.error is None:
            return ''
        return self.error.cause if self.verdict == 'refused' else f'{self.error.message} [{self.error.reference}]'

    def as_record(self) -> dict[str, Any]:
        """Return the verdict as plain JSON."""
        scores = self.scores or (None,) * len(self.models)
        models = zip(self.models, self.thresholds, scores, strict=True)
        worst = self.worst
        return {
            'file': str(self.path),
            'verdict': self.verdict,
            'models': [{'model_id': name, 'threshold': threshold, 'score': score} for name, threshold, score in models],
            'votes': self.votes,
            'frames': self.frames,
            'worst': None if worst is None else {'frame': worst.frame, 'seconds': worst.seconds},
            'reason': self.reason,
            'error': None if self.error is None else self.error.as_record(),
        }


def check_content(path: Path, screening: ContentScreening, emit: Emit, flag: StopFlag) -> ContentVerdict:
    """Check one file as a run does; a clip is checked completely.

    Raises Interrupted; the verdict contains any other failure.
    """
    samples: list[Sample] = []
    verdict: Verdict = 'passed'
    error: FaceFusionError | None = None
    try:
        flag.check()
        if find_kind(path).family == 'image':
            _check_image(path, screening, samples, emit)
        else:
            _check_clip(path, screening, samples, emit, flag)
    except Interrupted:
        raise
    except ContentRefused as refused:
        verdict, error = 'refused', refused
    except Exception as failure:  # noqa: BLE001 - a failure of one file does not stop the others
        verdict, error = 'failed', as_failure(failure)
        samples.clear()
    return _verdict(path, screening.gate, verdict, samples, error)


def _check_image(path: Path, screening: ContentScreening, samples: list[Sample], emit: Emit) -> None:
    samples.append(screening.score_image(read_image(path, emit)))
    screening.gate.refuse_if_unsafe(path, samples, IMAGE_SAMPLING.step)


def _check_clip(path: Path, screening: ContentScreening, samples: list[Sample], emit: Emit, flag: StopFlag) -> None:
    target = probe(path, flag)
    assert isinstance(target, VideoInfo)
    with blaming_change(target, flag):
        clip = screening.screen_clip(target, build_timeline(target), target_sha256(target, flag))
        if not clip.is_cached:
            _score(target, clip, emit, flag)
            check_unchanged(target, flag)
        samples += clip.samples
        clip.refuse_if_unsafe()


def _score(target: VideoInfo, clip: ClipScreening, emit: Emit, flag: StopFlag) -> None:
    """Score the frames that a run would score in the complete clip."""
    before, chunk = None, clip.chunk(0, target.frame_count)
    frames = prefetch(VideoReader(target, stop=flag).frames(0, target.frame_count), DECODED_AHEAD)
    with Progress(emit, 'checking', target.frame_count) as progress, closing(frames):
        for frame in frames:
            flag.check()
            thumbnail = frame.luma_thumbnail(*THUMBNAIL).astype(np.float32)
            chunk.screen(frame, before is not None and compare_frames(before, thumbnail).is_cut)
            before = thumbnail
            progress.advance()
    clip.add_findings(chunk.findings())


def _verdict(
    path: Path, gate: ContentGate, verdict: Verdict, samples: Sequence[Sample], error: FaceFusionError | None
) -> ContentVerdict:
    scores = tuple(max(column) for column in zip(*(sample.scores for sample in samples), strict=True))
    worst = max(samples, key=lambda sample: (gate.count_votes(sample.scores), sample.scores), default=None)
    return ContentVerdict(
        path, verdict, gate.model_ids, gate.thresholds, gate.votes, scores, len(samples), worst, error
    )
