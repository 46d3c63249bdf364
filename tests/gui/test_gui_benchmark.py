"""The routes of benchmarks."""

from __future__ import annotations

import json

import pytest
from fakes.page_server import page_server


@pytest.fixture(scope='module')
def server(tmp_path_factory):
    with page_server(tmp_path_factory.mktemp('benchmark')) as started:
        yield started


def make_report(server, name, date):
    folder = server.folder / 'jobs' / '.gui' / 'benchmarks'
    folder.mkdir(parents=True, exist_ok=True)
    report = {
        'version': 1,
        'date': date,
        'settings': {},
        'machine': {'cpu': {'model': 'a processor'}},
        'cases': [],
    }
    (folder / name).write_text(json.dumps(report))


def test_reports_are_listed_read_and_compared(server):
    make_report(server, '20260101-000000.json', '2026-01-01T00:00:00+00:00')
    make_report(server, '20260102-000000.json', '2026-01-02T00:00:00+00:00')
    reply = server.get('/benchmark')
    assert reply['is_running'] is False
    assert [(each['name'], each['machine']) for each in reply['reports']] == [
        ('20260102-000000.json', 'a processor'),
        ('20260101-000000.json', 'a processor'),
    ]
    assert server.get('/benchmark/reports/20260101-000000.json')['date'].startswith('2026-01-01')
    compared = server.get('/benchmark/compare', old='20260101-000000.json', new='20260102-000000.json')
    assert compared['is_worse'] is False and compared['date'].startswith('2026-01-01')
    assert server.call('GET', '/benchmark/reports/x.json').status == 404
    assert server.call('GET', '/benchmark/compare', old='..', new='20260102-000000.json').status == 404


def test_wrong_options_start_no_benchmark(server):
    for args in ({'benchmark_frames': 1}, {'target_path': 'x'}, {'benchmark_resolutions': ['9p']}):
        reply = server.call('POST', '/benchmark', {'args': args})
        assert (reply.status, reply.json['reference']) == (422, 'request-argument')
    assert server.get('/benchmark')['is_running'] is False
    keys = [option['key'] for option in server.get('/benchmark/options')]
    assert 'benchmark_frames' in keys and 'processors' not in keys


@pytest.mark.network
def test_a_benchmark_runs_in_the_background_and_keeps_its_report(server, store):
    args = {'processors': ['face_debugger'], 'benchmark_frames': 8, 'benchmark_cycle_count': 1}
    with server.events() as events:
        events.until('workers')
        assert server.post('/benchmark', {'args': args}, 202)['is_running'] is True
        assert server.call('POST', '/benchmark', {'args': args}).json['reference'] == 'benchmark-running'
        events.until('benchmark', lambda state: state['done'] > 0 and state['total'] == 16)
        ended = events.until('benchmark', lambda state: not state['is_running'])
        assert ended['error'] is None
    report = server.get(f'/benchmark/reports/{ended["name"]}')
    assert report['cases'][0]['processors'] == ['face_debugger'] and report['cases'][0]['frames'] == 8


def test_a_failed_benchmark_tells_its_error(server):
    args = {'benchmark_models': ['nothing'], 'benchmark_frames': 8}
    with server.events() as events:
        events.until('workers')
        server.post('/benchmark', {'args': args}, 202)
        ended = events.until('benchmark', lambda state: not state['is_running'])
    assert ended['error']['reference'] == 'benchmark-model'
