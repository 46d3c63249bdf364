from __future__ import annotations

from dataclasses import fields, replace

import numpy as np
import pytest
from fakes.face_chunks import Person, make_chunk
from fakes.linking import NOTHING, SKIN_ALONE

from facefusion.errors import InternalError, ResourceError
from facefusion.faces.chunk import FaceChunk, LinkedChunk, Selection
from facefusion.faces.options import FaceSelectorOptions
from facefusion.pipeline.selection import Selector, Wanted
from facefusion.pipeline.tracking import Tracker

CHUNK = make_chunk(250, 40, [(k, 0, Person(100, 100, 30)) for k in range(250, 280)], cuts=[260])


def same(a, b):
    for entry in fields(a):
        one, two = getattr(a, entry.name), getattr(b, entry.name)
        assert isinstance(two, type(one))
        if isinstance(one, dict):
            assert one.keys() == two.keys()
        pairs = [(one[name], two[name]) for name in one] if isinstance(one, dict) else [(one, two)]
        for one, two in pairs:
            np.testing.assert_array_equal(one, two)
            assert np.asarray(one).dtype == np.asarray(two).dtype


@pytest.mark.parametrize('points', [468, 68])
@pytest.mark.parametrize('skin', [True, False])
@pytest.mark.parametrize('count', [0, 30])
def test_saved_chunks_load_unchanged(tmp_path, skin, count, points):
    person = Person(100, 100, 30, points=points)
    chunk = make_chunk(0, 40, [(k, 0, person) for k in range(count)], cuts=[5], skin=skin)
    chunk.save(tmp_path / 'chunk.npz')
    same(chunk, FaceChunk.load(tmp_path / 'chunk.npz'))
    (linked,) = Tracker(SKIN_ALONE if skin else NOTHING).track([chunk])
    linked.save(tmp_path / 'linked.npz')
    same(linked, LinkedChunk.load(tmp_path / 'linked.npz'))
    assert sorted(path.name for path in tmp_path.iterdir()) == ['chunk.npz', 'linked.npz']


def test_measurements_load_by_their_names(tmp_path):
    """The names include some with a common prefix, and the name of a field."""
    of_tracks = {'frame': np.zeros((2, 3), np.float16), 'values': np.ones(2, np.int64), 'a.b': np.ones((2, 0))}
    values = {name: np.full((30, 2), k, np.uint16) for k, name in enumerate(('frame', 'frames', 'of_tracks.frame'))}
    weights = {name: np.array([0.5, 0], np.float32) for name in of_tracks}
    left_out = np.arange(40, dtype=np.int32)
    chunk = replace(CHUNK, values=values, of_tracks=of_tracks, track_weights=weights, left_out=left_out)
    chunk.save(tmp_path / 'chunk.npz')
    same(chunk, FaceChunk.load(tmp_path / 'chunk.npz'))


@pytest.mark.parametrize('left_out', [[], [0, 3, 0]])
@pytest.mark.parametrize('rows', [[], [4, 2, 7]])
def test_saved_selection_loads_unchanged(tmp_path, rows, left_out):
    selection = Selection(np.array(rows, np.int32), np.array(left_out, np.int32))
    selection.save(tmp_path / 'selected.npz')
    same(selection, Selection.load(tmp_path / 'selected.npz'))
    assert [path.name for path in tmp_path.iterdir()] == ['selected.npz']


@pytest.mark.parametrize('kind', [FaceChunk, LinkedChunk, Selection])
def test_loading_rejects_a_record_of_another_class(tmp_path, kind):
    path = tmp_path / 'file.npz'
    (linked,) = Tracker(SKIN_ALONE).track([CHUNK])
    for record in (CHUNK, linked, Selection(np.arange(3, dtype=np.int32))):
        if type(record) is not kind:
            record.save(path)
            with pytest.raises(TypeError):
                kind.load(path)


def test_failed_save_leaves_the_old_file(tmp_path, monkeypatch):
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
def test_damaged_file_is_named(tmp_path, damage):
    path = tmp_path / 'chunk.npz'
    CHUNK.save(path)
    content = path.read_bytes()
    path.write_bytes({'cut short': content[: len(content) // 2], 'nonsense': b'x' * 300}.get(damage, b''))
    if damage == 'missing':
        path.unlink()
    with pytest.raises(InternalError) as caught:
        FaceChunk.load(path)
    assert caught.value.reference == 'work-file-damaged' and str(path) in caught.value.message


def test_size_of_a_face_matches_the_estimate(tmp_path):
    from facefusion.pipeline.estimates import FACE_BYTES

    CHUNK.save(tmp_path / 'chunk.npz')
    tracker = Tracker(SKIN_ALONE)
    (linked,) = tracker.track([CHUNK])
    linked.save(tmp_path / 'linked.npz')
    Selector(Wanted(FaceSelectorOptions()), tracker.tracks()).select(linked).save(tmp_path / 'selected.npz')
    a_face = sum(path.stat().st_size for path in tmp_path.iterdir()) / len(CHUNK.frame)
    assert a_face < 1.05 * FACE_BYTES
