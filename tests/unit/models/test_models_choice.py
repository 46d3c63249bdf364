from __future__ import annotations

import pytest
from msgspec.structs import replace

from facefusion.models.catalog import Catalog, Licence, ModelEntry
from facefusion.models.choice import EmbeddedModels, LocalModels

GIGABYTE = 1 << 30


def entry(name: str, commercial: bool = True, size: int | None = 100) -> ModelEntry:
    licence = Licence('MIT' if commercial else 'CC-BY-NC', commercial, '')
    facts = {'id': name, 'task': 'swap', 'file': f'{name}.onnx', 'licence': licence, 'vendor': 'v', 'year': 2024}
    return ModelEntry(size=size, sha256='ab' * 32, sources=(), inputs=(), outputs=(), **facts)


BEST, GOOD = entry('best', commercial=False), entry('good')
PREFERRED = ('best', 'good', 'embedded')


@pytest.fixture
def choose(tmp_path):
    """Choose with these files present, as {name: size}."""

    def call(here, entries=(BEST, GOOD), **options):
        for name, size in here.items():
            (tmp_path / f'{name}.onnx').write_bytes(bytes(size))
        return LocalModels(lambda: Catalog(entries), tmp_path, **options).choose(PREFERRED)

    return call


@pytest.mark.parametrize(
    ('here', 'chosen', 'better'),
    [
        ({}, 'embedded', 'best'),
        ({'good': 100}, 'good', 'best'),
        ({'best': 100, 'good': 100}, 'best', ''),
        # An incomplete download counts as missing.
        ({'best': 99}, 'embedded', 'best'),
    ],
)
def test_the_first_present_model_is_selected_and_a_better_one_is_named(choose, here, chosen, better):
    assert choose(here) == (chosen, better)


def test_a_model_with_a_forbidden_licence_is_skipped_and_not_recommended(choose):
    assert choose({'best': 100}, licences='commercial') == ('embedded', 'good')


def test_weights_that_do_not_fit_into_memory_are_skipped(choose):
    large = replace(BEST, size=8 * GIGABYTE)
    assert choose({}, (large, GOOD), memory=8 * GIGABYTE) == ('embedded', 'good')
    assert choose({}, (large, GOOD), memory=None) == ('embedded', 'best')


def test_a_model_missing_from_the_catalogue_is_skipped(choose):
    assert choose({'best': 100, 'good': 100}, (GOOD,)) == ('good', '')


def test_the_catalogue_is_not_read_where_there_is_nothing_to_choose(tmp_path):
    def read():
        raise AssertionError('it was read')

    assert LocalModels(read, tmp_path).choose(('embedded',)) == ('embedded', '')
    assert EmbeddedModels().choose(PREFERRED) == ('embedded', '')
