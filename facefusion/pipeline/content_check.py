"""The content gate alone: what a run would say of a picture or a whole clip, without working on it."""

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
from facefusion.pipeline.content_screening import ContentScreening, TargetWatch
from facefusion.pipeline.plan import DECODED_AHEAD
from facefusion.pipeline.progress import Progress
from facefusion.pipeline.stream import prefetch
from facefusion.safety.content_gate import ContentGate, Sample
from facefusion.safety.sampling import PICTURE
from facefusion.stopping import StopFlag

Verdict = Literal['passed', 'refused', 'failed']


@dataclass(frozen=True, slots=True, eq=False)
class ContentVerdict:
    """What the gate says of a file; 'failed' when the file could not be looked at.

    ``scores`` are the highest of each classifier, ``thresholds`` theirs, ``frames`` how many were looked at, ``worst``
    the one that is nearest to a threshold or farthest above it. ``error`` says why a file did not pass.
    """

    path: Path
    verdict: Verdict
    models: tuple[str, ...]
    thresholds: tuple[float, ...]
    scores: tuple[float, ...] = ()
    frames: int = 0
    worst: Sample | None = None
    error: FaceFusionError | None = None

    @property
    def reason(self) -> str:
        """Why the file did not pass, '' when it did."""
        if self.error is None:
            return ''
        return self.error.cause if self.verdict == 'refused' else f'{self.error.message} [{self.error.reference}]'

    def as_record(self) -> dict[str, Any]:
        """The verdict as plain JSON."""
        scores = self.scores or (None,) * len(self.models)
        models = zip(self.models, self.thresholds, scores, strict=True)
        worst = self.worst
        return {
            'file': str(self.path),
            'verdict': self.verdict,
            'models': [{'model_id': name, 'threshold': least, 'score': score} for name, least, score in models],
            'frames': self.frames,
            'worst': None if worst is None else {'frame': worst.frame, 'seconds': worst.seconds},
            'reason': self.reason,
            'error': None if self.error is None else self.error.as_record(),
        }


def check_content(path: Path, screening: ContentScreening, emit: Emit, flag: StopFlag) -> ContentVerdict:
    """Looks at one file as a run does, at all of a clip. Raises Interrupted; any other failure is in the verdict."""
    samples: list[Sample] = []
    verdict: Verdict = 'passed'
    error: FaceFusionError | None = None
    try:
        flag.check()
        if find_kind(path).family == 'image':
            _check_picture(path, screening, samples, emit)
        else:
            _check_clip(path, screening, samples, emit, flag)
    except Interrupted:
        raise
    except ContentRefused as refused:
        verdict, error = 'refused', refused
    except Exception as failure:  # noqa: BLE001 - whatever one file does, the others are looked at
        verdict, error = 'failed', as_failure(failure)
        samples.clear()
    return _verdict(path, screening.gate, verdict, samples, error)


def _check_picture(path: Path, screening: ContentScreening, samples: list[Sample], emit: Emit) -> None:
    samples.append(screening.look_at_picture(read_image(path, emit)))
    screening.gate.decide(path, samples, PICTURE.step)


def _check_clip(path: Path, screening: ContentScreening, samples: list[Sample], emit: Emit, flag: StopFlag) -> None:
    target = probe(path, flag)
    assert isinstance(target, VideoInfo)
    with blaming_change(target, flag):
        watch = screening.watch(target, build_timeline(target))
        if not watch.is_known:
            _show(target, watch, emit, flag)
            check_unchanged(target, flag)
        samples += watch.samples
        watch.decide()


def _show(target: VideoInfo, watch: TargetWatch, emit: Emit, flag: StopFlag) -> None:
    """Shows every frame of a clip to the watch, which looks at those that a run would look at."""
    before, seen = None, watch.frames(0, target.frame_count)
    frames = prefetch(VideoReader(target, stop=flag).frames(0, target.frame_count), DECODED_AHEAD)
    with Progress(emit, 'checking', target.frame_count) as progress, closing(frames):
        for frame in frames:
            flag.check()
            thumbnail = frame.luma_thumbnail(*THUMBNAIL).astype(np.float32)
            seen.look(frame, before is not None and compare_frames(before, thumbnail).is_cut)
            before = thumbnail
            progress.advance()
    watch.take(seen.looks())


def _verdict(
    path: Path, gate: ContentGate, verdict: Verdict, samples: Sequence[Sample], error: FaceFusionError | None
) -> ContentVerdict:
    thresholds = gate.thresholds

    def nearness(sample: Sample) -> float:
        return max(score - least for score, least in zip(sample.scores, thresholds, strict=True))

    scores = tuple(max(column) for column in zip(*(sample.scores for sample in samples), strict=True))
    worst = max(samples, key=nearness, default=None)
    return ContentVerdict(path, verdict, gate.model_ids, thresholds, scores, len(samples), worst, error)
