"""The content of a clip that decides the time of a run: its frames, and faces in a sample of them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from facefusion.errors import UsageError
from facefusion.faces.options import FaceDetectorOptions, FaceLandmarkerOptions, FaceSelectorOptions
from facefusion.faces.point_analyser import make_analyser
from facefusion.inference.options import ExecutionOptions
from facefusion.inference.pool import open_sessions
from facefusion.limits import usable_cores
from facefusion.media.info import VideoInfo
from facefusion.media.kinds import VIDEO_EXTENSIONS
from facefusion.media.reader import VideoReader
from facefusion.media.timeline import Timeline
from facefusion.settings import Settings
from facefusion.stopping import StopFlag

if TYPE_CHECKING:
    from facefusion.models.store import ModelStore
    from facefusion.pipeline.plan import Plan

# Frames in which faces are counted, spread over the clip.
SAMPLED_FRAMES = 12


class Content(NamedTuple):
    """A clip: pixels and number of its frames, faces in a frame, mean pixels of the box around a face, frame rate."""

    pixels: int
    frames: int
    faces: float
    face_pixels: float
    rate: float


def content_of(plan: Plan, settings: Settings, store: ModelStore, flag: StopFlag) -> Content:
    """Return the content of the target of a plan.

    Raises UsageError estimate-target for a target that is not a video, and the errors of the reader and the networks.
    """
    target, timeline = video_of(plan)
    faces, area = _sample_faces(target, timeline, settings, store, flag) if plan.finds_faces else (0.0, 0.0)
    rate = float(target.average_rate) or float(timeline.rate)
    return Content(target.width * target.height, timeline.frame_count, faces, area, rate)


def video_of(plan: Plan) -> tuple[VideoInfo, Timeline]:
    """Return the target of a plan and its timeline. Raises UsageError estimate-target if it is not a video."""
    if not isinstance(plan.target, VideoInfo) or plan.video is None:
        raise _no_video(plan.target.path)
    return plan.target, plan.video.timeline


def check_target(path: Path) -> None:
    """Raise UsageError estimate-target for a file with the extension of another kind than video."""
    if path.suffix.lower() not in VIDEO_EXTENSIONS:
        raise _no_video(path)


def _no_video(path: Path) -> UsageError:
    hint = 'name a video, such as --estimate clip.mp4'
    return UsageError('estimate-target', f'{path} is not a video', hint=hint)


def _sample_faces(
    target: VideoInfo, timeline: Timeline, settings: Settings, store: ModelStore, flag: StopFlag
) -> tuple[float, float]:
    """Return the mean number of faces in a frame, and the mean pixels of the box around a face."""
    options = settings[FaceSelectorOptions]
    sessions = open_sessions(store, settings[ExecutionOptions]).at(usable_cores())
    analyser = make_analyser(sessions, settings[FaceDetectorOptions], settings[FaceLandmarkerOptions], options)
    numbers = np.linspace(timeline.start, timeline.stop - 1, SAMPLED_FRAMES).round().astype(int)
    counts, areas = [], []
    for number in np.unique(numbers).tolist():
        flag.check()
        for frame in VideoReader(target, stop=flag).frames(number, number + 1):
            found = analyser.find(frame)[: options.max_faces]
            counts.append(len(found))
            areas += [float((face.box[2] - face.box[0]) * (face.box[3] - face.box[1])) for face in found]
    return float(np.mean(counts)), float(np.mean(areas)) if areas else 0.0
