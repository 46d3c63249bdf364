"""Tests that an interrupted run is resumed by the same command, job-retry and workers, and deleted with its job."""

from __future__ import annotations

import json
import shutil
import signal
import sys

import pytest
from fakes.owners import dead_owner
from fakes.resume_chaos import SHORT_UNITS

pytestmark = [
    pytest.mark.network,
    pytest.mark.skipif(sys.platform == 'win32', reason='a process cannot be stopped like this on Windows'),
]
DRAW = ('--processors', 'face_debugger')


@pytest.fixture
def clip(face_clip, tmp_path):
    return shutil.copy(face_clip, tmp_path / 'clip.mp4')


@pytest.fixture
def words(clip, tmp_path):
    return (*DRAW, '-t', clip, '-o', tmp_path / 'out.mp4', '--cache-size', 0)


def run(program, *words, until=None, number=signal.SIGTERM):
    """Run a process with short chunks and segments, and send it a signal after ``until`` rendered segments."""
    process = program.start(*words, '--progress', 'json', script=SHORT_UNITS)
    events, seen = [], 0
    for line in process.stdout:
        events.append(json.loads(line))
        seen += events[-1]['event'] == 'segment_rendered'
        if until is not None and seen == until:
            process.send_signal(number)
            until = None
    said = process.stderr.read()
    process.stdout.close()
    process.stderr.close()
    return process.wait(30), events, said


def origins(events, name):
    return [event['origin'] for event in events if event['event'] == name]


def kept_work(tmp_path):
    return [path for path in tmp_path.rglob('work-*') if path.is_dir()]


@pytest.mark.parametrize('temp', [False, True])
@pytest.mark.parametrize('number', [signal.SIGTERM, signal.SIGKILL], ids=['SIGTERM', 'SIGKILL'])
def test_the_same_headless_run_resumes(program, words, tmp_path, number, temp):
    if temp:
        words = (*words, '--temp-path', tmp_path / 'temp')
    code, _, said = run(program, 'headless-run', *words, until=3, number=number)
    assert code == (4 if number == signal.SIGTERM else -9), said
    (folder,) = kept_work(tmp_path)
    assert folder.is_relative_to(tmp_path / ('temp' if temp else 'jobs'))
    code, events, said = run(program, 'headless-run', *words)
    assert code == 0 and 'resuming the job' in said
    assert origins(events, 'chunk_analysed') == ['work'] * 5
    rendered = origins(events, 'segment_rendered')
    assert len(rendered) == 8 and rendered.count('work') >= 3
    assert kept_work(tmp_path) == [] and not (temp and list((tmp_path / 'temp').iterdir()))


def test_other_settings_start_again(program, words, tmp_path):
    run(program, 'headless-run', *words, until=3)
    (folder,) = kept_work(tmp_path)
    code, events, _ = run(program, 'headless-run', *words, '--output-video-quality', 60)
    assert code == 0 and set(origins(events, 'segment_rendered')) == {'rendered'}
    assert kept_work(tmp_path) == [folder]


def test_another_target_of_the_same_name_starts_again(program, words, clip, tmp_path):
    program('job-create', 'j', *words[:-2])
    program('job-submit', 'j')
    run(program, 'job-run', 'j', '--cache-size', 0, until=3)
    (before,) = kept_work(tmp_path)
    data = clip.read_bytes()
    clip.unlink()
    # A longer file with the same frames.
    clip.write_bytes(data + b'\0\0\0\x08free')
    code, events, said = run(program, 'job-retry', 'j', '--cache-size', 0)
    assert code == 0, said
    assert set(origins(events, 'chunk_analysed')) == {'analysed'} and set(origins(events, 'segment_rendered')) == {
        'rendered'
    }
    assert not before.exists() and kept_work(tmp_path) == []


@pytest.mark.parametrize('way', ['job-retry', 'from-scratch', 'worker', 'job-delete'])
def test_jobs_resume_or_are_deleted(program, words, tmp_path, way):
    program('job-create', 'j', *words[:-2])
    program('job-submit', 'j')
    first = ('job-run-all',) if way == 'worker' else ('job-run', 'j')
    code, _, said = run(program, *first, '--cache-size', 0, until=3)
    assert code == 4 and len(kept_work(tmp_path)) == 1, said
    if way == 'job-delete':
        part = tmp_path / f'.{dead_owner().tag}.part.mp4'
        part.write_bytes(b'half')
        assert program('job-delete', 'j').code == 0
        assert not part.exists()
        assert kept_work(tmp_path) == [] and not (tmp_path / 'jobs' / '.work' / 'j').exists()
        return
    again = {'job-retry': ('job-retry', 'j'), 'from-scratch': ('job-retry', 'j', '--from-scratch')}
    code, events, said = run(program, *again.get(way, ('job-run-all',)), '--cache-size', 0)
    assert code == 0, said
    assert ('work' in origins(events, 'segment_rendered')) == (way != 'from-scratch')
    assert ('work' in origins(events, 'chunk_analysed')) == (way != 'from-scratch')
    assert kept_work(tmp_path) == []


def test_another_render_of_the_video_reuses_its_analysis(program, clip, portrait_source, tmp_path):
    def chunks(*words):
        return origins(program.run('-t', clip, '-o', tmp_path / 'out.mp4', *words).events, 'chunk_analysed')

    assert chunks('-s', portrait_source) == ['analysed']
    assert chunks('-s', portrait_source, '--face-mask-blur', 0.5, '--output-video-quality', 50) == ['cache']
    assert chunks(*DRAW) == ['cache']
    assert chunks(*DRAW, '--face-selector-mode', 'one') == ['cache']
    assert chunks(*DRAW, '--face-detector-score', 0.7) == ['analysed']
    assert chunks(*DRAW, '--cache-size', 0) == ['analysed']


def test_the_cache_is_trimmed_after_a_run_that_only_read_it(program, clip, tmp_path):
    words = ('headless-run', *DRAW, '-t', clip, '-o', tmp_path / 'out.mp4', '--trim-frame-end', 12)
    assert program(*words).code == 0 and len(list((tmp_path / 'jobs' / '.cache').iterdir())) == 2
    assert program(*words, '--cache-size', '0').code == 0
    assert list((tmp_path / 'jobs' / '.cache').iterdir()) == []


def test_a_memory_limit_reduces_the_number_of_workers_first(program, words, tmp_path):
    def plan(*more):
        return json.loads(program('headless-run', *words, '--dry-run', *more).out)

    wide = plan('--execution-thread-count', 8)
    assert wide['workers'] == 8 and sum(wide['memory_parts'].values()) == wide['memory_bytes']
    limit = plan('--execution-thread-count', 2)['memory_bytes'] / 1e9 + 1e-4
    narrow = plan('--execution-thread-count', 8, '--system-memory-limit', limit)
    assert narrow['workers'] == 2 and narrow['memory_bytes'] <= limit * 1e9 and narrow['queues']
    said = program.fails(5, 'memory-limit', 'headless-run', *words, '--system-memory-limit', 0.2)
    assert 'would need about' in said and 'allows 200 MB' in said


@pytest.mark.parametrize('folder_kind', ['step', 'job', 'all'])
def test_a_work_folder_removed_during_the_run_is_reported(program, words, tmp_path, folder_kind):
    process = program.start('headless-run', *words, '--progress', 'json', script=SHORT_UNITS)
    for line in process.stdout:
        if json.loads(line)['event'] == 'faces_linked':
            (step,) = kept_work(tmp_path)
            folder = {'step': step, 'job': step.parent, 'all': step.parent.parent}[folder_kind]
            # A rename removes the folder at once. Removal file by file could continue while the process ends its job
            # and could delete the record that the process writes into this folder.
            folder.rename(tmp_path / 'removed')
            shutil.rmtree(tmp_path / 'removed')
            break
    said = process.communicate(timeout=30)[1]
    assert process.returncode == 5 and '[work-folder-gone]' in said and str(step.parent) in said, said
    assert not (tmp_path / 'out.mp4').exists()
    code, _, said = run(program, 'headless-run', *words)
    assert code == 0 and 'resuming the job' in said and (tmp_path / 'out.mp4').exists()
