"""Read the inputs and outputs of an ONNX file without its weights, and compare them with the catalogue.

The file is mapped into memory, and fields are skipped by their lengths (protobuf encoding; field numbers of
onnx.proto 1.16). A file of 2 GB is read within milliseconds, and neither onnx nor onnxruntime is loaded.
"""

from __future__ import annotations

import mmap
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from facefusion.errors import ModelError
from facefusion.models.catalog import ModelEntry, Tensor

_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
_MODEL_GRAPH = 7
_GRAPH_NODE, _GRAPH_INITIALIZER, _GRAPH_INPUT, _GRAPH_OUTPUT = 1, 5, 11, 12
_TENSOR_NAME, _TENSOR_LOCATION, _LOCATION_EXTERNAL = 8, 14, 1
_VALUE_NAME, _VALUE_TYPE, _TYPE_TENSOR, _TENSOR_ELEMENT, _TENSOR_SHAPE = 1, 2, 1, 1, 2
_SHAPE_AXIS, _AXIS_SIZE = 1, 1
_ELEMENTS = {1: 'float32', 2: 'uint8', 6: 'int32', 7: 'int64', 10: 'float16', 11: 'float64'}


class FoundTensor(NamedTuple):
    """An input or output of a file; a free axis is None, and ``shape`` is None if the file does not state the rank."""

    name: str
    shape: tuple[int | None, ...] | None
    dtype: str


class FoundTensors(NamedTuple):
    """The inputs and outputs in the order of the file; initializers do not count as inputs."""

    inputs: tuple[FoundTensor, ...]
    outputs: tuple[FoundTensor, ...]


class _Field(NamedTuple):
    """A field of a message: the bytes from ``begin`` to ``end``, or the number ``value``."""

    number: int
    begin: int
    end: int
    value: int


def read_tensors(path: Path, name: str = '') -> FoundTensors:
    """Return the inputs and outputs of an ONNX file; ``name`` replaces its path in messages.

    Raises ModelError model-not-onnx, or model-external for a file whose weights are in a second file; OSError when the
    file cannot be read.
    """
    with path.open('rb') as file:
        try:
            with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
                graphs = [field for field in _fields(data, 0, len(data)) if field.number == _MODEL_GRAPH]
                if not graphs or graphs[-1].end < 0:
                    raise ValueError('there is no graph')
                return _read_graph(data, graphs[-1], name or str(path))
        except (IndexError, ValueError) as error:
            raise ModelError(
                'model-not-onnx',
                f'{name or path} is not an ONNX file',
                cause=f'it does not contain a model: {error}',
                hint='fetch or import the .onnx file of the model again',
            ) from None


def require_tensors(entry: ModelEntry, path: Path, name: str = '') -> None:
    """Raise ModelError model-tensors, which names the tensor, unless the file has the tensors of the entry.

    The inputs must agree in number, type, rank and fixed sizes, and in their names if there are several. The outputs
    that the entry lists are compared by position, in rank and fixed sizes. A free axis agrees with every size. An entry
    without inputs is not compared. Also raises the errors of ``read_tensors``.
    """
    if not entry.inputs:
        return
    found = read_tensors(path, name)
    cause = _difference(entry, found)
    if cause:
        raise ModelError(
            'model-tensors',
            f'{name or path} does not have the tensors of the model {entry.id}',
            cause=cause,
            hint='use the file of that model, or state the right one: facefusion models list',
        )


def _difference(entry: ModelEntry, found: FoundTensors) -> str:
    """Return the first difference as a sentence, or '' if there is none."""
    if len(found.inputs) != len(entry.inputs):
        return _count_text('input', entry.inputs, found.inputs)
    by_name = {tensor.name: tensor for tensor in found.inputs}
    for index, wanted in enumerate(entry.inputs):
        tensor = by_name.get(wanted.name) if len(entry.inputs) > 1 else found.inputs[index]
        if tensor is None:
            return f'it has no input {wanted.name}; its inputs are {", ".join(by_name)}'
        if tensor.dtype != wanted.dtype:
            return f'the input {tensor.name} is {tensor.dtype}, expected {wanted.dtype}'
        if not _agrees(wanted, tensor):
            return f'the input {_shape_text(tensor, wanted)}'
    if len(found.outputs) < len(entry.outputs):
        return _count_text('output', entry.outputs, found.outputs)
    for wanted, tensor in zip(entry.outputs, found.outputs, strict=False):
        if not _agrees(wanted, tensor):
            return f'the output {_shape_text(tensor, wanted)}'
    return ''


def _agrees(wanted: Tensor, found: FoundTensor) -> bool:
    if found.shape is None:
        return True
    pairs = zip(wanted.shape, found.shape, strict=False)
    is_equal = all(isinstance(size, str) or actual is None or size == actual for size, actual in pairs)
    return len(wanted.shape) == len(found.shape) and is_equal


def _shape_text(found: FoundTensor, wanted: Tensor) -> str:
    actual = ['?' if size is None else str(size) for size in found.shape or ()]
    return f'{found.name} is [{", ".join(actual)}], expected [{", ".join(map(str, wanted.shape))}]'


def _count_text(kind: str, wanted: Sequence[Tensor], found: Sequence[FoundTensor]) -> str:
    names = ', '.join(tensor.name for tensor in found) or 'none'
    return f'expected {len(wanted)} {kind}s ({", ".join(tensor.name for tensor in wanted)}), got {len(found)}: {names}'


def _read_graph(data: mmap.mmap, graph: _Field, name: str) -> FoundTensors:
    inputs, outputs = [], []
    constants = set()
    has_nodes = False
    for field in _fields(data, graph.begin, graph.end):
        if field.number == _GRAPH_INITIALIZER:
            constants.add(_constant_name(data, field, name))
        elif field.number == _GRAPH_INPUT:
            inputs.append(_value(data, field))
        elif field.number == _GRAPH_OUTPUT:
            outputs.append(_value(data, field))
        has_nodes = has_nodes or field.number == _GRAPH_NODE
    if not has_nodes or not outputs:
        raise ValueError('the graph is empty')
    # Files of older versions list the weights among the inputs.
    return FoundTensors(tuple(tensor for tensor in inputs if tensor.name not in constants), tuple(outputs))


def _constant_name(data: mmap.mmap, tensor: _Field, file_name: str) -> str:
    name = ''
    for field in _fields(data, tensor.begin, tensor.end):
        if field.number == _TENSOR_NAME:
            name = _text(data, field)
        elif field.number == _TENSOR_LOCATION and field.value == _LOCATION_EXTERNAL:
            raise ModelError(
                'model-external',
                f'the weights of {file_name} are in a second file',
                cause='it was saved with external data',
                hint='save it as one file: onnx.save_model(onnx.load(FILE), NEW_FILE)',
            )
    return name


def _value(data: mmap.mmap, value: _Field) -> FoundTensor:
    name, shape, dtype = '', None, 'not a tensor'
    for field in _fields(data, value.begin, value.end):
        if field.number == _VALUE_NAME:
            name = _text(data, field)
        elif field.number == _VALUE_TYPE:
            for kind in _fields(data, field.begin, field.end):
                if kind.number == _TYPE_TENSOR:
                    dtype, shape = _tensor_type(data, kind)
    return FoundTensor(name, shape, dtype)


def _tensor_type(data: mmap.mmap, kind: _Field) -> tuple[str, tuple[int | None, ...] | None]:
    dtype, shape = '', None
    for field in _fields(data, kind.begin, kind.end):
        if field.number == _TENSOR_ELEMENT:
            dtype = _ELEMENTS.get(field.value, f'of the ONNX type {field.value}')
        elif field.number == _TENSOR_SHAPE:
            axes = [axis for axis in _fields(data, field.begin, field.end) if axis.number == _SHAPE_AXIS]
            shape = tuple(_axis_size(data, axis) for axis in axes)
    return dtype, shape


def _axis_size(data: mmap.mmap, axis: _Field) -> int | None:
    sizes = [field.value for field in _fields(data, axis.begin, axis.end) if field.number == _AXIS_SIZE]
    return sizes[-1] if sizes and sizes[-1] > 0 else None


def _text(data: mmap.mmap, field: _Field) -> str:
    return data[field.begin : field.end].decode('utf-8', 'backslashreplace')


def _fields(data: mmap.mmap, at: int, end: int) -> Iterator[_Field]:
    """Yield the fields of a message; raises ValueError or IndexError when the bytes are not a message."""
    if end < 0:
        raise ValueError('there is a number in place of a message')
    while at < end:
        key, at = _varint(data, at)
        number, kind = key >> 3, key & 7
        if kind == _VARINT:
            value, at = _varint(data, at)
            yield _Field(number, -1, -1, value)
            continue
        size = {_FIXED64: 8, _FIXED32: 4}.get(kind)
        if kind == _BYTES:
            size, at = _varint(data, at)
        if size is None:
            raise ValueError(f'a field has the unknown wire type {kind}')
        if at + size > end:
            raise ValueError('a field is longer than its message: the file is incomplete or of another kind')
        if kind == _BYTES:
            yield _Field(number, at, at + size, -1)
        at += size


def _varint(data: mmap.mmap, at: int) -> tuple[int, int]:
    value = shift = 0
    while shift < 70:
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
        shift += 7
    raise ValueError('a number is too long')
