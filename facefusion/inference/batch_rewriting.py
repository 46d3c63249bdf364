"""Rewrite a network that takes one crop per call so that it takes any number.

Exporters write the batch size 1 into the shapes of inputs and outputs, and into constants: the shape of a Reshape, the
sizes of a Resize, and tensors that are joined with those of a crop. The rewritten network computes the same values for
each crop; ``inference.batch_check`` proves this on random input, since a rule here cannot.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

# Increment this when a rule changes: files of another version are not used.
VERSION = 1
# The name of the free dimension.
BATCH = 'batch'
_COUNT, _FIRST = 'batches.count', 'batches.first'
# Operators whose result does not depend on the values of their input, only on its shape.
_SHAPES = ('Shape', 'Size')
_CONTROL_FLOW = ('If', 'Loop', 'Scan')


class FixedBatchError(Exception):
    """A network cannot take several crops per call; the text states the reason."""


def takes_batches(shapes: list[list[int | str | None]]) -> bool:
    """Whether the inputs with these shapes accept any number of crops; inputs with one axis are not crops."""
    crops = [shape for shape in shapes if len(shape) > 1]
    return bool(crops) and all(not isinstance(shape[0], int) or shape[0] < 1 for shape in crops)


def free_batch(model: Any) -> Any:
    """Return an onnx.ModelProto that takes any number of crops; raises FixedBatchError with the reason.

    Inputs with at least two axes, of which the first is 1, are crops; all others are the same for all crops.
    """
    return _Rewriting(model).run()


class _Rewriting:
    def __init__(self, model: Any) -> None:
        import onnx

        try:
            # Data propagation is not needed, only the ranks and sizes of tensors.
            self.model = onnx.shape_inference.infer_shapes(model)
        except Exception as error:  # noqa: BLE001 - onnx raises unrelated types of its own
            raise FixedBatchError(f'the shapes of its tensors cannot be inferred: {error}') from None
        self.graph = self.model.graph
        self.shapes = {value.name: _shape(value) for value in self._values()}
        self.constants = {each.name: each for each in self.graph.initializer}
        self.constants |= {
            node.output[0]: node.attribute[0].t
            for node in self.graph.node
            if node.op_type == 'Constant' and node.attribute and node.attribute[0].name == 'value'
        }
        self.batched: set[str] = set()
        self.added = 0

    def run(self) -> Any:
        inputs = [each for each in self.graph.input if each.name not in self.constants]
        first = self._free_inputs(inputs)
        nodes = self._count_nodes(first)
        for node in list(self.graph.node):
            if node.op_type in _CONTROL_FLOW and self._reads_batch(node):
                raise FixedBatchError(f'it has a {node.op_type} whose branches are not examined')
            if self._reads_batch(node):
                nodes.extend(self._rules().get(node.op_type, _unchanged)(node))
                if node.op_type not in _SHAPES:
                    self.batched.update(filter(None, node.output))
            nodes.append(node)
        self._free_outputs()
        del self.graph.node[:]
        self.graph.node.extend(nodes)
        del self.graph.value_info[:]
        return self.model

    def _values(self) -> Iterator[Any]:
        yield from self.graph.input
        yield from self.graph.value_info
        yield from self.graph.output

    def _reads_batch(self, node: Any) -> bool:
        return any(name in self.batched for name in node.input)

    def _rules(self) -> dict[str, Callable[[Any], list[Any]]]:
        return {'Reshape': self._reshape, 'Resize': self._resize, 'Concat': self._concat, 'Squeeze': self._squeeze}

    def _free_inputs(self, inputs: list[Any]) -> str:
        """Free the first axis of every input with crops; return the name of the first of them."""
        crops = [each for each in inputs if len(_shape(each) or ()) > 1]
        if not crops:
            raise FixedBatchError('none of its inputs has a batch axis')
        for value in crops:
            size = value.type.tensor_type.shape.dim[0]
            if size.HasField('dim_value') and size.dim_value != 1:
                raise FixedBatchError(f'its input {value.name} takes {size.dim_value} crops at a time')
            size.dim_param = BATCH
            self.batched.add(value.name)
        return str(crops[0].name)

    def _free_outputs(self) -> None:
        for value in self.graph.output:
            shape = _shape(value)
            if value.name not in self.batched:
                continue
            if not shape:
                value.type.tensor_type.ClearField('shape')
            elif isinstance(shape[0], int) and shape[0] != 1:
                raise FixedBatchError(f'its output {value.name} has no batch axis, but {shape[0]} rows')
            else:
                value.type.tensor_type.shape.dim[0].dim_param = BATCH

    def _count_nodes(self, first: str) -> list[Any]:
        """Return nodes that compute the number of crops, int64 [1]."""
        self._constant(_FIRST, np.array([0], np.int64))
        shape = self._node('Shape', [first], f'{_COUNT}.shape')
        return [shape, self._node('Gather', [f'{_COUNT}.shape', _FIRST], _COUNT, axis=0)]

    def _reshape(self, node: Any) -> list[Any]:
        """Replace a first 1 in the target shape with the number of crops; 0 would not follow a transposed batch."""
        target = self._value(node.input[1])
        if target is None or not len(target):
            return []
        if target[0] == 1:
            return self._counted(node, 1, target[1:])
        shape = self.shapes.get(node.input[0])
        if target[0] > 1 and shape and shape[0] == 1 and -1 not in target[1:]:
            raise FixedBatchError(f'its node {node.name or node.output[0]} joins the batch with another axis')
        return []

    def _resize(self, node: Any) -> list[Any]:
        """Replace a first 1 in the sizes of the result with the number of crops."""
        sizes = self._value(node.input[3]) if len(node.input) > 3 else None
        has_axes = any(each.name == 'axes' for each in node.attribute)
        return self._counted(node, 3, sizes[1:]) if sizes is not None and sizes[0] == 1 and not has_axes else []

    def _counted(self, node: Any, index: int, others: npt.NDArray[Any]) -> list[Any]:
        """Give input ``index`` of a node the number of crops, followed by ``others``."""
        name = self._name()
        if not len(others):
            node.input[index] = _COUNT
            return []
        self._constant(f'{name}.others', others.astype(np.int64))
        node.input[index] = name
        return [self._node('Concat', [_COUNT, f'{name}.others'], name, axis=0)]

    def _concat(self, node: Any) -> list[Any]:
        """Repeat tensors that are the same for all crops, such as a token, before they are joined with crops."""
        axis = next(each.i for each in node.attribute if each.name == 'axis')
        rank = max((len(self.shapes.get(name) or ()) for name in node.input), default=0)
        if axis in (0, -rank) and rank > 1:
            raise FixedBatchError(f'its node {node.name or node.output[0]} joins tensors along the batch axis')
        added: list[Any] = []
        for index, name in enumerate(node.input):
            constant = self._value(name)
            if name in self.batched or constant is None or constant.ndim < 2 or len(constant) != 1:
                continue
            target = self._name()
            self._constant(f'{target}.others', np.ones(constant.ndim - 1, np.int64))
            added.append(self._node('Concat', [_COUNT, f'{target}.others'], f'{target}.shape', axis=0))
            added.append(self._node('Expand', [name, f'{target}.shape'], target))
            node.input[index] = target
        return added

    def _squeeze(self, node: Any) -> list[Any]:
        listed = [list(each.ints) for each in node.attribute if each.name == 'axes']
        axes = self._value(node.input[1]) if len(node.input) > 1 else listed[0] if listed else None
        rank = len(self.shapes.get(node.input[0]) or ())
        if axes is not None and any(int(axis) in (0, -rank) for axis in axes):
            raise FixedBatchError(f'its node {node.name or node.output[0]} removes the batch axis')
        return []

    def _value(self, name: str) -> npt.NDArray[Any] | None:
        from onnx import numpy_helper

        return np.asarray(numpy_helper.to_array(self.constants[name])) if name in self.constants else None

    def _constant(self, name: str, value: npt.NDArray[Any]) -> None:
        from onnx import numpy_helper

        self.graph.initializer.append(numpy_helper.from_array(value, name))

    def _name(self) -> str:
        self.added += 1
        return f'batches.{self.added}'

    @staticmethod
    def _node(kind: str, inputs: list[str], output: str, **attributes: Any) -> Any:
        from onnx import helper

        return helper.make_node(kind, inputs, [output], name=output, **attributes)


def _unchanged(node: Any) -> list[Any]:
    return []


def _shape(value: Any) -> list[int | str | None] | None:
    """Return the shape of a tensor, with a name or None for a free dimension; None if even the rank is unknown."""
    kind = value.type.tensor_type
    if not kind.HasField('shape'):
        return None
    return [
        each.dim_value if each.HasField('dim_value') else each.dim_param or None if each.HasField('dim_param') else None
        for each in kind.shape.dim
    ]
