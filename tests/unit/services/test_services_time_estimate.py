"""The estimate of a step from earlier steps of the store."""

from __future__ import annotations

import json

import pytest
from fakes.job_stores import make_store

from facefusion.jobs.record import now_text
from facefusion.services.time_estimate import estimate_seconds

PLAN = {
    'processors': ['face_swapper'],
    'models': ['centerface', 'open_nsfw'],
    'settings': {'face_swapper_pixel_boost': '256x256'},
    'processed_size': [1280, 720],
    'timeline': {'frame_count': 1000},
}
REPORT = {
    'frames': 250,
    'frame_size': [1280, 720],
    'seconds': 12.0,
    'stage_seconds': {'analyse': 4.0, 'render': 6.0},
    'models': ['centerface', 'open_nsfw'],
}


@pytest.fixture
def store(tmp_path):
    return make_store(tmp_path)


def complete(store, name, args=None, attempts=1, **report):
    step = {
        'args': {'processors': ['face_swapper'], 'face_swapper_pixel_boost': '256x256', **(args or {})},
        'report': {**REPORT, **report},
    }
    path = store.root / 'completed' / f'{name}.json'
    path.parent.mkdir(parents=True, exist_ok=True)
    record = {'version': '2', 'id': name, 'date_created': now_text(), 'attempts': [{}] * attempts, 'steps': [step]}
    path.write_text(json.dumps(record), encoding='utf-8')


def test_an_empty_store_gives_no_estimate(store):
    assert estimate_seconds(store, PLAN) is None


def test_the_frames_are_scaled_and_the_start_and_end_are_not(store):
    complete(store, 'one')
    assert estimate_seconds(store, PLAN) == 2 + 10 * 4


def test_the_nearest_frame_size_decides_and_is_scaled(store):
    complete(store, 'near', frame_size=[640, 720])
    complete(store, 'far', frame_size=[640, 480], seconds=100.0)
    assert estimate_seconds(store, PLAN) == 2 + 10 * 4 * 2


def test_of_equal_sizes_the_most_equal_options_decide(store):
    complete(store, 'boost', {'face_swapper_pixel_boost': '512x512'}, stage_seconds={'render': 11.0})
    complete(store, 'same', stage_seconds={'render': 5.0})
    assert estimate_seconds(store, PLAN) == 7 + 5 * 4


@pytest.mark.parametrize(
    'changes',
    (
        {'args': {'processors': ['face_enhancer']}},
        {'models': ['yoloface_8n']},
        {'frame_size': [320, 180]},
        {'frame_size': [3840, 2160]},
        {'frames': 0},
        {'frame_size': None},
        {'seconds': 'long'},
        {'stage_seconds': [1]},
        {'attempts': 2},
    ),
)
def test_other_steps_and_unusable_records_are_not_used(store, changes):
    complete(store, 'other', **changes)
    assert estimate_seconds(store, PLAN) is None


def test_an_image_counts_as_one_frame(store):
    complete(store, 'image', frames=1, seconds=0.9, stage_seconds={})
    assert estimate_seconds(store, {key: value for key, value in PLAN.items() if key != 'timeline'}) == 0.9
