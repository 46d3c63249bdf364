"""Small ONNX networks with the tensors of published ones; their output depends on every input and channel."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
from onnx import TensorProto, helper, numpy_helper

# One row for each output channel. The rows differ, so a test can detect a wrong order of colours.
MIX = np.array([[0.7, 0.2, 0.05], [0.1, 0.6, 0.25], [0.15, 0.05, 0.75]], np.float32)
# The factor by which a network multiplies the mean of the weighted source before adding it to its output.
SOURCE_GAIN = 0.1


def source_weights(count: int) -> np.ndarray:
    """Return a different weight for each value of a source, float32 [count]."""
    return np.cos(np.arange(count, dtype=np.float32))


def network_bytes(nodes: list, inputs: list, outputs: list, constants: dict[str, np.ndarray]) -> bytes:
    """Return an ONNX file; ``inputs`` and ``outputs`` are (name, shape)."""
    values = [
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in each]
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
