"""A run that goes on where another one ended: what is done, what is not, and what must never be mixed."""

from __future__ import annotations

import errno
import os
import random
import shutil
import threading
from dataclasses import replace

import pytest
from facefusion.engines.local import Run, execute
from fakes.guards import BrightIsBad, LeftIsYoung, make_guard
from fakes.plain_seal import PlainSeal
from fakes.scripted_analyser import Actor, ScriptedAnalyser
from fakes.tiny_clip import decoded_luma, make_tiny_clip

from facefusion.cli.headless_run import GROUPS
from facefusion.engines import local
from facefusion.errors import ContentRefused, FaceFusionError, Interrupted, MediaError, ResourceError
from facefusion.events import ChunkAnalysed, SegmentRendered
from facefusion.faces.chunk import Chunk, LinkedChunk, Selection
from facefusion.faces.measurement import Meters
from facefusion.media.files import write_failure
from facefusion.media.reader import ReaderPool
from facefusion.media.writer import SegmentWriter
from facefusion.pipeline import plan as plans
from facefusion.pipeline import render
from facefusion.pipeline.analysis_cache import AnalysisCache
from facefusion.pipeline.identity import RunDigests
from facefusion.pipeline.options import PathOptions
from facefusion.pipeline.plan import make_plan
from facefusion.pipeline.work_folder import WorkFolder
from facefusion.processors.registry import ProcessorsOptions
from facefusion.provenance.traces import NO_TRACES
from facefusion.settings import resolve
from facefusion.stopping import StopFlag

FRAMES, CHUNK, SEGMENT = 60, 20, 10
SEEN = frozenset(range(5, 55))


class Brightener:
    """Adds luma to each frame with a face; calls ``before`` with the number of each."""

    name = 'brightener'

    def __init__(self, before=lambda number: None) -> None:
        self.before = before

    def process(self, batch):
        import numpy as np

        for task in batch:
            self.before(task.frame.number)
            task.frame.add_luma(np.full((task.frame.height, task.frame.width), 20, np.float32))


class Runs:
    """Runs over one clip with short chunks and segments, in one work folder."""

    def __init__(self, folder, monkeypatch) -> None:
        monkeypatch.setattr(plans, 'CHUNK_FRAMES', CHUNK)
        monkeypatch.setattr(local, 'CHUNK_FRAMES', CHUNK)
        monkeypatch.setattr(render.LinkedFaces.__init__, '__defaults__', (CHUNK,))
        self.folder = folder
        self.clip = make_tiny_clip(folder / 'clip.mp4', FRAMES)
        self.output = folder / 'out.mp4'
        self.cache_limit = 0
        self.events = []

    def build(self, *, digests=('target', 'analysis', 'plan'), before=lambda number: None, workers=2, **more) -> Run:
        settings = resolve(GROUPS, {}, None, {}).replace(PathOptions((), str(self.clip), str(self.output)))
        settings = settings.replace(ProcessorsOptions(('face_debugger',)))
        work = WorkFolder(
            self.folder / 'work', RunDigests(*digests), AnalysisCache(self.folder / 'c', self.cache_limit)
        )
        work.open()
        self.events = []
        run = Run(
            plan=make_plan(settings, workers, SEGMENT),
            settings=settings,
            work=work,
            workers=workers,
            analyser=ScriptedAnalyser(Actor(SEEN, place=lambda frame: (50.0, 48.0))),
            meters=Meters(),
            processors=(Brightener(before),),
            guard=make_guard(self.folder / 'kept'),
            traces=NO_TRACES,
            seal=PlainSeal(),
            emit=self.events.append,
            flag=StopFlag(),
        )
        return replace(run, **more)

    def units(self, origin: str) -> list[int]:
        return sorted(
            each.start
            for each in self.events
            if isinstance(each, ChunkAnalysed | SegmentRendered) and each.origin == origin
        )

    def chunks(self, origin: str) -> list[int]:
        return sorted(each.start for each in self.events if isinstance(each, ChunkAnalysed) and each.origin == origin)

    def segments(self, origin: str) -> list[int]:
        return [each.start for each in self.events if isinstance(each, SegmentRendered) and each.origin == origin]

    def interrupted_at(self, number: int, **more) -> None:
        """A run that is stopped when it renders frame ``number``."""
        flag = StopFlag()

        def before(at):
            if at == number:
                flag.set('the test wants this')

        with pytest.raises(Interrupted):
            execute(self.build(before=before, flag=flag, workers=1, **more))


@pytest.fixture
def runs(tmp_path, monkeypatch):
    return Runs(tmp_path, monkeypatch)


@pytest.fixture(autouse=True)
def no_thread_stays():
    before = set(threading.enumerate())
    yield
    assert [thread.name for thread in threading.enumerate() if thread not in before] == []


@pytest.fixture
def wanted(runs):
    """The output of an uninterrupted run; its work folder is gone."""
    execute(runs.build())
    data = runs.output.read_bytes()
    runs.output.unlink()
    shutil.rmtree(runs.folder / 'work')
    return data


def test_only_what_is_missing_is_done(runs, wanted):
    runs.interrupted_at(25)
    assert (runs.chunks('analysed'), runs.segments('rendered')) == ([0, 20, 40], [0, 10])
    execute(runs.build())
    assert (runs.chunks('work'), runs.chunks('analysed')) == ([0, 20, 40], [])
    assert (runs.segments('work'), runs.segments('rendered')) == ([0, 10], [20, 30, 40, 50])
    assert runs.output.read_bytes() == wanted


def no_space(*args):
    raise ResourceError('disk-full', 'no space is left')


def fails_at(runs, monkeypatch, stage):
    """A run for which no space is left when it comes to this function."""
    with monkeypatch.context() as patch, pytest.raises(ResourceError):
        patch.setattr(local, stage, no_space)
        execute(runs.build())
    assert not runs.output.exists()


@pytest.mark.parametrize(
    ('place', 'name'),
    [
        ((Chunk, 'save'), 'chunk-0000000'),
        ((LinkedChunk, 'save'), 'linked-0000000'),
        ((Selection, 'save'), 'selected-0000000'),
        ((SegmentWriter, 'write'), 'segment-00000.nut'),
    ],
)
def test_a_full_disk_names_the_file_as_it_will_be_called(runs, monkeypatch, place, name):
    def fill(self, path, *_):
        part = self.path if place[0] is SegmentWriter else path
        raise write_failure(OSError(errno.ENOSPC, 'No space left on device'), part)

    monkeypatch.setattr(*place, fill)
    with pytest.raises(ResourceError, match=f'^no space is left for {name}') as caught:
        execute(runs.build())
    assert '@' not in caught.value.message


def test_any_of_the_units_may_be_missing_or_damaged(runs, wanted, monkeypatch):
    fails_at(runs, monkeypatch, 'join_clip')
    work = runs.folder / 'work'
    (work / 'chunk-000000020.npz').unlink()
    (work / 'segment-00002.json').unlink()
    segment = work / 'segment-00004.nut'
    data = bytearray(segment.read_bytes())
    data[len(data) // 2] ^= 255
    segment.write_bytes(data)
    execute(runs.build())
    assert (runs.chunks('analysed'), runs.segments('rendered')) == ([20], [20, 40])
    assert runs.output.read_bytes() == wanted


@pytest.mark.parametrize(
    ('digests', 'chunks'), [(('target', 'analysis', 'other'), []), (('other', 'other', 'other'), [0, 20, 40])]
)
def test_what_another_plan_or_target_made_is_not_taken(runs, wanted, digests, chunks):
    runs.interrupted_at(25)
    execute(runs.build(digests=digests))
    assert (runs.chunks('analysed'), runs.segments('work')) == (chunks, [])
    assert runs.output.read_bytes() == wanted


def test_the_cache_serves_a_run_with_another_work_folder(runs, wanted):
    runs.cache_limit = 1 << 30
    execute(runs.build())
    shutil.rmtree(runs.folder / 'work')
    execute(runs.build(digests=('target', 'analysis', 'other')))
    assert runs.chunks('cache') == [0, 20, 40] and runs.segments('work') == []
    shutil.rmtree(runs.folder / 'work')
    # An analysis of more than this run needs will do as well.
    run = runs.build(digests=('target', 'less', 'plan', ('nothing', 'analysis')))
    execute(run)
    assert runs.chunks('cache') == [0, 20, 40] and runs.output.read_bytes() == wanted


def test_a_resumed_run_is_refused_as_an_uninterrupted_one(runs):
    runs.interrupted_at(25)
    (runs.folder / 'work' / 'segment-00000.nut').stat()
    # The looks that are kept with the chunks decide, where the cache of the gate was lost.
    shutil.rmtree(runs.folder / 'kept')
    strict = make_guard(runs.folder / 'kept', BrightIsBad(threshold=0.4))
    with pytest.raises(ContentRefused):
        execute(runs.build(guard=strict))
    assert runs.chunks('work') == [0, 20, 40] and strict.gate is not None
    assert runs.segments('work') == runs.segments('rendered') == [] and not runs.output.exists()


def test_no_frame_of_a_kept_chunk_is_shown_to_the_gate_again(runs, wanted):
    runs.interrupted_at(25)
    shutil.rmtree(runs.folder / 'kept')
    classifier = BrightIsBad(threshold=2.0)
    execute(runs.build(guard=make_guard(runs.folder / 'kept', classifier)))
    assert classifier.seen == 0 and runs.output.read_bytes() == wanted


def test_ages_of_kept_chunks_count(runs):
    guard = make_guard(runs.folder / 'kept', estimator=LeftIsYoung())
    with pytest.raises(ContentRefused) as first:
        execute(runs.build(guard=guard))
    assert runs.chunks('analysed') == [0, 20, 40]
    with pytest.raises(ContentRefused) as second:
        execute(runs.build(guard=guard))
    assert runs.chunks('work') == [0, 20, 40] and first.value.facts == second.value.facts


def test_a_chunk_without_all_that_the_gate_must_see_is_analysed_again(runs, wanted, monkeypatch):
    from facefusion.pipeline.guard import ChunkLooks, TargetWatch

    with monkeypatch.context() as patch:
        patch.setattr(TargetWatch, 'looks_of', lambda self, start, stop: ChunkLooks((), ()))
        runs.interrupted_at(25)
    shutil.rmtree(runs.folder / 'kept')
    execute(runs.build())
    assert runs.chunks('analysed') == [0, 20, 40] and runs.output.read_bytes() == wanted


@pytest.mark.parametrize('stage', ['rendering', 'joining'])
def test_a_target_that_is_replaced_during_the_run(runs, stage, monkeypatch):
    other = make_tiny_clip(runs.folder / 'other.mp4', FRAMES, cuts=(30,))
    target = runs.clip

    def swap(number):
        if number == 12 and other.exists():
            os.utime(other, ns=(target.stat().st_atime_ns, target.stat().st_mtime_ns))
            other.replace(target)

    if stage == 'joining':
        join = local.join_clip
        monkeypatch.setattr(local, 'join_clip', lambda *args: (swap(12), join(*args)))
    with pytest.raises(MediaError) as caught:
        execute(runs.build(before=swap if stage == 'rendering' else lambda number: None))
    assert caught.value.reference == 'media-changed' and 'clip.mp4 was changed' in caught.value.message
    assert not runs.output.exists()
    assert runs.segments('rendered') == ([0] if stage == 'rendering' else [0, 10, 20, 30, 40, 50])


@pytest.mark.parametrize('change', ['replaced', 'removed', 'nothing'])
def test_what_fails_while_a_changed_target_is_read_is_told_as_its_change(runs, monkeypatch, change):
    def frames(*_):
        # As a decoder may that meets another clip behind the name.
        if change == 'replaced':
            runs.clip.write_bytes(b'another clip')
        elif change == 'removed':
            runs.clip.unlink()
        raise IndexError('no such packet')

    monkeypatch.setattr(ReaderPool, 'frames', frames)
    with pytest.raises((MediaError, IndexError)) as caught:
        execute(runs.build())
    wanted = {'replaced': 'media-changed', 'removed': 'media-missing', 'nothing': ''}
    assert getattr(caught.value, 'reference', '') == wanted[change]


@pytest.mark.skipif(os.name == 'nt', reason='nothing but its bytes tells such a change there')
def test_a_target_that_is_written_to_and_its_time_set_back(runs):
    def rewrite(number):
        if number == 12:
            flip(runs.clip)

    with pytest.raises(MediaError) as caught:
        execute(runs.build(before=rewrite, workers=1))
    assert caught.value.reference == 'media-changed' and not runs.output.exists()


@pytest.mark.parametrize('number', [12, 54])
def test_a_work_folder_that_is_removed_during_the_run(runs, wanted, number):
    def remove(at):
        if at == number:
            shutil.rmtree(runs.folder / 'work', ignore_errors=True)

    with pytest.raises(ResourceError) as caught:
        execute(runs.build(before=remove))
    assert caught.value.reference == 'work-folder-gone' and str(runs.folder / 'work') in caught.value.message
    assert not runs.output.exists()
    execute(runs.build())
    assert runs.output.read_bytes() == wanted


def test_a_segment_that_changes_before_the_join(runs, wanted):
    def cut(at):
        if at == 45:
            (runs.folder / 'work' / 'segment-00001.nut').write_bytes(b'')

    with pytest.raises(ResourceError, match=r'segment-00001\.nut, which this run needs, is not what was written'):
        execute(runs.build(before=cut))
    assert not runs.output.exists()
    execute(runs.build())
    assert runs.segments('rendered') == [10] and runs.output.read_bytes() == wanted


def flip(path):
    """Another byte in the middle of a file, whose size and times stay."""
    data, status = bytearray(path.read_bytes()), path.stat()
    data[len(data) // 2] ^= 255
    path.write_bytes(data)
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))


@pytest.mark.parametrize('moment', ['while others are rendered', 'before the join', 'after the join'])
def test_a_segment_that_is_altered_is_not_joined_whatever_its_size_and_times_say(runs, wanted, monkeypatch, moment):
    segment = runs.folder / 'work' / 'segment-00001.nut'
    join = local.join_clip

    def joined(*args):
        if moment == 'before the join':
            flip(segment)
        join(*args)
        if moment == 'after the join':
            flip(segment)

    with (
        monkeypatch.context() as patch,
        pytest.raises(ResourceError, match=r'segment-00001\.nut.*not what was') as caught,
    ):
        patch.setattr(local, 'join_clip', joined)
        execute(runs.build(before=lambda at: flip(segment) if moment[0] == 'w' and at == 45 else None))
    assert caught.value.reference == 'work-file-damaged' and caught.value.exit_code == 5
    assert not runs.output.exists()
    execute(runs.build())
    assert runs.segments('rendered') == [10] and runs.output.read_bytes() == wanted


@pytest.mark.parametrize('name', ['linked-000000020', 'selected-000000020'])
@pytest.mark.parametrize('harm', [flip, lambda path: path.unlink()], ids=['altered', 'removed'])
def test_a_linked_chunk_that_is_not_what_was_linked_is_not_rendered(runs, wanted, harm, name):
    def spoil(at):
        if at == 5:
            (path,) = (runs.folder / 'work').glob(f'{name}@*')
            harm(path)

    with pytest.raises(ResourceError) as caught:
        execute(runs.build(before=spoil))
    assert caught.value.reference == 'work-file-damaged' and f'{name}, which' in caught.value.message
    execute(runs.build())
    assert runs.segments('work') == [0, 10] and runs.output.read_bytes() == wanted


def test_a_joined_clip_that_is_altered_before_it_is_signed_is_not_published(runs, wanted):
    class Spoiler(PlainSeal):
        def sign(self, unsigned, signed, worked):
            flip(unsigned)
            return super().sign(unsigned, signed, worked)

    with pytest.raises(ResourceError, match=r'clip\.mp4.*not what was written'):
        execute(runs.build(seal=Spoiler()))
    assert [path.name for path in runs.folder.iterdir() if 'part' in path.name or path == runs.output] == []
    execute(runs.build())
    assert runs.output.read_bytes() == wanted


def test_a_clip_that_could_not_be_published_is_not_joined_again_and_needs_no_segments(runs, wanted, monkeypatch):
    fails_at(runs, monkeypatch, 'publish_clip')
    left = sorted(path.name for path in (runs.folder / 'work').iterdir() if '@' not in path.name)
    assert [name for name in left if not name.startswith('chunk-')] == ['clip.json', 'clip.mp4']
    monkeypatch.setattr(local, 'join_clip', no_space)
    execute(runs.build())
    assert runs.segments('work') == [0, 10, 20, 30, 40, 50] and runs.segments('rendered') == []
    assert runs.output.read_bytes() == wanted


def test_a_joined_clip_that_was_damaged_is_made_anew(runs, wanted, monkeypatch):
    fails_at(runs, monkeypatch, 'publish_clip')
    clip = runs.folder / 'work' / 'clip.mp4'
    data = bytearray(clip.read_bytes())
    data[len(data) // 2] ^= 1
    clip.write_bytes(data)
    execute(runs.build())
    assert runs.segments('rendered') == [0, 10, 20, 30, 40, 50] and runs.output.read_bytes() == wanted


class Trouble(Exception):
    pass


STAGES = {
    'decode': (ReaderPool, 'frames'),
    'keep': (WorkFolder, 'publish'),
    'link': (Chunk, 'save'),
    'select': (Selection, 'save'),
    'encode': (SegmentWriter, 'write'),
    'join': (local, 'join_clip'),
    'publish': (local, 'publish_clip'),
}


@pytest.mark.timeout(60)
@pytest.mark.parametrize('seed', range(12))
def test_any_stage_that_fails_at_any_moment_ends_all_and_the_next_run_goes_on(runs, wanted, monkeypatch, seed):
    chance = random.Random(seed)
    names = [*STAGES, 'process', 'cancel']
    # Every one in turn: seeds that choose may leave one out.
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
            execute(runs.build(before=before, flag=flag, workers=chance.randint(1, 3)))
    assert not runs.output.exists()
    execute(runs.build())
    assert runs.output.read_bytes() == wanted


def test_the_output_shows_what_was_drawn(runs, wanted):
    runs.output.write_bytes(wanted)
    assert len(decoded_luma(runs.output)) == FRAMES
