"""Tests of the model that estimates the time of a clip."""

from __future__ import annotations

import pytest

from facefusion.benchmark import estimate
from facefusion.benchmark.clip_content import Content
from facefusion.benchmark.cycle import ANALYSING, PROCESSING
from facefusion.benchmark.estimate import END, ChainModel, Overlap, Point, StageKey, errors_of, parallel_chunks

FIXED = 2.0


def content(height, frames=100, faces=1.0, rate=25.0):
    pixels = height * height * 16 // 9
    return Content(pixels, frames, faces, pixels * 0.03, rate)


def stages_of(clip):
    """Return the milliseconds of an invented machine."""
    return {
        StageKey(ANALYSING, 'decode', 'pixels'): 0.5 + clip.pixels * 2e-6,
        StageKey(ANALYSING, 'analyse detect', 'constant'): 3.0,
        StageKey(ANALYSING, 'analyse mesh', 'faces'): 4.0 * clip.faces,
        StageKey(ANALYSING, 'content gate', 'pixels'): 1.0 * 25 / clip.rate,
        StageKey(PROCESSING, 'face_swapper', 'faces'): clip.faces * (5.0 + clip.face_pixels * 1e-4),
        StageKey(PROCESSING, 'encode', 'pixels'): clip.pixels * 1e-5,
        StageKey(END, 'join', 'pixels'): 0.1,
    }


def seconds_of(clip):
    ms = dict.fromkeys((ANALYSING, PROCESSING, END), 0.0)
    for key, value in stages_of(clip).items():
        ms[key.phase] += value
    return FIXED + clip.frames / 1e3 * (0.8 * ms[ANALYSING] + 0.6 * ms[PROCESSING] + ms[END])


def point(height, **more):
    clip = content(height, **more)
    overlaps = {ANALYSING: Overlap(0.8, 1.2, 1), PROCESSING: Overlap(0.6, 1.1, 1)}
    return Point(clip, stages_of(clip), overlaps, FIXED, seconds_of(clip), workers=2)


@pytest.mark.parametrize('height', [300, 480, 1080, 2160])
@pytest.mark.parametrize('faces', [0.0, 0.5, 3.0])
def test_the_model_predicts_other_sizes_faces_and_lengths(height, faces):
    model = ChainModel([point(240), point(540), point(1440)])
    clip = content(height, frames=240, faces=faces)
    assert model.seconds(clip) == pytest.approx(seconds_of(clip), rel=0.02)
    assert model.fixed_seconds == pytest.approx(FIXED)


def test_the_content_gate_costs_less_at_higher_frame_rates():
    model = ChainModel([point(240), point(540)])
    clip = content(540, rate=50.0)
    assert model.seconds(clip) == pytest.approx(seconds_of(clip), rel=0.02)
    assert model.seconds(clip) < model.seconds(content(540))


def test_one_case_is_enough_for_clips_of_its_size():
    model = ChainModel([point(720)])
    for faces in (1.0, 2.0):
        clip = content(720, frames=500 // 2, faces=faces)
        assert model.seconds(clip) == pytest.approx(seconds_of(clip), rel=0.02)


def test_chunks_in_parallel_are_faster_until_the_cores_are_used(monkeypatch):
    monkeypatch.setattr(estimate, 'usable_cores', lambda: 2)
    model = ChainModel([point(720)])
    short, long = content(720, frames=100), content(720, frames=5000)
    gain = model.ms_per_frame(short) - model.ms_per_frame(long)
    analysing = sum(ms for key, ms in stages_of(short).items() if key.phase == ANALYSING)
    # Alone, a chunk takes 0.8 of the sum of its stages; two chunks that use 1.2 cores each are limited by 2 cores.
    assert gain == pytest.approx((0.8 - 1.2 / 2) * analysing, rel=0.02)


@pytest.mark.parametrize(
    ('frames', 'workers', 'expected'), [(100, 2, 1.0), (250, 2, 1.0), (400, 2, 1.6), (500, 2, 2.0), (1000, 8, 4.0)]
)
def test_the_longest_worker_decides_how_many_chunks_are_parallel(frames, workers, expected):
    assert parallel_chunks(frames, workers) == pytest.approx(expected)


def test_the_start_of_the_program_is_a_part_of_the_fixed_seconds():
    clip = content(720, frames=240)
    assert ChainModel([point(720)], 1.5).fixed_seconds == FIXED + 1.5
    assert ChainModel([point(720)], 1.5).seconds(clip) == pytest.approx(ChainModel([point(720)]).seconds(clip) + 1.5)


def test_the_error_is_that_of_cases_that_the_model_has_not_seen():
    points = [point(240), point(540), point(1080)]
    errors = errors_of(points)
    assert errors.method == 'left out' and max(map(abs, errors.percent)) < 3
    wrong = points[1]
    slow = Point(wrong.content, wrong.stages, wrong.overlaps, wrong.fixed, wrong.seconds * 2, wrong.workers)
    assert errors_of([points[0], slow, points[2]]).percent[1] == pytest.approx(-50, abs=3)


def test_with_few_cases_the_error_is_unknown():
    assert errors_of([point(240), point(540)]) == ('unknown', [])
