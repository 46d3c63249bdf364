"""Small ONNX networks with the tensors of published ones; their output depends on every input and channel."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
from onnx import TensorProto, helper, numpy_helper

# One row for each output channel. The rows differ, so a test can detect a wrong order of colours.
MIX = np.array([[0.7, 0.2, 0.05], [0.1, 0.6, 0.25], [0.15, 0.05, 0.75]], np.float32)
# The factor by which a network multiplies the mean of the weighted source before adding it to its output.
SOURCE_GAIN = 0.1
# An enhancer stretches the mixed colours beyond -1..1 and adds its weight, multiplied by this factor.
STRETCH, WEIGHT_GAIN = 1.4, 0.3
# A lip syncer weighs the six channels of two images in different ways, and adds the weighted mel spectrogram.
LIP_MIX = np.concatenate([0.35 * MIX, 0.65 * MIX[::-1, ::-1]], axis=1)
LIP_GAIN = 8.0


def source_weights(count: int) -> np.ndarray:
    """Return a different weight for each value of a source, float32 [count]."""
    return np.cos(np.arange(count, dtype=np.float32))


def network_bytes(nodes: list, inputs: list, outputs: list, constants: dict[str, np.ndarray]) -> bytes:
    """Return an ONNX file; ``inputs`` and ``outputs`` are (name, shape) for float, or (name, shape, type)."""
    values = [
        [
            helper.make_tensor_value_info(name, kind[0] if kind else TensorProto.FLOAT, shape)
            for name, shape, *kind in each
        ]
        for each in (inputs, outputs)
    ]
    initializers = [numpy_helper.from_array(array, name) for name, array in constants.items()]
    graph = helper.make_graph(nodes, 'stand-in', *values, initializers)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid('', 17)], ir_version=8)
    return model.SerializeToString()


def swapper(size: int, source_shape: tuple[int, ...]) -> bytes:
    """Return a swapper that computes MIX target + SOURCE_GAIN mean(weights source). Its last initializer is unused."""
    count = int(np.prod(source_shape))
    nodes = [
        helper.make_node('Conv', ['target', 'mix'], ['mixed'], kernel_shape=[1, 1]),
        helper.make_node('Reshape', ['source', 'flat'], ['row']),
        helper.make_node('Mul', ['row', 'weights'], ['weighted']),
        helper.make_node('ReduceMean', ['weighted'], ['mean'], axes=[1], keepdims=1),
        helper.make_node('Mul', ['mean', 'gain'], ['scaled']),
        helper.make_node('Reshape', ['scaled', 'corner'], ['added']),
        helper.make_node('Add', ['mixed', 'added'], ['output']),
    ]
    constants = {
        'mix': MIX.reshape(3, 3, 1, 1),
        'flat': np.array([-1, count], np.int64),
        'weights': source_weights(count),
        'gain': np.array(SOURCE_GAIN * count**0.5, np.float32),
        'corner': np.array([-1, 1, 1, 1], np.int64),
        'emap': np.eye(512, dtype=np.float32)[::-1] * 2,
    }
    inputs = [('source', ['n', *source_shape]), ('target', ['n', 3, size, size])]
    return network_bytes(nodes, inputs, [('output', ['n', 3, size, size])], constants)


def swapped(target: np.ndarray, source: np.ndarray) -> np.ndarray:
    """Return the output of ``swapper`` for one target [3,S,S], computed without the network."""
    flat = source.ravel()
    added = SOURCE_GAIN * flat.size**0.5 * (flat * source_weights(flat.size)).mean()
    return np.einsum('oc,chw->ohw', MIX, target) + added


class PassingSession:
    """A session of a swapper that returns its target, or paints it in one colour (RGB, 0..1)."""

    def __init__(self, colour: tuple[float, float, float] | None = None) -> None:
        self._colour = colour

    def get_inputs(self) -> list[SimpleNamespace]:
        return [SimpleNamespace(name='target', shape=['n', 3, 'size', 'size'])]

    def run(self, names: None, feeds: dict[str, np.ndarray]) -> list[np.ndarray]:
        target = feeds['target'].copy()
        if self._colour is not None:
            target[:] = np.array(self._colour, np.float32)[None, :, None, None]
        return [target]


def occluder() -> bytes:
    """Return an occluder that weighs blue, green and red; its output exceeds 0..1, as that of XSeg does."""
    nodes = [helper.make_node('MatMul', ['input', 'weights'], ['output'])]
    constants = {'weights': np.array([[1.6], [0.7], [-0.9]], np.float32)}
    return network_bytes(nodes, [('input', ['n', 256, 256, 3])], [('output', ['n', 256, 256, 1])], constants)


def parser() -> bytes:
    """Return a parser with 19 classes; each weighs red, green and blue in another way."""
    numbers = np.arange(19, dtype=np.float32)
    weights = np.stack([np.cos(numbers), np.sin(2 * numbers), np.cos(3 * numbers)], axis=1)
    nodes = [helper.make_node('Conv', ['input', 'weights'], ['output'], kernel_shape=[1, 1])]
    constants = {'weights': weights.reshape(19, 3, 1, 1).astype(np.float32)}
    return network_bytes(nodes, [('input', ['n', 3, 512, 512])], [('output', ['n', 19, 512, 512])], constants)


def enhancer(side: int, weight: int | None = None, batch: int | str = 'n') -> bytes:
    """Return an enhancer that computes STRETCH MIX input + WEIGHT_GAIN weight.

    ``weight`` is the type of the input of that name (of TensorProto), None for a network without it. ``batch`` is the
    first axis.
    """
    nodes = [
        helper.make_node('Conv', ['input', 'mix'], ['mixed' if weight else 'output'], kernel_shape=[1, 1]),
    ]
    inputs: list[tuple] = [('input', [batch, 3, side, side])]
    constants = {'mix': STRETCH * MIX.reshape(3, 3, 1, 1)}
    if weight:
        nodes += [
            helper.make_node('Cast', ['weight'], ['number'], to=TensorProto.FLOAT),
            helper.make_node('Mul', ['number', 'gain'], ['added']),
            helper.make_node('Add', ['mixed', 'added'], ['output']),
        ]
        inputs.append(('weight', [1], weight))
        constants['gain'] = np.array([WEIGHT_GAIN], np.float32)
    return network_bytes(nodes, inputs, [('output', [batch, 3, side, side])], constants)


def enhanced(tensor: np.ndarray, weight: float) -> np.ndarray:
    """Return the output of ``enhancer`` for one input [3,S,S], computed without the network."""
    return STRETCH * np.einsum('oc,chw->ohw', MIX, tensor) + WEIGHT_GAIN * weight


def mel_weights(count: int) -> np.ndarray:
    """Return a different weight for each value of a mel spectrogram; a higher level of all values counts, too."""
    return source_weights(count) + np.float32(0.01)


def lip_syncer(side: int, takes_weight: bool, batch: int | str = 'n') -> bytes:
    """Return a lip syncer: of EDTalk with a weight, or of Wav2Lip with two images. See ``spoken``.

    ``batch`` is the first axis.
    """
    count = 80 * 16
    images = MIX if takes_weight else LIP_MIX
    nodes = [
        helper.make_node('Conv', ['target', 'mix'], ['mixed'], kernel_shape=[1, 1]),
        helper.make_node('Reshape', ['source', 'flat'], ['row']),
        helper.make_node('Mul', ['row', 'weights'], ['weighted']),
        helper.make_node('ReduceMean', ['weighted'], ['mean'], axes=[1], keepdims=1),
        helper.make_node('Mul', ['mean', 'strength'], ['scaled']),
        helper.make_node('Reshape', ['scaled', 'corner'], ['added']),
        helper.make_node('Add', ['mixed', 'added'], ['output']),
    ]
    inputs = [('source', [batch, 1, 80, 16]), ('target', [batch, images.shape[1], side, side])]
    constants = {
        'mix': images.reshape(3, -1, 1, 1),
        'flat': np.array([-1, count], np.int64),
        'weights': mel_weights(count),
        'corner': np.array([-1, 1, 1, 1], np.int64),
    }
    if takes_weight:
        nodes.insert(0, helper.make_node('Mul', ['weight', 'gain'], ['strength']))
        inputs.append(('weight', [1]))
        constants['gain'] = np.array([LIP_GAIN], np.float32)
    else:
        constants['strength'] = np.array([LIP_GAIN / 2], np.float32)
    return network_bytes(nodes, inputs, [('output', [batch, 3, side, side])], constants)


def spoken(target: np.ndarray, mel: np.ndarray, weight: float = 0.5) -> np.ndarray:
    """Return the output of ``lip_syncer`` for one target [3,S,S] or [6,S,S], computed without the network."""
    added = LIP_GAIN * weight * (mel.ravel() * mel_weights(mel.size)).mean()
    return np.einsum('oc,chw->ohw', MIX if len(target) == 3 else LIP_MIX, target) + added


def extractor() -> bytes:
    """Return a voice extractor that keeps all sounds."""
    shape = ['n', 4, 3072, 256]
    return network_bytes(
        [helper.make_node('Identity', ['input'], ['output'])], [('input', shape)], [('output', shape)], {}
    )


class LipSession:
    """A session of a lip syncer that paints its target in one colour, in the order and range of the network.

    Without a colour it returns the target, of Wav2Lip the second one. ``fed`` records the inputs of each call.
    """

    def __init__(self, colour: tuple[float, float, float] | None = None) -> None:
        self.fed: list[dict[str, np.ndarray]] = []
        self._colour = colour
        self._inputs = [SimpleNamespace(name='source', shape=['n', 1, 80, 16])]

    def get_inputs(self) -> list[Any]:
        return self._inputs

    def run(self, names: None, feeds: dict[str, np.ndarray]) -> list[np.ndarray]:
        self.fed.append(feeds)
        output = feeds['target'][:, -3:].copy()
        if self._colour is not None:
            output[:] = np.array(self._colour, np.float32)[None, :, None, None]
        return [output]


class EnhancerSession:
    """A session of an enhancer or upscaler that returns its input, enlarged by ``scale``, or one colour (RGB).

    ``grain`` is added to and subtracted from squares of 4 pixels in turn. ``fed`` records the inputs of each call.
    """

    def __init__(
        self,
        side: int | str,
        scale: int = 1,
        colour: tuple[float, float, float] | None = None,
        grain: float = 0.0,
        axis: int | str = 'n',
    ) -> None:
        self.fed: list[dict[str, np.ndarray]] = []
        self._inputs = [SimpleNamespace(name='input', shape=[axis, 3, side, side], type='tensor(float)')]
        self._scale = scale
        self._colour = colour
        self._grain = grain

    def get_inputs(self) -> list[Any]:
        return self._inputs

    def run(self, names: None, feeds: dict[str, np.ndarray]) -> list[np.ndarray]:
        self.fed.append(feeds)
        output = feeds['input'].repeat(self._scale, 2).repeat(self._scale, 3)
        if self._colour is not None:
            output[:] = np.array(self._colour, np.float32)[None, :, None, None]
        rows, columns = np.indices(output.shape[2:]) // 4
        return [output + np.where((rows + columns) % 2, np.float32(self._grain), np.float32(-self._grain))]


def colorizer(channels: int) -> bytes:
    """Return a colorizer with two (DDColor) or three (DeOldify) output channels: MIX of its input, scaled and moved.

    DDColor gets a in 15..45 and b in -30..0; DeOldify gets warm colours.
    """
    gains, offsets = ([30, 30], [15, -30]) if channels == 2 else ([1, 0.8, 0.6], [20, 5, -10])
    constants = {
        'mix': (MIX[:channels] * np.array(gains, np.float32)[:, None]).reshape(channels, 3, 1, 1),
        'offset': np.array(offsets, np.float32).reshape(1, channels, 1, 1),
    }
    nodes = [
        helper.make_node('Conv', ['input', 'mix'], ['mixed'], kernel_shape=[1, 1]),
        helper.make_node('Add', ['mixed', 'offset'], ['output']),
    ]
    shapes = [[1, count, 'height', 'width'] for count in (3, channels)]
    return network_bytes(nodes, [('input', shapes[0])], [('output', shapes[1])], constants)


class ColorizerSession:
    """A session of a colorizer that returns the map ``colours`` [channels,h,w] for every frame; ``fed`` records inputs.

    ``shape`` is that of its input.
    """

    def __init__(self, colours: np.ndarray, shape: tuple[int | str, ...] = (1, 3, 'height', 'width')) -> None:
        self.fed: list[np.ndarray] = []
        self._colours = np.asarray(colours, np.float32)
        self._inputs = [SimpleNamespace(name='input', shape=list(shape))]

    def get_inputs(self) -> list[Any]:
        return self._inputs

    def run(self, names: None, feeds: dict[str, np.ndarray]) -> list[np.ndarray]:
        self.fed.append(feeds['input'])
        return [self._colours[None]]
