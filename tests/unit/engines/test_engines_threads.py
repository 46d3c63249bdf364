"""Tests of complete runs in threads: faces are drawn into the frames in which they are found, for any segments."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, replace

import pytest
from fakes.drawn_face import TOPOLOGY
from fakes.runs import Brightener, execute_run, make_run, settings_of
from fakes.screenings import make_screening
from fakes.scripted_analyser import Actor, ScriptedAnalyser
from fakes.tiny_clip import decoded_luma, luma_of, make_tiny_clip

from facefusion.engines.threads import ThreadEngine
from facefusion.errors import Interrupted, MediaError, ResourceError
from facefusion.events import Message, StageFinished, StageProgress, silent
from facefusion.faces.chunk import Chunk
from facefusion.media.info import VideoInfo
from facefusion.media.options import OutputOptions, TrimOptions
from facefusion.media.probe import probe
from facefusion.media.reader import ReaderPool
from facefusion.media.writer import SegmentWriter
from facefusion.pipeline.analysis_cache import AnalysisCache
from facefusion.pipeline.fingerprints import RunDigests
from facefusion.pipeline.plan import Span
from facefusion.pipeline.prepare import PreparedRun
from facefusion.pipeline.progress import Progress
from facefusion.pipeline.work_folder import WorkFolder
from facefusion.stopping import StopFlag

FRAMES = 270
SEEN = frozenset(range(30, 120)) | frozenset(range(245, 262))


@pytest.fixture(scope='module')
def clip(tmp_path_factory):
    return make_tiny_clip(tmp_path_factory.mktemp('engine') / 'clip.mp4', FRAMES)


@pytest.fixture
def begin(clip, tmp_path):
    """Return a function that builds a run on the clip."""

    def build(
        *, segment_frames=250, workers=1, trim=(None, None), flag=None, processor=None, emit=silent
    ) -> PreparedRun:
        work = WorkFolder(tmp_path / 'work', RunDigests('', 'analysis', 'plan'), AnalysisCache(tmp_path / 'cache', 0))
        work.open()
        output = tmp_path / f'out-{segment_frames}-{workers}.mp4'
        return make_run(
            settings_of(clip, output, TrimOptions(*trim), OutputOptions(output_video_quality=100)),
            work,
            make_screening(tmp_path / 'kept'),
            ScriptedAnalyser(Actor(SEEN, place=lambda frame: (60 + frame / 10, 48.0))),
            processor=processor,
            workers=workers,
            segment_frames=segment_frames,
            emit=emit,
            flag=flag,
        )

    return build


def test_the_fakes_use_the_real_topology():
    assert len(TOPOLOGY.triangles) == 898


@pytest.mark.parametrize(('segment_frames', 'workers'), [(25, 1), (250, 3), (1000, 2)])
def test_faces_found_in_a_frame_are_drawn_in_it(begin, segment_frames, workers):
    processor = Brightener()
    run = begin(segment_frames=segment_frames, workers=workers, processor=processor)
    assert run.context.plan.workers == workers
    report = execute_run(run)
    assert processor.places.keys() == SEEN
    # Smoothing hardly changes the position, because the drift is slow.
    assert all(abs(place - (60 + frame / 10)) < 0.2 for frame, place in processor.places.items())
    shown = decoded_luma(run.context.plan.output)
    assert len(shown) == FRAMES
    for frame, luma in enumerate(shown):
        assert luma == pytest.approx(luma_of(frame) + 20 * (frame in SEEN), abs=1.5), frame
    assert report['frames'] == FRAMES and report['faces'] == len(SEEN) and report['tracks'] == 2
    assert report['ranges_without_face'] == [[0, 29], [120, 244], [262, 269]]
    assert report['frames_changed'] == len(SEEN) and report['effects'] == {'face_debugger': 'annotation'}
    assert [done.changed_frames for done in run.signer.signed_work] == [len(SEEN)]


def test_a_trimmed_run_finds_the_same_faces_in_the_same_source_frames(begin):
    processor = Brightener()
    run = begin(trim=(100, 255), processor=processor, workers=2, segment_frames=40)
    report = execute_run(run)
    assert processor.places.keys() == {frame for frame in SEEN if 100 <= frame < 255}
    assert len(decoded_luma(run.context.plan.output)) == 155 and report['frames'] == 155


def test_a_run_emits_its_progress(begin):
    events = []
    execute_run(begin(emit=events.append))
    stages = [event.stage for event in events if isinstance(event, StageFinished)]
    assert stages == ['analysing', 'processing']
    for stage in stages:
        counts = [event.done for event in events if isinstance(event, StageProgress) and event.stage == stage]
        assert counts == list(range(FRAMES + 1))
    assert any(isinstance(event, Message) and 'no face in' in event.text for event in events)


@pytest.mark.parametrize('frame', [35, 250])
def test_a_failing_frame_stops_the_run_without_an_output(begin, frame):
    def fail(number):
        if number == frame:
            raise MediaError('broken-frame', f'frame {number} is broken')

    run = begin(processor=Brightener(fail), workers=3, segment_frames=25)
    with pytest.raises(MediaError, match=f'frame {frame} is broken'):
        execute_run(run)
    output = run.context.plan.output
    assert not output.exists()
    assert not [path.name for path in output.parent.iterdir() if path.name.startswith('.')]


@pytest.mark.parametrize('stage', ['analysing', 'processing'])
def test_a_stop_interrupts_the_run_at_the_next_frame(begin, stage):
    flag, counted = StopFlag(), []

    def emit(event):
        if isinstance(event, StageProgress) and event.stage == stage:
            counted.append(event.done)
            if event.done == 20:
                flag.set('SIGTERM was received')

    run = begin(flag=flag, emit=emit, workers=2)
    with pytest.raises(Interrupted) as caught:
        execute_run(run)
    assert caught.value.cause == 'SIGTERM was received'
    assert max(counted) < 40
    assert not run.context.plan.output.exists()
    if stage == 'processing':
        assert not list(run.work.path.glob('segment*'))


def check_fails_without_threads(run: PreparedRun) -> None:
    """Execute a run that lacks a resource; check that its threads have stopped when the error is raised."""
    before = set(threading.enumerate())
    try:
        execute_run(run)
    except ResourceError:
        assert [thread.name for thread in threading.enumerate() if thread not in before] == []
    else:
        pytest.fail('nothing was raised')


def test_a_failing_writer_stops_the_decoder_before_the_error_is_raised(begin, monkeypatch):
    def fail(self, frame, pts):
        raise ResourceError('disk-full', 'the disk is full')

    monkeypatch.setattr(SegmentWriter, 'write', fail)
    check_fails_without_threads(begin(workers=2))


def test_failing_work_files_stop_the_analysis_before_the_error_is_raised(begin, monkeypatch):
    def fail(self, path):
        raise OSError(28, 'No space left on device')

    monkeypatch.setattr(Chunk, 'save', fail)
    check_fails_without_threads(begin(workers=2))


@dataclass(frozen=True)
class Analysis:
    target: VideoInfo
    readers: ReaderPool | None = None


@dataclass(frozen=True)
class Units:
    """An analysis whose chunks ``run`` analyses."""

    analysis: Analysis
    run: Callable[..., object]

    def reading_with(self, readers):
        return replace(self, analysis=replace(self.analysis, readers=readers))


SPANS = [Span(k, k + 1) for k in range(6)]


def wait_until_stopped(flag):
    for _ in range(1000):
        flag.check()
        time.sleep(0.01)
    pytest.fail('the flag was not set')


def test_a_failed_chunk_stops_the_others_and_is_the_reason(clip):
    started, stopped = threading.Event(), []

    def run(span, flag, advance):
        if span == SPANS[1]:
            started.wait(5)
            raise MediaError('broken-frame', 'frame 1 is broken')
        started.set()
        with pytest.raises(Interrupted) as caught:
            wait_until_stopped(flag)
        stopped.append(span)
        raise caught.value

    flag = StopFlag()
    with Progress(silent, 'analysing', 6) as progress, pytest.raises(MediaError, match='frame 1 is broken'):
        list(ThreadEngine(2).analyse(Units(Analysis(probe(clip)), run), SPANS, progress, flag))
    assert SPANS[0] in stopped and not flag.is_set()


def test_closing_the_generator_stops_the_chunks(clip):
    started, stopped = threading.Event(), []

    def run(span, flag, advance):
        if span == SPANS[0]:
            started.wait(5)
            return 'manifest'
        started.set()
        with pytest.raises(Interrupted) as caught:
            wait_until_stopped(flag)
        stopped.append(span)
        raise caught.value

    with Progress(silent, 'analysing', 6) as progress:
        analysed = ThreadEngine(2).analyse(Units(Analysis(probe(clip)), run), SPANS, progress, StopFlag())
        assert next(analysed) == (SPANS[0], 'manifest')
        analysed.close()
    assert SPANS[1] in stopped and SPANS[5] not in stopped


def test_chunks_come_in_order_with_one_per_worker_at_once(clip):
    inside, most, lock = [0], [0], threading.Lock()

    def run(span, flag, advance):
        with lock:
            inside[0] += 1
            most[0] = max(most[0], inside[0])
        # Earlier chunks take longer than later ones.
        time.sleep(0.03 * (6 - span.start))
        with lock:
            inside[0] -= 1
        return span.stop

    with Progress(silent, 'analysing', 6) as progress:
        analysed = ThreadEngine(3).analyse(Units(Analysis(probe(clip)), run), SPANS, progress, StopFlag())
        assert list(analysed) == [(span, span.stop) for span in SPANS]
    assert most == [3]
