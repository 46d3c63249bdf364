"""Tests of runs on an image, which is processed as a clip of one frame, and of runs that need no faces."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from fakes.plain_signer import PlainSigner
from fakes.runs import Brightener, execute_run, make_run, settings_of
from fakes.screenings import BrightIsBad, LeftIsYoung, make_screening
from fakes.scripted_analyser import Actor, ScriptedAnalyser
from fakes.tiny_clip import make_tiny_clip

from facefusion.errors import ContentRefused, MediaError
from facefusion.events import FramesWithoutFaces, Message, OutputPublished, StageProgress, silent
from facefusion.inference.pool import SessionPool
from facefusion.media.frame import PixelFrame
from facefusion.media.image import read_image, write_image
from facefusion.pipeline.analysis_cache import AnalysisCache
from facefusion.pipeline.context import RunContext
from facefusion.pipeline.fingerprints import RunDigests
from facefusion.pipeline.plan import PlannedProcessor
from facefusion.pipeline.planning import make_plan
from facefusion.pipeline.prepare import PreparedRun, prepare_run
from facefusion.pipeline.processor_chain import Chain
from facefusion.pipeline.work_folder import WorkFolder
from facefusion.processors.registration import Requirements
from facefusion.provenance.watermarking import NO_WATERMARKS
from facefusion.stopping import StopFlag


@pytest.fixture
def still(tmp_path):
    """Return a function that builds a run on a uniform image, with or without a face."""

    def build(seen=True, luma=100, screening=None, **more) -> PreparedRun:
        target = tmp_path / 'still.png'
        write_image(PixelFrame(np.full((96, 160, 3), luma, np.uint8)), target, 'png', 100, silent)
        analyser = ScriptedAnalyser(Actor(frozenset({0} if seen else ()), place=lambda frame: (60.0, 48.0)))
        settings = settings_of(target, tmp_path / 'out.png')
        return make_run(settings, None, screening or make_screening(tmp_path / 'kept'), analyser, **more)

    return build


@pytest.mark.parametrize(('seen', 'luma'), [(True, 120), (False, 100)])
def test_faces_found_in_an_image_are_drawn_in_it(still, seen, luma):
    events = []
    run = still(seen, emit=events.append)
    report = execute_run(run)
    assert (read_image(run.context.plan.output).pixels == luma).all()
    assert report['faces'] == seen and report['frames'] == 1 and report['frames_changed'] == seen
    assert [done.changed_frames for done in run.signer.signed_work] == [seen]
    assert [event.done for event in events if isinstance(event, StageProgress)] == [0, 1]
    (published,) = [event for event in events if isinstance(event, OutputPublished)]
    assert published.output_path == str(run.context.plan.output)
    (told,) = [event for event in events if isinstance(event, Message)]
    assert told.level == ('info' if seen else 'warn')


def test_a_replaced_image_is_not_processed(still):
    run = still()
    still(luma=90)
    with pytest.raises(MediaError, match=r'still\.png changed'):
        execute_run(run)
    assert not run.context.plan.output.exists()


def test_a_refused_image_is_not_processed(still, tmp_path):
    processor = Brightener()
    for screening in (
        make_screening(tmp_path / 'a', BrightIsBad(0.3)),
        make_screening(tmp_path / 'b', estimator=LeftIsYoung()),
    ):
        run = still(screening=screening, processor=processor)
        with pytest.raises(ContentRefused):
            execute_run(run)
        assert not run.context.plan.output.exists() and processor.places == {}


def test_an_image_is_repeated_as_its_own_neighbours(still, monkeypatch):
    given = []

    class Looking(Brightener):
        def process(self, batch):
            said = super().process(batch)
            (task,) = batch
            given.append(task)
            return said

    needed = Requirements(neighbours=2, original=True)
    monkeypatch.setattr('facefusion.pipeline.plan.Plan.requirements', property(lambda self: needed))
    run = still()
    execute_run(replace(run, chain=Chain(((Looking(), needed), (Looking(), needed)))))
    assert len(given) == 2
    for task in given:
        assert task.seconds == 0 and len(task.neighbours) == 5
        assert (task.frame.pixels == 140).all() and task.faces
        for each in (task.original, *task.neighbours):
            assert (each.pixels == 100).all() and each is not task.frame


NO_FACES = Requirements(faces=False, every_frame=True)


class Everywhere(Brightener):
    """A processor that needs no faces and changes all frames or none."""

    def __init__(self, before, changes):
        super().__init__(before)
        self.changes = changes

    def process(self, batch):
        assert not any(task.faces for task in batch)
        for task in batch:
            self.before(task.frame.number)
        return [self.changes] * len(batch)


@pytest.mark.parametrize('changes', [True, False])
@pytest.mark.parametrize('kind', ['picture', 'clip'])
def test_a_run_that_needs_no_faces_loads_no_network(tmp_path, kind, changes):
    events, seen, folder = [], [], None
    target, output = (tmp_path / ('in.png' if kind == 'picture' else 'in.mp4')), tmp_path / 'out.mp4'
    if kind == 'picture':
        write_image(PixelFrame(np.full((96, 160, 3), 100, np.uint8)), target, 'png', 100, silent)
        output = output.with_suffix('.png')
    else:
        make_tiny_clip(target, 12)
        folder = WorkFolder(tmp_path / 'work', RunDigests('', 'a', 'p'), AnalysisCache(tmp_path / 'cache', 0))
        folder.open()
    settings = settings_of(target, output)
    planned = PlannedProcessor('face_debugger', 'enhancement', (), NO_FACES)
    plan = replace(make_plan(settings, 2, 5), processors=(planned,))
    sessions = SessionPool(None, ('cpu',), 0)
    context = RunContext(plan, settings, sessions, folder and folder.digests, events.append, StopFlag())
    run = prepare_run(context, folder, make_screening(tmp_path / 'kept'), NO_WATERMARKS, PlainSigner())
    report = execute_run(replace(run, chain=Chain(((Everywhere(seen.append, changes), NO_FACES),))))
    frames = 1 if kind == 'picture' else 12
    assert sorted(seen) == list(range(frames))
    assert (report['frames'], report['frames_changed'], report['faces']) == (frames, frames * changes, 0)
    assert not [event for event in events if isinstance(event, FramesWithoutFaces)]
    (told,) = [event for event in events if isinstance(event, Message)]
    assert told.level == 'info' and told.text.endswith('processed') and 'face' not in told.text
    assert [done.changed_frames for done in run.signer.signed_work] == [frames * changes]
