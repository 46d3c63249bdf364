"""Write tiny TFLite files for the converter tests with the generated builder of the ``tflite`` package."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import flatbuffers
import numpy as np
import tflite

TYPES = {
    np.dtype(np.float32): tflite.TensorType.FLOAT32,
    np.dtype(np.float16): tflite.TensorType.FLOAT16,
    np.dtype(np.int32): tflite.TensorType.INT32,
}
# Writes an options table and returns its offset.
OptionsWriter = Callable[[flatbuffers.Builder], int]


@dataclass
class TfliteFile:
    """The tensors and operators of a file in order; ``data`` returns its bytes."""

    tensors: list[dict[str, Any]] = field(default_factory=list)
    operators: list[dict[str, Any]] = field(default_factory=list)

    def tensor(
        self, name: str, shape: Sequence[int], values: Any = None, sparsity: Any = None, dtype: Any = np.float32
    ):
        if values is not None:
            dtype = values.dtype
        self.tensors.append(
            {'name': name, 'shape': list(shape), 'values': values, 'sparsity': sparsity, 'dtype': np.dtype(dtype)}
        )
        return len(self.tensors) - 1

    def constant(self, name: str, values: Any) -> int:
        return self.tensor(name, values.shape, values)

    def operator(
        self, kind: str, inputs, outputs, options: tuple[str, dict[str, Any]] | None = None, custom: bytes | None = None
    ) -> None:
        self.operators.append(
            {'kind': kind, 'inputs': inputs, 'outputs': outputs, 'options': options, 'custom': custom}
        )

    def data(self, inputs: Sequence[int], outputs: Sequence[int]) -> bytes:
        builder = flatbuffers.Builder(1024)
        buffers = [_buffer(builder, None)]
        tensors = []
        for tensor in self.tensors:
            number = 0
            if tensor['values'] is not None:
                number = len(buffers)
                buffers.append(_buffer(builder, tensor['values']))
            tensors.append(_tensor(builder, tensor, number))
        codes, operators = [], []
        for position, operator in enumerate(self.operators):
            codes.append(_code(builder, operator['kind']))
            operators.append(_operator(builder, operator, position))
        parts = [
            _offsets(builder, tensors),
            _ints(builder, inputs),
            _ints(builder, outputs),
            _offsets(builder, operators),
        ]
        tflite.SubGraphStart(builder)
        for add, part in zip(
            (
                tflite.SubGraphAddTensors,
                tflite.SubGraphAddInputs,
                tflite.SubGraphAddOutputs,
                tflite.SubGraphAddOperators,
            ),
            parts,
            strict=True,
        ):
            add(builder, part)
        graph = _offsets(builder, [tflite.SubGraphEnd(builder)])
        code_list, buffer_list = _offsets(builder, codes), _offsets(builder, buffers)
        tflite.ModelStart(builder)
        tflite.ModelAddVersion(builder, 3)
        tflite.ModelAddOperatorCodes(builder, code_list)
        tflite.ModelAddSubgraphs(builder, graph)
        tflite.ModelAddBuffers(builder, buffer_list)
        builder.Finish(tflite.ModelEnd(builder), b'TFL3')
        return bytes(builder.Output())


def _offsets(builder: flatbuffers.Builder, offsets: Sequence[int]) -> int:
    builder.StartVector(4, len(offsets), 4)
    for offset in reversed(offsets):
        builder.PrependUOffsetTRelative(offset)
    return builder.EndVector()


def _ints(builder: flatbuffers.Builder, values: Sequence[int]) -> int:
    return builder.CreateNumpyVector(np.array(values, np.int32))


def _buffer(builder: flatbuffers.Builder, values: Any) -> int:
    data = None
    if values is not None:
        data = builder.CreateNumpyVector(np.frombuffer(np.ascontiguousarray(values).tobytes(), np.uint8))
    tflite.BufferStart(builder)
    if data is not None:
        tflite.BufferAddData(builder, data)
    return tflite.BufferEnd(builder)


def _tensor(builder: flatbuffers.Builder, tensor: dict[str, Any], buffer: int) -> int:
    name, shape = builder.CreateString(tensor['name']), _ints(builder, tensor['shape'])
    sparsity = _sparsity(builder, tensor['sparsity']) if tensor['sparsity'] else None
    tflite.TensorStart(builder)
    tflite.TensorAddShape(builder, shape)
    tflite.TensorAddType(builder, TYPES[tensor['dtype']])
    tflite.TensorAddBuffer(builder, buffer)
    tflite.TensorAddName(builder, name)
    if sparsity is not None:
        tflite.TensorAddSparsity(builder, sparsity)
    return tflite.TensorEnd(builder)


def _sparsity(builder: flatbuffers.Builder, sparsity: dict[str, Any]) -> int:
    """Write a sparsity table; ``levels`` has a size per dense level and (segments, indices) per compressed one."""
    metadata = []
    for level in sparsity['levels']:
        if isinstance(level, int):
            tflite.DimensionMetadataStart(builder)
            tflite.DimensionMetadataAddFormat(builder, tflite.DimensionType.DENSE)
            tflite.DimensionMetadataAddDenseSize(builder, level)
        else:
            tables = []
            for values in level:
                vector = _ints(builder, values)
                tflite.Int32VectorStart(builder)
                tflite.Int32VectorAddValues(builder, vector)
                tables.append(tflite.Int32VectorEnd(builder))
            tflite.DimensionMetadataStart(builder)
            tflite.DimensionMetadataAddFormat(builder, tflite.DimensionType.SPARSE_CSR)
            tflite.DimensionMetadataAddArraySegmentsType(builder, tflite.SparseIndexVector.Int32Vector)
            tflite.DimensionMetadataAddArraySegments(builder, tables[0])
            tflite.DimensionMetadataAddArrayIndicesType(builder, tflite.SparseIndexVector.Int32Vector)
            tflite.DimensionMetadataAddArrayIndices(builder, tables[1])
        metadata.append(tflite.DimensionMetadataEnd(builder))
    order, levels = _ints(builder, sparsity['order']), _offsets(builder, metadata)
    blocks = _ints(builder, sparsity['blocks']) if sparsity['blocks'] else None
    tflite.SparsityParametersStart(builder)
    tflite.SparsityParametersAddTraversalOrder(builder, order)
    if blocks is not None:
        tflite.SparsityParametersAddBlockMap(builder, blocks)
    tflite.SparsityParametersAddDimMetadata(builder, levels)
    return tflite.SparsityParametersEnd(builder)


def _code(builder: flatbuffers.Builder, kind: str) -> int:
    number = getattr(tflite.BuiltinOperator, kind, tflite.BuiltinOperator.CUSTOM)
    custom = builder.CreateString(kind) if number == tflite.BuiltinOperator.CUSTOM else None
    tflite.OperatorCodeStart(builder)
    tflite.OperatorCodeAddDeprecatedBuiltinCode(builder, min(number, 127))
    tflite.OperatorCodeAddBuiltinCode(builder, number)
    if custom is not None:
        tflite.OperatorCodeAddCustomCode(builder, custom)
    return tflite.OperatorCodeEnd(builder)


def _operator(builder: flatbuffers.Builder, operator: dict[str, Any], position: int) -> int:
    options = None
    if operator['options'] is not None:
        name, values = operator['options']
        getattr(tflite, f'{name}Start')(builder)
        for key, value in values.items():
            getattr(tflite, f'{name}Add{key}')(builder, value)
        options = getattr(tflite, f'{name}End')(builder)
    custom = None
    if operator['custom'] is not None:
        custom = builder.CreateNumpyVector(np.frombuffer(operator['custom'], np.uint8))
    inputs, outputs = _ints(builder, operator['inputs']), _ints(builder, operator['outputs'])
    tflite.OperatorStart(builder)
    tflite.OperatorAddOpcodeIndex(builder, position)
    tflite.OperatorAddInputs(builder, inputs)
    tflite.OperatorAddOutputs(builder, outputs)
    if options is not None:
        tflite.OperatorAddBuiltinOptionsType(builder, getattr(tflite.BuiltinOptions, operator['options'][0]))
        tflite.OperatorAddBuiltinOptions(builder, options)
    if custom is not None:
        tflite.OperatorAddCustomOptions(builder, custom)
    return tflite.OperatorEnd(builder)
