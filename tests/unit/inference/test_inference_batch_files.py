"""Tests that networks whose file fixes the batch size take several crops after rewriting, or run one by one."""

from __future__ import annotations

import json

import numpy as np
import pytest
from fakes.batch_networks import crops, network

from facefusion.inference import batch_check, batch_files, batch_rewriting
from facefusion.inference.batch_files import FOLDER, batch_file, describe
from facefusion.inference.providers import create_session

REWRITTEN = ('plain', 'reshape', 'token', 'resize')


@pytest.fixture
def model(tmp_path):
    """A function that writes the network of a kind."""

    def write(kind):
        path = tmp_path / f'{kind}.onnx'
        path.write_bytes(network(kind))
        return path

    return write


@pytest.fixture
def examined(monkeypatch):
    """The list of files that were examined."""
    names, real = [], batch_files.examine
    monkeypatch.setattr(batch_files, 'examine', lambda path: names.append(path.stem) or real(path))
    return names


def run(path, values):
    return create_session(path, ('cpu',), 0).run(None, {'crops': values})[0]


@pytest.mark.parametrize('kind', REWRITTEN)
def test_a_fixed_batch_is_freed_and_each_crop_keeps_its_output(model, kind):
    path = model(kind)
    file = batch_file(path)
    assert file.verdict.state == 'rewritten' and file.path != path
    values = crops(8)
    together = run(file.path, values)
    for number in range(8):
        np.testing.assert_array_equal(together[number], run(path, values[number : number + 1])[0])


def test_the_published_file_is_not_changed(model):
    path = model('reshape')
    before = path.read_bytes()
    batch_file(path)
    assert path.read_bytes() == before


def test_a_published_file_with_a_free_batch_is_used_as_it_is(model):
    path = model('free')
    file = batch_file(path)
    assert (file.path, file.verdict.state, describe(file.verdict)) == (path, 'published', 'batchable as published')


@pytest.mark.parametrize(
    ('kind', 'reason'),
    [('joined', 'output output'), ('mixing', 'output output differs by'), ('squeeze', 'removes the batch axis')],
)
def test_networks_that_mix_crops_run_one_by_one_with_the_reason(model, kind, reason):
    path = model(kind)
    file = batch_file(path)
    assert (file.path, file.verdict.state, describe(file.verdict)) == (path, 'single', 'one by one')
    assert reason in file.verdict.reason


def test_a_file_that_is_no_network_runs_one_by_one(tmp_path):
    path = tmp_path / 'net.onnx'
    path.write_bytes(b'weights')
    assert batch_file(path).verdict.state == 'single'


def test_a_network_is_examined_once(model, examined):
    path = model('reshape')
    first = batch_file(path)
    assert batch_file(path) == first
    assert examined == ['reshape']


@pytest.mark.parametrize('damage', ['copy', 'no copy', 'record', 'other version'])
def test_a_damaged_cache_is_made_again(model, examined, monkeypatch, damage):
    path = model('reshape')
    first = batch_file(path)
    record = first.path.with_suffix('.json')
    if damage == 'copy':
        first.path.write_bytes(first.path.read_bytes()[:-1] + b'x')
    elif damage == 'no copy':
        first.path.unlink()
    elif damage == 'record':
        record.write_text('{', encoding='ascii')
    else:
        monkeypatch.setattr(batch_files, 'VERSION', batch_rewriting.VERSION + 1)
    again = batch_file(path)
    assert examined == ['reshape', 'reshape']
    assert again.verdict == first.verdict
    np.testing.assert_array_equal(run(again.path, crops(2))[:1], run(path, crops(2)[:1]))
    assert len(list((path.parent / FOLDER).iterdir())) == 2


def test_without_a_writable_folder_a_network_runs_one_by_one_with_a_warning(model):
    path = model('reshape')
    (path.parent / FOLDER).write_text('a file in place of the folder', encoding='ascii')
    events = []
    file = batch_file(path, events.append)
    assert (file.path, file.verdict.state) == (path, 'single')
    assert [event.level for event in events] == ['warn'] and FOLDER in events[0].text


def test_the_difference_of_a_crop_in_a_batch_is_limited(model, monkeypatch):
    """The check compares values: with no tolerance below zero even equal values would fail."""
    monkeypatch.setattr(batch_check, 'TOLERANCE', -1.0)
    assert batch_file(model('plain')).verdict.state == 'single'


def test_the_record_is_plain_json(model):
    file = batch_file(model('reshape'))
    record = json.loads(file.path.with_suffix('.json').read_bytes())
    assert record['state'] == 'rewritten' and len(record['copy_sha256']) == 64
