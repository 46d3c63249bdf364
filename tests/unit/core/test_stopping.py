from __future__ import annotations

import threading

import pytest

from facefusion.errors import Interrupted
from facefusion.stopping import StopFlag


def test_a_new_flag_lets_everything_pass():
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
