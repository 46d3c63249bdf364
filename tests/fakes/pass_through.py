"""A run without networks and processors: plan, render, join and publish, as in ``pipeline.run``."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

import numpy as np
from fakes.plain_signer import PlainSigner

from facefusion.events import silent
from facefusion.faces.chunk import LinkedChunk
from facefusion.media.join import Joining
from facefusion.media.reader import ReaderPool
from facefusion.pipeline.options import PathOptions
from facefusion.pipeline.plan import CHUNK_FRAMES, Plan
from facefusion.pipeline.planning import make_plan
from facefusion.pipeline.processor_chain import Chain
from facefusion.pipeline.publish import Publication, join_clip, publish_file
from facefusion.pipeline.render import LinkedFaces, SegmentRendering
from facefusion.pipeline.signing import WorkDone
from facefusion.processors.registration import Requirements
from facefusion.settings import resolve
from facefusion.stopping import StopFlag

# The value of --output-video-quality that corresponds to crf 18.
QUALITY = 65


def plan_pass(target: Path, output: Path, segment_frames: int = 30, **flags: object) -> Plan:
    """Return the plan of a run that changes no face."""
    from facefusion.cli.headless_run import GROUPS

    given = {'processors': ('face_debugger',), 'output_video_quality': QUALITY} | flags
    settings = resolve(GROUPS, given, None, {}).replace(PathOptions((), str(target), str(output)))
    return make_plan(settings, 1, segment_frames)


def pass_through(target: Path, output: Path, segment_frames: int = 30, **flags: object) -> Plan:
    """Decode and encode a clip in segments, and publish it."""
    plan = plan_pass(target, output, segment_frames, **flags)
    video, stop = plan.video, StopFlag()
    work = output.parent / f'{output.name}.work'
    work.mkdir(exist_ok=True)
    segments, delays = [], []
    with closing(ReaderPool(plan.target, 1, stop=stop)) as readers:
        rendering = SegmentRendering(
            plan.target, video, Chain(()), Requirements(), LinkedFaces(_no_faces), readers=readers
        )
        for number, segment in enumerate(video.segments):
            path = work / f'segment-{number:05d}.nut'
            delays.append(rendering.write(segment, path, stop).delay)
            segments.append(path)
    clip = work / f'clip{output.suffix}'
    joining = Joining(segments, video.timeline, plan.target, video.encoder, video.audio, video.extras, max(delays))
    join_clip(joining, plan, clip, silent, stop)
    publish_file(clip, Publication(output, PlainSigner(), WorkDone(0), stop))
    return plan


def _no_faces(number: int) -> LinkedChunk:
    nothing = np.zeros(0, np.int32)
    return LinkedChunk(
        first=number * CHUNK_FRAMES,
        count=CHUNK_FRAMES,
        frame=nothing,
        track=nothing,
        landmarks=np.zeros((0, 468, 3), np.float32),
        score=np.zeros(0, np.float32),
        values={},
        filled=np.zeros(0, np.bool_),
        cut=np.zeros(CHUNK_FRAMES, np.bool_),
    )
