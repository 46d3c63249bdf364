"""Processors for tests: each one exercises one part of the processor interface, alone or in a chain.

``install`` adds them to the registry; a child process calls it before the program (see ``SCRIPT``).
"""

from __future__ import annotations

import dataclasses
from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np

from facefusion.inference.batches import run_batched
from facefusion.media.frame import Window
from facefusion.processors import registry
from facefusion.processors.registration import Registration, Requirements

TESTS = Path(__file__).resolve().parent.parent
SCRIPT = f'sys.path.insert(0, {str(TESTS)!r})\nfrom fakes.exercise import install\ninstall()'
# The side of the windows that processors change, in pixels.
CORNER = 16


@dataclasses.dataclass(frozen=True, slots=True)
class NoOptions:
    """An option group without options."""


class Inverter:
    """A processor that inverts whole frames, with or without faces."""

    name = 'inverter'

    def process(self, batch):
        for task in batch:
            whole = task.frame.whole()
            task.frame = task.frame.replaced(np.iinfo(whole.dtype).max - whole)
        return [True] * len(batch)


class Doubler:
    """A processor that doubles the width and height of frames."""

    name = 'doubler'

    def process(self, batch):
        for task in batch:
            task.frame = task.frame.replaced(cv2.resize(task.frame.whole(), None, fx=2, fy=2))
        return [True] * len(batch)


class Matte:
    """A processor that writes an alpha ramp from left to right."""

    name = 'matte'

    def process(self, batch):
        for task in batch:
            ramp = np.linspace(0, 255, task.frame.width).round().astype(np.uint8)
            task.frame.alpha = np.tile(ramp, (task.frame.height, 1))
        return [True] * len(batch)


class Echo:
    """A processor that draws two means into a corner.

    The first is the mean of the frame and its neighbours, two before and two after; next to it is the mean of the
    original frame.
    """

    name = 'echo'

    def process(self, batch):
        for task in batch:
            assert len(task.neighbours) == 5 and task.original is not None
            assert [frame.is_touched for frame in task.neighbours] == [False] * 5
            window = Window(0, 0, CORNER, CORNER)
            around = np.mean([frame.read(window) for frame in task.neighbours], axis=0)
            self._show(task.frame, around, 0)
            self._show(task.frame, task.original.read(window), CORNER)
        return [True] * len(batch)

    @staticmethod
    def _show(frame, pixels, left):
        low, high = frame.scale.place(np.array([[left, 0], [left + CORNER, CORNER]], np.float32)).round().astype(int)
        x0, y0 = max(low[0], 0), max(low[1], 0)
        block = np.full((high[1] - y0, high[0] - x0, 3), np.mean(pixels), np.uint8)
        frame.write(Window(int(x0), int(y0), int(high[0]), int(high[1])), block)


class Loudness:
    """A processor that fills a frame with the loudness of the audio in the 40 ms after the frame's time."""

    name = 'loudness'

    def __init__(self, voice) -> None:
        self._voice = voice

    def process(self, batch):
        for task in batch:
            level = float(np.sqrt(np.mean(self._voice.window(task.seconds, Fraction(1, 25)) ** 2)))
            shade = round(min(level, 1) * 255)
            task.frame = task.frame.replaced(np.full_like(task.frame.whole(), shade))
        return [True] * len(batch)


class Network:
    """A processor that inverts two crops of each frame with a network, all crops of a batch together."""

    name = 'network'

    def __init__(self, session, size: int) -> None:
        self._session = session
        self._size = size

    def process(self, batch):
        windows = [Window(x, 32, x + CORNER, 32 + CORNER) for x in (0, 40)]
        crops = np.stack([task.frame.read(window) for task in batch for window in windows]).astype(np.float32)
        (results,) = run_batched(self._session, {'x': crops}, self._size)
        results = np.clip(results, 0, 255).round().astype(np.uint8)
        for number, task in enumerate(batch):
            for position, window in enumerate(windows):
                task.frame.write(window, results[2 * number + position])
        return [True] * len(batch)


def network() -> bytes:
    """Return an ONNX file that computes y = 255 - x for x of shape [n,16,16,3]."""
    from onnx import TensorProto, helper

    shape = ['n', CORNER, CORNER, 3]
    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name in 'xy']
    full = helper.make_tensor('full', TensorProto.FLOAT, [], [255.0])
    graph = helper.make_graph([helper.make_node('Sub', ['full', 'x'], ['y'])], 'g', ends[:1], ends[1:], [full])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid('', 17)], ir_version=8)
    return model.SerializeToString()


def make_network(tools) -> Network:
    from facefusion.inference.providers import create_session

    # The network gets several crops per call, as on an accelerator.
    return Network(create_session(network(), ('cpu',), 0), 8)


@dataclasses.dataclass(frozen=True, slots=True)
class Exercise(Registration):
    """A registration of a processor of this file."""

    make: object = None

    def prepare(self, tools):
        return self.make(tools)


def _exercise(make, name: str, requirements: Requirements, effect: str = 'enhancement', **more) -> Exercise:
    return Exercise(
        name=name,
        options=NoOptions,
        package='',
        requirements=lambda settings: requirements,
        models=lambda settings: (),
        effect=lambda settings: effect,
        changes=lambda settings, faces: True,
        make=make,
        **more,
    )


WHOLE = Requirements(faces=False, every_frame=True)
EXERCISES = (
    _exercise(lambda tools: Inverter(), 'inverter', WHOLE, 'composite'),
    _exercise(lambda tools: Doubler(), 'doubler', WHOLE, output_size=lambda settings, size: (2 * size[0], 2 * size[1])),
    _exercise(lambda tools: Matte(), 'matte', WHOLE, writes_alpha=lambda settings: True),
    _exercise(lambda tools: Echo(), 'echo', dataclasses.replace(WHOLE, neighbours=2, original=True)),
    _exercise(make_network, 'network', WHOLE),
    _exercise(
        lambda tools: Loudness(tools.voices[0]), 'loudness', dataclasses.replace(WHOLE, source_audio=True), 'composite'
    ),
)


def install(patch=None) -> None:
    """Add the processors to the registry, permanently or, with a ``pytest.MonkeyPatch``, until the test ends."""
    known = (*registry.REGISTRATIONS, *EXERCISES)
    (chain,) = dataclasses.fields(registry.ProcessorsOptions)
    choices = chain.metadata['option']
    if patch is not None:
        patch.setattr(registry, 'REGISTRATIONS', known)
        patch.setitem(choices, 'choices', tuple(each.name for each in known))
    else:
        registry.REGISTRATIONS = known
        choices['choices'] = tuple(each.name for each in known)
