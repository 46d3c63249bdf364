from __future__ import annotations

from pathlib import Path

import pytest
from msgspec.structs import replace

from facefusion.errors import ModelError
from facefusion.models.catalog import Alternate, Catalog, Licence, ModelEntry, load_catalog
from facefusion.models.choice import NO_EMBEDDED, EmbeddedModels, LocalModels, preferred_models
from facefusion.models.lockfile import LockFile, Record
from facefusion.models.preferences import COMPANIONS, PREFERENCES, models_of_task

GIGABYTE = 1 << 30


def entry(name: str, commercial: bool = True, size: int | None = 100) -> ModelEntry:
    licence = Licence('MIT' if commercial else 'CC-BY-NC', commercial, '')
    facts = {'id': name, 'task': 'swap', 'file': f'{name}.onnx', 'licence': licence, 'vendor': 'v', 'year': 2024}
    return ModelEntry(size=size, sha256='ab' * 32, sources=(), inputs=(), outputs=(), **facts)


BEST, GOOD = entry('best', commercial=False), entry('good')
PREFERRED = ('best', 'good', 'embedded')


@pytest.fixture
def choose(tmp_path):
    """Return a function that chooses a model when the given files, {name: size}, are present."""

    def call(here, entries=(BEST, GOOD), preferred=PREFERRED, **options):
        for name, size in here.items():
            (tmp_path / f'{name}.onnx').write_bytes(bytes(size))
        return LocalModels(lambda: Catalog(entries), tmp_path, **options).choose(preferred)

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


def test_without_an_embedded_model_the_error_states_how_to_fetch_one_and_its_size(choose):
    small, unknown = entry('best', size=980103562), entry('good', size=None)
    with pytest.raises(ModelError) as error:
        choose({}, (small, unknown), preferred=('best', 'good', NO_EMBEDDED))
    assert (error.value.reference, error.value.exit_code) == ('model-none-present', 6)
    assert 'models fetch best` (980 MB); other models: good' in error.value.hint and 'swap' in error.value.message
    with pytest.raises(ModelError) as error:
        choose({}, (BEST, unknown), licences='commercial', preferred=('best', 'good', NO_EMBEDDED))
    assert error.value.hint.endswith('models fetch good`')


def test_a_present_model_is_selected_where_none_is_embedded(choose):
    assert choose({'good': 100}, preferred=('best', 'good', NO_EMBEDDED)) == ('good', 'best')
    assert EmbeddedModels().choose(('best', 'good', NO_EMBEDDED)) == ('best', '')


def test_an_alternate_and_an_imported_file_count_as_present(choose, tmp_path):
    alternate = replace(BEST, alternates=(Alternate('cd' * 32, 70),))
    assert choose({'best': 70}, (alternate, GOOD)) == ('best', '')
    assert choose({'best': 70}) == ('embedded', 'best')
    LockFile(tmp_path).put('best', Record('ef' * 32, 'imported'))
    assert choose({'best': 70}) == ('best', '')


def test_a_model_counts_with_the_models_that_it_needs(choose, monkeypatch):
    monkeypatch.setattr('facefusion.models.preferences.COMPANIONS', {'good': ('part',), 'best': ('unlisted',)})
    entries = (BEST, GOOD, entry('part'))
    assert choose({'good': 100}, entries) == ('embedded', 'best')
    assert choose({'part': 100}, entries) == ('good', 'best')
    entries = (BEST, GOOD, entry('part', commercial=False))
    assert choose({}, entries, licences='commercial') == ('embedded', '')


def test_the_tables_name_models_of_the_catalogue():
    catalog = load_catalog(Path(__file__).parents[3] / 'models' / 'catalog')
    for model_id, needed in COMPANIONS.items():
        assert model_id in catalog and all(name in catalog for name in needed)
    for task, names in PREFERENCES.items():
        assert {catalog.entry(name).task for name in names} == {task}
        assert models_of_task(catalog, task)[: len(names)] == list(names)


def test_all_allowed_models_of_a_joint_task_are_preferred(monkeypatch):
    catalog = Catalog((BEST, GOOD, entry('other')))
    assert preferred_models(catalog, 'swap', 'any') == ['best']
    monkeypatch.setattr('facefusion.models.preferences.JOINT_TASKS', {'swap'})
    assert preferred_models(catalog, 'swap', 'any') == ['best', 'good', 'other']
    assert preferred_models(catalog, 'swap', 'commercial') == ['good', 'other']
    with pytest.raises(ModelError) as error:
        preferred_models(Catalog((BEST,)), 'swap', 'commercial')
    assert error.value.reference == 'model-licence'


def test_every_model_is_listed_under_its_task_except_parts_of_others():
    catalog = load_catalog(Path(__file__).parents[3] / 'models' / 'catalog')
    listed = {name for task in {each.task for each in catalog} for name in models_of_task(catalog, task)}
    parts = {each.id for each in catalog} - listed
    assert parts >= {'fan_68_5', 'crossface_ghost', 'live_portrait_stitcher'}
    assert all(any(part in needed for needed in COMPANIONS.values()) for part in parts)
