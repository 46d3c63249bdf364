"""Tests that all calls of a network have the same shape, and that the grouping of crops changes no result."""

from __future__ import annotations

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper

from facefusion.inference.batches import run_batched
from facefusion.inference.providers import create_session

COUNTS = (1, 3, 4, 8, 9)


class Counting:
    """A session that records the shapes of its inputs."""

    def __init__(self, session):
        self._session = session
        self.shapes = []

    def get_inputs(self):
        return self._session.get_inputs()

    def run(self, names, inputs):
        self.shapes.append({name: values.shape for name, values in inputs.items()})
        return self._session.run(names, inputs)


@pytest.fixture(scope='module')
def network():
    """A small network whose inputs are crops and one number per crop.

    Its outputs are a layer of each crop, scaled by the number, and the mean of the layer. The batch size is free, as in
    networks that run in batches.
    """
    weights = np.random.default_rng(3).normal(size=(4, 3, 3, 3)).astype(np.float32)
    tensors = {
        'crops': ['n', 3, 8, 8],
        'scales': ['n', 1, 1, 1],
        'layers': ['n', 4, 8, 8],
        'means': ['n', 4],
    }
    infos = [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in tensors.items()]
    nodes = [
        helper.make_node('Conv', ['crops', 'weights'], ['raw'], pads=[1, 1, 1, 1]),
        helper.make_node('Mul', ['raw', 'scales'], ['layers']),
        helper.make_node('ReduceMean', ['layers'], ['means'], axes=[2, 3], keepdims=0),
    ]
    graph = helper.make_graph(nodes, 'small', infos[:2], infos[2:], [numpy_helper.from_array(weights, 'weights')])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid('', 13)], ir_version=8)
    return create_session(model.SerializeToString(), ('cpu',), 0)


def crops(count):
    random = np.random.default_rng(count)
    return {
        'crops': random.normal(size=(count, 3, 8, 8)).astype(np.float32),
        'scales': random.normal(size=(count, 1, 1, 1)).astype(np.float32),
    }


@pytest.mark.parametrize('size', [1, 2, 4, 8])
@pytest.mark.parametrize('count', COUNTS)
def test_every_call_has_one_shape(network, count, size):
    session = Counting(network)
    run_batched(session, crops(count), size)
    assert session.shapes == [{'crops': (size, 3, 8, 8), 'scales': (size, 1, 1, 1)}] * -(-count // size)


@pytest.mark.parametrize('size', [1, 2, 4, 8])
@pytest.mark.parametrize('count', COUNTS)
def test_outputs_are_those_of_each_crop_alone(network, count, size):
    inputs = crops(count)
    layers, means = run_batched(network, inputs, size)
    assert layers.shape == (count, 4, 8, 8) and means.shape == (count, 4)
    for k in range(count):
        alone = network.run(None, {name: values[k : k + 1] for name, values in inputs.items()})
        np.testing.assert_allclose(layers[k : k + 1], alone[0], rtol=1e-5, atol=1e-5)
        np.testing.assert_allclose(means[k : k + 1], alone[1], rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize('size', [4, 8])
def test_the_grouping_of_crops_changes_no_bit(network, size):
    inputs = crops(9)
    whole = run_batched(network, inputs, size)
    for order in (np.arange(9)[::-1], np.random.default_rng(size).permutation(9), np.array([4])):
        some = run_batched(network, {name: values[order] for name, values in inputs.items()}, size)
        for output, expected in zip(some, whole, strict=True):
            np.testing.assert_array_equal(output, expected[order])


def test_inputs_are_not_changed(network):
    inputs = crops(3)
    before = {name: values.copy() for name, values in inputs.items()}
    run_batched(network, inputs, 4)
    for name, values in inputs.items():
        np.testing.assert_array_equal(values, before[name])
