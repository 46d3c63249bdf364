"""Read a TFLite flatbuffer: tensors, constants (also sparse ones) and operators.

The ``tflite`` package contains the classes generated from the public schema of TensorFlow Lite.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
import tflite

from facefusion.errors import ModelError
from facefusion.models.convert.onnx_graph import unsupported

Array = np.ndarray[Any, Any]
Options = TypeVar('Options')


@dataclass(frozen=True, slots=True)
class Operator:
    """An operator: its kind (for a custom operator its name) and the indices of its tensors (-1 if omitted)."""

    kind: str
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    record: Any

    def options(self, kind: type[Options]) -> Options:
        """Return the built-in options, read as ``kind``."""
        options: Any = kind()
        table = self.record.BuiltinOptions()
        if table is None:
            raise unsupported(f'{self.kind} has no options')
        options.Init(table.Bytes, table.Pos)
        return options  # type: ignore[no-any-return]

    def custom_options(self) -> bytes:
        """Return the options of a custom operator as bytes."""
        return bytes(self.record.CustomOptionsAsNumpy().tobytes())


class TfliteGraph:
    """The main graph of a TFLite file; an index identifies a tensor. Raises ModelError for another kind of file."""

    def __init__(self, data: bytes) -> None:
        if len(data) < 8 or data[4:8] != b'TFL3':
            raise ModelError('convert-damaged', 'the source is not a TFLite file')
        self._model = tflite.Model.GetRootAsModel(data, 0)
        self._graph = self._model.Subgraphs(0)
        self._constants: dict[int, Array] = {}
        self.inputs = tuple(int(index) for index in self._graph.InputsAsNumpy())
        self.outputs = tuple(int(index) for index in self._graph.OutputsAsNumpy())

    def operators(self) -> list[Operator]:
        """Return all operators in execution order."""
        names = {code: name for name, code in vars(tflite.BuiltinOperator).items() if isinstance(code, int)}
        found = []
        for position in range(self._graph.OperatorsLength()):
            record = self._graph.Operators(position)
            code = self._model.OperatorCodes(record.OpcodeIndex())
            # Files older than 2020 have the code in the deprecated field only.
            kind = names[max(code.BuiltinCode(), code.DeprecatedBuiltinCode())]
            if kind == 'CUSTOM':
                kind = code.CustomCode().decode()
            inputs = tuple(int(index) for index in record.InputsAsNumpy())
            outputs = tuple(int(index) for index in record.OutputsAsNumpy())
            found.append(Operator(kind, inputs, outputs, record))
        return found

    def name(self, index: int) -> str:
        """Return the name of a tensor."""
        return str(self._graph.Tensors(index).Name().decode())

    def shape(self, index: int) -> tuple[int, ...]:
        """Return the shape of a tensor, channels last."""
        tensor = self._graph.Tensors(index)
        return tuple(int(size) for size in tensor.ShapeAsNumpy()) if tensor.ShapeLength() else ()

    def constant(self, index: int) -> Array | None:
        """Return the value of a constant tensor, or None for any other tensor."""
        if index not in self._constants:
            tensor = self._graph.Tensors(index)
            if tensor.Sparsity() is not None or not self._model.Buffers(tensor.Buffer()).DataLength():
                return None
            self._constants[index] = self._raw(index).reshape(self.shape(index))
        return self._constants[index]

    def required_constant(self, index: int) -> Array:
        """Return the value of a tensor that must be constant; raises ModelError otherwise."""
        value = self.constant(index)
        if value is None:
            raise unsupported(f'{self.name(index)} is not constant')
        return value

    def fold(self, index: int, value: Array) -> None:
        """Store the result of an operator on constants as a constant."""
        self._constants[index] = value

    def densify(self, index: int) -> Array:
        """Return the dense value of a sparse constant, in the tensor's shape."""
        sparsity = self._graph.Tensors(index).Sparsity()
        if sparsity is None:
            return self.required_constant(index)
        return _densify(self.shape(index), self._raw(index), sparsity)

    def _raw(self, index: int) -> Array:
        tensor = self._graph.Tensors(index)
        dtypes: dict[int, Any] = {
            tflite.TensorType.FLOAT32: np.float32,
            tflite.TensorType.FLOAT16: np.float16,
            tflite.TensorType.INT32: np.int32,
            tflite.TensorType.INT64: np.int64,
        }
        if tensor.Type() not in dtypes:
            raise unsupported(f'{self.name(index)} has the element type {tensor.Type()}')
        # Copy the data, because the buffer may not be aligned for its type.
        data = self._model.Buffers(tensor.Buffer()).DataAsNumpy().tobytes()
        return np.frombuffer(data, dtypes[tensor.Type()])


def _densify(shape: tuple[int, ...], values: Array, sparsity: Any) -> Array:
    """Expand TFLite's sparse format: levels in traversal order, dense or compressed rows, blocks last.

    A compressed level consists of ``segments`` (where the children of each parent start) and ``indices`` (the
    coordinate of each child), as in a CSR matrix. Coordinates of block levels are added to those of their dimension.
    """
    rank = len(shape)
    order = [int(level) for level in sparsity.TraversalOrderAsNumpy()]
    blocks = [int(dimension) for dimension in sparsity.BlockMapAsNumpy()] if sparsity.BlockMapLength() else []
    # Block levels follow the plain levels in the list of dimensions; a block's size is the step of its dimension.
    steps = [1] * rank
    for position, dimension in enumerate(blocks):
        steps[dimension] = sparsity.DimMetadata(order.index(rank + position)).DenseSize()
    positions = np.zeros(1, np.int64)
    coordinates = np.zeros((1, rank), np.int64)
    for level, axis in enumerate(order):
        parents, local, positions = _expand(sparsity.DimMetadata(level), positions)
        coordinates = coordinates[parents]
        if axis < rank:
            coordinates[:, axis] += local * steps[axis]
        else:
            coordinates[:, blocks[axis - rank]] += local
    dense = np.zeros(shape, values.dtype)
    dense[tuple(coordinates.T)] = values[positions]
    return dense


def _expand(level: Any, positions: Array) -> tuple[Array, Array, Array]:
    """Return the children of ``positions``: row of the parent, coordinate in this level, position in the next."""
    if level.Format() == tflite.DimensionType.DENSE:
        size = level.DenseSize()
        parents = np.repeat(np.arange(len(positions)), size)
        local = np.tile(np.arange(size), len(positions))
        return parents, local, positions[parents] * size + local
    segments = _index_vector(level.ArraySegmentsType(), level.ArraySegments())
    indices = _index_vector(level.ArrayIndicesType(), level.ArrayIndices())
    starts, ends = segments[positions], segments[positions + 1]
    parents = np.repeat(np.arange(len(positions)), ends - starts)
    runs = [np.arange(start, end) for start, end in zip(starts, ends, strict=True)]
    children = np.concatenate(runs) if runs else np.zeros(0, np.int64)
    return parents, indices[children], children


def _index_vector(kind: int, table: Any) -> Array:
    readers: dict[int, Any] = {
        tflite.SparseIndexVector.Int32Vector: tflite.Int32Vector,
        tflite.SparseIndexVector.Uint16Vector: tflite.Uint16Vector,
        tflite.SparseIndexVector.Uint8Vector: tflite.Uint8Vector,
    }
    vector = readers[kind]()
    vector.Init(table.Bytes, table.Pos)
    return np.asarray(vector.ValuesAsNumpy()).astype(np.int64)
