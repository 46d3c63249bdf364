"""Tests of ``batch-run``: patterns, failed steps, reports and resumed batches."""

from __future__ import annotations

import json
import signal
import sys
import time

import cv2
import numpy as np
import pytest
from fakes.job_schema import check_store, schema_errors

DRAW = ('--processors', 'face_debugger')
# A step whose target has this name waits while the gate file exists.
GATE = """
import pathlib, time
import facefusion.steps.step_work as work
def waits(settings, place, name, emit, flag, run=work.run_step):
    while settings[work.PathOptions].target_path.endswith({name!r}) and pathlib.Path({gate!r}).exists():
        flag.check()
        time.sleep(0.02)
    return run(settings, place, name, emit, flag)
work.run_step = waits
"""


@pytest.fixture
def folder(tmp_path):
    (tmp_path / 'in').mkdir()
    for index, name in enumerate(('a.png', 'b.png', 'c.png')):
        cv2.imwrite(str(tmp_path / 'in' / name), np.full((48, 64, 3), 80 + 40 * index, np.uint8))
    yield tmp_path
    check_store(tmp_path / 'jobs', quiet=True)


@pytest.fixture
def words(folder):
    return ('batch-run', '-t', folder / 'in' / '*.png', '-o', folder / 'out' / '{target_name}{target_extension}', *DRAW)


def jobs(program, *words):
    return json.loads(program('job-list', *words, '--format', 'json').out)


def show(program, job_id):
    return json.loads(program('job-show', job_id, '--format', 'json').out)


def lines_of(report):
    lines = [json.loads(line) for line in report.read_text().splitlines()]
    assert [schema_errors(line, 'report_line') for line in lines] == [[]] * len(lines)
    return lines


def out(folder):
    return sorted(path.name for path in (folder / 'out').iterdir()) if (folder / 'out').is_dir() else []


@pytest.mark.network
def test_every_target_is_a_step_of_one_job(program, folder, words):
    result = program(*words)
    assert result.code == 0 and 'all 3 steps completed' in result.err
    assert out(folder) == ['a.png', 'b.png', 'c.png']
    (job,) = jobs(program)
    assert (job['state'], job['origin'], job['steps']) == ('completed', 'batch-run', 3)
    assert job['id'].startswith('batch-')
    view = show(program, job['id'])
    assert [output['path'] for output in view['outputs']] == [str(folder / 'out' / name) for name in out(folder)]
    assert [step['args']['source_paths'] for step in view['steps']] == [[], [], []]


@pytest.mark.network
def test_every_source_is_combined_with_every_target(program, folder, portrait_source):
    (folder / 'faces').mkdir()
    for name in ('one', 'two'):
        (folder / 'faces' / f'{name}.png').symlink_to(portrait_source)
    pattern = folder / 'out' / '{index:03d}-{source_name}-{target_name}{target_extension}'
    result = program('batch-run', '-s', folder / 'faces' / '*', '-t', folder / 'in' / '[ab].png', '-o', pattern)
    assert result.code == 0, result.err
    assert out(folder) == ['000-one-a.png', '001-one-b.png', '002-two-a.png', '003-two-b.png']
    view = show(program, jobs(program)[0]['id'])
    assert [len(step['args']['source_paths']) for step in view['steps']] == [1] * 4


@pytest.mark.network
def test_other_steps_complete_when_one_fails_and_a_retry_runs_that_one(program, folder, words):
    good = (folder / 'in' / 'b.png').read_bytes()
    (folder / 'in' / 'b.png').write_text('no picture')
    report = folder / 'new' / 'report.jsonl'
    result = program(*words, '--report', report)
    assert result.code == 1 and out(folder) == ['a.png', 'c.png']
    assert f'step 1 (2 of 3) failed, {folder / "in" / "b.png"}: b.png cannot be read' in result.err
    assert '[media-content-unknown]' in result.err and 'the first bytes are' in result.err
    (job,) = jobs(program, 'failed')
    assert f'`facefusion job-retry {job["id"]}' in result.err
    view = show(program, job['id'])
    assert [step['status'] for step in view['steps']] == ['completed', 'failed', 'completed']
    outputs = [step['output'] for step in view['steps']]
    expected = [
        {
            'job': job['id'],
            'index': index,
            'status': step['status'],
            'source': None,
            'target': str(folder / 'in' / f'{"abc"[index]}.png'),
            'output': str(folder / 'out' / f'{"abc"[index]}.png'),
            'sha256': step['output'] and step['output']['sha256'],
            'seconds': step['seconds'],
            'error': step['error'],
        }
        for index, step in enumerate(view['steps'])
    ]
    assert lines_of(report) == expected and expected[1]['error']['reference'] == 'media-content-unknown'
    (folder / 'in' / 'b.png').write_bytes(good)
    result = program('job-retry', job['id'])
    assert result.code == 0 and 'step 1 (2 of 3)' in result.err
    assert 'step 0 (1 of 3)' not in result.err and 'step 2 (3 of 3)' not in result.err
    view = show(program, job['id'])
    assert view['state'] == 'completed' and [view['steps'][k]['output'] for k in (0, 2)] == [outputs[0], outputs[2]]
    assert out(folder) == ['a.png', 'b.png', 'c.png']


@pytest.mark.network
def test_every_failed_step_is_listed_with_its_reason(program, folder, words):
    for index in range(8):
        (folder / 'in' / f'bad{index}.png').write_bytes(b'bad' * (index > 3))
    result = program(*words, '--progress', 'json')
    assert result.code == 1 and '8 of 11 steps' in result.err and '[steps-failed]' in result.err
    for index in range(8):
        assert f'bad{index}.png: ' in result.err
    assert out(folder) == ['a.png', 'b.png', 'c.png']
    events = result.events
    assert events[-1]['event'] == 'run_failed' and events[-1]['error']['reference'] == 'steps-failed'
    assert [event['status'] for event in events if event['event'] == 'step_finished'].count('failed') == 8


@pytest.mark.network
def test_halt_on_error_stops_at_the_first_failure(program, folder, words):
    (folder / 'in' / 'b.png').write_bytes(b'')
    result = program(*words, '--halt-on-error')
    assert result.code == 1 and out(folder) == ['a.png']
    (job,) = jobs(program, 'failed')
    assert [step['status'] for step in show(program, job['id'])['steps']] == ['completed', 'failed', 'queued']


@pytest.mark.network
def test_a_dry_run_prints_plans_only(program, folder, words):
    result = program(*words, '--dry-run')
    assert result.code == 0
    plans = [json.loads(line) for line in result.out.splitlines()]
    assert [plan['output'] for plan in plans] == [str(folder / 'out' / f'{name}.png') for name in 'abc']
    assert out(folder) == [] and jobs(program) == []


@pytest.mark.parametrize(
    ('change', 'code', 'reference'),
    [
        ({'-t': 'in/*.gif'}, 1, 'pattern-no-match'),
        ({'-t': 'nowhere/*.png'}, 1, 'pattern-no-match'),
        ({'-t': 'in'}, 1, 'pattern-no-match'),
        ({'-s': 'faces/*'}, 1, 'pattern-no-match'),
        ({'-t': None}, 2, 'target-pattern-missing'),
        ({'-o': None}, 2, 'output-pattern-missing'),
        ({'-o': 'out/{nope}.png'}, 2, 'pattern-field'),
        ({'-o': 'out/{source_name}.png'}, 2, 'pattern-field'),
        ({'-o': 'out/{index'}, 2, 'pattern-format'),
        ({'-o': 'out/one.png'}, 2, 'pattern-output-twice'),
        ({'-o': 'in/{target_name}{target_extension}'}, 2, 'pattern-output-is-input'),
        ({'-o': 'out/../in/{index}.png', '-t': 'in/[0-9].png'}, 2, 'pattern-output-is-input'),
    ],
)
def test_invalid_patterns_are_refused_first(program, folder, monkeypatch, change, code, reference):
    monkeypatch.chdir(folder)
    for index in (1, 2):
        (folder / 'in' / f'{index}.png').symlink_to(folder / 'in' / 'a.png')
    asked = {'-t': 'in/*.png', '-o': 'out/{index}.png'} | change
    flags = [word for flag, value in asked.items() if value is not None for word in (flag, value)]
    program.fails(code, reference, 'batch-run', *flags, *DRAW)
    assert jobs(program) == []


@pytest.mark.network
@pytest.mark.skipif(sys.platform == 'win32', reason='a process cannot be ended like this on Windows')
@pytest.mark.parametrize('number', ['SIGKILL', 'SIGINT'])
def test_the_same_command_resumes_an_ended_batch(program, folder, words, number):
    report = folder / 'report.jsonl'
    words = (*words, '--report', report)
    gate = folder / 'gate'
    gate.write_bytes(b'')
    process = program.start(*words, script=GATE.format(name='b.png', gate=str(gate)))
    end = time.monotonic() + 20
    # The record and the report are written after the output, and the process may be killed in between.
    while not (report.exists() and report.read_text().endswith('\n')) and time.monotonic() < end:
        time.sleep(0.02)
    assert any(job['steps_completed'] for job in jobs(program))
    (job,) = jobs(program)
    assert (job['state'], out(folder)) == ('running', ['a.png']) and jobs(program, 'queued') == []
    process.send_signal(getattr(signal, number))
    said = process.communicate(timeout=20)[1]
    assert process.returncode == (4 if number == 'SIGINT' else -9), said
    changed = (folder / 'out' / 'a.png').stat().st_mtime_ns
    first = report.read_text()
    assert [line['index'] for line in lines_of(report)] == [0]
    gate.unlink()
    result = program(*words)
    assert result.code == 0 and f'resuming the job {job["id"]}' in result.err
    assert 'step 0 (1 of 3)' not in result.err and out(folder) == ['a.png', 'b.png', 'c.png']
    assert (folder / 'out' / 'a.png').stat().st_mtime_ns == changed
    (view,) = [show(program, known['id']) for known in jobs(program)]
    lost = {'SIGKILL': 'lost', 'SIGINT': 'failed'}[number]
    assert [attempt['result'] for attempt in view['attempts']] == [lost, 'completed']
    assert report.read_text().startswith(first) and [line['index'] for line in lines_of(report)] == [0, 1, 2]
    assert {line['job'] for line in lines_of(report)} == {job['id']}
    # Another command creates another job, and so does the same command after the first job is completed.
    assert program(*words).code == 0 and len(jobs(program)) == 2


@pytest.mark.parametrize(
    ('name', 'code', 'reference'),
    [
        ('in', 1, 'report-unwritable'),
        ('in/a.png/report.jsonl', 1, 'report-unwritable'),
        ('n' * 256, 1, 'report-unwritable'),
        ('in/a.png', 2, 'report-is-file-of-batch'),
        ('in/hard.jsonl', 2, 'report-is-file-of-batch'),
        ('out/b.png', 2, 'report-is-file-of-batch'),
    ],
)
def test_an_unusable_report_is_refused_first(program, folder, words, name, code, reference):
    (folder / 'in' / 'hard.jsonl').hardlink_to(folder / 'in' / 'a.png')
    said = program.fails(code, reference, *words, '--report', folder / name)
    assert 'the report' in said and jobs(program) == []
