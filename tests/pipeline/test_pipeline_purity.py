"""Rendering a frame is a pure function of the frame, its linked record and the sources (design.md section 2)."""

from __future__ import annotations

import hashlib
import random
from dataclasses import fields
from pathlib import Path

import cv2
import numpy as np
import pytest
from facefusion.engines.local import prepare_run
from fakes.guards import make_guard
from fakes.linking import link
from fakes.media_files import photo_view, write_views
from fakes.plain_seal import PlainSeal

from facefusion.events import silent
from facefusion.faces.options import FaceSelectorOptions
from facefusion.media.planes import plane_views
from facefusion.media.reader import VideoReader
from facefusion.pipeline.analyse import analyse_chunk
from facefusion.pipeline.plan import make_plan
from facefusion.pipeline.render import LinkedFaces, render_frames
from facefusion.pipeline.traces import mark_of_run, traces_of_run
from facefusion.provenance.traces import NO_TRACES
from facefusion.settings import resolve
from facefusion.stopping import StopFlag

pytestmark = pytest.mark.network
FRAMES, ENTERS, CUT = 280, 90, 140


@pytest.fixture(scope='module')
def clip(example_group, tmp_path_factory) -> Path:
    """Nothing at first, then a face that comes in between two detections; a cut; faces that stay to the end."""
    photo = cv2.imread(str(example_group))

    def view(number: int) -> np.ndarray:
        if number < ENTERS - 26:
            return np.full((180, 320, 3), 90, np.uint8)
        if number < CUT:
            return photo_view(photo, min(-420 + 8 * (number - ENTERS + 26), 60), 300, 400)
        return photo_view(photo, 640 + (number - CUT) / 2, 300, 480)

    return write_views(tmp_path_factory.mktemp('purity') / 'clip.mp4', view, FRAMES)


@pytest.fixture(scope='module')
def rendered(clip, portrait_source, sessions, tmp_path_factory):
    """What ``render_frames`` gives of the whole clip for segments of some length, analysed anew each time."""
    from facefusion.cli.headless_run import GROUPS

    known: dict[tuple[int, int, bool], tuple] = {}

    def render(segment_frames: int, workers: int, traced: bool = False):
        """``traced``: with a label, and with the invisible mark of one job."""
        key = segment_frames, workers, traced
        if key not in known:
            flags = {
                'source_paths': (str(portrait_source),),
                'target_path': str(clip),
                'output_path': str(clip.with_name('out.mp4')),
                'disclosure_label': 'corner',
                'face_selector_mode': 'one',
            }
            settings = resolve(GROUPS, flags, None, {})
            plan = make_plan(settings, workers, segment_frames)
            traces = traces_of_run(plan, settings, mark_of_run(plan, settings, 'job'), silent) if traced else NO_TRACES
            guard = make_guard(clip.parent)
            run = prepare_run(plan, settings, sessions, guard, None, traces, PlainSeal(), silent, StopFlag())
            known[key] = _render(run, settings, workers)
        return known[key]

    return render


def _render(run, settings, workers):
    target, video, flag = run.plan.target, run.plan.video, run.flag
    analysed = [
        analyse_chunk(target, chunk, video.timeline.stop, run.analyser, run.meters, flag, lambda: None)
        for chunk in video.chunks
    ]
    linked = link(analysed, run.plan.measurements, settings[FaceSelectorOptions])
    digests = {}
    segments = list(video.segments)
    random.Random(4).shuffle(segments)
    for segment in segments:
        numbers = video.timeline.sources[segment.start : segment.stop].tolist()
        faces = LinkedFaces(lambda number: linked[number])
        for frame, is_marked in render_frames(target, numbers, faces, run.processors, workers, flag, traces=run.traces):
            digests[frame.number] = digest(frame), is_marked
    return linked, digests, len(segments)


def digest(frame) -> str:
    return hashlib.sha256(
        b''.join(np.ascontiguousarray(plane).tobytes() for plane in plane_views(frame.video))
    ).hexdigest()


def test_the_clip_has_what_the_test_is_about(rendered):
    linked, digests, _ = rendered(250, 1)
    frames = np.concatenate([chunk.frame for chunk in linked])
    tracks = np.concatenate([chunk.track for chunk in linked])
    assert len(linked) == 2 and sorted(digests) == list(range(FRAMES))
    assert ENTERS < frames.min() < CUT and frames.max() == FRAMES - 1
    assert frames.min() % 10, 'the face was followed backwards from the detection that found it'
    before, after = set(tracks[frames < CUT].tolist()), set(tracks[frames >= CUT].tolist())
    assert before and after and not before & after
    assert tracks[frames == 249] == tracks[frames == 250], 'a face goes on over the end of a chunk'


@pytest.mark.parametrize(('segment_frames', 'workers'), [(25, 3), (FRAMES, 3), (25, 1)])
def test_segments_workers_and_order_change_no_pixel(rendered, segment_frames, workers):
    linked, expected, _ = rendered(250, 1, traced=True)
    again, digests, count = rendered(segment_frames, workers, traced=True)
    assert count == -(-FRAMES // segment_frames)
    for first, second in zip(linked, again, strict=True):
        for entry in fields(first):
            np.testing.assert_equal(getattr(first, entry.name), getattr(second, entry.name))
    assert digests == expected
    marked = {number for number, (_, is_marked) in digests.items() if is_marked}
    # The first frames are flat, and so are the next ones for the most part: they carry no mark.
    assert marked >= set(range(ENTERS + 10, FRAMES)) and not marked & set(range(ENTERS - 26))


def test_frames_without_a_face_are_the_decoders_samples(rendered, clip):
    from facefusion.media.probe import probe

    linked, digests, _ = rendered(250, 1)
    with_face = set(np.concatenate([chunk.frame for chunk in linked]).tolist())
    same = {
        frame.number
        for frame in VideoReader(probe(clip)).frames(0, FRAMES)
        if digest(frame) == digests[frame.number][0]
    }
    assert same == set(range(FRAMES)) - with_face
    assert len(same) > 40
