"""The routes of jobs and workers, and the events of the page."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import pytest
from fakes.job_stores import make_queued, make_record
from fakes.page_server import page_server
from fakes.tiny_clip import make_tiny_clip
from fakes.waits import wait_until

from facefusion.jobs.store import JobStore

DEBUGGER = {'processors': ['face_debugger'], 'face_detector_model': 'centerface'}


@pytest.fixture(scope='module')
def job_store(page) -> JobStore:
    return JobStore(page.folder / 'jobs')


def args_for(clip: Path, name: str, **more) -> dict:
    return {**DEBUGGER, 'target_path': str(clip), 'output_path': str(clip.with_name(name)), **more}


def state_of(page, job_id):
    return page.get(f'/jobs/{job_id}')['state']


def refused(page, status, reference, method, path, body=None):
    reply = page.call(method, path, body)
    assert (reply.status, reply.json['reference']) == (status, reference), reply.body
    return reply.json


def test_a_job_is_created_shown_changed_and_deleted(page, clip):
    job = page.post('/jobs', {'id': 'first', 'steps': [{'args': args_for(clip, 'a.mp4')}], 'priority': 3}, 201)
    assert (job['id'], job['state'], job['priority'], len(job['steps'])) == ('first', 'drafted', 3, 1)
    assert job['steps'][0]['args']['target_path'] == str(clip)
    assert len(page.post('/jobs/first/steps', {'args': args_for(clip, 'b.mp4')})['steps']) == 2
    assert len(page.call('DELETE', '/jobs/first/steps/0').json['steps']) == 1
    summary = next(each for each in page.get('/jobs')['jobs'] if each['id'] == 'first')
    assert summary['output_paths'] == [str(clip.with_name('b.mp4'))]
    assert page.call('PATCH', '/jobs/first', {'priority': -2}).json['priority'] == -2
    assert page.post('/jobs/first/submit')['state'] == 'queued'
    assert page.post('/jobs/first/cancel')['state'] == 'failed'
    assert page.call('DELETE', '/jobs/first').status == 204
    refused(page, 404, 'job-unknown', 'GET', '/jobs/first')


def test_wrong_requests_create_nothing(page, clip):
    good, bad = {'args': args_for(clip, 'w.mp4')}, {'args': args_for(clip, 'w.mp4', face_detector_score=7)}
    for body, reference in (
        ({'steps': [good, bad]}, 'request-argument'),
        ({'steps': [{'args': args_for(clip, 'w.mp4', face_swaper='x')}]}, 'request-argument'),
        ({'steps': [{'args': DEBUGGER}]}, 'step-incomplete'),
        ({'steps': [good], 'priority': 1001}, 'request-argument'),
        ({'steps': [good], 'priority': True}, 'request-argument'),
        ({'steps': good}, 'request-argument'),
        ({'steps': ['x']}, 'request-argument'),
        ({'steps': [], 'run': True}, 'job-empty'),
        ({'more': 1}, 'request-argument'),
        ({'id': '../x'}, 'job-id-invalid'),
    ):
        reply = page.call('POST', '/jobs', body)
        assert reply.json['reference'] == reference, (body, reply.body)
        assert reply.status == (409 if reference == 'job-empty' else 422)
    refused(
        page, 403, 'path-outside-roots', 'POST', '/jobs', {'steps': [{'args': args_for(Path('/etc/x.mp4'), 'y.mp4')}]}
    )
    assert page.get('/jobs')['jobs'] == []


def test_moves_that_a_state_forbids_are_409_with_the_reference(page, clip):
    page.post('/jobs', {'id': 'states', 'steps': [{'args': args_for(clip, 's.mp4')}]}, 201)
    for path in ('cancel', 'retry'):
        refused(page, 409, 'job-wrong-state', 'POST', f'/jobs/states/{path}', {})
    refused(page, 409, 'job-wrong-state', 'PATCH', '/jobs/states', {'before': None})
    refused(page, 422, 'request-argument', 'PATCH', '/jobs/states', {})
    refused(page, 422, 'request-argument', 'PATCH', '/jobs/states', {'before': 3})
    refused(page, 404, 'job-unknown', 'POST', '/jobs/none/submit', {})
    refused(page, 409, 'step-unknown', 'DELETE', '/jobs/states/steps/4')
    page.post('/jobs/states/submit')
    refused(page, 409, 'job-wrong-state', 'POST', '/jobs/states/submit', {})
    refused(page, 409, 'job-wrong-state', 'POST', '/jobs/states/steps', {'args': args_for(clip, 's.mp4')})
    assert page.call('DELETE', '/jobs/states').status == 204


def test_queued_jobs_are_listed_and_moved_in_their_order(page, job_store):
    make_queued(job_store, *(make_record(job_id, folder=page.folder) for job_id in ('q1', 'q2', 'q3')))

    def order():
        return [each['id'] for each in page.get('/jobs')['jobs'] if each['state'] == 'queued']

    assert order() == ['q1', 'q2', 'q3']
    assert page.call('PATCH', '/jobs/q3', {'before': 'q1'}).json['state'] == 'queued'
    assert order() == ['q3', 'q1', 'q2']
    page.call('PATCH', '/jobs/q3', {'before': None})
    page.call('PATCH', '/jobs/q2', {'priority': 5})
    assert order() == ['q2', 'q1', 'q3']
    for job_id in order():
        page.call('DELETE', f'/jobs/{job_id}')


def test_the_stream_starts_with_the_jobs_and_tells_every_change(page, job_store):
    make_queued(job_store, make_record('e1', folder=page.folder))
    with page.events() as events:
        name, data = events.next()
        assert name == 'jobs' and 'e1' in [each['id'] for each in data['jobs']]
        assert events.next() == ('workers', {'workers': []})
        began = time.monotonic()
        page.post('/jobs/e1/cancel')
        assert events.until('job', lambda job: job['id'] == 'e1' and job['state'] == 'failed')
        # A change by another process is found by the next look.
        make_queued(job_store, make_record('e2', folder=page.folder))
        assert events.until('job', lambda job: job['id'] == 'e2' and job['state'] == 'queued')
        assert time.monotonic() - began < 15
        page.call('DELETE', '/jobs/e2')
        assert events.until('gone') == {'id': 'e2'}
        page.call('DELETE', '/jobs/e1')


def test_a_request_of_one_page_does_not_hide_changes_from_another(page, job_store):
    with page.events() as events:
        events.until('workers')
        for number in range(5):
            make_queued(job_store, make_record(f'n{number}', folder=page.folder))
            page.get('/jobs')
            assert events.until('job', lambda job, number=number: job['id'] == f'n{number}')
    for number in range(5):
        page.call('DELETE', f'/jobs/n{number}')


@pytest.mark.network
def test_run_moves_the_job_to_the_head_and_a_worker_runs_it_with_a_log(page, clip, job_store, store):
    make_queued(job_store, make_record('later', folder=page.folder))
    with page.events() as events:
        job = page.post('/jobs', {'id': 'now', 'steps': [{'args': args_for(clip, 'now.mp4')}], 'run': True}, 201)
        assert job['state'] in ('queued', 'running')
        done = events.until('job', lambda job: job['id'] == 'now' and job['state'] in ('completed', 'failed'))
        assert done['state'] == 'completed', done['error']
        (worker,) = page.get('/workers')['workers']
        assert worker['is_child'] and worker['pid'] != os.getpid()
        # The job before it in the queue has no target.
        assert events.until('job', lambda job: job['id'] == 'later' and job['state'] == 'failed')
    job = page.get('/jobs/now')
    assert job['outputs'][0]['path'] == str(clip.with_name('now.mp4'))
    assert [attempt['pid'] for attempt in job['attempts']] == [worker['pid']]
    log = page.get('/jobs/now/log')
    assert log['lines'][0]['text'].startswith('started by process') and log['more'] is False
    assert log['lines'][-1]['text'] == 'completed'
    assert page.post('/jobs/later/retry', {'from_scratch': True})['state'] in ('queued', 'running', 'failed')
    assert page.call('DELETE', '/workers').status == 202
    wait_until(lambda: page.get('/workers')['workers'] == [], 60)
    refused(page, 409, 'worker-foreign', 'DELETE', '/workers')
    page.post('/workers', {}, 202)
    assert len(page.post('/workers', {}, 202)['workers']) == 1
    page.call('DELETE', '/workers')
    wait_until(lambda: page.get('/workers')['workers'] == [], 60)


@pytest.mark.network
def test_a_running_job_outlives_the_server_and_then_its_worker_ends(tmp_path, store):
    clip = make_tiny_clip(tmp_path / 'clip.mp4', 400)
    with page_server(tmp_path) as server:
        steps = [{'args': args_for(clip, 'out.mp4')}]
        server.post('/jobs', {'id': 'long', 'steps': steps, 'run': True}, 201)
        server.post('/jobs', {'id': 'waits', 'steps': [{'args': args_for(clip, 'out2.mp4')}], 'submit': True}, 201)
        wait_until(lambda: state_of(server, 'long') == 'running', 60)
        (worker,) = server.get('/workers')['workers']
        server.process.send_signal(signal.SIGKILL)
        server.process.wait(20)
    jobs = JobStore(tmp_path / 'jobs')
    wait_until(lambda: jobs.open('long').state in ('completed', 'failed'), 60)
    assert jobs.open('long').state == 'completed'
    wait_until(lambda: not Path(f'/proc/{worker["pid"]}/cmdline').exists() if Path('/proc/self').exists() else True, 60)
    assert jobs.open('waits').state == 'queued'


def test_the_server_ends_at_once_although_a_page_listens(tmp_path):
    with page_server(tmp_path) as server, server.events() as events:
        events.until('workers')
        began = time.monotonic()
        server.process.send_signal(signal.SIGTERM)
        with pytest.raises((EOFError, ConnectionError)):
            while True:
                events.next()
        assert server.process.wait(20) == 0
        assert time.monotonic() - began < 10
