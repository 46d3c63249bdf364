"""Models that the page fetches in the background."""

from __future__ import annotations

import threading
from types import SimpleNamespace

import pytest

from facefusion.errors import ModelError
from facefusion.events import StageProgress
from facefusion.gui.model_tasks import ModelTasks
from facefusion.models.catalog import load_catalog
from facefusion.settings import program_path


class FakeStore:
    """A store that fetches one model at a time when ``go`` is set; 'span_x4' is unreachable."""

    def __init__(self, emit):
        self.catalog = load_catalog(program_path() / 'models' / 'catalog')
        self.offline = False
        self.emit = emit
        self.go = threading.Event()
        self.active = 0
        self.fetched = []

    def fetch(self, model_ids):
        self.active += 1
        assert self.active == 1, 'two fetches at the same time'
        (model_id,) = model_ids
        assert self.go.wait(20)
        self.emit(StageProgress(model_id, 3, 10, 'B'))
        self.active -= 1
        if model_id == 'span_x4':
            raise ModelError('model-unreachable', 'no answer')
        self.fetched.append(model_id)

    def state(self, model_id):
        return 'present' if model_id in self.fetched else 'missing'

    def file_size(self, model_id):
        return None


class Events(list):
    def publish(self, name, data):
        assert name == 'model'
        self.append((data['id'], data['state'], data['done'], (data['error'] or {}).get('reference')))


def make_tasks(licences='any'):
    stores, events = [], Events()

    def model_store(emit, flag):
        stores.append(FakeStore(emit))
        return stores[0]

    workplace = SimpleNamespace(model_store=model_store, local_models=lambda: SimpleNamespace(licences=licences))
    return ModelTasks(workplace, events), stores[0], events


def test_models_are_fetched_one_after_the_other_with_progress():
    tasks, store, events = make_tasks()
    for model_id in ('span_x2', 'span_x4', 'span_x2'):
        tasks.fetch(model_id)
    states = {model['id']: model['state'] for model in tasks.listed()}
    assert states['span_x2'] == states['span_x4'] == 'fetching'
    store.go.set()
    tasks._pool.shutdown(wait=True)
    assert events == [
        ('span_x2', 'fetching', 0, None),
        ('span_x4', 'fetching', 0, None),
        ('span_x2', 'fetching', 3, None),
        ('span_x2', 'present', 0, None),
        ('span_x4', 'fetching', 3, None),
        ('span_x4', 'missing', 0, 'model-unreachable'),
    ]


def test_a_model_that_the_policy_forbids_is_not_fetched():
    tasks, store, events = make_tasks('commercial')
    forbidden = next(entry for entry in store.catalog if not entry.licence.commercial)
    with pytest.raises(ModelError) as caught:
        tasks.fetch(forbidden.id)
    assert caught.value.reference == 'model-licence'
    assert events == []
    tasks.close()
