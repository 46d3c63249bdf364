from __future__ import annotations

import sys
import threading

import pytest

from facefusion.errors import Interrupted
from facefusion.stopping import StopFlag


def test_a_new_flag_does_not_interrupt():
    flag = StopFlag()
    flag.check()
    assert not flag.is_set() and flag.reason == ''


def test_a_set_flag_stays_set_with_its_first_reason():
    flag = StopFlag()
    flag.set('SIGTERM was received')
    flag.set('another')
    assert flag.is_set() and flag.reason == 'SIGTERM was received'
    for _ in range(2):
        with pytest.raises(Interrupted) as caught:
            flag.check()
    assert caught.value.cause == 'SIGTERM was received' and caught.value.exit_code == 4


def test_a_flag_may_be_set_from_another_thread():
    flag = StopFlag()
    thread = threading.Thread(target=flag.set, args=('elsewhere',))
    thread.start()
    thread.join()
    with pytest.raises(Interrupted):
        flag.check()


def test_a_flag_is_also_set_with_its_parent_but_not_the_other_way():
    parent = StopFlag()
    child, other = StopFlag(parent), StopFlag(parent)
    child.set('a stage failed')
    assert child.is_set() and not parent.is_set() and not other.is_set() and parent.reason == ''
    parent.set('SIGINT was received')
    assert other.is_set() and other.reason == 'SIGINT was received' and child.reason == 'a stage failed'


def test_a_signal_may_arrive_at_every_step_of_setting_the_flag():
    """With two signals in quick succession, the second handler runs during the first."""

    def interrupted(flag, position, steps):
        def trace(frame, event, argument):
            steps.append(frame.f_lineno)
            if len(steps) == position:
                flag.set('second')
            return trace

        sys.settrace(trace)
        flag.set('first')
        sys.settrace(None)

    position, steps = 0, [0]
    while position <= len(steps):
        flag, position, steps = StopFlag(), position + 1, []
        thread = threading.Thread(target=interrupted, args=(flag, position, steps), daemon=True)
        thread.start()
        thread.join(5)
        assert not thread.is_alive(), 'the second signal must not wait for the first one'
        assert flag.is_set() and flag.reason in ('first', 'second')
    assert position > 2
