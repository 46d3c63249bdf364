"""A whole run with a scripted analyser: what is found in a frame is drawn into that frame, however it is cut."""

from __future__ import annotations

import threading
from dataclasses import replace

import numpy as np
import pytest
from facefusion.engines.local import Run, execute
from fakes.drawn_face import TOPOLOGY
from fakes.guards import make_guard
from fakes.plain_seal import PlainSeal
from fakes.scripted_analyser import Actor, ScriptedAnalyser
from fakes.tiny_clip import decoded_luma, luma_of, make_tiny_clip

from facefusion.cli.headless_run import GROUPS
from facefusion.errors import Interrupted, MediaError, ResourceError
from facefusion.events import Message, StageFinished, StageProgress
from facefusion.faces.chunk import Chunk
from facefusion.faces.measurement import Meters
from facefusion.media.options import OutputOptions, TrimOptions
from facefusion.media.writer import SegmentWriter
from facefusion.pipeline.analysis_cache import AnalysisCache
from facefusion.pipeline.identity import RunDigests
from facefusion.pipeline.options import PathOptions
from facefusion.pipeline.plan import make_plan
from facefusion.pipeline.work_folder import WorkFolder
from facefusion.processors.registry import ProcessorsOptions
from facefusion.provenance.traces import NO_TRACES
from facefusion.settings import resolve
from facefusion.stopping import StopFlag

FRAMES = 270
SEEN = frozenset(range(30, 120)) | frozenset(range(245, 262))
SOURCES = resolve(GROUPS, {}, None, {})


class Brightener:
    """Adds twenty codes of luma to each frame with a face, and notes the faces' places."""

    name = 'brightener'

    def __init__(self) -> None:
        self.places: dict[int, float] = {}
        self.fails_at = -1

    def process(self, batch):
        for task in batch:
            if task.frame.number == self.fails_at:
                raise MediaError('broken-frame', f'frame {task.frame.number} is broken')
            self.places[task.frame.number] = float(task.faces[0].landmarks[:, 0].mean())
            task.frame.add_luma(np.full((task.frame.height, task.frame.width), 20, np.float32))


@pytest.fixture(scope='module')
def clip(tmp_path_factory):
    return make_tiny_clip(tmp_path_factory.mktemp('engine') / 'clip.mp4', FRAMES)


@pytest.fixture
def begin(clip, tmp_path):
    """Builds a run over the clip; ``events`` of it are collected."""

    def build(
        *, segment_frames=250, workers=1, trim=(None, None), flag=None, processor=None, emit=None, guard=None
    ) -> Run:
        work = WorkFolder(tmp_path / 'work', RunDigests('', 'analysis', 'plan'), AnalysisCache(tmp_path / 'cache', 0))
        work.open()
        output = tmp_path / f'out-{segment_frames}-{workers}.mp4'
        settings = SOURCES.replace(PathOptions((), str(clip), str(output)))
        settings = settings.replace(ProcessorsOptions(('face_debugger',))).replace(TrimOptions(*trim))
        settings = settings.replace(OutputOptions(output_video_quality=100))
        analyser = ScriptedAnalyser(Actor(SEEN, place=lambda frame: (60 + frame / 10, 48.0)))
        return Run(
            plan=make_plan(settings, workers, segment_frames),
            settings=settings,
            work=work,
            workers=workers,
            analyser=analyser,
            meters=Meters(),
            processors=(processor or Brightener(),),
            guard=guard or make_guard(tmp_path / 'kept'),
            traces=NO_TRACES,
            seal=PlainSeal(),
            emit=emit or (lambda event: None),
            flag=flag or StopFlag(),
        )

    return build


@pytest.fixture(autouse=True)
def no_thread_stays():
    before = set(threading.enumerate())
    yield
    assert [thread.name for thread in threading.enumerate() if thread not in before] == []


def test_topology_of_the_fakes_is_the_real_one():
    assert len(TOPOLOGY.triangles) == 898


@pytest.mark.parametrize(('segment_frames', 'workers'), [(25, 1), (250, 3), (1000, 2)])
def test_what_is_found_in_a_frame_is_drawn_in_it(begin, segment_frames, workers):
    processor = Brightener()
    run = begin(segment_frames=segment_frames, workers=workers, processor=processor)
    report = execute(run)
    assert processor.places.keys() == SEEN
    # Smoothing moves the slow drift by nothing to speak of.
    assert all(abs(place - (60 + frame / 10)) < 0.2 for frame, place in processor.places.items())
    shown = decoded_luma(run.plan.output)
    assert len(shown) == FRAMES
    for frame, luma in enumerate(shown):
        assert luma == pytest.approx(luma_of(frame) + 20 * (frame in SEEN), abs=1.5), frame
    assert report['frames'] == FRAMES and report['faces'] == len(SEEN) and report['tracks'] == 2
    assert report['ranges_without_face'] == [[0, 29], [120, 244], [262, 269]]


def test_a_trimmed_run_finds_the_same_faces_in_the_same_source_frames(begin):
    processor = Brightener()
    run = begin(trim=(100, 255), processor=processor, workers=2, segment_frames=40)
    report = execute(run)
    assert processor.places.keys() == {frame for frame in SEEN if 100 <= frame < 255}
    assert len(decoded_luma(run.plan.output)) == 155 and report['frames'] == 155


def test_a_run_says_what_it_does(begin):
    events = []
    execute(begin(emit=events.append))
    stages = [event.stage for event in events if isinstance(event, StageFinished)]
    assert stages == ['analysing', 'processing']
    for stage in stages:
        counts = [event.done for event in events if isinstance(event, StageProgress) and event.stage == stage]
        assert counts == list(range(FRAMES + 1))
    assert any(isinstance(event, Message) and 'no face in' in event.text for event in events)


@pytest.mark.parametrize('frame', [35, 250])
def test_a_failing_frame_ends_the_run_without_an_output(begin, frame):
    processor = Brightener()
    processor.fails_at = frame
    run = begin(processor=processor, workers=3, segment_frames=25)
    with pytest.raises(MediaError, match=f'frame {frame} is broken'):
        execute(run)
    assert not run.plan.output.exists()
    assert not [path.name for path in run.plan.output.parent.iterdir() if path.name.startswith('.')]


@pytest.mark.parametrize('stage', ['analysing', 'processing'])
def test_a_stop_ends_the_run_at_the_next_frame(begin, stage):
    flag, counted = StopFlag(), []

    def emit(event):
        if isinstance(event, StageProgress) and event.stage == stage:
            counted.append(event.done)
            if event.done == 20:
                flag.set('SIGTERM was received')

    run = begin(flag=flag, emit=emit, workers=2)
    with pytest.raises(Interrupted) as caught:
        execute(run)
    assert caught.value.cause == 'SIGTERM was received'
    assert max(counted) < 40
    assert not run.plan.output.exists()
    if stage == 'processing':
        assert not list(run.work.path.glob('segment*'))


def threads_that_are_left(before) -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread not in before]


def test_a_failing_writer_ends_the_decoder_before_the_error_is_raised(begin, monkeypatch):
    def fail(self, frame, pts):
        raise ResourceError('disk-full', 'the disk is full')

    monkeypatch.setattr(SegmentWriter, 'write', fail)
    before = set(threading.enumerate())
    try:
        execute(begin(workers=2))
    except ResourceError:
        assert threads_that_are_left(before) == []
    else:
        pytest.fail('nothing was raised')


def test_failing_work_files_end_the_analysis_before_the_error_is_raised(begin, monkeypatch):
    def fail(self, path):
        raise OSError(28, 'No space left on device')

    monkeypatch.setattr(Chunk, 'save', fail)
    before = set(threading.enumerate())
    try:
        execute(begin(workers=2))
    except ResourceError:
        assert threads_that_are_left(before) == []
    else:
        pytest.fail('nothing was raised')


def test_an_image_is_a_clip_of_one_frame(begin, tmp_path):
    from facefusion.events import silent
    from facefusion.media.frame import PixelFrame
    from facefusion.media.image import read_image, write_image

    target, output = tmp_path / 'still.png', tmp_path / 'out.png'
    write_image(PixelFrame(np.full((96, 160, 3), 100, np.uint8)), target, 'png', 100, silent)
    settings = SOURCES.replace(PathOptions((), str(target), str(output))).replace(ProcessorsOptions(('face_debugger',)))
    for seen, luma in ((frozenset({0}), 120), (frozenset(), 100)):
        run = replace(begin(), plan=make_plan(settings, 1), settings=settings, analyser=ScriptedAnalyser(Actor(seen)))
        report = execute(run)
        assert (read_image(output).pixels == luma).all()
        assert report['faces'] == len(seen) and report['frames'] == 1
    # Another picture than the one that was planned and digested is not worked on.
    write_image(PixelFrame(np.full((96, 160, 3), 90, np.uint8)), target, 'png', 100, silent)
    with pytest.raises(MediaError, match=r'still\.png was changed'):
        execute(run)
