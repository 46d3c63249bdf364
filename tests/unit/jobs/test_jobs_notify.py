from __future__ import annotations

import json
import os
import shlex
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from fakes.waits import unlimited_waits, wait_until

from facefusion.jobs.notify import OUTPUT_BYTES, Notifier

JOB = {'id': 'own', 'state': 'failed', 'error': {'message': 'caf\udce9 ü'}, 'steps': [1, 2]}
only_posix = pytest.mark.skipif(sys.platform == 'win32', reason='needs signals and a POSIX shell')


def python(code: str) -> str:
    """Return a shell command that runs a Python script."""
    words = [sys.executable, '-c', code]
    return subprocess.list2cmdline(words) if sys.platform == 'win32' else shlex.join(words)


class Call:
    """A notifier that runs a command and returns its messages."""

    def __init__(self, **settings) -> None:
        self.messages = []
        self.notifier = Notifier(self.messages.append, **settings)

    def __call__(self, command: str, job=JOB) -> list[tuple[str, str]]:
        self.notifier.send(command, job)
        self.notifier.close()
        assert all(message.origin == 'notify' for message in self.messages)
        return [(message.level, message.text) for message in self.messages]


def is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    state = Path(f'/proc/{pid}/stat')
    return not (state.exists() and state.read_text().rpartition(')')[2].split()[0] == 'Z')


def test_the_command_gets_the_job(tmp_path, capfd):
    there = tmp_path / 'there.json'
    code = (
        'import json, os, sys\n'
        'record = [json.load(sys.stdin), os.environ["FACEFUSION_JOB_ID"], os.environ["FACEFUSION_JOB_STATE"]]\n'
        f'open({str(there)!r}, "w").write(json.dumps(record))\n'
        'print("heard"); print("well", file=sys.stderr)'
    )
    assert Call()(python(code)) == [('debug', 'the command for job own is done: heard well')]
    assert json.loads(there.read_text()) == [JOB, 'own', 'failed']
    assert capfd.readouterr() == ('', '')


@only_posix
def test_the_command_runs_in_the_shell(tmp_path):
    assert Call()(f'tr -d "\\n" | wc -l && printenv FACEFUSION_JOB_ID > {tmp_path}/id')[0][0] == 'debug'
    assert (tmp_path / 'id').read_text() == 'own\n'


def test_send_returns_at_once_and_close_waits(tmp_path):
    call, there = Call(), tmp_path / 'there'
    start = time.monotonic()
    code = f'import time; time.sleep(1.0); open({str(there)!r}, "w")'
    call.notifier.send(python(code), JOB)
    assert time.monotonic() - start < 0.9 and not there.exists()
    with unlimited_waits() as unlimited:
        call.notifier.close()
    assert there.exists() and unlimited == []


@pytest.mark.parametrize(
    ('command', 'words'),
    [
        (python('import sys; print("no\\x1b[31m route"); sys.exit(3)'), 'failed with exit code 3: no?[31m route'),
        ('facefusion-no-such-command', 'failed with exit code'),
    ],
)
def test_a_failure_is_only_a_warning(command, words):
    ((level, text),) = Call()(command)
    assert level == 'warn' and words in text and 'job own' in text


@only_posix
def test_a_command_that_is_killed_is_a_warning():
    (messages,) = Call()('kill -KILL $$')
    assert messages == ('warn', 'the command for job own was killed by SIGKILL')


def test_a_command_that_does_not_start_is_a_warning(monkeypatch):
    ((level, text),) = Call()('any', {'id': 'a\0b', 'state': ''})
    assert level == 'warn' and 'could not be started' in text

    def refuse(*_, **__):
        raise OSError(12, 'Cannot allocate memory')

    monkeypatch.setattr(subprocess, 'Popen', refuse)
    ((level, text),) = Call()('any')
    assert level == 'warn' and 'Cannot allocate memory' in text


def test_a_command_need_not_read_the_job():
    large = {'id': 'own', 'state': 'completed', 'text': 'x' * 1_000_000}
    assert Call()(python('import os; os.close(0)'), large)[0][0] == 'debug'
    assert Call()(python('pass'), large)[0][0] == 'debug'


def test_a_large_job_arrives_completely():
    large = {'id': 'own', 'state': 'completed', 'text': 'x' * 1_000_000}
    code = 'import sys, json, time; time.sleep(0.2); print(len(json.load(sys.stdin)["text"]))'
    assert Call()(python(code), large) == [('debug', 'the command for job own is done: 1000000')]


def test_endless_output_is_cut_and_blocks_nothing():
    ((_, text),) = Call()(python('print("x" * 3_000_000 + "end")'))
    assert text.endswith('xend') and OUTPUT_BYTES - 10 < len(text) < OUTPUT_BYTES + 100


@only_posix
def test_a_hanging_command_is_killed_with_its_children(tmp_path):
    pids = tmp_path / 'pids'
    start = time.monotonic()
    ((level, text),) = Call(seconds=0.5)(f'sleep 60 & echo $! > {pids}; echo waiting; sleep 60 | cat')
    assert time.monotonic() - start < 20
    assert level == 'warn' and 'killed after 0.5 seconds' in text and 'waiting' in text
    wait_until(lambda: not is_alive(int(pids.read_text())))


@only_posix
def test_a_command_that_ignores_signals_is_killed():
    start = time.monotonic()
    Call(seconds=0.3)('trap "" TERM INT HUP; while :; do sleep 1; done')
    assert time.monotonic() - start < 20


@only_posix
def test_a_background_process_of_a_command_blocks_nothing(tmp_path):
    pids = tmp_path / 'pids'
    start = time.monotonic()
    # The background process keeps stdin and stdout of the finished command open.
    messages = Call()(f'sleep 60 <&0 & echo $! > {pids}; echo done')
    pid = int(pids.read_text())
    try:
        assert time.monotonic() - start < 20
        assert messages == [('debug', 'the command for job own is done: done')]
        assert is_alive(pid)
    finally:
        os.kill(pid, signal.SIGKILL)
    wait_until(lambda: not any(thread.name.startswith('notify') for thread in threading.enumerate()))


def test_the_number_of_commands_at_once_is_limited(tmp_path):
    code = (
        'import os, sys, time\n'
        f'folder = {str(tmp_path)!r}\n'
        'own = os.path.join(folder, str(os.getpid()))\n'
        'open(own, "w").close(); count = len(os.listdir(folder)); time.sleep(0.3); os.remove(own); print(count)'
    )
    call = Call(limit=2)
    with unlimited_waits() as unlimited:
        for _ in range(5):
            call.notifier.send(python(code), JOB)
        call.notifier.close()
    counts = [int(message.text.rpartition(' ')[2]) for message in call.messages]
    assert len(counts) == 5 and max(counts) <= 2 and unlimited == []


def test_close_with_nothing_sent_and_blank_commands_do_nothing():
    assert Call()('  ') == []
    Call().notifier.close()


def test_a_closed_message_stream_stops_nothing():
    def broken(event):
        raise BrokenPipeError

    notifier = Notifier(broken)
    notifier.send(python('pass'), JOB)
    notifier.close()
    notifier.send(python('pass'), JOB)
    notifier.close()


@only_posix
def test_signals_of_the_terminal_do_not_reach_the_command():
    ((_, text),) = Call()(python('import os; print(os.getsid(0))'))
    assert int(text.rpartition(' ')[2]) != os.getsid(0)
