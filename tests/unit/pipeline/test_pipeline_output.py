"""Tests of the checks of an output path and of disk space."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from facefusion.errors import OutputError, ResourceError
from facefusion.pipeline.output import check_output, check_space, existing_folder, make_folder

is_root = hasattr(os, 'geteuid') and os.geteuid() == 0


@pytest.fixture
def place(tmp_path):
    for name in ('target.mp4', 'source.png'):
        (tmp_path / name).write_bytes(b'x')
    return tmp_path


def refusal(place: Path, output: Path, family: str = 'video') -> str:
    with pytest.raises(OutputError) as caught:
        check_output(output, place / 'target.mp4', [place / 'source.png'], family)
    assert caught.value.cause and caught.value.hint
    return caught.value.reference


def test_outputs_that_can_be_written_pass(place):
    (place / 'old.mp4').write_bytes(b'an earlier result')
    for name in ('new.mp4', 'old.mp4', 'UPPER.MKV', 'new folder/deep/out.mov'):
        check_output(place / name, place / 'target.mp4', [place / 'source.png'], 'video')
    check_output(place / 'out.JPG', place / 'target.mp4', [], 'image')
    assert sorted(path.name for path in place.iterdir()) == ['old.mp4', 'source.png', 'target.mp4']


def test_outputs_that_cannot_be_written_are_refused(place):
    (place / 'folder.mp4').mkdir()
    (place / 'link.mp4').symlink_to(place / 'nowhere.mp4')
    (place / 'same.mp4').symlink_to(place / 'target.mp4')
    os.link(place / 'source.png', place / 'hard.mp4')
    os.mkfifo(place / 'pipe.mp4')
    assert refusal(place, place / 'folder.mp4') == 'output-is-directory'
    assert refusal(place, place / 'link.mp4') == 'output-broken-link'
    assert refusal(place, place / 'pipe.mp4') == 'output-not-a-file'
    for name in ('target.mp4', 'same.mp4', 'hard.mp4', 'source.png'):
        assert refusal(place, place / name) == 'output-is-input'
    for name in ('out.png', 'out', 'out.flv', '.mp4'):
        assert refusal(place, place / name) == 'output-extension'
    assert refusal(place, place / 'out.mp4', 'image') == 'output-extension'
    assert refusal(place, place / 'target.mp4' / 'out.mp4') == 'output-unwritable'
    assert refusal(place, place / ('x' * 300 + '.mp4')) == 'output-name'


@pytest.mark.skipif(is_root, reason='root may write everywhere')
def test_a_folder_that_is_read_only_is_refused(place):
    place.chmod(0o500)
    try:
        assert refusal(place, place / 'out.mp4') == 'output-unwritable'
    finally:
        place.chmod(0o700)


def test_folders_are_created_or_the_error_has_a_type(place):
    make_folder(place / 'a' / 'b')
    make_folder(place / 'a' / 'b')
    assert (place / 'a' / 'b').is_dir()
    assert existing_folder(place / 'a' / 'c' / 'd') == place / 'a'
    with pytest.raises(OutputError):
        make_folder(place / 'target.mp4' / 'below')


def test_too_little_disk_space_is_reported_with_numbers(place):
    check_space(place / 'not yet', 1, 'the work files')
    with pytest.raises(ResourceError, match='the work files would need about 1000000000000 MB') as caught:
        check_space(place / 'not yet', 10**18, 'the work files')
    assert caught.value.reference == 'disk-short' and '--temp-path' in caught.value.hint
