"""Read the two files of an ncnn network: its structure (``.param``, text) and its weights (``.bin``).

The formats are those of ncnn's page "param and model file structure" and of its ``modelbin.cpp``. Numbers in the files
are checked before they are used, so a damaged file cannot demand more memory than its own size.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from facefusion.errors import ModelError
from facefusion.models.convert.onnx_graph import unsupported

Array = np.ndarray[Any, Any]

_MAGIC = '7767517'
# An array with the index k has the key -23300 - k.
_ARRAYS = 23300
_FLOAT32, _FLOAT16 = 0, 0x01306B47
_ALIGNMENT = 4
_LARGEST = float(np.finfo(np.float32).max)
_WHOLE = re.compile(r'[0-9]{1,9}')
_NUMBER = re.compile(r'-?[0-9]{1,40}(\.[0-9]{0,40})?([eE][+-]?[0-9]{1,3})?')


@dataclass(frozen=True, slots=True)
class Layer:
    """A line of the structure: kind, name, names of the blobs, and the texts of each parameter by its index."""

    kind: str
    name: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    parameters: Mapping[int, tuple[str, ...]]

    def whole(self, index: int) -> int:
        """Return a parameter from 0 to 999999999; a missing one is 0."""
        return _whole(self._text(index), self.name)

    def number(self, index: int) -> float:
        """Return a parameter in the range of float32; a missing one is 0."""
        return _number(self._text(index), self.name)

    def numbers(self, index: int, count: int) -> list[float]:
        """Return a parameter with ``count`` values; raises ModelError when it has another number of them."""
        texts = self.parameters.get(index, ())
        if len(texts) != count:
            raise damaged(f'the parameter {index} of {self.name} must have {count} values')
        return [_number(text, self.name) for text in texts]

    def _text(self, index: int) -> str:
        texts = self.parameters.get(index, ('0',))
        if len(texts) != 1:
            raise damaged(f'the parameter {index} of {self.name} must have one value')
        return texts[0]


def read_structure(data: bytes) -> tuple[Layer, ...]:
    """Return the layers in the order of the file.

    The file starts with a fixed number and the numbers of layers and blobs. The line of a layer has its kind, its name,
    the numbers of its inputs and outputs, the names of these, and parameters: ``6=1728`` is parameter 6, and
    ``-23310=2,0.1,0.5`` is parameter 10, an array of two values.

    Raises ModelError convert-damaged unless every line is complete, the numbers agree, and no two blobs share a name.
    """
    try:
        lines = [line.split() for line in data.decode('ascii').rstrip().split('\n')]
    except UnicodeDecodeError:
        raise damaged('the structure is not text') from None
    if len(lines) < 3 or lines[0] != [_MAGIC] or len(lines[1]) != 2:
        raise damaged('the structure does not have the header of ncnn')
    layers = tuple(_read_layer(words) for words in lines[2:])
    blobs = [name for layer in layers for name in layer.outputs]
    stated = [_whole(text, 'the header') for text in lines[1]]
    if stated != [len(layers), len(blobs)]:
        raise damaged(f'the header states {stated[0]} layers and {stated[1]} blobs, not {len(layers)} and {len(blobs)}')
    if len(set(blobs)) != len(blobs):
        raise damaged('two blobs have the same name')
    return layers


class Weights:
    """The values of the weights file, which are read in the order of the layers.

    The methods return arrays of one axis, which share the memory of ``data``, and raise ModelError convert-damaged when
    the file is too short.
    """

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._position = 0

    @property
    def unread(self) -> int:
        """The number of bytes after the last value that was read."""
        return len(self._data) - self._position

    def tagged(self, count: int) -> Array:
        """Return ``count`` values, float32 or float16, whose type precedes them; float16 is padded to four bytes.

        Raises ModelError convert-unsupported for another type, such as int8.
        """
        tag = int(self._take(1, np.dtype('<u4'))[0])
        if tag == _FLOAT32:
            return self.plain(count)
        if tag != _FLOAT16:
            raise unsupported(f'the weights have the type {tag:#010x}, which is neither float32 nor float16')
        values = self._take(count, np.dtype('<f2'))
        self._take(-values.nbytes % _ALIGNMENT, np.dtype('u1'))
        return values

    def plain(self, count: int) -> Array:
        """Return ``count`` values of float32."""
        return self._take(count, np.dtype('<f4'))

    def _take(self, count: int, dtype: np.dtype[Any]) -> Array:
        if count * dtype.itemsize > self.unread:
            raise damaged('the file of the weights is too short')
        values = np.frombuffer(self._data, dtype, count, self._position)
        self._position += values.nbytes
        return values


def damaged(cause: str) -> ModelError:
    """Return the error for files that are incomplete or contradict each other."""
    return ModelError(
        'convert-damaged', 'the ncnn network is damaged', cause=cause, hint='fetch the model again: models fetch ID'
    )


def _read_layer(words: list[str]) -> Layer:
    if len(words) < 4:
        raise damaged(f'the line of a layer is incomplete: {" ".join(words)[:80]!r}')
    kind, name = words[:2]
    inputs, outputs = _whole(words[2], name), _whole(words[3], name)
    blobs, settings = words[4 : 4 + inputs + outputs], words[4 + inputs + outputs :]
    if len(blobs) != inputs + outputs or any('=' in blob for blob in blobs):
        raise damaged(f'the layer {name} does not have {inputs} inputs and {outputs} outputs')
    return Layer(kind, name, tuple(blobs[:inputs]), tuple(blobs[inputs:]), _read_parameters(settings, name))


def _read_parameters(settings: list[str], name: str) -> dict[int, tuple[str, ...]]:
    parameters: dict[int, tuple[str, ...]] = {}
    for setting in settings:
        key, _, value = setting.partition('=')
        index, texts = _whole(key.removeprefix('-'), name), [value]
        if key.startswith('-'):
            index -= _ARRAYS
            count, *texts = value.split(',')
            if _whole(count, name) != len(texts):
                raise damaged(f'{setting[:80]!r} of {name} does not have {count} values')
        if index in parameters:
            raise damaged(f'{name} has the parameter {index} twice')
        parameters[index] = tuple(texts)
    return parameters


def _whole(text: str, name: str) -> int:
    if not _WHOLE.fullmatch(text):
        raise damaged(f'{text[:80]!r} is not a whole number (in {name})')
    return int(text)


def _number(text: str, name: str) -> float:
    value = float(text) if _NUMBER.fullmatch(text) else math.nan
    if not abs(value) <= _LARGEST:
        raise damaged(f'{text[:80]!r} is not a number of float32 (in {name})')
    return value
