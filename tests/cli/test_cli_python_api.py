"""The Python interface facefusion.api."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from fakes.job_stores import FakeWork, make_record, make_store
from fakes.program import ROOT
from fakes.tiny_clip import make_tiny_clip

from facefusion import api
from facefusion.errors import FaceFusionError, Interrupted, UsageError
from facefusion.events import StageProgress, silent
from facefusion.jobs.runner import JobRunner
from facefusion.stopping import StopFlag


@pytest.fixture
def session(tmp_path):
    environ = {'FACEFUSION_HOME': str(ROOT), 'FACEFUSION_PROVENANCE_PATH': os.environ['FACEFUSION_PROVENANCE_PATH']}
    return api.Session({'jobs_path': str(tmp_path / 'jobs'), 'offline': True}, environ=environ)


def step_of(folder: Path, name: str = 'out.mp4', **more) -> dict:
    clip = folder / 'clip.mp4'
    if not clip.exists():
        make_tiny_clip(clip, 40)
    return {'processors': ('face_debugger',), 'target_path': clip, 'output_path': folder / name, **more}


def states(tmp_path):
    return sorted(path.parent.name for path in (tmp_path / 'jobs').glob('*/*.json'))


@pytest.mark.network
def test_the_example_of_the_page_runs(tmp_path, store):
    page = (ROOT / 'docs' / 'python-api.md').read_text(encoding='utf-8')
    (code,) = re.findall(r'```python\n(.*?)```', page, re.DOTALL)
    make_tiny_clip(tmp_path / 'clip.mp4', 30)
    environ = {**os.environ, 'PYTHONPATH': str(ROOT), 'FACEFUSION_HOME': str(ROOT)}
    code = code.replace('timeout=60', 'timeout=0')
    done = subprocess.run(
        [sys.executable, '-c', code],
        cwd=tmp_path,
        env=environ,
        capture_output=True,
        text=True,
        timeout=180,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert lines[0] == 'frames: 30'
    assert lines[1] == f'wrote {tmp_path / "result.mp4"} frames: 30'
    assert lines[2:] == ['queued None']
    assert states(tmp_path) == ['completed', 'queued']


@pytest.mark.network
def test_runs_are_reentrant_and_print_nothing(tmp_path, session, store, capfd):
    step_of(tmp_path)
    names = ['a.mp4', 'b.mp4']
    with ThreadPoolExecutor(2) as pool:
        results = list(pool.map(lambda name: api.run(step_of(tmp_path, name), session), names))
    assert [result.outputs for result in results] == [(str(tmp_path / name),) for name in names]
    assert all((tmp_path / name).stat().st_size for name in names)
    assert results[0].job_id != results[1].job_id and results[0].reports[0]['frames'] == 40
    assert capfd.readouterr() == ('', '')


@pytest.mark.network
def test_a_stopped_run_raises_and_leaves_no_output(tmp_path, session, store):
    stop, seen = StopFlag(), threading.Event()

    def on_event(event):
        if isinstance(event, StageProgress):
            seen.set()
            stop.set('the test stops it')

    with pytest.raises(Interrupted):
        api.run(step_of(tmp_path), session, on_event, stop)
    assert seen.is_set() and not (tmp_path / 'out.mp4').exists()


@pytest.mark.parametrize(
    ('more', 'reference'),
    [
        ({'face_swapper_model': 'nothing'}, 'request-argument'),
        ({'processor': ['x']}, 'request-argument'),
        ({'skip_download': True}, 'request-argument'),
        ({'target_path': None}, 'step-incomplete'),
    ],
)
def test_a_wrong_step_submits_nothing(tmp_path, session, more, reference):
    with pytest.raises(FaceFusionError) as caught:
        api.submit([step_of(tmp_path), step_of(tmp_path, **more)], session)
    assert caught.value.reference == reference
    assert states(tmp_path) == []


def test_wrong_options_of_a_session_are_usage_errors(tmp_path):
    with pytest.raises(UsageError) as caught:
        api.submit(step_of(tmp_path), api.Session({'jobs_pth': 'x'}))
    assert 'jobs_path' in caught.value.cause


def test_a_job_is_submitted_with_its_id_and_priority_and_followed_to_its_end(tmp_path, session):
    options = {**session.options, 'priority': 3}
    ready = api.Session(options, environ=session.environ)
    assert api.submit(step_of(tmp_path), ready, 'mine') == 'mine'
    store = make_store(tmp_path)
    assert store.open('mine').record.priority == 3
    seen = []
    for job in api.follow('mine', session):
        seen.append((job.state, job.steps_completed))
        if len(seen) == 1:
            JobRunner(store, FakeWork(), 60.0, silent).run(*store.claim('mine', 'run'), StopFlag())
    assert seen == [('queued', 0), ('completed', 1)]


def test_following_ends_after_its_time_and_names_an_unknown_job(tmp_path, session):
    store = make_store(tmp_path)
    store.create(make_record('x'))
    assert [job.state for job in api.follow('x', session, timeout=0.1)] == ['drafted']
    with pytest.raises(FaceFusionError) as caught:
        list(api.follow('y', session))
    assert caught.value.reference == 'job-unknown'
    with pytest.raises(FaceFusionError) as caught:
        for _ in api.follow('x', session):
            store.delete('x')
    assert caught.value.reference == 'job-unknown'
