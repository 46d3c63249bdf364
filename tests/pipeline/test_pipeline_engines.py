"""Tests that threads and processes write the same work files, and that a killed process loses no finished work.

The clip spans two analysis chunks and has damaged frames; segments are short. The runs have a label and a mark, and the
same job id, because the mark depends on it.
"""

from __future__ import annotations

import functools
import hashlib
import json
import multiprocessing
import os
import random
import signal
import sys
import time
from pathlib import Path
from typing import Any, NamedTuple

import av
import cv2
import psutil
import pytest
from fakes.media_files import photo_view, write_views
from fakes.program import UNMARKED

from facefusion.cli.headless_run import GROUPS
from facefusion.errors import ContentRefused, Interrupted, ResourceError
from facefusion.events import (
    ChunkAnalysed,
    FramesDamaged,
    Message,
    RunFinished,
    SegmentRendered,
    StageProgress,
)
from facefusion.inference.options import ExecutionOptions
from facefusion.pipeline import planning
from facefusion.pipeline.work_folder import WorkFolder
from facefusion.safety.content_gate import ContentGate
from facefusion.settings import resolve
from facefusion.steps import step_run
from facefusion.steps.step_run import RunFolders, StepEnvironment, StepName, run_step
from facefusion.stopping import StopFlag

pytestmark = pytest.mark.network
START, STOP, SEGMENT, SEED = 230, 270, 8, 21
# Worker processes get the segments with the plan.
SHORT_SEGMENTS = f"""
import functools
import facefusion.pipeline.planning as planning
import facefusion.steps.step_run as step_run
step_run.make_plan = functools.partial(planning.make_plan, segment_frames={SEGMENT})
"""


@pytest.fixture(scope='module')
def clip(example_group, tmp_path_factory) -> Path:
    """A slow pan over two faces, with damage in both chunks."""
    photo = cv2.imread(str(example_group))
    path = tmp_path_factory.mktemp('engines') / 'clip.mp4'
    write_views(path, lambda k: photo_view(photo, 200 + k, 290, 480), STOP + 2)
    with av.open(str(path)) as container:
        packets = [packet for packet in container.demux(video=0) if packet.size]
    with path.open('r+b') as file:
        for number in (START + 9, START + 29):
            file.seek(packets[number].pos + packets[number].size // 2)
            file.write(bytes(packets[number].size // 2))
    return path


class Ran(NamedTuple):
    """The events of a run, its report, and the digest of each file that it left in the work folder."""

    events: list[Any]
    report: dict[str, Any]
    files: dict[str, str]

    def starts(self, kind: type, origin: str) -> list[int]:
        return [each.start for each in self.events if isinstance(each, kind) and each.origin == origin]


@pytest.fixture
def execute(clip, portrait_source, store, tmp_path, monkeypatch):
    """Return a function that executes a run with an engine; runs with the same name share their work files."""
    monkeypatch.setattr(step_run, 'make_plan', functools.partial(planning.make_plan, segment_frames=SEGMENT))
    monkeypatch.setattr(WorkFolder, 'remove_segments', lambda folder: None)

    def run(name: str, engine: str, workers: int, on_event=lambda event: None, flag: StopFlag | None = None) -> Ran:
        events = list[Any]()

        def emit(event):
            events.append(event)
            on_event(event)

        flags = {
            'source_paths': (str(portrait_source),),
            'target_path': str(clip),
            'output_path': str(tmp_path / f'{name}.mp4'),
            'trim_frame_start': START,
            'trim_frame_end': STOP,
            'disclosure_label': 'corner',
        }
        settings = resolve(GROUPS, flags, None, {})
        settings = settings.replace(ExecutionOptions(execution_thread_count=workers, execution_engine=engine))
        environment = StepEnvironment(store, RunFolders(tmp_path / name, None, 0), os.environ)
        run_step(settings, environment, StepName('job', 'step'), emit, flag or StopFlag())
        (report,) = [event.report for event in events if isinstance(event, RunFinished)]
        folder = next((tmp_path / name / '.work' / 'job').glob('work-*'))
        files = {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(folder.iterdir())}
        # The plan states the number of workers and of processes.
        del files['plan.json']
        return Ran(events, report, files)

    return run


@pytest.fixture
def reference(execute) -> Ran:
    """A run in one thread."""
    return execute('reference', 'threads', 1)


def same_report(first: Ran, second: Ran) -> bool:
    others = ('seconds', 'credentials', 'size')
    one, other = ({key: value for key, value in ran.report.items() if key not in others} for ran in (first, second))
    marked = [ran.report['credentials']['marked_frames'] for ran in (first, second)]
    return one == other and marked[0] == marked[1] > 0


def said(ran: Ran, text: str) -> bool:
    return any(isinstance(event, Message) and text in event.text for event in ran.events)


def test_threads_and_processes_write_the_same_work_files(execute, reference):
    names = ' '.join(reference.files)
    assert names.count('segment-') == 2 * 5 and names.count('chunk-') == 2 * 2, names
    assert any(isinstance(event, FramesDamaged) for event in reference.events)
    for engine, workers, words in (
        ('threads', 2, 'engine: 2 threads'),
        ('processes', 1, 'engine: 1 threads'),
        ('processes', 2, 'engine: 2 processes with 2 threads'),
    ):
        ran = execute(f'{engine}-{workers}', engine, workers)
        assert said(ran, words) and ran.files == reference.files and same_report(ran, reference)
        assert multiprocessing.active_children() == []
        for stage, total in (('analysing', STOP - START), ('processing', STOP - START)):
            counts = [each.done for each in ran.events if isinstance(each, StageProgress) and each.stage == stage]
            assert counts == list(range(total + 1))
        warnings = [
            [each.text for each in one.events if isinstance(each, Message) and each.level == 'warn']
            for one in (ran, reference)
        ]
        assert warnings[0] == warnings[1]


@pytest.mark.skipif(sys.platform == 'win32', reason='the test needs POSIX signals')
def test_a_run_with_a_killed_worker_fails_and_resumes(execute, reference):
    chance = random.Random(SEED)
    for stage in ('analysing', 'processing'):
        moment, killed = chance.randrange(2, 14), []

        def kill(event, stage=stage, moment=moment, killed=killed):
            if isinstance(event, StageProgress) and event.stage == stage and event.done >= moment and not killed:
                (child,) = multiprocessing.active_children()
                os.kill(child.pid, signal.SIGKILL)
                killed.append(event)

        with pytest.raises(ResourceError) as caught:
            execute(stage, 'processes', 2, kill)
        assert caught.value.reference == 'worker-ended' and 'SIGKILL' in caught.value.cause
        assert multiprocessing.active_children() == []
        ran = execute(stage, 'processes', 2)
        kept = {name for name in ran.files if '@' not in name}
        # The parts of the killed process stay until the next run of the program.
        assert {name: ran.files[name] for name in kept} == reference.files and same_report(ran, reference)
        if stage == 'processing':
            assert ran.starts(ChunkAnalysed, 'work') == [START, 250]


def test_a_stopped_run_stops_its_processes_at_the_next_frame(execute, reference):
    flag, done = StopFlag(), []

    def stop(event):
        if isinstance(event, StageProgress) and event.stage == 'processing':
            done.append(event.done)
            if event.done == 10:
                flag.set('SIGTERM was received')

    with pytest.raises(Interrupted) as caught:
        execute('stopped', 'processes', 2, stop, flag)
    assert caught.value.cause == 'SIGTERM was received' and max(done) < 20
    assert multiprocessing.active_children() == []
    ran = execute('stopped', 'threads', 2)
    assert ran.files == reference.files
    assert len(ran.starts(SegmentRendered, 'work')) + len(ran.starts(SegmentRendered, 'rendered')) == 5


def test_the_content_gate_refuses_what_a_worker_found(execute, monkeypatch):
    # The workers score the frames, and this process decides.
    monkeypatch.setattr(
        ContentGate,
        'refuse_if_unsafe',
        lambda self, path, samples, *more: refuse(samples) if len(samples) > 1 else None,
    )

    def refuse(samples):
        raise ContentRefused('content-refused', f'{len(samples)} samples from frame {samples[0].frame}')

    messages = []
    for engine in ('threads', 'processes'):
        with pytest.raises(ContentRefused) as caught:
            execute(f'gate-{engine}', engine, 2)
        messages.append(caught.value.message)
    assert messages[0] == messages[1]


@pytest.mark.skipif(sys.platform == 'win32', reason='the test needs POSIX signals')
def test_a_killed_run_leaves_no_process(program, clip, portrait_source, tmp_path):
    files = ('-s', portrait_source, '-t', clip, '-o', tmp_path / 'out.mp4', '--trim-frame-start', START)
    words = ('headless-run', *files, '--execution-engine', 'processes', '--execution-thread-count', 2, *UNMARKED)
    process = program.start(*words, '--progress', 'json', script=SHORT_SEGMENTS)
    for line in process.stdout:
        event = json.loads(line)
        if event['event'] == 'stage_progress' and event['stage'] == 'processing' and event['done'] > 1:
            break
    children = psutil.Process(process.pid).children(recursive=True)
    assert any(child.is_running() for child in children)
    process.kill()
    process.communicate()
    gone = psutil.wait_procs(children, timeout=20)[1]
    assert gone == []


@pytest.mark.skipif(sys.platform == 'win32', reason='the test needs POSIX signals')
def test_a_signal_to_all_processes_of_a_run_interrupts_it(program, clip, portrait_source, tmp_path):
    files = ('-s', portrait_source, '-t', clip, '-o', tmp_path / 'out.mp4', '--trim-frame-start', START)
    words = ('headless-run', *files, '--execution-engine', 'processes', '--execution-thread-count', 2, *UNMARKED)
    process = program.start(*words, '--progress', 'json', script=SHORT_SEGMENTS)
    for line in process.stdout:
        event = json.loads(line)
        if event['event'] == 'stage_progress' and event['stage'] == 'processing':
            break
    # A terminal sends a signal to every process of the run.
    everyone = [*psutil.Process(process.pid).children(recursive=True), psutil.Process(process.pid)]
    for each in everyone:
        each.send_signal(signal.SIGINT)
    _, text = process.communicate(timeout=60)
    assert process.returncode == 4 and 'SIGINT was received' in text and 'Traceback' not in text, text
    deadline = time.monotonic() + 20
    while any(each.is_running() and each.status() != psutil.STATUS_ZOMBIE for each in everyone):
        assert time.monotonic() < deadline, everyone
        time.sleep(0.1)
