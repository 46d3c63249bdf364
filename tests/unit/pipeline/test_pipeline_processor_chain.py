"""Tests of the frames that each processor of a chain gets, and of the frames that count as changed."""

from __future__ import annotations

import numpy as np
import pytest
from fakes.face_chunks import face_at
from fakes.pass_through import plan_pass

from facefusion.events import silent
from facefusion.faces.analyser import FaceFinder
from facefusion.faces.face import LinkedFace
from facefusion.faces.masks.options import FaceMaskOptions
from facefusion.faces.options import FaceLandmarkerOptions
from facefusion.media.frame import PixelFrame
from facefusion.media.image import write_image
from facefusion.pipeline.processor_chain import Chain, prepare_chain
from facefusion.processors.face_debugger.options import FaceDebuggerOptions
from facefusion.processors.processor import FrameTask, ProcessorTools
from facefusion.processors.registration import Requirements
from facefusion.settings import Settings

WITH_FACES, EVERY = Requirements(), Requirements(every_frame=True)
FACE = LinkedFace(0, face_at(40, 40, 20), 0.9)


class Adding:
    """A processor that adds to the luma of only the frames in ``changes``, and records its input frames."""

    def __init__(self, codes, changes):
        self.name = f'adding {codes}'
        self.codes = codes
        self.changes = changes
        self.calls = []

    def process(self, batch):
        self.calls.append({task.frame.number: int(task.frame.pixels[0, 0, 0]) for task in batch})
        for task in batch:
            if task.frame.number in self.changes:
                task.frame.add_luma(np.full((8, 8), self.codes, np.float32))
        return [task.frame.number in self.changes for task in batch]


def batch_of(*with_face):
    """Return five frames of brightness 100, with a face in the frames ``with_face``."""
    return [
        FrameTask(PixelFrame(np.full((8, 8, 3), 100, np.uint8), number=number), (FACE,) * (number in with_face))
        for number in range(5)
    ]


def test_a_processor_gets_only_the_frames_that_it_needs():
    faces, every = Adding(1, {1, 3}), Adding(10, {0, 1})
    batch = batch_of(1, 3)
    changed = Chain(((faces, WITH_FACES), (every, EVERY))).apply(batch)
    assert faces.calls == [{1: 100, 3: 100}]
    # The second processor gets the output of the first, in the same call.
    assert every.calls == [{0: 100, 1: 101, 2: 100, 3: 101, 4: 100}]
    assert [int(task.frame.pixels[0, 0, 0]) for task in batch] == [110, 111, 100, 101, 100]
    assert changed == [True, True, False, True, False]


def test_a_frame_is_changed_when_any_processor_says_so():
    first, second, third = Adding(1, {0}), Adding(2, {0, 2}), Adding(3, set())
    batch = batch_of()
    assert Chain(tuple((each, EVERY) for each in (first, second, third))).apply(batch) == [
        True,
        False,
        True,
        False,
        False,
    ]
    assert Chain(()).apply(batch) == [False] * 5


def test_a_processor_that_needs_no_frame_is_not_called():
    processor = Adding(1, {0})
    assert Chain(((processor, WITH_FACES),)).apply(batch_of()) == [False] * 5 and processor.calls == []
    assert Chain(((processor, WITH_FACES),)).apply([]) == [] and processor.calls == []


def test_a_replaced_frame_goes_to_the_next_processor():
    class Replacing:
        name = 'replacing'

        def process(self, batch):
            for task in batch:
                task.frame = PixelFrame(np.full((8, 8, 3), 7, np.uint8), number=task.frame.number)
            return [True] * len(batch)

    after, batch = Adding(1, {2}), batch_of(2)
    assert Chain(((Replacing(), WITH_FACES), (after, EVERY))).apply(batch) == [False, False, True, False, False]
    assert after.calls == [{0: 100, 1: 100, 2: 7, 3: 100, 4: 100}] and batch[2].frame.pixels[0, 0, 0] == 8


def test_a_processor_must_report_on_every_frame():
    class Mute(Adding):
        def process(self, batch):
            return super().process(batch)[1:]

    with pytest.raises(ValueError, match='zip'):
        Chain(((Mute(1, {0}), EVERY),)).apply(batch_of())


def test_the_chain_of_a_plan_has_its_processors_in_order(tmp_path):
    target = tmp_path / 'target.png'
    write_image(PixelFrame(np.zeros((48, 64, 3), np.uint8)), target, 'png', 100, silent)
    plan = plan_pass(
        target,
        tmp_path / 'out.png',
        processors=('face_debugger', 'face_debugger'),
        face_debugger_items=('bounding-box',),
    )
    tools = ProcessorTools(
        Settings([FaceDebuggerOptions(), FaceMaskOptions(), FaceLandmarkerOptions()]),
        None,
        FaceFinder(),
        None,
        silent,
    )
    chain = prepare_chain(plan, tools)
    assert [(each.name, needed) for each, needed in chain.processors] == [('face_debugger', WITH_FACES)] * 2
    assert chain.processors[0][0] is not chain.processors[1][0]
