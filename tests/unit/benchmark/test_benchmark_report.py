"""Tests of the report: its numbers, its JSON Schema, and its tables."""

from __future__ import annotations

import json
from pathlib import Path

import jsonschema
import pytest
from fakes.fake_nvml import FakeNvml

from facefusion.benchmark.bench import Results
from facefusion.benchmark.cases import Chain, LeftOut
from facefusion.benchmark.compare import compare
from facefusion.benchmark.cycle import ANALYSING, PROCESSING, Cycle, Phase
from facefusion.benchmark.gauges import Readings
from facefusion.benchmark.gpu import find_gpu
from facefusion.benchmark.job import Case
from facefusion.benchmark.machine import describe_machine
from facefusion.benchmark.options import BenchmarkOptions
from facefusion.benchmark.report import make_report, providers_used
from facefusion.benchmark.table import tables_of
from facefusion.cli.benchmark import GROUPS
from facefusion.errors import Interrupted, ModelError
from facefusion.profiling import StageTime
from facefusion.settings import resolve

SCHEMA = json.loads((Path(__file__).resolve().parents[3] / 'docs' / 'benchmark.schema.json').read_text())
SETTINGS = resolve(GROUPS, {}, None, {})
CHAIN = Chain(SETTINGS, ('face_swapper',), ('inswapper_128',))


def cycle(seconds, memory, device, joules):
    times = {
        ('decode',): StageTime(20, 0.2, 0.1),
        ('render', 'face_swapper'): StageTime(10),
        ('render', 'face_swapper', 'pre'): StageTime(10, 0.1, 0.1),
        ('render', 'face_swapper', 'network inswapper_128'): StageTime(10, 0.6, 0.3),
        ('render', 'face_swapper', 'post'): StageTime(10, 0.3, 0.3),
        ('prepare', 'load inswapper_128'): StageTime(1, 0.5, 0.5),
    }
    phases = {ANALYSING: Phase(0.25, 0.3, {}), PROCESSING: Phase(1.0, 1.5, {})}
    frame_seconds = tuple(0.1 * number for number in range(1, 11))
    return Cycle(seconds, 3.0, times, phases, frame_seconds, Readings(memory, device, joules, joules), 20)


def results():
    cycles = [cycle(2.0, 1000, 500, 30.0), cycle(3.0, 2000, 400, None)]
    networks = {'inswapper_128': ('CUDAExecutionProvider', 'CPUExecutionProvider')}
    left = LeftOut(CHAIN, '', ModelError('model-missing', 'the model x is not on this machine', hint='fetch it'))
    return Results([Case(CHAIN, '240p', 10, cycles, networks, 'benchmark-1')], [left])


def report_of(found):
    gpu = find_gpu(0, lambda name: FakeNvml())
    return make_report(SETTINGS, describe_machine(gpu, 0, providers_used(found)), found)


@pytest.fixture
def report():
    report = report_of(results())
    jsonschema.validate(report, SCHEMA)
    return report


def test_a_case_has_the_numbers_of_its_runs(report):
    (case,) = report['cases']
    assert case['frames_per_second'] == 4 and case['ms_per_frame'] == 250 and case['faces'] == 2
    assert case['seconds'] == {'mean': 2.5, 'fastest': 2, 'slowest': 3, 'analysing': 0.25, 'processing': 1}
    assert case['frame_ms'] == {'p50': 550, 'p95': 1000}
    assert case['cpu_seconds'] == 3
    assert case['peak_memory_bytes'] == 2000 and case['device_memory_bytes'] == 500
    assert case['energy_joules'] == {'cpu': 30, 'gpu': 30}
    assert case['peer'] == {
        'target_path': 'target-240p.mp4',
        'cycle_count': 2,
        'average_run': 2.5,
        'fastest_run': 2.0,
        'slowest_run': 3.0,
        'relative_fps': 4.0,
    }


def test_stages_are_per_frame_and_fixed_stages_per_run(report):
    (case,) = report['cases']
    decode, swapper = case['stages']
    assert (decode['name'], decode['ms'], decode['cpu_ms']) == ('decode', 20, 10)
    assert swapper['ms'] == 100 and swapper['parts'] == {'pre': 10, 'network': 60, 'post': 30}
    assert [(stage['name'], stage['ms']) for stage in case['fixed_stages']] == [('load', 500)]


def test_the_machine_has_its_card_and_the_providers_in_use(report):
    assert report['machine']['gpu'] == {'name': 'Test Card', 'driver': '570.1', 'memory_bytes': 8000}
    assert report['machine']['providers'] == ['CUDAExecutionProvider']


def test_an_interrupted_report_says_so():
    found = results()
    found.stopped = Interrupted()
    assert report_of(found)['complete'] is False


def test_an_empty_report_is_valid():
    report = report_of(Results())
    jsonschema.validate(report, SCHEMA)
    assert report['cases'] == [] and list(tables_of(report)) == []


def test_the_schema_refuses_unknown_and_missing_keys(report):
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(report | {'more': 1}, SCHEMA)
    del report['cases'][0]['energy_joules']
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(report, SCHEMA)


def test_the_settings_are_those_of_the_options(report):
    options = SETTINGS[BenchmarkOptions]
    assert report['settings'] == {'mode': 'warm', 'cycle_count': 5, 'frames': options.benchmark_frames}


def test_tables_show_cases_stages_left_out_models_and_changes(report):
    report['comparison'] = compare(report, report_of(results()), 10)
    jsonschema.validate(report, SCHEMA)
    tables = dict(tables_of(report))
    runs, stages, peer, left, changes = tables.values()
    assert runs[1] == (
        'face_swapper inswapper_128',
        *('240p', '4.00', '550.00', '1000.00', '2.50', '3.00', '0 MB', '0 MB', '60.00'),
    )
    assert stages[2] == (
        'face_swapper inswapper_128',
        '240p',
        'face_swapper',
        '100.00',
        '70.00',
        '10.00',
        '60.00',
        '30.00',
    )
    assert peer[1][1:] == ('target-240p.mp4', '2', '2.5', '2.0', '3.0', '4.0') and peer[1][0] == runs[1][0]
    assert left[1] == ('face_swapper inswapper_128', 'all', 'the model x is not on this machine')
    assert changes[1][2:] == ('+0.0', '+0.0', '+0.0', '+0.0', '')
