"""Tests of jobs in several processes: a polling script, workers, signals and killed processes."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import cv2
import numpy as np
import pytest
from fakes.job_schema import check_store
from fakes.program import ROOT
from fakes.tiny_clip import make_tiny_clip

pytestmark = [
    pytest.mark.network,
    pytest.mark.skipif(sys.platform == 'win32', reason='a process cannot be asked to stop like this on Windows'),
]
DRAW = ('--processors', 'face_debugger')
# The number of frames of a clip that takes about two seconds.
LONG_FRAMES = 3000
PATIENCE = 30.0
# Steps wait while the gate file exists, and stop on request.
GATE = """
import pathlib, time
import facefusion.steps.step_work as work
def waits(settings, place, name, emit, flag, run=work.run_step):
    while pathlib.Path({gate!r}).exists():
        flag.check()
        time.sleep(0.02)
    return run(settings, place, name, emit, flag)
work.run_step = waits
"""
# A script that a reader of the README might write; it uses only the command line of this program.
SCRIPT = """
set -u
facefusion() { "$PYTHON" "$ROOT/facefusion.py" "$@"; }
state() { facefusion job-list --format json | "$PYTHON" -c '
import json, sys
print(next(job["state"] for job in json.load(sys.stdin) if job["id"] == sys.argv[1]))' "$1"; }
finish() { while :; do case $(state "$1") in completed|failed) break;; esac; sleep 0.3; done; state "$1"; }

id=$(facefusion job-create --source face.png --target late.mp4 --output out.mp4 --processors face_debugger) || exit 10
facefusion job-submit --job-id "$id" || exit 11
[ "$WORKER" = yes ] || facefusion job-run "$id" && [ "$WORKER" != yes ] && exit 12
[ "$(finish "$id")" = failed ] || exit 13
[ -e out.mp4 ] && exit 14
cp clip.mp4 late.mp4
facefusion job-retry --job-id "$id" || exit 15
[ "$(finish "$id")" = completed ] || exit 16
echo "$id"
"""


@pytest.fixture
def folder(tmp_path):
    make_tiny_clip(tmp_path / 'clip.mp4', 10)
    for name in ('a', 'b', 'face'):
        cv2.imwrite(str(tmp_path / f'{name}.png'), np.full((48, 64, 3), 90, np.uint8))
    yield tmp_path
    # After every test the store matches the schema, no job is claimed, and no work files are left.
    check_store(tmp_path / 'jobs', quiet=True)
    assert work_files(tmp_path) == []


def work_files(folder):
    """Return the work files in the store."""
    files = [path for path in (folder / 'jobs' / '.work').rglob('*') if path.is_file()]
    return [path for path in files if path.parent.name not in ('.workers', '.content')]


@pytest.fixture(scope='module')
def long_clip(tmp_path_factory):
    return make_tiny_clip(tmp_path_factory.mktemp('long') / 'long.mp4', LONG_FRAMES, size=(128, 96))


@pytest.fixture
def started(program, folder):
    """Return a function that starts the program until the end of the test; with ``gate=True`` its steps wait."""
    processes = []

    def start(*words, gate=False, stdin=None):
        script = GATE.format(gate=str(folder / 'gate')) if gate else ''
        (folder / 'gate').write_bytes(b'')
        processes.append(program.start(*words, script=script, stdin=stdin))
        return processes[-1]

    yield start
    for process in processes:
        process.kill()
        process.communicate()


def jobs(program, *words):
    return {job['id']: job for job in json.loads(program('job-list', *words, '--format', 'json').out)}


def show(program, job_id):
    return json.loads(program('job-show', job_id, '--format', 'json').out)


def submit(program, folder, job_id, target, *options):
    paths = ('-t', folder / target, '-o', folder / 'out' / f'{job_id}{Path(target).suffix}')
    for words in (('job-create', job_id, *paths, *DRAW), ('job-submit', job_id, *options)):
        result = program(*words)
        assert result.code == 0, result.err
    return result


def wait_for(condition, what):
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end:
        found = condition()
        if found:
            return found
        time.sleep(0.05)
    raise AssertionError(f'this did not happen: {what}')


def wait_for_work(program, job_id):
    """Wait until a process has claimed the job and started its first step."""
    wait_for(lambda: None in results(show(program, job_id)), f'a worker runs {job_id}')


def ended(process):
    """Return exit code and stderr."""
    said = process.communicate(timeout=PATIENCE)[1]
    assert 'Traceback' not in said
    return process.returncode, said


def results(view):
    return [attempt['result'] for attempt in view['attempts']]


def run_script(program, folder, worker):
    environ = {**os.environ, **program.environment(), 'PYTHON': sys.executable, 'ROOT': str(ROOT), 'WORKER': worker}
    words = ['bash', '-c', SCRIPT]
    return subprocess.run(words, cwd=folder, env=environ, capture_output=True, text=True, timeout=60, check=False)


@pytest.mark.parametrize('worker', ['yes', 'no'])
@pytest.mark.skipif(shutil.which('bash') is None, reason='the script needs bash')
def test_a_polling_script(program, folder, started, worker):
    process = started('job-run-all', '--watch') if worker == 'yes' else None
    if process:
        wait_for(lambda: list((folder / 'jobs' / '.work' / '.workers').glob('*')), 'a worker watches the store')
    done = run_script(program, folder, worker)
    assert done.returncode == 0, done.stderr
    assert ('no worker watches this store' in done.stderr) == (worker == 'no')
    # The program prints only the id to stdout; the script prints everything else.
    job_id = done.stdout.strip()
    view = show(program, job_id)
    assert (view['state'], results(view)) == ('completed', ['failed', 'completed'])
    assert (folder / 'out.mp4').stat().st_size == view['outputs'][0]['size']
    if process:
        assert process.poll() is None
        process.send_signal(signal.SIGTERM)
        code, said = ended(process)
        # The worker ends normally. Like every command for all jobs, it reports a failed job in its exit code.
        assert code == 1 and f'job {job_id} failed: no file at' in said
        assert list((folder / 'jobs' / '.work' / '.workers').glob('*')) == []
        pids = [attempt['pid'] for attempt in view['attempts']]
        assert pids[0] == process.pid != pids[1]


def test_job_run_follows_a_job_that_another_process_runs(program, folder, started):
    submit(program, folder, 'j', 'a.png')
    worker = started('job-run-all', '--watch', gate=True)
    wait_for_work(program, 'j')
    follower = started('job-run', 'j')
    assert 'another process is running the job j' in follower.stderr.readline()
    (folder / 'gate').unlink()
    code, said = ended(follower)
    assert (code, 'job j completed' in said, 'step 1' in said) == (0, True, False)
    view = show(program, 'j')
    assert results(view) == ['completed'] and view['attempts'][0]['pid'] == worker.pid
    worker.send_signal(signal.SIGTERM)
    assert ended(worker)[0] == 0


def test_a_running_job_is_cancelled_within_seconds_and_can_be_retried(program, folder, started, long_clip):
    submit(program, folder, 'j', long_clip)
    process = started('job-run', 'j')
    wait_for_work(program, 'j')
    assert program('job-delete', 'j').code == 1
    began = time.monotonic()
    assert program('job-cancel', 'j').code == 0
    assert time.monotonic() - began < 20
    code, said = ended(process)
    assert code == 1 and '[cancelled]' in said and not list((folder / 'out').glob('*'))
    view = show(program, 'j')
    assert (view['state'], view['error']['reference'], results(view)) == ('failed', 'cancelled', ['failed'])
    assert program('job-retry', 'j').code == 0
    assert show(program, 'j')['steps'][0]['report']['frames'] == LONG_FRAMES


@pytest.mark.parametrize('number', [signal.SIGINT, signal.SIGTERM], ids=['SIGINT', 'SIGTERM'])
def test_a_signal_to_job_run_ends_the_job_as_interrupted(program, folder, started, number):
    submit(program, folder, 'j', 'a.png', '--retries', '3')
    process = started('job-run', 'j', gate=True)
    wait_for_work(program, 'j')
    process.send_signal(number)
    code, said = ended(process)
    # The same command would be refused, so the hint is the command that resumes the job.
    assert code == 4 and f'cause: {number.name} was received' in said and 'resume it with job-retry j' in said
    view = show(program, 'j')
    assert (view['state'], view['error']['reference'], results(view)) == ('failed', 'interrupted', ['failed'])
    assert program('job-run', 'j').code == 1
    assert program('job-retry', 'j').code == 0 and show(program, 'j')['state'] == 'completed'


def test_a_signal_ends_a_retry_of_all_jobs(program, folder, started):
    for job_id in ('j', 'k'):
        submit(program, folder, job_id, 'late.png')
    assert program('job-run-all').code == 1
    shutil.copy(folder / 'a.png', folder / 'late.png')
    process = started('job-retry-all', gate=True)
    wait_for_work(program, 'j')
    process.send_signal(signal.SIGTERM)
    code, said = ended(process)
    assert code == 4 and said.count('interrupted') == said.count('[interrupted]') + 1 == 2, said
    assert [results(show(program, job_id)) for job_id in ('j', 'k')] == [['failed', 'failed'], ['failed']]
    assert show(program, 'j')['error']['reference'] == 'interrupted'


def test_a_stopped_worker_requeues_its_job(program, folder, started):
    submit(program, folder, 'j', 'a.png')
    worker = started('job-run-all', '--watch', gate=True)
    wait_for_work(program, 'j')
    worker.send_signal(signal.SIGTERM)
    code, said = ended(worker)
    assert code == 0 and 'job j is back in the queue' in said
    view = show(program, 'j')
    assert (view['state'], results(view), view['error']) == ('queued', ['requeued'], None)
    assert program('job-run').code == 0 and results(show(program, 'j')) == ['requeued', 'completed']


def test_stop_after_current_ends_a_worker_after_its_job(program, folder, started):
    for job_id in ('j', 'k'):
        submit(program, folder, job_id, 'a.png')
    worker = started('job-run-all', '--watch', '--stop-after-current', gate=True)
    wait_for_work(program, 'j')
    worker.send_signal(signal.SIGTERM)
    time.sleep(0.3)
    assert worker.poll() is None
    (folder / 'gate').unlink()
    assert ended(worker)[0] == 0
    assert {job_id: job['state'] for job_id, job in jobs(program).items()} == {'j': 'completed', 'k': 'queued'}
    # A second signal stops the job at once.
    worker = started('job-run-all', '--stop-after-current', gate=True)
    wait_for_work(program, 'k')
    worker.send_signal(signal.SIGTERM)
    time.sleep(0.2)
    worker.send_signal(signal.SIGTERM)
    assert 'job k is back in the queue' in ended(worker)[1] and show(program, 'k')['state'] == 'queued'


def test_a_worker_ends_after_its_job_when_its_standard_input_ends(program, folder, started):
    for job_id in ('j', 'k'):
        submit(program, folder, job_id, 'a.png')
    worker = started('job-run-all', '--watch', '--until-eof', gate=True, stdin=subprocess.PIPE)
    wait_for_work(program, 'j')
    worker.stdin.close()
    worker.stdin = None
    time.sleep(0.3)
    assert worker.poll() is None
    (folder / 'gate').unlink()
    assert ended(worker)[0] == 0
    assert {job_id: job['state'] for job_id, job in jobs(program).items()} == {'j': 'completed', 'k': 'queued'}


def test_the_next_worker_completes_the_job_of_a_killed_one(program, folder, started):
    submit(program, folder, 'j', 'a.png')
    worker = started('job-run-all', '--watch', gate=True)
    wait_for_work(program, 'j')
    worker.kill()
    worker.wait()
    assert jobs(program)['j']['worker'] == {'host': show(program, 'j')['attempts'][0]['host'], 'pid': worker.pid} | {
        'dead': True
    }
    result = program('job-run', 'j')
    assert result.code == 0 and f'the process {worker.pid} on ' in result.err and 'back in the queue' in result.err
    assert results(show(program, 'j')) == ['lost', 'completed']
    # The registration of a dead worker does not count.
    assert 'no worker watches this store' in submit(program, folder, 'k', 'a.png').err


def test_a_hanging_notify_command_delays_no_job(program, folder, started):
    submit(program, folder, 'j', 'a.png', '--notify', f'echo $$ > {folder}/pid; cat > /dev/null; exec sleep 60')
    submit(program, folder, 'k', 'b.png')
    process = started('job-run-all')
    wait_for(lambda: {job['state'] for job in jobs(program).values()} == {'completed'}, 'both jobs are completed')
    assert process.poll() is None
    # Work files are removed after the job is completed. After a kill in between, the next process removes them.
    wait_for(lambda: not work_files(folder), 'the work files are removed')
    process.kill()
    os.kill(int((folder / 'pid').read_text()), signal.SIGKILL)
    for job_id in ('j', 'k'):
        view = show(program, job_id)
        assert view['error'] is None and results(view) == ['completed']


def test_headless_run_has_a_record_from_its_start_and_resumes_it(program, folder, started):
    words = ('headless-run', '-t', folder / 'a.png', '-o', folder / 'out.png', *DRAW)
    process = started(*words, gate=True)
    (job,) = wait_for(lambda: list(jobs(program).values()), 'a record exists')
    assert (job['state'], job['origin']) == ('running', 'headless-run') and job['worker']['pid'] == process.pid
    assert jobs(program, 'queued') == {} and program('job-run').code == 1
    wait_for_work(program, job['id'])
    process.kill()
    process.wait()
    result = program(*words)
    assert result.code == 0 and f'resuming the job {job["id"]}' in result.err
    ((job_id, again),) = jobs(program).items()
    view = show(program, job_id)
    assert (job_id, again['state'], results(view)) == (job['id'], 'completed', ['lost', 'completed'])
    assert view['outputs'][0]['path'] == str(folder / 'out.png')
    # Equal commands that do not overlap create separate jobs.
    assert program(*words).code == 0 and program(*words, '--output-image-quality', '50').code == 0
    assert len(jobs(program)) == 3
