from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from facefusion.errors import InputError, UsageError
from facefusion.jobs import patterns
from facefusion.jobs.patterns import BatchItem, expand


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """The current folder with two sources and three targets."""
    for name in ('faces/b.png', 'faces/a.jpg', 'clips/two.MP4', 'clips/one.mp4', 'clips/three.mov', 'clips/.four.mp4'):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.touch()
    (tmp_path / 'clips' / 'folder.mp4').mkdir()
    monkeypatch.chdir(tmp_path)
    return tmp_path


def outputs(*given: str | None) -> list[str]:
    return [item.output for item in expand(*given)]


def near(path: str) -> str:
    return str(Path(path))


def test_every_source_is_used_with_every_target_ordered_by_source(folder):
    assert expand('faces/*', 'clips/*.m*', 'out/{index}.mp4')[:4] == (
        BatchItem(near('faces/a.jpg'), near('clips/one.mp4'), 'out/0.mp4', 0),
        BatchItem(near('faces/a.jpg'), near('clips/three.mov'), 'out/1.mp4', 1),
        BatchItem(near('faces/b.png'), near('clips/one.mp4'), 'out/2.mp4', 2),
        BatchItem(near('faces/b.png'), near('clips/three.mov'), 'out/3.mp4', 3),
    )


def test_without_sources_each_target_is_one_item(folder):
    items = expand(None, 'clips/t*', '{target_name}{target_extension}')
    assert [(item.source, item.output, item.index) for item in items] == [
        (None, 'three.mov', 0),
        (None, 'two.mp4', 1),
    ]
    assert expand('', 'clips/t*', '{target_name}{target_extension}') == items


@pytest.mark.parametrize(
    ('pattern', 'name'),
    [
        ('{index:03d}', '000'),
        ('{source_name}-{target_name}{target_extension}', 'a-one.mp4'),
        ('{{{target_name}}}', '{one}'),
        ('{target_name:_<5}|{index:>2}', 'one__| 0'),
    ],
)
def test_fields_may_have_formats(folder, pattern, name):
    assert outputs('faces/a*', 'clips/one*', pattern) == [name]


def test_patterns_are_relative_to_the_current_folder(folder, monkeypatch):
    monkeypatch.chdir(folder / 'clips')
    assert [item.target for item in expand(None, 'o*', 'x')] == ['one.mp4']
    assert [item.source for item in expand('../faces/a*', 'o*', 'x')] == [near('../faces/a.jpg')]


def test_only_files_match_and_hidden_ones_only_when_asked_for(folder):
    (folder / 'clips' / 'deeper').mkdir()
    (folder / 'clips' / 'deeper' / 'five.mp4').touch()
    names = {Path(item.target).name for item in expand(None, 'clips/*', '{index}')}
    assert names == {'one.mp4', 'two.MP4', 'three.mov'}
    names = {Path(item.target).name for item in expand(None, 'clips/**', '{index}')}
    assert names == {'one.mp4', 'two.MP4', 'three.mov', 'five.mp4'}
    assert [Path(item.target).name for item in expand(None, 'clips/.*', '{index}')] == ['.four.mp4']


def test_wildcards_work_in_the_names_of_folders_too(folder):
    for name in ('ann', 'bob'):
        (folder / 'people' / name).mkdir(parents=True)
        (folder / 'people' / name / 'face.png').touch()
        (folder / 'people' / name / 'Thumbs.db').touch()
    items = expand('people/*/*', 'clips/one*', '{index}-{source_name}.mp4')
    assert [item.source for item in items] == [near('people/ann/face.png'), near('people/bob/face.png')]
    assert [item.output for item in items] == ['0-face.mp4', '1-face.mp4']
    with pytest.raises(UsageError, match='more than one step'):
        expand('people/*/face.png', 'clips/one*', '{source_name}.mp4')


def test_folders_and_files_whose_names_look_like_patterns_are_found(folder):
    odd = folder / 'clips [1]'
    odd.mkdir()
    (odd / 'clip[2].mp4').touch()
    (odd / 'clip2.mp4').touch()
    assert [Path(item.target).name for item in expand(None, 'clips [1]/*2.mp4', '{index}')] == ['clip2.mp4']
    assert [Path(item.target).name for item in expand(None, 'clips [1]/clip[2].mp4', 'x')] == ['clip[2].mp4']


@pytest.mark.parametrize(
    ('given', 'words'),
    [
        (('faces/*', 'clips/*.avi', '{index}'), ['--target-pattern clips/*.avi', '*.avi']),
        (('faces/*.gif', 'clips/*', '{index}'), ['--source-pattern faces/*.gif', '*.gif']),
        (('faces/*', 'clps/*', '{index}'), ['there is no folder', 'clps']),
        (('faces/*', 'clps/*/one.mp4', '{index}'), ['there is no folder', 'clps']),
        (('faces/*', '*/four.mp4', '{index}'), [str(Path('*/four.mp4'))]),
        (('faces/*', 'clips/**/four.mp4', '{index}'), ['clips has a name like', str(Path('**/four.mp4'))]),
        (('faces/*', 'clips', '{index}'), ['clips is a folder', 'use clips']),
        (('faces/*', 'clips/', '{index}'), ['clips is a folder']),
        (('faces/*', 'clips/a\0b', '{index}'), []),
    ],
)
def test_an_input_pattern_without_a_match_is_refused(folder, given, words):
    with pytest.raises(InputError) as caught:
        expand(*given)
    error = caught.value
    assert (error.reference, error.exit_code) == ('pattern-no-match', 1) and error.hint
    assert all(word in f'{error.message} {error.cause} {error.hint}' for word in words)


@pytest.mark.parametrize(
    ('given', 'reference', 'words'),
    [
        (('faces/*', None, '{index}'), 'target-pattern-missing', '--target-pattern'),
        (('faces/*', 'clips/*', ''), 'output-pattern-missing', '--output-pattern'),
        (('faces/*', 'clips/*', '{name}'), 'pattern-field', '{target_name}'),
        (('faces/*', 'clips/*', '{}'), 'pattern-field', '{target_name}'),
        (('faces/*', 'clips/*', '{0}'), 'pattern-field', '{target_name}'),
        (('faces/*', 'clips/*', '{index.__class__}'), 'pattern-field', '{index.__class__}'),
        (('faces/*', 'clips/*', '{index[0]}'), 'pattern-field', '{index[0]}'),
        (('faces/*', 'clips/*', '{index:{index.__class__}}'), 'pattern-format', 'plain format'),
        (('faces/*', 'clips/*', '{index!r}'), 'pattern-format', 'plain format'),
        (('faces/*', 'clips/*', '{index:0>9999999999}'), 'pattern-format', '255'),
        (('faces/*', 'clips/*', '{index:0256d}'), 'pattern-format', '255'),
        (('faces/*', 'clips/*', '{index'), 'pattern-format', '{index:03d}'),
        (('faces/*', 'clips/*', 'a}b'), 'pattern-format', '{index:03d}'),
        (('faces/*', 'clips/*', '{target_name:d}'), 'pattern-format', "'d'"),
        (('faces/*', 'clips/*', '{index:c}'), 'pattern-format', 'a null character'),
        ((None, 'clips/*', '{source_name}'), 'pattern-field', '--source-pattern'),
    ],
)
def test_a_wrong_request_is_refused(folder, given, reference, words):
    with pytest.raises(UsageError) as caught:
        expand(*given)
    error = caught.value
    assert error.reference == reference and error.hint
    assert words in f'{error.message} {error.cause} {error.hint}'


@pytest.mark.parametrize(
    ('given', 'advice'),
    [
        (('faces/*', 'clips/*', 'out/{target_name}.mp4'), 'add {source_name} to'),
        (('faces/*', 'clips/*', 'out.mp4'), '{source_name} and {target_name}'),
        (('faces/a*', 'clips/*', 'out.mp4'), '{target_name}'),
        ((None, 'clips/*', 'out{target_extension}'), '{index}'),
    ],
)
def test_outputs_must_differ(folder, given, advice):
    with pytest.raises(UsageError) as caught:
        expand(*given)
    error = caught.value
    assert error.reference == 'pattern-output-twice' and given[2] in error.message and advice in error.hint
    assert 'clips' in error.cause


def test_index_makes_outputs_of_equally_named_files_unique(folder):
    for name in ('anna', 'bert'):
        (folder / name).mkdir()
        (folder / name / 'face.png').touch()
    with pytest.raises(UsageError) as caught:
        expand(None, '*/face.png', 'out/{target_name}.png')
    assert caught.value.hint == 'add {index} to the pattern: {index} makes every output unique'


def test_two_spellings_of_a_path_are_the_same_output(folder):
    with pytest.raises(UsageError, match='more than one step'):
        expand(None, 'clips/*', 'out/{target_name}/../a.mp4')


def test_a_batch_has_a_maximum_of_steps(folder, monkeypatch):
    monkeypatch.setattr(patterns, 'MAX_STEPS', 5)
    with pytest.raises(UsageError, match='select 6 steps, but a batch has at most 5') as caught:
        expand('faces/*', 'clips/*', '{index}')
    assert caught.value.reference == 'pattern-too-many'
    assert len(expand('faces/a*', 'clips/*', '{index}')) == 3


@pytest.mark.skipif(sys.platform != 'linux', reason='only Linux accepts any file name')
def test_names_that_are_not_utf8_are_accepted(folder):
    name = os.fsdecode(b'f\xe4ce.png')
    (folder / 'faces' / name).touch()
    (item,) = expand('faces/f*', 'clips/one*', '{source_name}.mp4')
    assert item.source == f'faces/{name}' and os.fsencode(item.output) == b'f\xe4ce.mp4'
    with pytest.raises(UsageError, match='more than one step'):
        expand('faces/f*', 'clips/*', '{source_name}.mp4')


@pytest.mark.skipif(sys.platform == 'win32' or os.geteuid() == 0, reason='this user can read every folder')
def test_an_unreadable_folder_is_explained(folder):
    (folder / 'clips').chmod(0)
    try:
        with pytest.raises(InputError) as caught:
            expand(None, 'clips/*', '{index}')
    finally:
        (folder / 'clips').chmod(0o700)
    assert 'Permission denied' in caught.value.cause


def test_the_module_loads_no_array_library():
    code = "import sys, facefusion.jobs.patterns; print(sorted({'numpy', 'av', 'cv2', 'onnxruntime'} & {*sys.modules}))"
    done = subprocess.run([sys.executable, '-c', code], capture_output=True, text=True, check=True)
    assert done.stdout == '[]\n'
