"""Tests of the division of a profile into the stages of a report."""

from __future__ import annotations

import pytest

from facefusion.benchmark.stages import stages_of
from facefusion.profiling import StageTime

TIMES = {
    ('decode',): StageTime(10, 1.0, 0.8),
    ('analyse',): StageTime(10, 0.5, 0.5),
    ('analyse', 'detect'): StageTime(2, 0.25, 0.2),
    ('analyse', 'detect', 'network centerface'): StageTime(2, 0.75, 0.7),
    ('analyse', 'detect', 'load centerface'): StageTime(1, 9.0, 4.0),
    ('render',): StageTime(10, 0.1, 0.1),
    ('render', 'face_swapper'): StageTime(10),
    ('render', 'face_swapper', 'pre'): StageTime(10, 0.2, 0.2),
    ('render', 'face_swapper', 'post'): StageTime(10, 0.3, 0.3),
    ('render', 'face_swapper', 'network inswapper_128'): StageTime(10, 2.0, 1.0),
    ('render', 'mark'): StageTime(10, 0.4, 0.4),
    ('encode',): StageTime(11, 0.6, 0.1),
    ('prepare',): StageTime(1, 3.0, 3.0),
}


def test_networks_and_the_stages_of_a_batch_are_assigned():
    stages = stages_of([TIMES], ('face_swapper',))
    assert list(stages) == ['decode', 'analyse', 'face_swapper', 'mark', 'render', 'encode', 'prepare', 'load']
    assert stages['analyse'].seconds == 1.5 and stages['analyse'].network == 0.75
    assert stages['analyse'].parts == {'other': 0.5, 'detect': 1.0}
    assert stages['face_swapper'].seconds == pytest.approx(2.5) and stages['face_swapper'].network == 2.0
    assert stages['render'].seconds == pytest.approx(0.1)


def test_loading_a_network_is_a_stage_of_its_own_wherever_it_happens():
    assert stages_of([TIMES])['load'].seconds == 9.0


def test_no_time_is_lost_or_counted_twice():
    stages = stages_of([TIMES, TIMES], ('face_swapper',))
    assert sum(stage.seconds for stage in stages.values()) == pytest.approx(
        2 * sum(time.seconds for time in TIMES.values())
    )
    assert all(sum(stage.parts.values()) == pytest.approx(stage.seconds) for stage in stages.values())


def test_a_record_has_milliseconds_a_frame_and_the_parts_of_a_processor():
    stages = stages_of([TIMES], ('face_swapper',))
    assert stages['face_swapper'].as_record(10, True) == {
        'name': 'face_swapper',
        'kind': 'processor',
        'ms': 250.0,
        'cpu_ms': 150.0,
        'network_ms': 200.0,
        'parts': {'pre': 20.0, 'network': 200.0, 'post': 30.0},
    }
    assert stages['decode'].as_record(10, False)['parts'] == {}
