"""Tests that pools with different numbers of threads share one cache of sessions, and how long sessions live."""

from __future__ import annotations

import threading
from types import SimpleNamespace

import pytest

from facefusion.errors import ModelError, ResourceError
from facefusion.inference import pool as pool_module
from facefusion.inference.memory import Lifetime, check_video_memory, session_bytes
from facefusion.inference.options import ExecutionOptions
from facefusion.inference.pool import SessionPool


class Files:
    def __init__(self, folder):
        self.folder = folder
        self.asked = []

    def path(self, model_id):
        self.asked.append(model_id)
        return self.folder / f'{model_id}.onnx'


@pytest.fixture
def files(tmp_path):
    for name in ('one', 'other'):
        (tmp_path / f'{name}.onnx').write_bytes(b'weights')
    return Files(tmp_path)


@pytest.fixture
def created(monkeypatch):
    """The list of created sessions."""
    sessions = []

    def create(path, providers, device_id, threads, rules):
        sessions.append(SimpleNamespace(model=path.stem, providers=providers, device=device_id, threads=threads))
        return sessions[-1]

    monkeypatch.setattr(pool_module, 'create_session', create)
    return sessions


def test_sessions_are_cached_by_model_and_threads(files, created):
    pool = SessionPool(files, ('cuda', 'cpu'), 1)
    wide = pool.at(4)
    sessions = [(each, name) for each in (pool, wide, pool.at(4), wide.at(1), pool) for name in ('one', 'other')]
    found = [each.session(name) for each, name in sessions]
    assert [(each.model, each.threads) for each in created] == [('one', 1), ('other', 1), ('one', 4), ('other', 4)]
    assert {(each.providers, each.device) for each in created} == {(('cuda', 'cpu'), 1)}
    assert [(each.model, each.threads) for each in found] == [
        (created[k].model, created[k].threads) for k in (0, 1, 2, 3, 2, 3, 0, 1, 0, 1)
    ]
    assert [found.index(each) for each in found] == [0, 1, 2, 3, 2, 3, 0, 1, 0, 1]
    assert files.asked == ['one', 'other', 'one', 'other']


def test_pools_of_one_family_share_sessions(files, created):
    pool = SessionPool(files, ('cpu',), 0, threads=2)
    assert pool.at(3).session('one') is pool.at(3).session('one')
    assert pool.at(2).session('one') is pool.session('one') and len(created) == 2


def test_threads_that_use_pools_of_one_family_at_once_get_one_session(files, monkeypatch):
    inside, most, count = [], [], []

    def create(*_):
        inside.append(1)
        most.append(len(inside))
        waiting.wait(0.05)
        inside.pop()
        count.append(1)
        return object()

    monkeypatch.setattr(pool_module, 'create_session', create)
    waiting, start, found = threading.Event(), threading.Barrier(8), []
    pool = SessionPool(files, ('cpu',), 0)

    def ask(each):
        start.wait()
        found.append(each.session('one'))

    threads = [threading.Thread(target=ask, args=(pool.at(1 + k % 2),)) for k in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 8 and len({id(each) for each in found}) == len(count) == 2 and max(most) == 1


def test_an_unreadable_model_is_an_error_in_all_pools(files, created, tmp_path):
    (tmp_path / 'other.onnx').unlink()
    pool = SessionPool(files, ('cpu',), 0)
    for each in (pool, pool.at(2)):
        with pytest.raises(ModelError) as caught:
            each.session('other')
        assert caught.value.reference == 'model-unreadable' and 'other' in caught.value.hint
    (tmp_path / 'other.onnx').write_bytes(b'weights')
    assert pool.session('other').model == 'other' and len(created) == 1


def test_a_freed_session_is_loaded_again_at_its_next_call(files, created):
    pool = SessionPool(files, ('cpu',), 0)
    session = pool.session('one')
    assert pool.release_idle() == 1 and pool.release_idle() == 0
    assert session.model == 'one' and len(created) == 2 and files.asked == ['one', 'one']
    assert pool.session('one') is session and len(created) == 2


def test_a_session_is_not_freed_during_a_call(files, created):
    pool = SessionPool(files, ('cpu',), 0)
    session = pool.session('one')
    with session.loaded() as raw:
        assert pool.release_idle() == 0 and raw is created[0]
        pool.step_started(())
        assert session.model == 'one' and len(created) == 1
    assert pool.release_idle() == 1


def test_a_step_on_a_cpu_keeps_only_the_sessions_of_its_own_models(files, created):
    pool = SessionPool(files, ('cpu',), 0)
    one, other = pool.session('one'), pool.session('other')
    pool.stage_ended()
    pool.step_ended()
    pool.step_started(['one'])
    assert (one.model, len(created)) == ('one', 2)
    assert (other.model, len(created)) == ('other', 3)


def test_a_step_loads_a_changed_file_again(files, created, tmp_path):
    for providers in (('cpu',), ('cuda',)):
        pool = SessionPool(files, providers, 0, lifetime=Lifetime('tolerant'))
        session, count = pool.session('one'), len(created)
        pool.step_started(['one'])
        assert session.model == 'one' and len(created) == count
        (tmp_path / 'one.onnx').write_bytes(b'more weights, ' + providers[0].encode())
        pool.step_started(['one'])
        assert session.model == 'one' and len(created) == count + 1


@pytest.mark.parametrize(('strategy', 'loaded'), [('strict', (3, 5)), ('moderate', (2, 4)), ('tolerant', (2, 2))])
def test_the_strategy_decides_how_long_sessions_live_on_an_accelerator(strategy, loaded, files, created):
    pool = SessionPool(files, ('cuda', 'cpu'), 0, lifetime=Lifetime(strategy))
    one, other = pool.session('one'), pool.session('other')
    pool.stage_ended(later=['other'])
    assert (one.model, other.model, len(created)) == ('one', 'other', loaded[0])
    pool.step_ended()
    pool.step_started(['other'])
    assert (one.model, other.model, len(created)) == ('one', 'other', loaded[1])


def test_strict_frees_a_session_that_nothing_uses_any_more(files, created):
    pool = SessionPool(files, ('cuda', 'cpu'), 0)
    kept, dropped = pool.session('one'), pool.session('other')
    del dropped
    pool.stage_ended(later=['one', 'other'])
    assert (kept.model, pool.session('other').model, len(created)) == ('one', 'other', 3)


def test_the_limit_frees_the_session_that_was_not_used_for_longest(files, created, tmp_path):
    (tmp_path / 'third.onnx').write_bytes(b'weights')
    pool = SessionPool(files, ('cuda', 'cpu'), 0, lifetime=Lifetime('tolerant', 2 * session_bytes(7)))
    one, other = pool.session('one'), pool.session('other')
    assert one.model == 'one'
    third = pool.session('third')
    assert (one.model, third.model, len(created)) == ('one', 'third', 3)
    assert (other.model, len(created)) == ('other', 4)


def test_a_session_waits_for_a_call_that_fills_the_limit(files, created):
    pool = SessionPool(files, ('cuda', 'cpu'), 0, lifetime=Lifetime('strict', session_bytes(7)))
    one, found = pool.session('one'), []
    thread = threading.Thread(target=lambda: found.append(pool.session('other')))
    with one.loaded():
        thread.start()
        thread.join(0.1)
        assert found == [] and [each.model for each in created] == ['one']
    thread.join(10)
    assert [each.model for each in created] == ['one', 'other'] and found[0].model == 'other'


def test_the_limit_does_not_count_for_a_cpu(files, created):
    pool = SessionPool(files, ('cpu',), 0, lifetime=Lifetime('strict', 1))
    assert [pool.session(name).model for name in ('one', 'other', 'one')] == ['one', 'other', 'one']
    assert len(created) == 2


def test_a_limit_below_the_need_of_one_session_is_refused_with_numbers():
    needs = session_bytes(500_000_000)
    check_video_memory(Lifetime('strict', needs), {'large': 500_000_000, 'small': 1})
    check_video_memory(Lifetime('strict', None), {'large': 500_000_000})
    with pytest.raises(ResourceError) as caught:
        check_video_memory(Lifetime('strict', needs - 1), {'small': 1, 'large': 500_000_000})
    error = caught.value
    assert (error.reference, error.exit_code) == ('video-memory-limit', 5)
    assert 'large would need about 1067 MB' in error.message and 'allows 1067 MB' in error.message
    assert '--video-memory-limit to 1.07' in error.hint


def test_the_lifetime_comes_from_the_options():
    assert Lifetime.of(ExecutionOptions()) == Lifetime('strict', None)
    assert Lifetime.of(ExecutionOptions(video_memory_strategy='tolerant', video_memory_limit=1.5)) == Lifetime(
        'tolerant', 1_500_000_000
    )
