"""Convert dlib's face recognition network (``dlib_face_recognition_resnet_model_v1.dat``) to ONNX, without dlib.

dlib's example ``dnn_face_recognition_ex.cpp`` defines the network: a residual network of 29 convolutions for images of
150 x 150, each followed by a scale and a shift per channel (``affine``), which are folded into the filters here.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from facefusion.errors import ModelError
from facefusion.models.convert.onnx_graph import OnnxGraph

Array = np.ndarray[Any, Any]

INPUT_SIZE = 150
EMBEDDING_SIZE = 128
# dlib::input_rgb_image subtracts these means and divides by 256 (dlib/dnn/input.h).
_MEANS = (122.782, 117.001, 104.298)
_SCALE = 256.0
# Channels of a stage, the number of its residual blocks, and whether a halving block precedes them.
_STAGES = ((32, 3, False), (64, 3, True), (128, 2, True), (256, 2, True), (256, 0, True))
# Trained weights are far smaller, so bytes that decode to a larger value are not weights.
_LARGEST = 100.0


@dataclass(frozen=True, slots=True)
class Convolution:
    """Channels in and out of a convolution, and the side of its kernel."""

    inputs: int
    outputs: int
    kernel: int


def convert_dlib_resnet(source: Path, target: Path) -> None:
    """Read dlib's file and write the network as ONNX.

    ``input``: float32 [n,3,150,150], RGB 0 to 255. ``embedding``: float32 [n,128], not normalised. Raises ModelError
    when parameters are missing.
    """
    target.write_bytes(_build(read_layers(source.read_bytes())))


def convolutions() -> tuple[Convolution, ...]:
    """Return all convolutions in the order of the network and of the file."""
    found = [Convolution(3, 32, 7)]
    channels = 32
    for outputs, blocks, halves in _STAGES:
        if halves:
            found += [Convolution(channels, outputs, 3), Convolution(outputs, outputs, 3)]
            channels = outputs
        found += [Convolution(outputs, outputs, 3)] * (2 * blocks)
    return tuple(found)


def read_layers(data: bytes) -> list[Array]:
    """Return filters [out,in,kh,kw] and biases [out] of each convolution, then the last matrix [256,128]; float32."""
    plan = convolutions()
    sizes = []
    for layer in plan:
        sizes += [layer.inputs * layer.outputs * layer.kernel**2 + layer.outputs, 2 * layer.outputs]
    tensors = iter(list(_tensors(data, [*sizes, 256 * EMBEDDING_SIZE])))
    layers: list[Array] = []
    for layer in plan:
        parameters, affine = next(tensors), next(tensors)
        filters = parameters[: -layer.outputs].reshape(layer.outputs, layer.inputs, layer.kernel, layer.kernel)
        scale, shift = affine[: layer.outputs], affine[layer.outputs :]
        layers += [filters * scale[:, None, None, None], parameters[-layer.outputs :] * scale + shift]
    layers.append(next(tensors).reshape(256, EMBEDDING_SIZE))
    return layers


def _tensors(data: bytes, sizes: list[int]) -> Iterator[Array]:
    """Yield the tensors with these numbers of elements, in order; other bytes between them are skipped.

    dlib writes a tensor as the integers version (2), samples, channels, rows and columns, and then its elements as
    little-endian float32 (dlib/cuda/tensor.h, serialize).
    """
    position = 0
    for size in sizes:
        while True:
            position = data.find(b'\x01\x02', position)
            if position < 0:
                raise ModelError('convert-damaged', f"dlib's file lacks a tensor of {size} elements")
            start, count = _read_header(data, position + 2)
            if count == size and start + 4 * size <= len(data):
                values = np.frombuffer(data, '<f4', size, start)
                if np.isfinite(values).all() and np.abs(values).max() < _LARGEST:
                    yield values
                    position = start + 4 * size
                    break
            position += 1


def _read_header(data: bytes, position: int) -> tuple[int, int]:
    """Return the position of the elements and their number, which is 0 unless four integers start at ``position``."""
    count = 1
    for _ in range(4):
        if position >= len(data):
            return position, 0
        # A control byte precedes the bytes of an integer: the low bits are the length, the highest bit is the sign.
        control = data[position]
        length = control & 0x0F
        if control & 0xF0 or not 1 <= length <= 8:
            return position, 0
        count *= int.from_bytes(data[position + 1 : position + 1 + length], 'little')
        position += 1 + length
    return position, count


class _Network:
    """The graph, built layer by layer from the parameters in file order."""

    def __init__(self, graph: OnnxGraph, layers: list[Array]) -> None:
        self.graph = graph
        self.layers = iter(layers)

    def convolution(self, value: str, stride: int, *, relu: bool, pad: bool) -> str:
        filters, biases = next(self.layers), next(self.layers)
        kernel = filters.shape[2]
        value = self.graph.node(
            'Conv',
            [value, self.graph.weight(filters), self.graph.weight(biases)],
            strides=[stride, stride],
            pads=[kernel // 2 if pad else 0] * 4,
            kernel_shape=[kernel, kernel],
        )
        return self.graph.node('Relu', [value]) if relu else value

    def residual(self, value: str) -> str:
        """Add a block that leaves size and channels unchanged."""
        inner = self.convolution(self.convolution(value, 1, relu=True, pad=True), 1, relu=False, pad=True)
        return self.graph.node('Relu', [self.graph.node('Add', [inner, value])])

    def halving(self, value: str, size: int, inputs: int, outputs: int) -> tuple[str, int]:
        """Add a block that halves the size; dlib pads the smaller of two tensors with zeros when it adds them."""
        inner = self.convolution(self.convolution(value, 2, relu=True, pad=False), 1, relu=False, pad=True)
        pooled = self.graph.node('AveragePool', [value], kernel_shape=[2, 2], strides=[2, 2])
        inner_size, pooled_size = (size - 3) // 2 + 1, size // 2
        if inner_size != pooled_size:
            missing = pooled_size - inner_size
            inner = self.graph.node('Pad', [inner, self.graph.whole(0, 0, 0, 0, 0, 0, missing, missing)])
        if inputs != outputs:
            pooled = self.graph.node('Pad', [pooled, self.graph.whole(0, 0, 0, 0, 0, outputs - inputs, 0, 0)])
        return self.graph.node('Relu', [self.graph.node('Add', [pooled, inner])]), pooled_size


def _build(layers: list[Array]) -> bytes:
    graph = OnnxGraph('dlib_face_resnet')
    network = _Network(graph, layers[:-1])
    value = graph.input('input', ['n', 3, INPUT_SIZE, INPUT_SIZE])
    means = graph.weight(np.array(_MEANS, np.float32).reshape(1, 3, 1, 1))
    value = graph.node('Div', [graph.node('Sub', [value, means]), graph.scalar(_SCALE)])
    value = network.convolution(value, 2, relu=True, pad=False)
    value = graph.node('MaxPool', [value], kernel_shape=[3, 3], strides=[2, 2])
    size = ((INPUT_SIZE - 7) // 2 + 1 - 3) // 2 + 1
    channels = 32
    for outputs, blocks, halves in _STAGES:
        if halves:
            value, size = network.halving(value, size, channels, outputs)
            channels = outputs
        for _ in range(blocks):
            value = network.residual(value)
    value = graph.node('ReduceMean', [value, graph.whole(2, 3)], keepdims=0)
    value = graph.node('MatMul', [value, graph.weight(layers[-1])])
    graph.output('embedding', value, ['n', EMBEDDING_SIZE])
    return bytes(graph.model().SerializeToString(deterministic=True))
