"""Read one initializer of an ONNX file without loading the others.

An inswapper file of 554 MB holds the matrix of its source embedding as the last initializer, which no node uses. The
file is mapped and its protobuf fields are skipped by their lengths (protobuf encoding; ModelProto.graph is field 7,
GraphProto.initializer is field 5 of onnx.proto).
"""

from __future__ import annotations

import mmap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from facefusion.errors import ModelError

_GRAPH, _INITIALIZER = 7, 5
_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5


def last_initializer(path: Path) -> npt.NDArray[Any]:
    """Return the last initializer of the graph. Raises ModelError model-tensors for a file without one."""
    import onnx
    from onnx import numpy_helper

    found: tuple[int, int] | None = None
    try:
        with path.open('rb') as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            for number, begin, end in _fields(data, 0, len(data)):
                if number == _GRAPH:
                    for inner, first, last in _fields(data, begin, end):
                        found = (first, last) if inner == _INITIALIZER else found
            if found is not None:
                tensor = onnx.TensorProto.FromString(data[found[0] : found[1]])
                return np.asarray(numpy_helper.to_array(tensor))
    except (IndexError, ValueError, TypeError) as error:
        raise _no_matrix(path, str(error)) from None
    raise _no_matrix(path, 'the graph has no initializer')


def _fields(data: mmap.mmap, at: int, end: int) -> Iterator[tuple[int, int, int]]:
    """Yield number, start and end of each length-delimited field of a message."""
    while at < end:
        key, at = _varint(data, at)
        kind = key & 7
        if kind == _BYTES:
            size, at = _varint(data, at)
            if at + size > end:
                raise ValueError('a field is longer than its message')
            yield key >> 3, at, at + size
            at += size
        elif kind == _VARINT:
            _, at = _varint(data, at)
        elif kind in (_FIXED64, _FIXED32):
            at += 8 if kind == _FIXED64 else 4
        else:
            raise ValueError(f'a field has the unknown wire type {kind}')


def _varint(data: mmap.mmap, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
        shift += 7
        if shift > 63:
            raise ValueError('a number is too long')


def _no_matrix(path: Path, cause: str) -> ModelError:
    return ModelError(
        'model-tensors',
        f'{path.name} has no matrix for the source embedding',
        cause=cause,
        hint='fetch the published file again: facefusion models fetch',
    )
