"""Write an ONNX graph node by node."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from facefusion.errors import ModelError

OPSET = 18
# The lowest IR version that supports opset 18, so that older runtimes can read the result.
IR_VERSION = 8

Shape = list[int | str]


class OnnxGraph:
    """A graph under construction; every method that adds a node returns the name of its result."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._nodes: list[onnx.NodeProto] = []
        self._weights: list[onnx.TensorProto] = []
        self._inputs: list[onnx.ValueInfoProto] = []
        self._outputs: list[onnx.ValueInfoProto] = []
        self._count = 0

    def input(self, name: str, shape: Shape) -> str:
        """Declare a float32 input."""
        self._inputs.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, shape))
        return name

    def output(self, name: str, value: str, shape: Shape) -> None:
        """Declare ``value`` as the float32 output ``name``."""
        self._nodes.append(helper.make_node('Identity', [value], [name], name=f'output_{name}'))
        self._outputs.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, shape))

    def node(self, operator: str, inputs: list[str], **attributes: Any) -> str:
        """Add an operator with one result."""
        result = self._new(operator)
        self._nodes.append(helper.make_node(operator, inputs, [result], name=f'node_{result}', **attributes))
        return result

    def weight(self, values: np.ndarray[Any, Any]) -> str:
        """Add a constant; float16 values are stored as they are, and a Cast node widens them to float32.

        The runtime folds the Cast when it loads the model, so the file stays small and the network stays fast.
        """
        name = self._new('weight')
        self._weights.append(numpy_helper.from_array(np.ascontiguousarray(values), name))
        if values.dtype == np.float16:
            return self.node('Cast', [name], to=TensorProto.FLOAT)
        return name

    def leaky(self, value: str, slopes: np.ndarray[Any, Any]) -> str:
        """Multiply the negative values of each channel of ``value`` [n,c,h,w] by its slope, of ``slopes`` [c].

        This is PRelu as ``slope * x + (1 - slope) * relu(x)``. ONNX Runtime 1.32 has no fast kernel for PRelu: it takes
        two thirds of the time of the face mesh. It runs convolutions of one pixel in the layout of their neighbours.
        """
        channels = len(slopes)
        scales = slopes.astype(np.float32).reshape(channels, 1, 1, 1)
        shape: dict[str, Any] = {'group': channels, 'kernel_shape': [1, 1]}
        positive = self.node('Conv', [self.node('Relu', [value]), self.weight(1 - scales)], **shape)
        return self.node('Add', [positive, self.node('Conv', [value, self.weight(scales)], **shape)])

    def whole(self, *values: int) -> str:
        """Add an int64 vector."""
        return self.weight(np.array(values, np.int64))

    def floats(self, *values: float) -> str:
        """Add a float32 vector."""
        return self.weight(np.array(values, np.float32))

    def scalar(self, value: float) -> str:
        """Add a float32 scalar."""
        return self.weight(np.array(value, np.float32))

    def model(self) -> onnx.ModelProto:
        """Return the checked model; equal calls in the same order produce equal bytes."""
        graph = helper.make_graph(self._nodes, self._name, self._inputs, self._outputs, self._weights)
        opset = helper.make_opsetid('', OPSET)
        model = helper.make_model(graph, opset_imports=[opset], ir_version=IR_VERSION, producer_name='facefusion')
        onnx.checker.check_model(model, full_check=True)
        return model

    def _new(self, hint: str) -> str:
        self._count += 1
        return f'{hint.lower()}_{self._count}'


def unsupported(cause: str) -> ModelError:
    """Return the error for a graph that the converter cannot express in ONNX."""
    return ModelError(
        'convert-unsupported',
        'the model cannot be converted to ONNX',
        cause=cause,
        hint='docs/add-a-model.md explains how to add an operator or a layer',
    )
