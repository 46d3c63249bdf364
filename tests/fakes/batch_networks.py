"""Small networks whose files fix the batch size at 1, in the ways that exporters do."""

from __future__ import annotations

import numpy as np
from onnx import TensorProto, helper, numpy_helper

SIDE = 8


def network(kind: str) -> bytes:
    """Return a network from ``crops`` [1,3,8,8] to ``output``; ``kind`` is a key of ``_KINDS``."""
    nodes, constants, shape, *free = _KINDS[kind]()
    given = helper.make_tensor_value_info('crops', TensorProto.FLOAT, [free[0] if free else 1, 3, SIDE, SIDE])
    made = helper.make_tensor_value_info('output', TensorProto.FLOAT, shape)
    weights = [numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()]
    graph = helper.make_graph(nodes, kind, [given], [made], weights)
    opset = [helper.make_opsetid('', 17)]
    return bytes(helper.make_model(graph, opset_imports=opset, ir_version=8).SerializeToString())


def conv(source: str, target: str) -> tuple[list, dict]:
    """Return a layer of four filters, and its weights."""
    weights = np.random.default_rng(3).normal(size=(4, 3, 3, 3)).astype(np.float32)
    return [helper.make_node('Conv', [source, 'weights'], [target], pads=[1, 1, 1, 1])], {'weights': weights}


def _plain(free: str | None = None) -> tuple:
    nodes, constants = conv('crops', 'output')
    return (nodes, constants, [free or 1, 4, SIDE, SIDE], *([free] if free else []))


def _reshape() -> tuple:
    nodes, constants = conv('crops', 'raw')
    nodes.append(helper.make_node('Reshape', ['raw', 'flat'], ['rows']))
    nodes.append(helper.make_node('Reshape', ['rows', 'back'], ['output']))
    sizes = {'flat': np.array([1, -1], np.int64), 'back': np.array([1, 8, 4, SIDE], np.int64)}
    return nodes, constants | sizes, [1, 8, 4, SIDE]


def _token() -> tuple:
    nodes, constants = conv('crops', 'raw')
    nodes.append(helper.make_node('Reshape', ['raw', 'flat'], ['rows']))
    nodes.append(helper.make_node('Concat', ['token', 'rows'], ['output'], axis=1))
    token = np.arange(64, dtype=np.float32).reshape(1, 1, 64)
    return nodes, constants | {'flat': np.array([1, 4, 64], np.int64), 'token': token}, [1, 5, 64]


def _resize() -> tuple:
    nodes, constants = conv('crops', 'raw')
    nodes.append(helper.make_node('Resize', ['raw', '', '', 'sizes'], ['output'], mode='nearest'))
    return nodes, constants | {'sizes': np.array([1, 4, 16, 16], np.int64)}, [1, 4, 16, 16]


def _joined() -> tuple:
    """The batch and the rows become one axis, as in detectors whose outputs have two axes."""
    nodes, constants = conv('crops', 'raw')
    nodes.append(helper.make_node('Reshape', ['raw', 'rows'], ['output']))
    return nodes, constants | {'rows': np.array([-1, 4], np.int64)}, [64, 4]


def _mixing(free: str = 'n') -> tuple:
    """A free batch axis, although each crop changes the others."""
    nodes, constants = conv('crops', 'raw')
    nodes.append(helper.make_node('ReduceMean', ['raw'], ['mean'], axes=[0], keepdims=1))
    nodes.append(helper.make_node('Sub', ['raw', 'mean'], ['less']))
    nodes.append(helper.make_node('Add', ['less', 'raw'], ['output']))
    return nodes, constants, [free, 4, SIDE, SIDE], free


def _squeeze() -> tuple:
    nodes, constants = conv('crops', 'raw')
    nodes.append(helper.make_node('Squeeze', ['raw', 'axes'], ['flat']))
    nodes.append(helper.make_node('Unsqueeze', ['flat', 'axes'], ['output']))
    return nodes, constants | {'axes': np.array([0], np.int64)}, [1, 4, SIDE, SIDE]


_KINDS = {
    'plain': _plain,
    'free': lambda: _plain('n'),
    'reshape': _reshape,
    'token': _token,
    'resize': _resize,
    'joined': _joined,
    'mixing': _mixing,
    'squeeze': _squeeze,
}


def crops(count: int, seed: int = 0) -> np.ndarray:
    """Return random crops, float32 [count,3,8,8]."""
    return np.random.default_rng(seed).normal(size=(count, 3, SIDE, SIDE)).astype(np.float32)
