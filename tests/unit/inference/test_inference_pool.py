"""Tests that pools with different numbers of threads share one cache of sessions."""

from __future__ import annotations

import threading
from types import SimpleNamespace

import pytest

from facefusion.errors import ModelError
from facefusion.inference import pool as pool_module
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

    def create(path, providers, device_id, threads):
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
