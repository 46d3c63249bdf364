"""dlib's face recognition network (``dlib_face_recognition_resnet_model_v1.dat``) to ONNX, without dlib.

The network is that of dlib's example ``dnn_face_recognition_ex.cpp``: a residual network of 29 convolutions for
150 x 150 pictures, each convolution followed by a scale and a shift per channel (``affine``), which are folded into
its filters here.
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
# Channels of a stage, the number of its residual blocks, and whether a halving block comes first.
_STAGES = ((32, 3, False), (64, 3, True), (128, 2, True), (256, 2, True), (256, 0, True))
# Trained weights are far smaller; larger ones mean that something else was read.
_LARGEST = 100.0


@dataclass(frozen=True, slots=True)
class Convolution:
    """Where a convolution stands in the file: channels in and out, and the side of its kernel."""

    given: int
    made: int
    kernel: int


def convert_dlib_resnet(source: Path, target: Path) -> None:
    """Reads dlib's file and writes the network as ONNX: ``input`` float32 [n,3,150,150] RGB 0 to 255 in,
    ``embedding`` float32 [n,128], not normalised, out. Raises ModelError when the parameters are not all found.
    """
    layers = read_layers(source.read_bytes())
    target.write_bytes(_build(layers))


def convolutions() -> tuple[Convolution, ...]:
    """All convolutions in the order in which the network runs them, which is that of the file."""
    found = [Convolution(3, 32, 7)]
    channels = 32
    for made, blocks, halves in _STAGES:
        if halves:
            found += [Convolution(channels, made, 3), Convolution(made, made, 3)]
            channels = made
        found += [Convolution(made, made, 3)] * (2 * blocks)
    return tuple(found)


def read_layers(data: bytes) -> list[Array]:
    """Filters [out,in,kh,kw] and biases [out] of each convolution in turn, then the last matrix [256,128]; float32."""
    plan = convolutions()
    sizes = []
    for layer in plan:
        sizes += [layer.given * layer.made * layer.kernel**2 + layer.made, 2 * layer.made]
    tensors = iter(list(_tensors(data, [*sizes, 256 * EMBEDDING_SIZE])))
    layers: list[Array] = []
    for layer in plan:
        parameters, affine = next(tensors), next(tensors)
        filters = parameters[: -layer.made].reshape(layer.made, layer.given, layer.kernel, layer.kernel)
        scale, shift = affine[: layer.made], affine[layer.made :]
        layers += [filters * scale[:, None, None, None], parameters[-layer.made :] * scale + shift]
    layers.append(next(tensors).reshape(256, EMBEDDING_SIZE))
    return layers


def _tensors(data: bytes, sizes: list[int]) -> Iterator[Array]:
    """The tensors with these numbers of elements, in order; what lies between them is passed over.

    dlib writes a tensor as the whole numbers version (2), samples, channels, rows and columns, and then its elements
    as little-endian float32 (dlib/cuda/tensor.h, serialize).
    """
    place = 0
    for wanted in sizes:
        while True:
            place = data.find(b'\x01\x02', place)
            if place < 0:
                raise ModelError(
                    'convert-damaged', f"dlib's file holds no tensor of {wanted} elements where one is due"
                )
            start, count = _read_header(data, place + 2)
            if count == wanted and start + 4 * wanted <= len(data):
                values = np.frombuffer(data, '<f4', wanted, start)
                if np.isfinite(values).all() and np.abs(values).max() < _LARGEST:
                    yield values
                    place = start + 4 * wanted
                    break
            place += 1


def _read_header(data: bytes, place: int) -> tuple[int, int]:
    """Where the elements start, and how many there are; zero elements when these are not four whole numbers."""
    count = 1
    for _ in range(4):
        if place >= len(data):
            return place, 0
        # A whole number is one byte, its length in the low bits and its sign in the highest, and then its bytes.
        control = data[place]
        length = control & 0x0F
        if control & 0xF0 or not 1 <= length <= 8:
            return place, 0
        count *= int.from_bytes(data[place + 1 : place + 1 + length], 'little')
        place += 1 + length
    return place, count


class _Network:
    """Builds the graph layer by layer from the parameters in file order."""

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
        """A block that keeps size and channels."""
        inner = self.convolution(self.convolution(value, 1, relu=True, pad=True), 1, relu=False, pad=True)
        return self.graph.node('Relu', [self.graph.node('Add', [inner, value])])

    def halving(self, value: str, size: int, given: int, made: int) -> tuple[str, int]:
        """A block that halves the size; dlib adds tensors of unequal shape as if the smaller had zeros."""
        inner = self.convolution(self.convolution(value, 2, relu=True, pad=False), 1, relu=False, pad=True)
        pooled = self.graph.node('AveragePool', [value], kernel_shape=[2, 2], strides=[2, 2])
        inner_size, pooled_size = (size - 3) // 2 + 1, size // 2
        if inner_size != pooled_size:
            missing = pooled_size - inner_size
            inner = self.graph.node('Pad', [inner, self.graph.whole(0, 0, 0, 0, 0, 0, missing, missing)])
        if given != made:
            pooled = self.graph.node('Pad', [pooled, self.graph.whole(0, 0, 0, 0, 0, made - given, 0, 0)])
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
    for made, blocks, halves in _STAGES:
        if halves:
            value, size = network.halving(value, size, channels, made)
            channels = made
        for _ in range(blocks):
            value = network.residual(value)
    value = graph.node('ReduceMean', [value, graph.whole(2, 3)], keepdims=0)
    value = graph.node('MatMul', [value, graph.weight(layers[-1])])
    graph.output('embedding', value, ['n', EMBEDDING_SIZE])
    return bytes(graph.model().SerializeToString(deterministic=True))
