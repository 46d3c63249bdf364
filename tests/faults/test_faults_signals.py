"""Tests that a stopped run ends soon with exit code 4 and leaves no files, and that a killed one changes no output."""

from __future__ import annotations

import json
import signal
import sys
import time

import cv2
import pytest
from fakes.media_files import photo_view, write_views
from fakes.program import snapshot

pytestmark = [
    pytest.mark.network,
    pytest.mark.skipif(sys.platform == 'win32', reason='a process cannot be asked to stop like this on Windows'),
]
# Code that slows down the join, so that the signal arrives during it.
SLOW_JOIN = """
import time
import facefusion.media.join as join
def slowly(packets, timed=join._timed):
    for entry in timed(packets):
        time.sleep(0.03)
        yield entry
join._timed = slowly
"""


@pytest.fixture(scope='module')
def large_clip(example_group, tmp_path_factory):
    photo = cv2.imread(str(example_group))
    size = (1280, 720)
    path = tmp_path_factory.mktemp('large') / 'clip.mp4'
    return write_views(path, lambda k: photo_view(photo, 500 + k, 300, 900, size), 30, size=size)


@pytest.fixture
def words(large_clip, portrait_source, tmp_path):
    (tmp_path / 'out.mp4').write_bytes(b'what was here before')
    files = ('-s', portrait_source, '-t', large_clip, '-o', tmp_path / 'out.mp4', '--temp-path', tmp_path)
    return ('headless-run', *files, '--progress', 'json')


def follow(process, event, stage, done):
    """Read events until the stage has reached this progress."""
    for line in process.stdout:
        record = json.loads(line)
        if record['event'] == event and record['stage'] == stage and record['done'] >= done:
            return
    raise AssertionError(process.stderr.read())


@pytest.mark.parametrize('number', [signal.SIGINT, signal.SIGTERM], ids=['SIGINT', 'SIGTERM'])
@pytest.mark.parametrize(
    ('event', 'stage', 'done', 'script'),
    [
        ('stage_progress', 'analysing', 8, ''),
        ('stage_progress', 'processing', 0, ''),
        ('stage_progress', 'processing', 8, ''),
        ('stage_finished', 'processing', 30, SLOW_JOIN),
    ],
    ids=['analysing', 'rendering begins', 'rendering', 'joining'],
)
def test_a_signal_ends_the_run(program, words, tmp_path, number, event, stage, done, script):
    process = program.start(*words, script=script)
    follow(process, event, stage, done)
    if script:
        time.sleep(0.4)
        assert list(tmp_path.rglob('clip@*')), 'the join has not started'
    began = time.monotonic()
    process.send_signal(number)
    out, said = process.communicate(timeout=30)
    assert time.monotonic() - began < 10
    assert process.returncode == 4, said
    assert '[interrupted]' in said and f'cause: {number.name} was received' in said and 'Traceback' not in said
    last = json.loads(out.splitlines()[-1])
    assert last['event'] == 'run_failed' and last['error']['exit_code'] == 4
    assert sorted(snapshot(tmp_path)) == ['out.mp4']
    assert (tmp_path / 'out.mp4').read_bytes() == b'what was here before'


@pytest.mark.parametrize('number', [signal.SIGINT, signal.SIGTERM], ids=['SIGINT', 'SIGTERM'])
@pytest.mark.parametrize('module', ['facefusion.cli.headless_run', 'av'])
def test_a_signal_while_modules_are_loaded_is_not_lost(program, words, tmp_path, number, module):
    # The signal arrives in the callback of a weak reference, where Python ignores exceptions.
    script = f"""
import os, weakref
class Thing:
    pass
def send(_):
    os.kill(os.getpid(), {int(number)})
    for _ in range(1000):
        pass
class Finder:
    def find_spec(self, name, path=None, target=None):
        if name == {module!r}:
            sys.meta_path.remove(self)
            thing = Thing()
            reference = weakref.ref(thing, send)
            del thing
sys.meta_path.insert(0, Finder())
"""
    process = program.start(*words, script=script)
    _, said = process.communicate(timeout=30)
    assert process.returncode == 4, said
    assert '[interrupted]' in said and 'Traceback' not in said
    assert sorted(snapshot(tmp_path)) == ['out.mp4']


def test_a_killed_run_leaves_the_output_as_it_was(program, words, tmp_path):
    process = program.start(*words)
    follow(process, 'stage_progress', 'processing', 8)
    process.kill()
    process.communicate(timeout=30)
    assert (tmp_path / 'out.mp4').read_bytes() == b'what was here before'
    assert not list(tmp_path.glob('.*part*'))
    assert program('headless-run', '--processors', 'face_debugger', *words[3:], '--trim-frame-end', 3).code == 0
