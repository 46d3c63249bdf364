"""Tests of the checks of sources and of a face map against the processors, and of the measured voices."""

from __future__ import annotations

import numpy as np
import pytest
from fakes.sound_files import bursts, write_sound_file

from facefusion.errors import MediaError, UsageError
from facefusion.events import silent
from facefusion.faces.options import ReferenceFaceOptions
from facefusion.media.frame import PixelFrame
from facefusion.media.image import write_image
from facefusion.pipeline.plan_sources import SourceUsers, find_cast, find_sounds
from facefusion.processors.cast import CastPerson
from facefusion.settings import Settings

SWAP, SPEAK = SourceUsers('face_swapper', ''), SourceUsers('', 'lip_syncer')
BOTH, NEITHER = SourceUsers('face_swapper', 'lip_syncer'), SourceUsers('', '')


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp('sources')
    for number, name in enumerate(('a.png', 'b.png', 'c.png')):
        write_image(PixelFrame(np.full((48, 64, 3), 90 + number, np.uint8)), folder / name, 'png', 100, silent)
    for name, seconds in (('long.wav', 1.0), ('short.wav', 0.5)):
        write_sound_file(folder / name, bursts(seconds, 16000), 16000, 'pcm_s16le')
    return folder


def cast_of(folder, users: SourceUsers, text: str | None = None, sources: tuple[str, ...] = ()):
    text = None if text is None else ','.join(f'{folder}/{entry}'.replace('+', f'+{folder}/') for entry in text.split())
    settings = Settings([ReferenceFaceOptions(face_map=text)])
    return find_cast(settings, [folder / source for source in sources], users)


def test_a_map_gives_people_their_images_and_voices(folder):
    cast = cast_of(folder, BOTH, 'a.png=0 b.png+c.png=2 long.wav=2 short.wav=1 a.png=5')
    a, b, c = (folder / name for name in ('a.png', 'b.png', 'c.png'))
    assert cast.images == ((a,), (b, c)) and cast.voices == (folder / 'long.wav', folder / 'short.wav')
    assert cast.people == (CastPerson(0, 0), CastPerson(1, voice=1), CastPerson(2, 1, 0), CastPerson(5, 0))
    sounds = find_sounds(cast, (), BOTH, None)
    assert [(sound.path, sound.duration) for sound in sounds] == [(folder / 'long.wav', 1), (folder / 'short.wav', 0.5)]
    assert not any(sound.remarks for sound in sounds)


def test_without_a_map_all_images_are_one_source_and_the_first_audio_is_the_voice(folder):
    sources = ('a.png', 'short.wav', 'b.png', 'long.wav')
    cast = cast_of(folder, BOTH, sources=sources)
    assert cast.images == ((folder / 'a.png', folder / 'b.png'),) and cast.voices == (folder / 'short.wav',)
    (sound,) = find_sounds(cast, [folder / source for source in sources], BOTH, None)
    assert sound.path == folder / 'short.wav'
    assert sound.remarks == ('the audio of long.wav is ignored: short.wav is the voice',)
    assert find_sounds(cast, (), SWAP, None) == ()


@pytest.mark.parametrize(
    ('users', 'text', 'reference', 'words'),
    [
        (SWAP, 'a.png=0 long.wav=3', 'face-map', ('long.wav (person 3)', 'lip_syncer')),
        (SPEAK, 'long.wav=0 b.png=1 b.png=2', 'face-map', ('b.png (people 1 and 2)', 'face_swapper')),
        (NEITHER, 'a.png=0', 'face-map', ('a.png (person 0)', 'face_swapper')),
        (BOTH, 'long.wav=0', 'source-missing', ('face_swapper needs an image', '--face-map')),
        (BOTH, 'a.png=0', 'source-audio-missing', ('lip_syncer needs a source with audio', '--face-map')),
    ],
)
def test_a_map_that_does_not_fit_the_processors_is_refused(folder, users, text, reference, words):
    with pytest.raises(UsageError) as caught:
        cast_of(folder, users, text)
    said = f'{caught.value.message} {caught.value.hint}'
    assert caught.value.reference == reference and all(word in said for word in words), said


def test_a_missing_file_of_a_map_is_named(folder):
    with pytest.raises(MediaError) as caught:
        cast_of(folder, SWAP, 'a.png=0 none.png=1')
    assert caught.value.reference == 'media-missing' and 'none.png' in caught.value.message
