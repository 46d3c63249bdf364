"""Tests of the comparison of two reports."""

from __future__ import annotations

import copy
import json

import pytest

from facefusion.benchmark.compare import compare, read_report
from facefusion.errors import UsageError

REPORT = {
    'version': 1,
    'date': '2026-01-01T00:00:00+00:00',
    'settings': {'mode': 'warm', 'frames': 10},
    'machine': {'cpu': {'model': 'A', 'usable_cores': 2}, 'gpu': None, 'python': '3.11.7'},
    'cases': [
        {
            'processors': ['face_swapper'],
            'models': ['mesh_warp'],
            'resolution': resolution,
            'frames': 10,
            'frames_per_second': 100.0,
            'cpu_seconds': 5.0,
            'peak_memory_bytes': 1000,
            'frame_ms': {'p50': 8.0, 'p95': 10.0},
            'stages': [{'name': 'decode', 'ms': 1.5}],
        }
        for resolution in ('240p', '720p')
    ],
}


def changed(**values):
    report = copy.deepcopy(REPORT)
    report['cases'][1] |= values
    return report


def test_an_equal_report_is_not_worse():
    found = compare(REPORT, REPORT, 10)
    assert not found['is_worse'] and found['machine'] == [] and found['settings'] == []
    assert [case['change_percent']['frames_per_second'] for case in found['cases']] == [0, 0]
    assert found['cases'][0]['stages_ms'] == {'decode': [1.5, 1.5]}


@pytest.mark.parametrize(
    ('values', 'worse'),
    [
        ({'frames_per_second': 89.0}, ['frames_per_second']),
        ({'frames_per_second': 91.0}, []),
        ({'frames_per_second': 150.0}, []),
        ({'cpu_seconds': 5.6}, ['cpu_seconds']),
        ({'cpu_seconds': 3.0}, []),
        ({'peak_memory_bytes': 1200}, ['peak_memory_bytes']),
        ({'frames_per_second': 10.0, 'cpu_seconds': 50.0}, ['frames_per_second', 'cpu_seconds']),
    ],
)
def test_a_case_is_worse_past_the_threshold(values, worse):
    found = compare(REPORT, changed(**values), 10)
    assert [case['worse'] for case in found['cases']] == [[], worse]
    assert found['is_worse'] is bool(worse)


def test_the_threshold_is_the_given_one():
    assert not compare(REPORT, changed(frames_per_second=60.0), 50)['is_worse']
    assert compare(REPORT, changed(frames_per_second=60.0), 30)['is_worse']


def test_cases_of_one_report_only_are_named_and_never_worse():
    found = compare(REPORT, changed(resolution='1080p', frames_per_second=1.0), 10)
    assert found['only_new'] == ['face_swapper mesh_warp 1080p, 10 frames']
    assert found['only_old'] == ['face_swapper mesh_warp 720p, 10 frames']
    assert not found['is_worse']


def test_another_machine_and_other_settings_are_named():
    new = copy.deepcopy(REPORT)
    new['machine']['cpu']['usable_cores'] = 8
    new['settings']['mode'] = 'cold'
    found = compare(REPORT, new, 10)
    assert found['machine'] == ['cpu usable_cores: 8, before 2']
    assert found['settings'] == ['mode']


@pytest.mark.parametrize(
    ('text', 'reference'),
    [
        ('{', 'benchmark-file'),
        ('[]', 'benchmark-file'),
        ('{"version": 1}', 'benchmark-file'),
        (json.dumps(REPORT | {'version': 2}), 'benchmark-version'),
        (json.dumps(REPORT | {'version': 'x'}), 'benchmark-file'),
    ],
)
def test_a_file_of_another_kind_or_version_is_refused(tmp_path, text, reference):
    (tmp_path / 'old.json').write_text(text)
    with pytest.raises(UsageError) as refused:
        read_report(tmp_path / 'old.json')
    assert refused.value.reference == reference and refused.value.hint


def test_a_missing_file_is_refused(tmp_path):
    with pytest.raises(UsageError) as refused:
        read_report(tmp_path / 'none.json')
    assert refused.value.reference == 'benchmark-file'
