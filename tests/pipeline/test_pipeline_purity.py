"""Tests that rendering is a pure function of the frame, its linked record and the sources (design.md section 2).

One run of the whole clip is the reference. Other runs divide the clip differently and render a sample of their
segments, chosen with a fixed seed; with ``--exhaustive`` each of them analyses and renders the whole clip.
"""

from __future__ import annotations

import hashlib
import random
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from fakes.linking import link
from fakes.media_files import photo_view, write_views
from fakes.plain_signer import PlainSigner
from fakes.screenings import make_screening

from facefusion.events import silent
from facefusion.faces.chunk import FaceChunk, LinkedChunk
from facefusion.faces.options import FaceSelectorOptions
from facefusion.media.planes import plane_views
from facefusion.media.reader import VideoReader
from facefusion.pipeline.analyse import ChunkAnalysis
from facefusion.pipeline.context import RunContext
from facefusion.pipeline.plan import Span
from facefusion.pipeline.planning import make_plan
from facefusion.pipeline.prepare import PreparedRun, prepare_run
from facefusion.pipeline.render import LinkedFaces, SegmentRendering
from facefusion.pipeline.watermarking import mark_of_run, watermarks_of_run
from facefusion.provenance.watermarking import NO_WATERMARKS
from facefusion.settings import resolve
from facefusion.stopping import StopFlag

pytestmark = pytest.mark.network
FRAMES, ENTERS, CUT, CHUNK_END = 280, 90, 140, 250
# Frames that every sample includes: the start of another shot and the start of another chunk.
TELLING = (CUT, CHUNK_END)


@pytest.fixture(scope='module')
def clip(example_group, tmp_path_factory) -> Path:
    """A clip without a face at first, then with one that appears between two detections, then a cut and other faces."""
    photo = cv2.imread(str(example_group))

    def view(number: int) -> np.ndarray:
        if number < ENTERS - 26:
            return np.full((180, 320, 3), 90, np.uint8)
        if number < CUT:
            return photo_view(photo, min(-420 + 8 * (number - ENTERS + 26), 60), 300, 400)
        return photo_view(photo, 640 + (number - CUT) / 2, 300, 480)

    return write_views(tmp_path_factory.mktemp('purity') / 'clip.mp4', view, FRAMES)


@pytest.fixture(scope='module')
def prepare(clip, portrait_source, sessions):
    """Return a function that prepares a run; with ``traced`` it has a label and the invisible mark of a job."""
    from facefusion.cli.headless_run import GROUPS

    def run(segment_frames: int, workers: int, batch: int = 1, traced: bool = True) -> PreparedRun:
        flags = {
            'source_paths': (str(portrait_source),),
            'target_path': str(clip),
            'output_path': str(clip.with_name('out.mp4')),
            'disclosure_label': 'corner',
            'face_selector_mode': 'one',
        }
        settings = resolve(GROUPS, flags, None, {})
        plan = replace(make_plan(settings, workers, segment_frames), batch=batch)
        watermarks = (
            watermarks_of_run(plan, settings, mark_of_run(plan, settings, 'job'), silent) if traced else NO_WATERMARKS
        )
        context = RunContext(plan, settings, sessions, None, silent, StopFlag())
        return prepare_run(context, None, make_screening(clip.parent), watermarks, PlainSigner())

    return run


def analyse(run: PreparedRun, spans: Sequence[Span]) -> list[FaceChunk]:
    plan = run.context.plan
    analysis = ChunkAnalysis(plan.target, plan.video.timeline.stop, run.faces)
    return [analysis.analyse(span, run.context.flag)[0] for span in spans]


def linked_chunks(run: PreparedRun, chunks: Sequence[FaceChunk]) -> list[LinkedChunk]:
    return link(chunks, run.context.plan.measurements, run.context.settings[FaceSelectorOptions])


def render(
    run: PreparedRun, linked: Sequence[LinkedChunk], segments: Sequence[Span]
) -> dict[int, tuple[str, bool, bool]]:
    """Return, for each frame number, the digest of the pixels and whether the frame was changed and marked."""
    plan, found = run.context.plan, {}
    rendering = SegmentRendering(
        plan.target,
        plan.video,
        run.chain,
        plan.requirements,
        LinkedFaces(lambda number: linked[number]),
        plan.workers,
        plan.batch,
        run.watermarks,
    )
    for segment in segments:
        for each in rendering.frames(segment, run.context.flag):
            found[each.frame.number] = digest(each.frame), each.is_changed, each.is_marked
    return found


def digest(frame) -> str:
    return hashlib.sha256(
        b''.join(np.ascontiguousarray(plane).tobytes() for plane in plane_views(frame.video))
    ).hexdigest()


def assert_same(first: Any, second: Any) -> None:
    for entry in fields(first):
        np.testing.assert_equal(getattr(first, entry.name), getattr(second, entry.name))


@dataclass(frozen=True)
class Reference:
    """The frames of the whole clip, rendered by one thread in one segment."""

    chunks: list[FaceChunk]
    linked: list[LinkedChunk]
    frames: dict[int, tuple[str, bool, bool]]

    @property
    def with_face(self) -> set[int]:
        return set(np.concatenate([chunk.frame for chunk in self.linked]).tolist())


@pytest.fixture(scope='module')
def reference(prepare) -> Reference:
    run = prepare(FRAMES, 1)
    chunks = analyse(run, run.context.plan.video.chunks)
    linked = linked_chunks(run, chunks)
    return Reference(chunks, linked, render(run, linked, run.context.plan.video.segments))


@pytest.fixture
def sampled(request):
    """Return a function that chooses segments in a random order: those with the TELLING frames, and some others."""

    def choose(segments: Sequence[Span], count: int, seed: int) -> list[Span]:
        chance, chosen = random.Random(seed), list(segments)
        if not request.config.getoption('--exhaustive'):
            telling = [span for span in segments if any(span.start <= number < span.stop for number in TELLING)]
            others = [span for span in segments if span not in telling]
            chosen = telling + chance.sample(others, min(count, len(others)))
        chance.shuffle(chosen)
        return chosen

    return choose


def test_the_clip_has_the_tested_shots(reference):
    frames = np.concatenate([chunk.frame for chunk in reference.linked])
    tracks = np.concatenate([chunk.track for chunk in reference.linked])
    assert len(reference.linked) == 2 and sorted(reference.frames) == list(range(FRAMES))
    assert ENTERS < frames.min() < CUT and frames.max() == FRAMES - 1
    assert frames.min() % 10, 'the face must be followed backwards from its first detection'
    before, after = set(tracks[frames < CUT].tolist()), set(tracks[frames >= CUT].tolist())
    assert before and after and not before & after
    assert tracks[frames == CHUNK_END - 1] == tracks[frames == CHUNK_END], 'a track must continue in the next chunk'
    changed = {number for number, (_, is_changed, _) in reference.frames.items() if is_changed}
    assert changed == reference.with_face
    marked = {number for number, (_, _, is_marked) in reference.frames.items() if is_marked}
    # The first frames and most of the next ones are uniform, so they have no mark.
    assert marked >= set(range(ENTERS + 10, FRAMES)) and not marked & set(range(ENTERS - 26))


@pytest.mark.parametrize(
    ('segment_frames', 'workers', 'batch', 'count'),
    [(25, 3, 1, 2), (25, 1, 8, 1), (7, 2, 3, 4), (FRAMES, 3, 1, 0)],
)
def test_segments_workers_batches_and_order_change_no_pixel(
    request, prepare, reference, sampled, segment_frames, workers, batch, count
):
    is_exhaustive = request.config.getoption('--exhaustive')
    if segment_frames == FRAMES and not is_exhaustive:
        pytest.skip('this case renders the whole clip again: use --exhaustive')
    run = prepare(segment_frames, workers, batch)
    plan, linked = run.context.plan, reference.linked
    if is_exhaustive:
        linked = linked_chunks(run, analyse(run, plan.video.chunks))
        for first, second in zip(reference.linked, linked, strict=True):
            assert_same(first, second)
    segments = sampled(plan.video.segments, count, seed=segment_frames + batch)
    assert len(plan.video.segments) == -(-FRAMES // segment_frames)
    found = render(run, linked, segments)
    assert sorted(found) == sorted(number for span in segments for number in range(*span))
    assert found == {number: reference.frames[number] for number in found}


def test_the_analysis_of_a_chunk_depends_on_its_frames_alone(request, prepare, reference):
    """The analysis depends neither on earlier chunks nor on the number of threads of a network."""
    run = prepare(FRAMES, 4)
    spans = run.context.plan.video.chunks
    assert run.context.plan.network_threads > 1 and spans[-1] == (CHUNK_END, FRAMES)
    chosen = [1, 0] if request.config.getoption('--exhaustive') else [1]
    for number, chunk in zip(chosen, analyse(run, [spans[number] for number in chosen]), strict=True):
        assert_same(reference.chunks[number], chunk)


def test_frames_without_a_face_have_the_samples_of_the_decoder(prepare, reference, sampled):
    run = prepare(10, 2, traced=False)
    found = render(run, reference.linked, sampled(run.context.plan.video.segments, 6, seed=4))
    decoded = VideoReader(run.context.plan.target).frames(0, FRAMES)
    same = {frame.number for frame in decoded if frame.number in found and digest(frame) == found[frame.number][0]}
    assert same == set(found) - reference.with_face
    assert len(same) > 10 and len(found) - len(same) > 10
