"""Tests of a disk that becomes full during a run: the error names it, and no finished work is lost."""

from __future__ import annotations

import errno
import json
import os
import shutil
import signal
import subprocess
import sys

import pytest
from fakes.program import Program
from fakes.resume_chaos import SHORT_UNITS, content_of

pytestmark = [
    pytest.mark.network,
    pytest.mark.skipif(sys.platform == 'win32', reason='a process cannot be stopped like this on Windows'),
]
can_mount = pytest.mark.skipif(
    sys.platform != 'linux' or os.geteuid() != 0, reason='needs root on Linux, to mount a small file system'
)
# Code that limits the size of files in bytes, which has the effect of a full disk.
SMALL_FILES = 'import resource\nresource.setrlimit(resource.RLIMIT_FSIZE, ({0}, {0}))\n'


@pytest.fixture
def disk(tmp_path):
    """A folder in a file system of 8 MiB."""
    folder = tmp_path / 'disk'
    folder.mkdir()
    if subprocess.run(['mount', '-t', 'tmpfs', '-o', 'size=8192k', 'tmpfs', str(folder)], check=False).returncode:
        pytest.skip('even root cannot mount on this machine')
    yield folder
    subprocess.run(['umount', '-l', str(folder)], check=True)


def words_for(clip):
    return ('headless-run', '--processors', 'face_debugger', '-t', clip, '--cache-size', 0, '--progress', 'json')


@pytest.fixture
def words(face_clip, tmp_path):
    return words_for(shutil.copy(face_clip, tmp_path / 'clip.mp4'))


@pytest.fixture(scope='module')
def wanted(store, face_clip, tmp_path_factory):
    """The output of an uninterrupted run."""
    folder = tmp_path_factory.mktemp('wanted')
    ended = run(Program(folder), *words_for(face_clip), '-o', folder / 'out.mp4')
    assert ended.code == 0, ended.said
    return content_of(folder / 'out.mp4')


class Ended:
    """The result of a process: exit code, events and messages."""

    def __init__(self, process, events):
        self.said = process.stderr.read()
        process.stdout.close()
        process.stderr.close()
        self.code, self.events = process.wait(30), events

    def segments(self, origin):
        return [
            each['number'] for each in self.events if each['event'] == 'segment_rendered' and each['origin'] == origin
        ]


def run(program, *words, at='', count=1, act=lambda: None, number=None, script=''):
    """Run a process with short chunks and segments, and return its end.

    At the ``count``-th event ``at`` the process is paused for ``act``, and then gets the signal ``number``.
    """
    process = program.start(*words, script=script + SHORT_UNITS)
    events, seen = [], 0
    for line in process.stdout:
        events.append(json.loads(line))
        seen += events[-1]['event'] == at and events[-1].get('origin') != 'work'
        if seen == count:
            seen = -1000
            process.send_signal(signal.SIGSTOP)
            act()
            process.send_signal(number or signal.SIGCONT)
    return Ended(process, events)


def fill(folder):
    """Use all remaining disk space."""
    with (folder / 'filler').open('wb', buffering=0) as file:
        for size in (1 << 16, 1 << 10, 1):
            try:
                while True:
                    file.write(bytes(size))
            except OSError as error:
                assert error.errno == errno.ENOSPC


@can_mount
@pytest.mark.parametrize(
    ('place', 'moment'),
    [
        ('--temp-path', 'chunk_analysed'),
        ('--temp-path', 'faces_linked'),
        ('--temp-path', 'segment_rendered'),
        ('--jobs-path', 'run_planned'),
        ('--jobs-path', 'segment_rendered'),
    ],
)
def test_a_disk_that_becomes_full_during_a_resumed_run(program, words, wanted, disk, tmp_path, place, moment):
    words = (*words, '-o', tmp_path / 'out.mp4', place, disk / 'deep')
    # The first run leaves work files of the tested kind.
    before = 'chunk_analysed' if moment == 'chunk_analysed' else 'segment_rendered'
    first = run(program, *words, at=before, count=2, number=signal.SIGKILL)
    assert first.code == -signal.SIGKILL
    second = run(program, *words, at=moment, act=lambda: fill(disk))
    assert second.code == 5 and '[disk-full]' in second.said and str(disk) in second.said, second.said
    assert 'Traceback' not in second.said and not (tmp_path / 'out.mp4').exists()
    assert second.events[-1]['event'] == 'run_failed' and second.events[-1]['error']['reference'] == 'disk-full'
    # The disk is still full, so the next run fails before it starts, because it needs some space.
    third = run(program, *words)
    assert third.code == 5 and '[disk-' in third.said, third.said
    (disk / 'filler').unlink()
    last = run(program, *words)
    assert last.code == 0, last.said
    finished = {*first.segments('rendered'), *second.segments('rendered')}
    assert finished <= set(last.segments('work')), (second.said, third.said, last.said)
    assert not finished & set(last.segments('rendered'))
    assert content_of(tmp_path / 'out.mp4') == wanted
    assert [path for path in disk.rglob('*') if 'work-' in path.name or '.part' in path.name] == []


@can_mount
def test_a_disk_that_is_full_when_the_output_is_joined(program, words, wanted, disk, tmp_path):
    words = (*words, '-o', disk / 'out.mp4')
    (disk / 'out.mp4').write_bytes(b'what was here before')
    first = run(program, *words, at='segment_rendered', count=8, act=lambda: fill(disk))
    assert first.code == 5 and 'no space is left for out.mp4' in first.said, first.said
    assert (disk / 'out.mp4').read_bytes() == b'what was here before'
    (disk / 'filler').unlink()
    last = run(program, *words)
    assert last.code == 0 and last.segments('rendered') == [] and len(last.segments('work')) == 8, last.said
    assert content_of(disk / 'out.mp4') == wanted
    assert [path.name for path in disk.iterdir()] == ['out.mp4']


def test_a_segment_without_disk_space_does_not_affect_others(program, words, wanted, tmp_path):
    words = (*words, '-o', tmp_path / 'out.mp4')
    first = run(program, *words, at='segment_rendered', count=3, number=signal.SIGKILL)
    sizes = [path.stat().st_size for path in (tmp_path / 'jobs').rglob('segment-*.nut')]
    script = SMALL_FILES.format(min(sizes) // 2)
    second = run(program, *words, script=script)
    assert second.code == 5 and '[disk-full]' in second.said and 'resuming the job' in second.said, second.said
    assert not (tmp_path / 'out.mp4').exists()
    last = run(program, *words)
    assert last.code == 0, last.said
    assert set(first.segments('rendered')) <= set(last.segments('work'))
    assert content_of(tmp_path / 'out.mp4') == wanted
