"""Tests of the files that patterns with wildcards match."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from facefusion.jobs.wildcards import find_files, fixed_folder

FILES = (
    'people/ann/face.png',
    'people/ann/old/face.png',
    'people/bob/face.png',
    'people/bob/Face 2.PNG',
    'people/.hidden/face.png',
    'people/ann/.face.png',
    'people/ann/._face.png',
    'people/ann/Thumbs.db',
    'people/ann/desktop.ini',
    'people/ann/.DS_Store',
    'people/__MACOSX/ann/face.png',
    'people/face.png/inner.png',
)


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    for name in FILES:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    (tmp_path / 'people' / 'link').symlink_to(tmp_path / 'people' / 'bob')
    (tmp_path / 'people' / 'bob' / 'loop').symlink_to(tmp_path / 'people')
    monkeypatch.chdir(tmp_path)
    return tmp_path


def found(pattern: str) -> list[str]:
    return [path.as_posix() for path in find_files(Path(pattern))]


@pytest.mark.parametrize(
    ('pattern', 'names'),
    [
        ('people/*/face.png', ['people/ann/face.png', 'people/bob/face.png', 'people/link/face.png']),
        ('people/[ab]*/face.png', ['people/ann/face.png', 'people/bob/face.png']),
        ('peop*/a?n/*', ['people/ann/face.png']),
        ('*/*/old/*.png', ['people/ann/old/face.png']),
        # Two stars match folders of any depth, except links, hidden folders and system folders.
        ('people/**/face.png', ['people/ann/face.png', 'people/ann/old/face.png', 'people/bob/face.png']),
        ('**/old/*', ['people/ann/old/face.png']),
        ('**/**/old/*', ['people/ann/old/face.png']),
        ('people/ann/**', ['people/ann/face.png', 'people/ann/old/face.png']),
        ('people/**/inner.png', ['people/face.png/inner.png']),
        # Only a pattern with a leading dot matches hidden files, and only their full names match system files.
        ('people/ann/.*', ['people/ann/.face.png']),
        ('people/.h*/*', ['people/.hidden/face.png']),
        ('people/ann/*.db', []),
        ('people/ann/Thumbs.db', ['people/ann/Thumbs.db']),
        ('people/ann/.DS_Store', ['people/ann/.DS_Store']),
        ('people/ann/._face.png', ['people/ann/._face.png']),
        # The last name of a pattern matches only files, and the others match only folders.
        ('people/*', []),
        ('people/ann', []),
        ('people/ann/face.png/*', []),
        ('nowhere/*', []),
    ],
)
def test_a_pattern_matches_these_files(pattern, names):
    assert found(pattern) == names


def test_absolute_patterns_and_patterns_through_the_parent_folder(folder, monkeypatch):
    assert find_files(folder / 'people' / 'b*' / 'face.png') == [folder / 'people' / 'bob' / 'face.png']
    monkeypatch.chdir(folder / 'people' / 'ann')
    assert found('../*/face.png') == ['../ann/face.png', '../bob/face.png', '../link/face.png']


@pytest.mark.skipif(os.name == 'nt', reason='a name on Windows cannot contain a star')
def test_an_existing_name_with_wildcard_characters_matches_itself(folder):
    for name in ('take [1]/a*.png', 'take [1]/ab.png', 'take 1/a.png', '**/x.png'):
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).touch()
    assert found('take [1]/*') == ['take [1]/a*.png', 'take [1]/ab.png']
    assert found('take [1]/a*.png') == ['take [1]/a*.png']
    assert found('take ?/*') == ['take 1/a.png']


def test_the_fixed_folder_of_a_pattern():
    pairs = {'*': '.', 'people/*': 'people', 'people/a*/x/y': 'people', '/a/b/c*/*': '/a/b', 'nowhere/x': 'nowhere'}
    assert {pattern: fixed_folder(Path(pattern)).as_posix() for pattern in pairs} == pairs


@pytest.mark.skipif(os.name == 'nt' or os.geteuid() == 0, reason='this user may read every file')
def test_an_unreadable_folder_is_not_an_empty_one(folder):
    (folder / 'people' / 'bob').chmod(0)
    try:
        for pattern in ('people/**/face.png', 'people/*/*'):
            with pytest.raises(PermissionError):
                found(pattern)
    finally:
        (folder / 'people' / 'bob').chmod(0o700)
