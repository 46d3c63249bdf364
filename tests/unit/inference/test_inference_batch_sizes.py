"""Tests that the batch size of a network is measured once per network and device, within bounds."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from fakes.accelerator import Accelerator
from fakes.batch_networks import network

from facefusion.inference import batch_sizes as sizes_module
from facefusion.inference.batch_files import FOLDER
from facefusion.inference.batch_sizes import MOST_CROPS, PROBE_SECONDS, batch_sizes, cached_sizes, probe_size
from facefusion.inference.pool import SessionPool


class Device:
    """A session whose calls take ``seconds(crops)``; above ``most`` crops its memory runs out."""

    def __init__(self, seconds, most=10**6):
        self.now, self.calls = 0.0, []
        self._seconds, self._most = seconds, most

    def run_whole(self, names, crops):
        self.calls.append(crops)
        if crops > self._most:
            raise RuntimeError('Failed to allocate memory for requested buffer of size 1')
        self.now += self._seconds(crops)

    def probe(self):
        return probe_size(self, lambda crops: crops, lambda: self.now)


class Files:
    def __init__(self, folder):
        self._folder = folder

    def path(self, model_id):
        return self._folder / f'{model_id}.onnx'

    def contract(self, model_id):
        return SimpleNamespace(tile=(), size=(8, 8))


@pytest.fixture
def pool(tmp_path, monkeypatch):
    for kind in ('free', 'reshape', 'squeeze'):
        (tmp_path / f'{kind}.onnx').write_bytes(network(kind))
    Accelerator().install(monkeypatch)
    return SessionPool(Files(tmp_path), ('cuda', 'cpu'), 0)


@pytest.fixture
def measured(monkeypatch):
    """The number of measurements, each of which finds 4 crops."""
    found = []
    monkeypatch.setattr(sizes_module, 'probe_size', lambda *given: found.append(1) or (4, {1: 10.0, 4: 30.0}))
    return found


@pytest.mark.parametrize(
    ('seconds', 'most', 'size'),
    [
        (lambda crops: 0.01, 10**6, MOST_CROPS),
        (lambda crops: 0.01 * crops, 10**6, 1),
        (lambda crops: 0.01 * max(crops, 4), 10**6, 4),
        (lambda crops: 0.01, 5, 4),
        (lambda crops: 0.01, 1, 1),
    ],
)
def test_a_size_doubles_while_it_pays_and_fits(seconds, most, size):
    assert Device(seconds, most).probe()[0] == size


def test_a_measurement_ends_in_time_for_a_slow_network():
    device = Device(lambda crops: 1.0)
    device.probe()
    assert device.now <= PROBE_SECONDS + 2 * 1.0


def test_a_failure_of_one_crop_is_not_hidden():
    with pytest.raises(RuntimeError, match='requested buffer'):
        Device(lambda crops: 0.01, 0).probe()


def test_sizes_are_measured_once_for_each_network_and_device(pool, measured, tmp_path):
    for _ in range(2):
        assert batch_sizes(pool, ['free', 'reshape'], None, 'first') == {'free': 4, 'reshape': 4}
    assert len(measured) == 2
    batch_sizes(pool, ['free'], None, 'second')
    assert len(measured) == 3
    stored = cached_sizes(tmp_path)
    assert sorted((each.key.provider, each.key.device, each.crops) for each in stored) == [
        ('cuda', 'first', 4),
        ('cuda', 'first', 4),
        ('cuda', 'second', 4),
    ]
    assert stored[0].speeds == {1: 10.0, 4: 30.0}


def test_another_file_of_a_model_is_measured_again(pool, measured, tmp_path):
    batch_sizes(pool, ['free'], None, 'first')
    (tmp_path / 'free.onnx').write_bytes(network('plain'))
    batch_sizes(pool, ['free'], None, 'first')
    assert len(measured) == 2


def test_the_size_that_the_user_wants_is_not_measured(pool, measured):
    assert batch_sizes(pool, ['free', 'reshape', 'squeeze'], 6, 'first') == {'free': 6, 'reshape': 6}
    assert batch_sizes(pool, ['free'], 1, 'first') == {}
    assert not measured


def test_a_damaged_cache_is_measured_again(pool, measured, tmp_path):
    batch_sizes(pool, ['free'], None, 'first')
    for text in ('{', '[]', '{"sizes": [{}]}', '{"sizes": [{"key": [1], "crops": 4, "speeds": {}}]}'):
        (tmp_path / FOLDER / 'sizes.json').write_text(text, encoding='ascii')
        assert batch_sizes(pool, ['free'], None, 'first') == {'free': 4}
    assert len(measured) == 5


def test_without_a_writable_folder_the_size_is_still_measured(pool, measured, tmp_path, monkeypatch):
    def refuse(path, data):
        raise PermissionError(13, 'Permission denied')

    monkeypatch.setattr(sizes_module, 'write_file', refuse)
    events = []
    assert batch_sizes(pool, ['free'], None, 'first', events.append) == {'free': 4}
    assert any('Permission denied' in event.text for event in events)
    assert cached_sizes(tmp_path) == []


def test_a_measurement_runs_the_network(pool):
    assert batch_sizes(pool, ['reshape'], None, 'first').get('reshape', 1) in (1, 2, 4, 8, 16)
    assert pool.ladder.steps() == []


def test_a_cpu_gets_one_crop_per_call(tmp_path):
    pool = SessionPool(Files(tmp_path), ('cpu',), 0)
    assert batch_sizes(pool, ['free'], 8, 'first') == {}
