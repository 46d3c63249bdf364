from __future__ import annotations

import pytest

from facefusion.events import Message, silent
from facefusion.result_cache import ResultCache


def test_a_result_is_made_once_and_its_messages_are_emitted_each_time():
    cache, made, shown = ResultCache(2), [], []
    message = Message('info', 'test', 'made')

    def make(emit):
        made.append(1)
        emit(message)
        return [7]

    first = cache.get('key', make, shown.append)
    assert cache.get('key', make, shown.append) is first and len(made) == 1
    assert shown == [message, message]


def test_none_is_a_result():
    cache, made = ResultCache(1), []
    for _ in range(2):
        assert cache.get('key', lambda emit: made.append(1), silent) is None
    assert len(made) == 1


def test_the_results_that_were_not_used_for_longest_are_dropped():
    cache, made = ResultCache(2), []
    for key in (1, 2, 1, 3, 1, 2):
        cache.get(key, lambda emit, key=key: made.append(key), silent)
    assert made == [1, 2, 3, 2]
    assert cache.clear() == 2 and cache.clear() == 0


def test_an_error_is_not_kept():
    cache = ResultCache(2)

    def fail(emit):
        raise ValueError('once')

    with pytest.raises(ValueError, match='once'):
        cache.get('key', fail, silent)
    assert cache.get('key', lambda emit: 5, silent) == 5


def test_a_cache_of_no_results_makes_each_one():
    cache, made = ResultCache(0), []
    for _ in range(2):
        cache.get('key', lambda emit: made.append(1), silent)
    assert len(made) == 2
