from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from facefusion.cli.signals import stop_on_signals
from facefusion.stopping import StopFlag

ROOT = Path(__file__).resolve().parents[3]
ALL = [signal.SIGINT, signal.SIGTERM, signal.SIGHUP]


@pytest.fixture(autouse=True)
def default_hangup():
    """Reset SIGHUP to its default, in case the tests run under nohup."""
    before = signal.signal(signal.SIGHUP, signal.SIG_DFL)
    yield
    signal.signal(signal.SIGHUP, before)


@pytest.mark.parametrize('number', ALL)
def test_a_signal_sets_the_flag_and_nothing_else(number):
    flag = StopFlag()
    before = [signal.getsignal(each) for each in ALL]
    with stop_on_signals(flag):
        os.kill(os.getpid(), number)
        os.kill(os.getpid(), number)
    assert flag.is_set() and flag.reason == f'{number.name} was received'
    assert [signal.getsignal(each) for each in ALL] == before


def test_handlers_are_restored_after_a_failure():
    before = [signal.getsignal(each) for each in ALL]
    with pytest.raises(ValueError, match='failed'), stop_on_signals(StopFlag()):
        raise ValueError('failed')
    assert [signal.getsignal(each) for each in ALL] == before


def test_other_threads_change_no_handler():
    before, problems = [signal.getsignal(each) for each in ALL], []

    def work():
        try:
            with stop_on_signals(StopFlag()):
                problems.extend(each for each in ALL if signal.getsignal(each) not in before)
        except ValueError as error:
            problems.append(error)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert problems == []


@pytest.mark.parametrize('number', ALL)
def test_a_signal_before_a_run_ends_the_process_with_the_reason(number):
    code = (
        f'from facefusion.cli.signals import leave_on_signals as f; f(); import os; os.kill(os.getpid(), {int(number)})'
    )
    done = subprocess.run([sys.executable, '-c', code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 4 and done.stdout == ''
    assert '[interrupted]' in done.stderr and number.name in done.stderr and 'Traceback' not in done.stderr


def test_an_ignored_hangup_stays_ignored():
    code = (
        'import os, signal; from facefusion.cli.signals import *; from facefusion.stopping import StopFlag\n'
        'signal.signal(signal.SIGHUP, signal.SIG_IGN); leave_on_signals(); os.kill(os.getpid(), signal.SIGHUP)\n'
        'flag = StopFlag()\n'
        'with stop_on_signals(flag): os.kill(os.getpid(), signal.SIGHUP)\n'
        'print(flag.is_set())'
    )
    done = subprocess.run([sys.executable, '-c', code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, 'False\n')
