"""Tests of the facts about the machine."""

from __future__ import annotations

import os

from facefusion.benchmark.machine import cpu_model, describe_machine, usable_cores


def test_the_processor_has_its_name(tmp_path):
    (tmp_path / 'cpuinfo').write_text(
        'processor : 0\nmodel name\t: Some CPU @ 3 GHz\nprocessor : 1\nmodel name : Other\n'
    )
    assert cpu_model(tmp_path / 'cpuinfo') == 'Some CPU @ 3 GHz'
    assert cpu_model(tmp_path / 'none') != ''


def test_the_quota_of_a_control_group_limits_the_cores(tmp_path, monkeypatch):
    monkeypatch.setattr(os, 'sched_getaffinity', lambda number: set(range(8)), raising=False)
    assert usable_cores(tmp_path) == 8
    (tmp_path / 'cpu.max').write_text('250000 100000\n')
    assert usable_cores(tmp_path) == 3
    (tmp_path / 'cpu.max').write_text('max 100000\n')
    assert usable_cores(tmp_path) == 8
    (tmp_path / 'cpu').mkdir()
    (tmp_path / 'cpu' / 'cpu.cfs_period_us').write_text('100000')
    for quota, cores in ((50000, 1), (400000, 4), (-1, 8)):
        (tmp_path / 'cpu' / 'cpu.cfs_quota_us').write_text(str(quota))
        assert usable_cores(tmp_path) == cores


def test_versions_and_memory_are_those_of_this_process():
    import numpy as np

    facts = describe_machine(None, 0, ['CPUExecutionProvider'])
    assert facts['libraries']['numpy'] == np.__version__ and 'onnxruntime' in ' '.join(facts['libraries'])
    assert facts['memory_bytes'] > 100_000_000 and facts['providers'] == ['CPUExecutionProvider']
    assert 1 <= facts['cpu']['usable_cores'] <= facts['cpu']['cores']
