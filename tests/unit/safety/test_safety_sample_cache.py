from __future__ import annotations

import json
import os
from pathlib import Path
from types import SimpleNamespace

import pytest

from facefusion.safety.content_gate import Sample
from facefusion.safety.sample_cache import SampleCache, model_digests, sample_key
from facefusion.safety.sampling import Sampling

SAMPLING = Sampling(10, 30, 10)
SAMPLES = (
    Sample(10, 0.4, (0.25, 1.0)),
    Sample(17, 0.68, (0.5, -14.25)),
    Sample(20, 0.8, (0.0, 0.0)),
    Sample(30, 1.2, (1, 0)),
)
KEY = 'a' * 64


def kept(folder):
    return SampleCache(folder).get(KEY, SAMPLING, 2)


def written(folder, **changes):
    entry = {'version': 1, 'key': KEY, 'samples': [[s.frame, s.seconds, list(s.scores)] for s in SAMPLES]}
    (folder / f'{KEY}.json').write_text(json.dumps(entry | changes))
    return kept(folder)


def test_samples_come_back_in_frame_order(tmp_path):
    folder = tmp_path / 'new' / 'folder'
    assert kept(folder) is None
    SampleCache(folder).put(KEY, SAMPLES[::-1])
    assert kept(folder) == SAMPLES
    assert [path.name for path in folder.iterdir()] == [f'{KEY}.json']
    SampleCache(folder).put(KEY, (*SAMPLES, Sample(38, 1.5, (0.0, 0.0))))
    assert len(kept(folder)) == 5
    assert SampleCache(folder).get('b' * 64, SAMPLING, 2) is None


def test_the_key_changes_with_everything_that_changes_a_sample():
    base = ('c' * 64, {'a': '1', 'b': '2'}, SAMPLING, {'shots': 0.3})
    others = [
        ('d' * 64, *base[1:]),
        (base[0], {'a': '1', 'b': '3'}, *base[2:]),
        (base[0], {'a': '1'}, *base[2:]),
        (base[0], {'b': '2', 'a': '1'}, *base[2:]),
        (*base[:2], Sampling(11, 30, 10), base[3]),
        (*base[:2], Sampling(10, 31, 10), base[3]),
        (*base[:2], Sampling(10, 30, 5), base[3]),
        (*base[:3], {'shots': 0.4}),
    ]
    keys = {sample_key(*parts) for parts in (base, *others)}
    assert len(keys) == 9 and sample_key(*base) == sample_key(*base)
    assert all(len(key) == 64 for key in keys)


@pytest.mark.parametrize(
    'changes',
    [
        {'version': 2},
        {'key': 'b' * 64},
        {'samples': []},
        {'samples': None},
        {'samples': {}},
        {'samples': [[10, 0.4, [0.1, 0.1]]]},  # a sampled frame is missing
        {'samples': [[n, 0.4, [0.1]] for n in (10, 20, 30)]},  # one classifier instead of two
        {'samples': [[n, 0.4, [0.1, 10**400]] for n in (10, 20, 30)]},
        {'samples': [[n, 0.4, [0.1, float('-inf')]] for n in (10, 20, 30)]},
        {'samples': [[n, 0.4, [0.1, 0.2, 0.3]] for n in (10, 20, 30)]},  # three classifiers instead of two
        {'samples': [[n, 0.4, [0.1, float('nan')]] for n in (10, 20, 30)]},
        {'samples': [[n, 0.4, [0.1, None]] for n in (10, 20, 30)]},
        {'samples': [[n, 0.4, [True, 0.1]] for n in (10, 20, 30)]},
        {'samples': [[n, float('inf'), [0.1, 0.1]] for n in (10, 20, 30)]},
        {'samples': [[n, 10**400, [0.1, 0.1]] for n in (10, 20, 30)]},
        {'samples': [[n, 0.4, [0.1, 0.1]] for n in (10.0, 20.0, 30.0)]},
        {'samples': [[n, 0.4, [0.1, 0.1]] for n in (10, 30, 20)]},
        {'samples': [[n, 0.4, [0.1, 0.1]] for n in (10, 20, 20, 30)]},
        {'samples': [[n, 0.4, [0.1, 0.1]] for n in (10, 20, 30, 40)]},  # outside the range
        {'samples': [[n, 0.4, [0.1, 0.1], 1] for n in (10, 20, 30)]},
        {'samples': [7, 8, 9]},
    ],
    ids=str,
)
def test_an_unsuitable_entry_counts_as_missing(tmp_path, changes):
    assert written(tmp_path) == SAMPLES
    assert written(tmp_path, **changes) is None


@pytest.mark.parametrize(
    'data', [b'', b'{', b'[]', b'7', b'null', b'\xff\xfe', b'[' * 100_000, b'{"version": 1}'], ids=len
)
def test_a_damaged_entry_counts_as_missing_and_is_replaced(tmp_path, data):
    (tmp_path / f'{KEY}.json').write_bytes(data)
    assert kept(tmp_path) is None
    SampleCache(tmp_path).put(KEY, SAMPLES)
    assert kept(tmp_path) == SAMPLES


def test_a_huge_file_or_a_folder_counts_as_missing(tmp_path):
    path = tmp_path / f'{KEY}.json'
    with path.open('wb') as file:
        file.truncate(1 << 40)
    assert kept(tmp_path) is None
    path.unlink()
    path.mkdir()
    assert kept(tmp_path) is None
    said = []
    SampleCache(tmp_path, said.append).put(KEY, SAMPLES)
    assert [event.level for event in said] == ['debug'] and [item.name for item in tmp_path.iterdir()] == [path.name]


def test_only_the_oldest_entries_are_removed(tmp_path):
    (tmp_path / 'notes.json').write_text('mine')
    old = tmp_path / f'{KEY}.aa.part'
    fresh = tmp_path / f'{KEY}.bb.part'
    for part, age in ((old, 10), (fresh, None)):
        part.write_text('')
        if age is not None:
            os.utime(part, (age, age))
    cache = SampleCache(tmp_path, maximum_entries=3)
    keys = [f'{number:064x}' for number in range(6)]
    for number, key in enumerate(keys):
        cache.put(key, SAMPLES)
        os.utime(tmp_path / f'{key}.json', (1000 + number, 1000 + number))
    names = {path.name for path in tmp_path.iterdir()}
    # The newest entry is written with the current time before the oldest ones are removed.
    assert names == {'notes.json', fresh.name, *(f'{key}.json' for key in keys[3:])}


def test_an_unwritable_folder_fails_nothing(tmp_path):
    (tmp_path / 'file').write_text('')
    said = []
    cache = SampleCache(tmp_path / 'file' / 'cache', said.append)
    cache.put(KEY, SAMPLES)
    assert cache.get(KEY, SAMPLING, 2) is None and len(said) == 1


def test_the_digest_of_a_model_is_that_of_its_file():
    digests = {'published': 'a' * 64, 'imported': 'b' * 64}
    store = SimpleNamespace(
        path=lambda model_id: Path(model_id), check=lambda model_id: SimpleNamespace(actual=digests[model_id])
    )
    assert model_digests(store, ('imported', 'published')) == digests
