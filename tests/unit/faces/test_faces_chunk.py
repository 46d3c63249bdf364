from __future__ import annotations

from dataclasses import fields

import numpy as np
import pytest
from facefusion.pipeline.link import Linker
from fakes.face_chunks import Person, make_chunk

from facefusion.errors import InternalError, ResourceError
from facefusion.faces.chunk import FaceChunk, LinkedChunk
from facefusion.faces.options import FaceSelectorOptions

CHUNK = make_chunk(250, 40, [(k, 0, Person(100, 100, 30)) for k in range(250, 280)], cuts=[260])


def same(a, b):
    for entry in fields(a):
        one, two = getattr(a, entry.name), getattr(b, entry.name)
        np.testing.assert_array_equal(one, two)
        assert np.asarray(one).dtype == np.asarray(two).dtype and isinstance(two, type(one))


@pytest.mark.parametrize('skin', [True, False])
@pytest.mark.parametrize('count', [0, 30])
def test_chunks_come_back_from_their_file(tmp_path, skin, count):
    chunk = make_chunk(0, 40, [(k, 0, Person(100, 100, 30)) for k in range(count)], skin=skin)
    chunk.save(tmp_path / 'chunk.npz')
    same(chunk, FaceChunk.load(tmp_path / 'chunk.npz'))
    linked = next(Linker(FaceSelectorOptions()).link([chunk]))
    linked.save(tmp_path / 'linked.npz')
    same(linked, LinkedChunk.load(tmp_path / 'linked.npz'))
    assert sorted(path.name for path in tmp_path.iterdir()) == ['chunk.npz', 'linked.npz']


def test_saving_replaces_and_a_failure_leaves_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / 'chunk.npz'
    CHUNK.save(path)
    before = path.read_bytes()

    def fail(*arguments, **arrays):
        arguments[0].write(b'half')
        raise OSError(28, 'No space left on device')

    monkeypatch.setattr(np, 'savez', fail)
    with pytest.raises(ResourceError, match='no space is left for chunk'):
        CHUNK.save(path)
    assert path.read_bytes() == before and [entry.name for entry in tmp_path.iterdir()] == ['chunk.npz']


@pytest.mark.parametrize('damage', ['cut short', 'nonsense', 'empty', 'missing'])
def test_a_damaged_file_is_named(tmp_path, damage):
    path = tmp_path / 'chunk.npz'
    CHUNK.save(path)
    content = path.read_bytes()
    path.write_bytes({'cut short': content[: len(content) // 2], 'nonsense': b'x' * 300}.get(damage, b''))
    if damage == 'missing':
        path.unlink()
    with pytest.raises(InternalError) as caught:
        FaceChunk.load(path)
    assert caught.value.reference == 'work-file-damaged' and str(path) in caught.value.message


def test_a_face_takes_the_room_that_the_plan_reckons_with(tmp_path):
    from facefusion.pipeline.plan import FACE_BYTES

    CHUNK.save(tmp_path / 'chunk.npz')
    next(Linker(FaceSelectorOptions()).link([CHUNK])).save(tmp_path / 'linked.npz')
    a_face = sum(path.stat().st_size for path in tmp_path.iterdir()) / len(CHUNK.frame)
    assert a_face < 1.05 * FACE_BYTES
