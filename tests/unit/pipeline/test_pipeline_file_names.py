"""Tests that planning a run refuses names that are too long, with an error that states their length and the limit."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from facefusion.errors import OutputError
from facefusion.media.kinds import IMAGE_EXTENSIONS, VIDEO_EXTENSIONS
from facefusion.pipeline.file_names import check_names
from facefusion.pipeline.partial_files import partial_path
from facefusion.provenance.media_types import holds_credentials
from facefusion.provenance.sidecar import sidecar_of


def refusal(path: Path) -> str:
    """Return the cause and the hint of the refusal, or an empty text for an accepted name."""
    try:
        check_names(path)
    except OutputError as error:
        assert error.reference == 'output-name' and error.exit_code == 1
        return f'{error.cause} | {error.hint}'
    return ''


def is_taken(*paths: Path) -> bool:
    """Whether the file system accepts these files."""
    try:
        for path in paths:
            path.write_bytes(b'')
            path.unlink()
    except OSError:
        return False
    return True


@pytest.mark.skipif(os.name == 'nt', reason='Windows counts lengths in other units')
@pytest.mark.parametrize('extension', [*VIDEO_EXTENSIONS, *IMAGE_EXTENSIONS])
def test_exactly_the_names_that_the_file_system_rejects_are_refused(tmp_path, extension):
    taken = []
    for length in (249, 250, 251, 255, 256):
        output = tmp_path / ('é' + 'x' * (length - 2 - len(extension)) + extension)
        beside = [] if holds_credentials(output) else [sidecar_of(output)]
        taken.append(not refusal(output))
        assert taken[-1] == is_taken(output, *beside), (extension, length)
    assert taken[0] and not taken[-1]


@pytest.mark.skipif(os.name == 'nt', reason='Windows counts lengths in other units')
def test_the_refusal_states_length_limit_and_advice(tmp_path):
    said = refusal(tmp_path / ('名' * 83 + '.mkv'))
    assert 'the name of the sidecar with its credentials' in said
    assert '.mkv.c2pa, has 258 bytes' in said and 'up to 255' in said
    assert 'shorten the name by 3 bytes' in said and 'such as mp4' in said
    said = refusal(tmp_path / ('n' * 252 + '.mp4'))
    assert 'its name has 256 bytes' in said and 'shorten the name by 1 byte;' in said
    said = refusal(tmp_path / 'new' / ('f' * 300) / 'deep' / 'out.mp4')
    assert 'the name of a folder has 300 bytes' in said and 'shorten the name of the folder ffff' in said


@pytest.mark.skipif(os.name == 'nt', reason='Windows has no such limit')
def test_the_length_of_the_whole_path_counts(tmp_path):
    most = os.pathconf(tmp_path, 'PC_PATH_MAX') - 1
    deep = tmp_path
    while len(os.fsencode(deep)) < most - 250:
        deep = deep / ('d' * 100)
    assert refusal(deep / 'out.mp4') == ''
    deep = deep / ('d' * (most - len(os.fsencode(deep)) - len('//out.mp4')))
    assert len(os.fsencode(deep / 'out.mp4')) == most
    # The path of the output has the maximum length, and that of its partial file is longer.
    said = refusal(deep / 'out.mp4')
    assert f'up to {most}' in said and 'choose a folder whose path is at least' in said
    assert partial_path(deep / 'out.mp4').name.rpartition('.part')[2] in said


def test_the_limit_of_the_file_system_counts_or_else_the_usual_one(tmp_path, monkeypatch):
    name = 'n' * 140
    told = {'PC_NAME_MAX': 143, 'PC_PATH_MAX': 4096}
    monkeypatch.setattr(os, 'pathconf', lambda path, what: told[what], raising=False)
    assert refusal(tmp_path / f'{name}.mkv') and not refusal(tmp_path / f'{name[:-10]}.mkv')

    def knows_nothing(path, what):
        raise ValueError('unrecognized configuration name')

    monkeypatch.setattr(os, 'pathconf', knows_nothing)
    assert not refusal(tmp_path / f'{name}.mkv') and refusal(tmp_path / f'{"n" * 250}.mkv')
    monkeypatch.delattr(os, 'pathconf')
    assert not refusal(tmp_path / f'{name}.mkv') and refusal(tmp_path / f'{"n" * 250}.mkv')


def test_a_path_without_a_file_name_is_left_to_other_checks():
    for path in ('/', '', '.', '..'):
        assert refusal(Path(path)) == ''
