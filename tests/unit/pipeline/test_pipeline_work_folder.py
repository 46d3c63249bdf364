from __future__ import annotations

import errno
import json
import os
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from fakes.linking import NOTHING
from fakes.owners import dead_owner, foreign_owner

from facefusion.errors import Interrupted, OutputError, ResourceError
from facefusion.faces.chunk import FaceChunk, LinkedChunk, Selection
from facefusion.ownership import new_owner
from facefusion.pipeline import partial_files
from facefusion.pipeline.analysis_cache import AnalysisCache
from facefusion.pipeline.fingerprints import RunDigests
from facefusion.pipeline.manifest import WorkKey, canonical_digest, manifest_bytes, read_manifest
from facefusion.pipeline.partial_files import partial_path, remove_abandoned
from facefusion.pipeline.plan import Span
from facefusion.pipeline.tracking import Tracker
from facefusion.pipeline.work_folder import WorkFolder, manifest_path
from facefusion.stopping import StopFlag
from facefusion.work_lease import AT_WORK, is_at_work

SPAN, PTS, FLAG = Span(4, 8), (40, 50, 60, 70), StopFlag()
WANTED = WorkKey('segment', 'digest', *SPAN, PTS)


@pytest.fixture
def folder(tmp_path):
    work = WorkFolder(tmp_path / 'work', RunDigests('t', 'a', 'p'), AnalysisCache(tmp_path / 'cache', 0))
    work.open()
    yield work
    work.close()


def names(folder):
    return sorted(path.name for path in folder.path.iterdir() if not path.name.startswith('at-work@'))


def published(folder, number=1, data=b'a whole segment'):
    path = folder.path / f'segment-{number:05d}.nut'
    folder.part(path).write_bytes(data)
    return path, folder.publish(WANTED, path, FLAG, {'seen': [1, 2]})


def test_a_published_file_is_found_again(folder):
    path, manifest = published(folder)
    assert names(folder) == ['segment-00001.json', 'segment-00001.nut']
    assert folder.find_intact(WANTED, path, FLAG) == manifest == read_manifest(manifest_path(path))
    assert (manifest.size, manifest.key, manifest.facts) == (15, WANTED, {'seen': [1, 2]})
    record = json.loads(manifest_path(path).read_bytes())
    others = {'size': 15, 'sha256': manifest.sha256, 'facts': {'seen': [1, 2]}, 'frame_count': 4, 'version': 1}
    key = {'kind': 'segment', 'digest': 'digest', 'start': 4, 'stop': 8, 'pts': [40, 50, 60, 70]}
    assert record == key | others | {'check': canonical_digest(key | others)}


@pytest.mark.parametrize(
    'other',
    [
        WorkKey('chunk', 'digest', *SPAN, PTS),
        WorkKey('segment', 'another plan', *SPAN, PTS),
        WorkKey('segment', 'digest', 4, 9, PTS),
        WorkKey('segment', 'digest', 3, 8, PTS),
        WorkKey('segment', 'digest', *SPAN, (40, 50, 60, 71)),
    ],
)
def test_a_file_of_another_key_is_never_used(folder, other):
    path, _ = published(folder)
    assert folder.find_intact(other, path, FLAG) is None
    assert names(folder) == []


@pytest.mark.parametrize('damage', ['shorter', 'same size', 'gone', 'manifest', 'manifest gone', 'manifest of another'])
def test_a_damaged_file_is_removed_and_created_again(folder, damage):
    path, manifest = published(folder)
    if damage == 'shorter':
        path.write_bytes(b'a whole')
    elif damage == 'same size':
        path.write_bytes(b'a whole segmenT')
    elif damage == 'gone':
        path.unlink()
    elif damage == 'manifest':
        text = manifest_path(path).read_text()
        manifest_path(path).write_text(text.replace('"start": 4', '"start": 5'))
    elif damage == 'manifest gone':
        manifest_path(path).unlink()
    else:
        other, _ = published(folder, 2, b'another segment')
        manifest_path(other).replace(manifest_path(path))
        other.unlink()
    assert folder.find_intact(WANTED, path, FLAG) is None
    assert names(folder) == []
    published(folder)
    assert folder.find_intact(WANTED, path, FLAG) == manifest


@pytest.mark.parametrize('other', ['folders', 'pipes', 'links to nothing'])
def test_other_things_than_regular_files_are_removed(folder, other):
    path, manifest = published(folder)
    for each in (path, manifest_path(path)):
        each.unlink()
        if other == 'folders':
            (each / 'within').mkdir(parents=True)
        elif other == 'pipes' and hasattr(os, 'mkfifo'):
            os.mkfifo(each)
        elif other == 'links to nothing':
            each.symlink_to('nowhere')
    assert read_manifest(manifest_path(path)) is None and not manifest.matches(path, FLAG)
    assert folder.find_intact(WANTED, path, FLAG) is None and names(folder) == []
    published(folder)
    assert folder.find_intact(WANTED, path, FLAG) == manifest


@pytest.mark.parametrize('text', ['', '[]', '{}', '{"version": 2}', 'x', '{"version": 1, "check": "0"}'])
def test_an_invalid_manifest_counts_as_missing(folder, text):
    path = folder.path / 'segment-00001.json'
    path.write_text(text)
    assert read_manifest(path) is None


def test_the_digest_is_independent_of_the_order_of_keys():
    assert canonical_digest({'a': 1, 'b': [2]}) == canonical_digest({'b': [2], 'a': 1})
    assert canonical_digest({'a': 1}) != canonical_digest({'a': 2})


def test_a_stop_publishes_nothing(folder):
    path = folder.path / 'segment-00001.nut'
    folder.part(path).write_bytes(b'x')
    flag = StopFlag()
    flag.set('SIGTERM')
    with pytest.raises(Interrupted):
        folder.publish(WANTED, path, flag)
    assert names(folder) == []


def test_partial_files_of_dead_processes_are_removed_and_others_stay(folder):
    kept, _ = published(folder)
    written = [f'segment-00002@{owner.tag}#.nut' for owner in (dead_owner(), foreign_owner())]
    for name in (*written, written[0] + '.part', written[1] + '.part'):
        (folder.path / name).write_bytes(b'x')
    folder.open()
    left = {kept.name, manifest_path(kept).name, written[1], written[1] + '.part'}
    assert set(names(folder)) == left


def test_a_removed_folder_is_reported(folder):
    published(folder)
    with pytest.raises(ResourceError) as caught, folder.explaining_removal():
        for path in folder.path.iterdir():
            path.unlink()
        folder.path.rmdir()
        raise OutputError('output-unwritable', 'it cannot be written')
    assert caught.value.reference == 'work-folder-gone' and str(folder.path) in caught.value.message
    folder.open()
    with pytest.raises(OutputError), folder.explaining_removal():
        raise OutputError('output-unwritable', 'it cannot be written')


def test_a_failed_write_names_the_final_file(folder):
    path = folder.path / 'segment-00001.nut'
    wanted = r'^no space is left for segment-00001\.nut$'
    with pytest.raises(ResourceError, match=wanted) as caught, folder.writing(path) as part:
        assert part == folder.part(path)
        raise OSError(errno.ENOSPC, 'No space left on device', str(part))
    assert caught.value.reference == 'disk-full' and str(folder.path) in caught.value.cause


def test_the_bytes_that_a_block_reads_are_verified(folder):
    path, manifest = published(folder)
    for count in (0, 7, 15):
        with folder.verifying([(path, manifest)], FLAG) as opener, opener(path) as file:
            assert file.read(count) == b'a whole segment'[:count]
    path.write_bytes(b'a whole segmenT')
    for count in (0, 7, 15):
        with (
            pytest.raises(ResourceError, match='altered'),
            folder.verifying([(path, manifest)], FLAG) as opener,
            opener(path) as file,
        ):
            file.read(count)
    with pytest.raises(ResourceError, match='altered'), folder.verifying([(path, manifest)], FLAG):
        path.write_bytes(b'a whole segmenT')
        raise ValueError('it cannot be joined')
    path.write_bytes(b'short')
    with pytest.raises(ResourceError, match='altered'), folder.verifying([(path, manifest)], FLAG):
        pytest.fail('the size was not checked first')
    path.unlink()
    with pytest.raises(ResourceError, match='is missing'):
        folder.check_intact([(path, manifest)], FLAG)


def test_partial_outputs_of_dead_processes_are_removed(tmp_path):
    output = tmp_path / 'out.mp4'
    names = [f'.{owner.tag}.part{end}' for owner in (dead_owner(), foreign_owner()) for end in ('.mp4', '.mp4.c2pa')]
    own, named = partial_path(output), ['.12-ab.part.mp4', '.hidden.mp4', 'a.part.mp4', f'{dead_owner().tag}.part.mp4']
    for name in (*names, *named, own.name, output.name):
        (tmp_path / name).write_bytes(b'half')
    remove_abandoned(tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {*names[2:], *named, own.name, output.name}
    assert own.parent == tmp_path and own.suffix == '.mp4'


def test_partial_outputs_of_unknown_processes_are_removed_after_a_day(tmp_path, monkeypatch):
    part = tmp_path / f'.{foreign_owner().tag}.part.mp4'
    part.write_bytes(b'half')
    now = time.time()
    for hours, is_kept in ((23, True), (25, False)):
        monkeypatch.setattr(partial_files.time, 'time', lambda: now + hours * 3600)  # noqa: B023
        remove_abandoned(tmp_path)
        assert part.exists() == is_kept
    remove_abandoned(tmp_path / 'nothing')


def a_chunk(first=0, faces=3):
    return FaceChunk(
        first=first,
        count=4,
        frame=np.arange(first, first + faces, dtype=np.int32),
        track=np.zeros(faces, np.int32),
        landmarks=np.full((faces, 468, 3), first, np.float32),
        score=np.ones(faces, np.float32),
        values={},
        cut=np.zeros(4, np.bool_),
        thumbnails=np.zeros((2, 54, 96), np.uint8),
    )


def linked_into(folder, first=0):
    """Write and return a linked chunk of three faces, of which two are selected."""
    (linked,) = Tracker(NOTHING).track([a_chunk(first)])
    for record in (linked, Selection(np.array([0, 2], np.int32))):
        folder.save_linked(record, Span(first, first + 4), FLAG)
    return linked


def test_the_selected_faces_of_a_linked_chunk_are_loaded(folder):
    linked = [linked_into(folder, first) for first in (0, 4)]
    for first, chunk in zip((0, 4), linked, strict=True):
        span = Span(first, first + 4)
        np.testing.assert_array_equal(folder.load_linked(LinkedChunk, span, FLAG).landmarks, chunk.landmarks)
        selected = folder.load_selected(span, FLAG)
        assert selected.frame.tolist() == [first, first + 2] and (selected.first, selected.count) == (first, 4)
    wanted = [f'{kind}-{first:09d}' for kind in ('linked', 'selected') for first in (0, 4)]
    assert names(folder) == sorted(f'{name}.{end}' for name in wanted for end in ('npz', 'json'))
    # A run never resumes from these files, because every run links again.
    assert not folder.has_results()


def test_linking_again_keeps_the_files_valid_for_other_readers(folder, monkeypatch):
    linked_into(folder)
    before, replace_file = {path: path.read_bytes() for path in folder.path.iterdir()}, Path.replace
    manifests = {path: path.stat() for path in folder.path.glob('*.json')}

    def check_and_replace(part, path):
        other = WorkFolder(folder.path, folder.digests, folder.cache)
        assert other.load_selected(Span(0, 4), FLAG).frame.tolist() == [0, 2]
        return replace_file(part, path)

    monkeypatch.setattr(Path, 'replace', check_and_replace)
    linked_into(folder)
    assert {path: path.read_bytes() for path in folder.path.iterdir()} == before
    assert {path: path.stat() for path in folder.path.glob('*.json')} == manifests
    folder.close()
    assert len(names(folder)) == 4


@pytest.mark.parametrize('name', ['linked-000000004', 'selected-000000004'])
@pytest.mark.parametrize('harm', ['altered', 'removed', 'another', 'of another plan'])
def test_a_damaged_linked_file_is_not_loaded(folder, name, harm):
    for first in (0, 4):
        linked_into(folder, first)
    path = folder.path / f'{name}.npz'
    if harm == 'another':
        other = folder.path / f'{name.partition("-")[0]}-000000000.npz'
        path.write_bytes(other.read_bytes())
        manifest_path(path).write_bytes(manifest_path(other).read_bytes())
    elif harm == 'altered':
        path.write_bytes(path.read_bytes()[:-1] + b'x')
    elif harm == 'of another plan':
        other = read_manifest(manifest_path(path))
        other = replace(other, key=replace(other.key, digest='another'))
        manifest_path(path).write_bytes(manifest_bytes(other))
    else:
        path.unlink()
    with pytest.raises(ResourceError, match=rf'^{name}\.npz, which this run needs') as caught:
        folder.load_selected(Span(4, 8), FLAG)
    assert caught.value.reference == 'work-file-damaged'
    assert folder.load_selected(Span(0, 4), FLAG).frame.tolist() == [0, 2]
    linked_into(folder, 4)
    assert folder.load_selected(Span(4, 8), FLAG).frame.tolist() == [4, 6]


def cached(cache, folder, number):
    """Put a chunk into the cache and return its key."""
    path = folder.chunk_path(number)
    a_chunk(number).save(folder.part(path))
    manifest = folder.publish(WorkKey('chunk', 'd', number, number + 4), path, FLAG)
    key = canonical_digest({'chunk': number})
    cache.put(key, path, manifest)
    return key


def test_a_cached_chunk_outlives_the_work_folder_and_is_verified(folder, tmp_path):
    cache = AnalysisCache(tmp_path / 'cache', 1 << 20)
    key = cached(cache, folder, 7)
    for path in list(folder.path.glob('[!a]*')):
        path.unlink()
    data, manifest = cache.find(key, FLAG)
    chunk = FaceChunk.load(data)
    assert chunk.first == 7 and manifest.key.start == 7 and (chunk.landmarks == 7).all()
    changed = bytearray(data.read_bytes())
    changed[len(changed) // 2] ^= 1
    data.write_bytes(changed)
    assert cache.find(key, FLAG) is None
    assert list((tmp_path / 'cache').iterdir()) == []


def test_the_least_recently_used_chunks_are_removed_beyond_the_limit(folder, tmp_path):
    cache = AnalysisCache(tmp_path / 'cache', 1 << 30)
    keys = [cached(cache, folder, number) for number in (0, 4, 8)]
    for age, key in enumerate(keys):
        for path in (tmp_path / 'cache').glob(f'{key}*'):
            os.utime(path, (1000 + age, 1000 + age))
    size = sum(path.stat().st_size for path in (tmp_path / 'cache').iterdir()) // 3
    # After the oldest chunk is used, the second one is the least recently used.
    assert cache.find(keys[0], FLAG) is not None
    small = AnalysisCache(tmp_path / 'cache', int(3.5 * size))
    last = cached(small, folder, 12)
    assert [small.find(key, FLAG) is not None for key in (*keys, last)] == [True, False, True, True]
    assert sum(path.stat().st_size for path in (tmp_path / 'cache').iterdir()) <= 3.5 * size


def test_a_cache_of_size_zero_stores_and_finds_nothing(folder, tmp_path):
    key = cached(AnalysisCache(tmp_path / 'cache', 1 << 20), folder, 0)
    none = AnalysisCache(tmp_path / 'none', 0)
    assert cached(none, folder, 0) == key and not (tmp_path / 'none').exists()
    assert AnalysisCache(tmp_path / 'cache', 0).find(key, FLAG) is None


def test_the_limit_applies_to_chunks_of_other_runs(folder, tmp_path):
    said = []
    AnalysisCache(tmp_path / 'nothing', 0, said.append).trim()
    for number in (0, 4):
        cached(AnalysisCache(tmp_path / 'cache', 1 << 20), folder, number)
    size = sum(path.stat().st_size for path in (tmp_path / 'cache').iterdir()) // 2
    for limit, kept in ((3 * size, 2), (int(1.5 * size), 1), (0, 0)):
        AnalysisCache(tmp_path / 'cache', limit, said.append).trim()
        assert len(list((tmp_path / 'cache').iterdir())) == 2 * kept
    assert said == [] and not (tmp_path / 'nothing').exists()


def test_an_unwritable_cache_fails_no_run(folder, tmp_path):
    (tmp_path / 'cache').write_bytes(b'a file')
    said = []
    cached(AnalysisCache(tmp_path / 'cache', 1 << 20, said.append), folder, 0)
    assert [message.level for message in said] == ['debug']


def test_the_bytes_of_a_manifest_are_json():
    from facefusion.pipeline.manifest import Manifest

    record = json.loads(manifest_bytes(Manifest(WorkKey('chunk', 'd', 0, 2, (1, 2)), 9, 's')))
    assert record['frame_count'] == 2 and record['pts'] == [1, 2] and record['version'] == 1


def test_a_folder_untouched_for_a_day_is_abandoned(tmp_path):
    # A process from an earlier boot may be dead or live.
    marker = tmp_path / f'{AT_WORK}{new_owner().tag}'
    marker.touch()
    assert is_at_work(tmp_path)
    old = time.time() - 2 * 86400
    os.utime(marker, (old, old))
    assert not is_at_work(tmp_path)
    (tmp_path / 'chunk-000000000.npz').touch()
    assert is_at_work(tmp_path)
