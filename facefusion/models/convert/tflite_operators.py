"""Rules that translate TFLite operators to ONNX.

A rule reads its inputs from the translation, adds nodes and defines its outputs. The batch size of the
ONNX graph is free, so a rule must not write the first size of a shape into the graph.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping
from functools import partial
from types import MappingProxyType
from typing import Any

import numpy as np
import tflite

from facefusion.models.convert.onnx_graph import OnnxGraph, unsupported
from facefusion.models.convert.tflite_graph import Operator, TfliteGraph

_TO_FIRST = (0, 3, 1, 2)
_TO_LAST = (0, 2, 3, 1)
_END = 2**31 - 1

Plane = tuple[int, int]


class Translation:
    """The values that are already in the ONNX graph, by the index of their TFLite tensor."""

    def __init__(self, source: TfliteGraph, graph: OnnxGraph) -> None:
        self.source = source
        self.graph = graph
        self._names: dict[int, str] = {}

    def rank(self, index: int) -> int:
        """Return the number of dimensions of a tensor."""
        return len(self.source.shape(index))

    def plane(self, index: int) -> Plane:
        """Return the height and width of a tensor [n,h,w,c]."""
        _, height, width, *_ = self.source.shape(index)
        return height, width

    def value(self, index: int, *, channels_last: bool = False) -> str:
        """Return the ONNX name of an activation; a four-dimensional activation is NCHW unless ``channels_last``."""
        if index not in self._names:
            raise unsupported(f'{self.source.name(index)} is used before it is computed')
        name = self._names[index]
        if channels_last and self.rank(index) == 4:
            return self.graph.node('Transpose', [name], perm=_TO_LAST)
        return name

    def define(self, operator: Operator, name: str, *, channels_last: bool = False) -> None:
        """Make ``name`` the output of an operator."""
        self.define_tensor(operator.outputs[0], name, channels_last=channels_last)

    def define_tensor(self, index: int, name: str, *, channels_last: bool = False) -> None:
        """Make ``name`` the value of a tensor."""
        if channels_last and self.rank(index) == 4:
            name = self.graph.node('Transpose', [name], perm=_TO_FIRST)
        self._names[index] = name

    def add_elementwise(self, operator: Operator, kind: str, activation: int = 0) -> None:
        """Add an element-wise operator, with its inputs laid out so that ONNX broadcasts them as TFLite does."""
        constants = [self.source.constant(index) for index in operator.inputs]
        is_first = self.rank(operator.outputs[0]) == 4 and all(
            constant is not None or self.rank(index) == 4
            for index, constant in zip(operator.inputs, constants, strict=True)
        )
        names = []
        for index, constant in zip(operator.inputs, constants, strict=True):
            if constant is None:
                names.append(self.value(index, channels_last=not is_first))
            elif is_first:
                # TFLite aligns shapes at their last axis, which is the channel axis.
                aligned = constant.reshape((1,) * (4 - constant.ndim) + constant.shape)
                names.append(self.graph.weight(aligned.transpose(_TO_FIRST)))
            else:
                names.append(self.graph.weight(constant))
        name = self.activated(self.graph.node(kind, names), activation)
        self.define(operator, name, channels_last=not is_first)

    def activated(self, name: str, code: int) -> str:
        """Apply the activation function that is fused into an operator, and return the name of the result."""
        kinds = tflite.ActivationFunctionType
        if code == kinds.NONE:
            return name
        if code == kinds.RELU:
            return self.graph.node('Relu', [name])
        if code == kinds.RELU6:
            return self.graph.node('Clip', [name, self.graph.scalar(0), self.graph.scalar(6)])
        raise unsupported(f'the fused activation {code} is unknown')

    def bias(self, operator: Operator, position: int) -> list[str]:
        """Return the bias at this position of the inputs, or an empty list when it is omitted."""
        if len(operator.inputs) <= position or operator.inputs[position] < 0:
            return []
        return [self.graph.weight(self.source.required_constant(operator.inputs[position]))]


Rule = Callable[[Translation, Operator], None]


def _pads(padding: int, size: Plane, kernel: Plane, stride: Plane, dilation: Plane = (1, 1)) -> list[int]:
    """Return TFLite's padding as ONNX pads (top, left, bottom, right)."""
    if padding == tflite.Padding.VALID:
        return [0, 0, 0, 0]
    totals = []
    for axis in range(2):
        reach = (kernel[axis] - 1) * dilation[axis] + 1
        steps = -(-size[axis] // stride[axis])
        totals.append(max((steps - 1) * stride[axis] + reach - size[axis], 0))
    return _on_both_sides(totals)


def _on_both_sides(totals: list[int]) -> list[int]:
    """Split the padding of both axes; the odd row or column goes to the end."""
    starts = [total // 2 for total in totals]
    return starts + [total - start for total, start in zip(totals, starts, strict=True)]


def _convolution(translation: Translation, operator: Operator, *, depthwise: bool) -> None:
    source, graph = translation.source, translation.graph
    options = operator.options(tflite.DepthwiseConv2DOptions if depthwise else tflite.Conv2DOptions)
    filters = source.required_constant(operator.inputs[1])
    kernel = filters.shape[1:3]
    # Filters are [1, kh, kw, out] when depthwise and [out, kh, kw, in] otherwise; ONNX expects [out, in, kh, kw].
    turned = filters.transpose(3, 0, 1, 2) if depthwise else filters.transpose(0, 3, 1, 2)
    stride = (options.StrideH(), options.StrideW())
    dilation = (options.DilationHFactor(), options.DilationWFactor())
    inputs = [translation.value(operator.inputs[0]), graph.weight(turned), *translation.bias(operator, 2)]
    name = graph.node(
        'Conv',
        inputs,
        kernel_shape=kernel,
        strides=stride,
        dilations=dilation,
        group=source.shape(operator.inputs[0])[3] if depthwise else 1,
        pads=_pads(options.Padding(), translation.plane(operator.inputs[0]), kernel, stride, dilation),
    )
    translation.define(operator, translation.activated(name, options.FusedActivationFunction()))


def _transpose_conv(translation: Translation, operator: Operator) -> None:
    """Translate a transposed convolution.

    The inputs of TFLite's operator are the output shape, filters, value and bias; those of MediaPipe's operator are
    value, filters and bias.
    """
    graph = translation.graph
    filters = translation.source.required_constant(operator.inputs[1])
    if operator.kind == 'TRANSPOSE_CONV':
        value, bias = operator.inputs[2], translation.bias(operator, 3)
        options = operator.options(tflite.TransposeConvOptions)
        stride = (options.StrideH(), options.StrideW())
    else:
        value, bias = operator.inputs[0], translation.bias(operator, 2)
        # TfLiteTransposeConvParams: padding, stride width, stride height.
        _, width, height = struct.unpack('<3i', operator.custom_options()[:12])
        stride = (height, width)
    kernel = filters.shape[1:3]
    size, result = translation.plane(value), translation.plane(operator.outputs[0])
    surplus = [(size[axis] - 1) * stride[axis] + kernel[axis] - result[axis] for axis in range(2)]
    name = graph.node(
        'ConvTranspose',
        [translation.value(value), graph.weight(filters.transpose(3, 0, 1, 2)), *bias],
        kernel_shape=kernel,
        strides=stride,
        pads=_on_both_sides([max(total, 0) for total in surplus]),
        output_padding=[max(-total, 0) for total in surplus],
    )
    translation.define(operator, name)


def _pool(translation: Translation, operator: Operator, *, kind: str) -> None:
    options = operator.options(tflite.Pool2DOptions)
    kernel, stride = (options.FilterHeight(), options.FilterWidth()), (options.StrideH(), options.StrideW())
    name = translation.graph.node(
        kind,
        [translation.value(operator.inputs[0])],
        kernel_shape=kernel,
        strides=stride,
        pads=_pads(options.Padding(), translation.plane(operator.inputs[0]), kernel, stride),
    )
    translation.define(operator, translation.activated(name, options.FusedActivationFunction()))


def _unary(translation: Translation, operator: Operator, *, kind: str) -> None:
    translation.define(operator, translation.graph.node(kind, [translation.value(operator.inputs[0])]))


def _relu6(translation: Translation, operator: Operator) -> None:
    value = translation.value(operator.inputs[0])
    translation.define(operator, translation.activated(value, tflite.ActivationFunctionType.RELU6))


def _binary(translation: Translation, operator: Operator, *, kind: str, options: type[Any]) -> None:
    translation.add_elementwise(operator, kind, operator.options(options).FusedActivationFunction())


def _prelu(translation: Translation, operator: Operator) -> None:
    slopes = translation.source.required_constant(operator.inputs[1])
    shape = translation.source.shape(operator.inputs[0])
    if len(shape) != 4 or slopes.size != slopes.shape[-1] or slopes.size != shape[-1]:
        translation.add_elementwise(operator, 'PRelu')
        return
    value = translation.value(operator.inputs[0])
    translation.define(operator, translation.graph.leaky(value, slopes.reshape(-1)))


def _pad(translation: Translation, operator: Operator) -> None:
    pads = translation.source.required_constant(operator.inputs[1])
    if len(pads) == 4:
        pads = pads[list(_TO_FIRST)]
    amounts = translation.graph.whole(*pads[:, 0].tolist(), *pads[:, 1].tolist())
    translation.define(operator, translation.graph.node('Pad', [translation.value(operator.inputs[0]), amounts]))


def _mean(translation: Translation, operator: Operator) -> None:
    axes = [int(axis) for axis in translation.source.required_constant(operator.inputs[1]).ravel()]
    keep = int(bool(operator.options(tflite.ReducerOptions).KeepDims()))
    value = translation.value(operator.inputs[0], channels_last=True)
    name = translation.graph.node('ReduceMean', [value, translation.graph.whole(*axes)], keepdims=keep)
    translation.define(operator, name, channels_last=True)


def _reshape(translation: Translation, operator: Operator) -> None:
    _define_reshaped(translation, operator, translation.value(operator.inputs[0], channels_last=True))


def _define_reshaped(translation: Translation, operator: Operator, value: str) -> None:
    shape = translation.source.shape(operator.outputs[0])
    if not shape or shape[0] != 1:
        raise unsupported(f'{operator.kind} changes the batch')
    name = translation.graph.node('Reshape', [value, translation.graph.whole(-1, *shape[1:])])
    translation.define(operator, name, channels_last=True)


def _concatenation(translation: Translation, operator: Operator) -> None:
    rank = translation.rank(operator.outputs[0])
    axis = operator.options(tflite.ConcatenationOptions).Axis() % rank
    name = translation.graph.node(
        'Concat',
        [translation.value(index) for index in operator.inputs],
        axis=_TO_FIRST.index(axis) if rank == 4 else axis,
    )
    translation.define(operator, name)


def _resize_bilinear(translation: Translation, operator: Operator) -> None:
    options = operator.options(tflite.ResizeBilinearOptions)
    mode = 'half_pixel' if options.HalfPixelCenters() else 'asymmetric'
    sizes = zip(translation.plane(operator.inputs[0]), translation.plane(operator.outputs[0]), strict=True)
    # Use scales, because sizes would contain the batch size. If sizes are given for selected axes only, ONNX Runtime
    # 1.32 fails when it moves a Transpose across the node.
    scales = np.array([1, 1, *(_scale(size, result) for size, result in sizes)], np.float32)
    name = translation.graph.node(
        'Resize',
        [translation.value(operator.inputs[0]), '', translation.graph.weight(scales)],
        mode='linear',
        coordinate_transformation_mode='align_corners' if options.AlignCorners() else mode,
    )
    translation.define(operator, name)


def _scale(size: int, result: int) -> np.float32:
    """Return the smallest float32 scale for which ``floor(size * scale)``, the size in ONNX, is ``result``.

    The product is compared exactly, because checker and runtime multiply in different precisions.
    """
    scale = np.float32(result / size)
    while size * float(scale) < result:
        scale = np.nextafter(scale, np.float32(np.inf))
    return scale


def _depth_to_space(translation: Translation, operator: Operator) -> None:
    size = operator.options(tflite.DepthToSpaceOptions).BlockSize()
    value = translation.value(operator.inputs[0])
    translation.define(operator, translation.graph.node('DepthToSpace', [value], blocksize=size, mode='DCR'))


def _strided_slice(translation: Translation, operator: Operator) -> None:
    begin, end, step = (translation.source.required_constant(index).tolist() for index in operator.inputs[1:4])
    options = operator.options(tflite.StridedSliceOptions)
    for axis in range(len(begin)):
        if axis == 0 or options.BeginMask() >> axis & 1:
            begin[axis] = 0
        if axis == 0 or options.EndMask() >> axis & 1:
            end[axis] = _END
    graph = translation.graph
    bounds = [graph.whole(*begin), graph.whole(*end), graph.whole(*range(len(begin))), graph.whole(*step)]
    value = translation.value(operator.inputs[0], channels_last=True)
    _define_reshaped(translation, operator, graph.node('Slice', [value, *bounds]))


def _dequantize(translation: Translation, operator: Operator) -> None:
    # Half-precision weights stay unchanged, because the ONNX graph widens them.
    values = translation.source.required_constant(operator.inputs[0])
    if values.dtype not in (np.float16, np.float32):
        raise unsupported('DEQUANTIZE of integers is not supported')
    translation.source.fold(operator.outputs[0], values)


def _densify(translation: Translation, operator: Operator) -> None:
    translation.source.fold(operator.outputs[0], translation.source.densify(operator.inputs[0]))


OPERATORS: Mapping[str, Rule] = MappingProxyType(
    {
        'ADD': partial(_binary, kind='Add', options=tflite.AddOptions),
        'AVERAGE_POOL_2D': partial(_pool, kind='AveragePool'),
        'CONCATENATION': _concatenation,
        'CONV_2D': partial(_convolution, depthwise=False),
        'Convolution2DTransposeBias': _transpose_conv,
        'DENSIFY': _densify,
        'DEPTHWISE_CONV_2D': partial(_convolution, depthwise=True),
        'DEPTH_TO_SPACE': _depth_to_space,
        'DEQUANTIZE': _dequantize,
        'HARD_SWISH': partial(_unary, kind='HardSwish'),
        'LOGISTIC': partial(_unary, kind='Sigmoid'),
        'MAX_POOL_2D': partial(_pool, kind='MaxPool'),
        'MEAN': _mean,
        'MUL': partial(_binary, kind='Mul', options=tflite.MulOptions),
        'PAD': _pad,
        'PRELU': _prelu,
        'RELU': partial(_unary, kind='Relu'),
        'RELU6': _relu6,
        'RESHAPE': _reshape,
        'RESIZE_BILINEAR': _resize_bilinear,
        'STRIDED_SLICE': _strided_slice,
        'TRANSPOSE_CONV': _transpose_conv,
    }
)
