"""Tests of altered or removed files and of failing stages: the run reports the reason, and the next run resumes."""

from __future__ import annotations

import errno
import os
import random
import shutil
import threading

import pytest
from fakes.plain_signer import PlainSigner
from fakes.runs import FRAMES
from fakes.tiny_clip import make_tiny_clip

from facefusion.errors import FaceFusionError, MediaError, ResourceError
from facefusion.faces.chunk import Chunk, LinkedChunk, Selection
from facefusion.media.files import write_failure
from facefusion.media.reader import ReaderPool
from facefusion.media.writer import SegmentWriter
from facefusion.pipeline import run as stages
from facefusion.pipeline.work_folder import WorkFolder
from facefusion.stopping import StopFlag

pytestmark = pytest.mark.usefixtures('no_thread_stays')


def flip(path):
    """Change a byte in the middle of a file, but not its size and times."""
    data, status = bytearray(path.read_bytes()), path.stat()
    data[len(data) // 2] ^= 255
    path.write_bytes(data)
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))


@pytest.mark.parametrize(
    ('place', 'name'),
    [
        ((Chunk, 'save'), 'chunk-0000000'),
        ((LinkedChunk, 'save'), 'linked-0000000'),
        ((Selection, 'save'), 'selected-0000000'),
        ((SegmentWriter, 'write'), 'segment-00000.nut'),
    ],
)
def test_a_full_disk_error_names_the_final_file(runs, monkeypatch, place, name):
    def fill(self, path, *_):
        part = self.path if place[0] is SegmentWriter else path
        raise write_failure(OSError(errno.ENOSPC, 'No space left on device'), part)

    monkeypatch.setattr(*place, fill)
    with pytest.raises(ResourceError, match=f'^no space is left for {name}') as caught:
        runs.execute()
    assert '@' not in caught.value.message


@pytest.mark.parametrize('stage', ['rendering', 'joining'])
def test_a_target_replaced_during_the_run_is_detected(runs, stage, monkeypatch):
    other = make_tiny_clip(runs.folder / 'other.mp4', FRAMES, cuts=(30,))
    target = runs.clip

    def swap(number):
        if number == 12 and other.exists():
            os.utime(other, ns=(target.stat().st_atime_ns, target.stat().st_mtime_ns))
            other.replace(target)

    if stage == 'joining':
        join = stages.join_clip
        monkeypatch.setattr(stages, 'join_clip', lambda *args: (swap(12), join(*args)))
    with pytest.raises(MediaError) as caught:
        runs.execute(before=swap if stage == 'rendering' else lambda number: None)
    assert caught.value.reference == 'media-changed' and 'clip.mp4 changed' in caught.value.message
    assert not runs.output.exists()
    assert runs.segments('rendered') == ([0] if stage == 'rendering' else [0, 10, 20, 30, 40, 50])


@pytest.mark.parametrize('change', ['replaced', 'removed', 'nothing'])
def test_a_failure_while_a_changed_target_is_read_is_reported_as_its_change(runs, monkeypatch, change):
    def frames(*_):
        # A decoder that reads another clip under the same name fails like this.
        if change == 'replaced':
            runs.clip.write_bytes(b'another clip')
        elif change == 'removed':
            runs.clip.unlink()
        raise IndexError('no such packet')

    monkeypatch.setattr(ReaderPool, 'frames', frames)
    with pytest.raises((MediaError, IndexError)) as caught:
        runs.execute()
    wanted = {'replaced': 'media-changed', 'removed': 'media-missing', 'nothing': ''}
    assert getattr(caught.value, 'reference', '') == wanted[change]


@pytest.mark.skipif(os.name == 'nt', reason='on Windows only the bytes reveal such a change')
def test_a_changed_target_with_its_time_reset_is_detected(runs):
    def rewrite(number):
        if number == 12:
            flip(runs.clip)

    with pytest.raises(MediaError) as caught:
        runs.execute(before=rewrite, workers=1)
    assert caught.value.reference == 'media-changed' and not runs.output.exists()


@pytest.mark.parametrize('number', [12, 54])
def test_a_work_folder_removed_during_the_run_is_reported(runs, wanted, number):
    def remove(at):
        if at == number:
            shutil.rmtree(runs.work, ignore_errors=True)

    with pytest.raises(ResourceError) as caught:
        runs.execute(before=remove)
    assert caught.value.reference == 'work-folder-gone' and str(runs.work) in caught.value.message
    assert not runs.output.exists()
    runs.execute()
    assert runs.output.read_bytes() == wanted


def test_a_segment_changed_before_the_join_is_reported(runs, wanted):
    def cut(at):
        if at == 45:
            (runs.work / 'segment-00001.nut').write_bytes(b'')

    with pytest.raises(ResourceError, match=r'segment-00001\.nut, which this run needs, is altered'):
        runs.execute(before=cut)
    assert not runs.output.exists()
    runs.execute()
    assert runs.segments('rendered') == [10] and runs.output.read_bytes() == wanted


@pytest.mark.parametrize('moment', ['while others are rendered', 'before the join', 'during the join'])
def test_an_altered_segment_of_the_same_size_and_times_is_not_joined(runs, wanted, monkeypatch, moment):
    segment = runs.work / 'segment-00001.nut'
    join, open_verified = stages.join_clip, WorkFolder._open_verified

    def altered_join(*args):
        if moment == 'before the join':
            flip(segment)
        join(*args)

    def altered_open(work, path, *args):
        if moment == 'during the join' and path == segment:
            flip(segment)
        return open_verified(work, path, *args)

    with (
        monkeypatch.context() as patch,
        pytest.raises(ResourceError, match=r'segment-00001\.nut.*altered') as caught,
    ):
        patch.setattr(stages, 'join_clip', altered_join)
        patch.setattr(WorkFolder, '_open_verified', altered_open)
        runs.execute(before=lambda at: flip(segment) if moment[0] == 'w' and at == 45 else None)
    assert caught.value.reference == 'work-file-damaged' and caught.value.exit_code == 5
    assert not runs.output.exists()
    runs.execute()
    assert runs.segments('rendered') == [10] and runs.output.read_bytes() == wanted


def test_a_segment_that_is_altered_after_the_join_has_read_it_changes_nothing(runs, wanted, monkeypatch):
    join = stages.join_clip
    monkeypatch.setattr(stages, 'join_clip', lambda *args: (join(*args), flip(runs.work / 'segment-00001.nut')))
    runs.execute()
    assert runs.output.read_bytes() == wanted


@pytest.mark.parametrize('name', ['linked-000000020', 'selected-000000020'])
@pytest.mark.parametrize('harm', [flip, lambda path: path.unlink()], ids=['altered', 'removed'])
def test_an_altered_linked_chunk_is_not_rendered(runs, wanted, harm, name):
    def spoil(at):
        if at == 5:
            harm(runs.work / f'{name}.npz')

    with pytest.raises(ResourceError) as caught:
        runs.execute(before=spoil)
    assert caught.value.reference == 'work-file-damaged' and f'{name}.npz, which' in caught.value.message
    runs.execute()
    assert runs.segments('work') == [0, 10] and runs.output.read_bytes() == wanted


def test_a_joined_clip_that_is_altered_before_it_is_signed_is_not_published(runs, wanted):
    class Spoiler(PlainSigner):
        def sign(self, unsigned, signed, worked):
            flip(unsigned)
            return super().sign(unsigned, signed, worked)

    with pytest.raises(ResourceError, match=r'clip\.mp4.*altered'):
        runs.execute(signer=Spoiler())
    assert [path.name for path in runs.folder.iterdir() if 'part' in path.name or path == runs.output] == []
    runs.execute()
    assert runs.output.read_bytes() == wanted


class Trouble(Exception):
    pass


STAGES = {
    'decode': (ReaderPool, 'frames'),
    'keep': (WorkFolder, 'publish'),
    'link': (Chunk, 'save'),
    'select': (Selection, 'save'),
    'encode': (SegmentWriter, 'write'),
    'join': (stages, 'join_clip'),
    'publish': (stages, 'publish_file'),
}


@pytest.mark.timeout(60)
@pytest.mark.parametrize('seed', range(12))
def test_after_a_failure_of_any_stage_the_next_run_resumes(runs, wanted, monkeypatch, seed):
    chance = random.Random(seed)
    names = [*STAGES, 'process', 'cancel']
    # The seeds cover all names in turn, because random choices might omit one.
    name = names[seed % len(names)]
    left = [chance.randint(0, {'decode': 8, 'keep': 8, 'link': 5, 'select': 2, 'join': 0, 'publish': 0}.get(name, 45))]
    flag, lock = StopFlag(), threading.Lock()

    def fail(*_):
        with lock:
            left[0] -= 1
            is_due = left[0] == -1
        if is_due and name == 'cancel':
            flag.set('the test wants this')
        elif is_due:
            raise Trouble

    with monkeypatch.context() as patch:
        if name in STAGES:
            place, method = STAGES[name]
            real = getattr(place, method)
            patch.setattr(place, method, lambda *args, **more: (fail(), real(*args, **more))[1])
        before = fail if name in ('process', 'cancel') else lambda number: None
        with pytest.raises((Trouble, FaceFusionError)):
            runs.execute(before=before, flag=flag, workers=chance.randint(1, 3))
    assert not runs.output.exists()
    runs.execute()
    assert runs.output.read_bytes() == wanted
