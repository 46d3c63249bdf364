"""Tests of the facts about the machine."""

from __future__ import annotations

from facefusion.benchmark.machine import cpu_model, describe_machine


def test_the_processor_has_its_name(tmp_path):
    (tmp_path / 'cpuinfo').write_text(
        'processor : 0\nmodel name\t: Some CPU @ 3 GHz\nprocessor : 1\nmodel name : Other\n'
    )
    assert cpu_model(tmp_path / 'cpuinfo') == 'Some CPU @ 3 GHz'
    assert cpu_model(tmp_path / 'none') != ''


def test_versions_and_memory_are_those_of_this_process():
    import numpy as np

    facts = describe_machine(None, 0, ['CPUExecutionProvider'])
    assert facts['libraries']['numpy'] == np.__version__ and 'onnxruntime' in ' '.join(facts['libraries'])
    assert facts['memory_bytes'] > 100_000_000 and facts['providers'] == ['CPUExecutionProvider']
    assert 1 <= facts['cpu']['usable_cores'] <= facts['cpu']['cores']
