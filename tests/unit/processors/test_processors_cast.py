"""Tests of the cast: the sources of each person."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from facefusion.errors import MediaError, UsageError
from facefusion.faces.face_map import parse_face_map
from facefusion.faces.role import NO_SOURCE
from facefusion.processors.cast import CastPerson, make_cast


@pytest.fixture
def files(tmp_path, monkeypatch) -> Path:
    """Three images and two recordings; only their first bytes matter."""
    monkeypatch.chdir(tmp_path)
    for name in 'abc':
        cv2.imwrite(f'{name}.png', np.zeros((8, 8, 3), np.uint8))
    for name in ('one', 'two'):
        Path(f'{name}.wav').write_bytes(b'RIFF\x24\0\0\0WAVEfmt ' + bytes(32))
    return tmp_path


def cast_of(text: str, takes_audio: bool = True):
    return make_cast((), parse_face_map(text), takes_audio)


def paths(*names: str) -> tuple[Path, ...]:
    return tuple(Path(name) for name in names)


def test_without_a_map_everyone_has_all_images_and_the_first_voice(files):
    cast = make_cast(paths('a.png', 'one.wav', 'b.png', 'two.wav'), (), True)
    assert cast.images == (paths('a.png', 'b.png'),) and cast.voices == paths('one.wav')
    assert cast.sources_of(5) == CastPerson(5, 0, 0)


def test_a_map_gives_images_and_voices_to_people(files):
    cast = cast_of('c.png+b.png=3,a.png=0,one.wav=3,two.wav=7')
    assert cast.images == (paths('c.png', 'b.png'), paths('a.png'))
    assert cast.voices == paths('one.wav', 'two.wav')
    assert [cast.sources_of(number) for number in (0, 3, 7)] == [
        CastPerson(0, 1, NO_SOURCE),
        CastPerson(3, 0, 0),
        CastPerson(7, NO_SOURCE, 1),
    ]
    assert cast.sources_of(1) is None


def test_people_may_share_a_source_which_is_loaded_once(files):
    cast = cast_of('a.png=0,a.png=1,one.wav=0,one.wav=1')
    assert len(cast.images) == len(cast.voices) == 1
    assert cast.sources_of(0)[1:] == cast.sources_of(1)[1:] == (0, 0)


def test_an_entry_may_mix_images_and_a_voice(files):
    assert cast_of('a.png+one.wav=2').sources_of(2) == CastPerson(2, 0, 0)


@pytest.mark.parametrize(
    ('text', 'part'),
    [
        ('a.png=1,b.png=1', 'person 1 images twice: a.png and b.png'),
        ('one.wav=1,two.wav=1', 'person 1 a voice twice: one.wav and two.wav'),
        ('one.wav+two.wav=1', 'person 1 a voice twice: one.wav and two.wav'),
    ],
)
def test_a_person_with_two_entries_of_one_kind_is_refused(files, text, part):
    with pytest.raises(UsageError) as refused:
        cast_of(text)
    assert refused.value.reference == 'face-map' and part in refused.value.message


def test_a_missing_or_unusable_file_is_refused(files):
    with pytest.raises(MediaError) as refused:
        cast_of('d.png=1')
    assert refused.value.reference == 'media-missing'
    with pytest.raises(MediaError):
        cast_of('one.wav=1', takes_audio=False)
