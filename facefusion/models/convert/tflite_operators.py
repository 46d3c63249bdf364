"""What each TFLite operator is in ONNX.

A rule reads its inputs from the translation, adds nodes and defines its outputs. The batch is free in the result, so
no rule may write the first size of a shape into the graph.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping
from types import MappingProxyType

import numpy as np
import tflite

from facefusion.models.convert.onnx_graph import OnnxGraph
from facefusion.models.convert.tflite_graph import Array, Operator, TfliteGraph, unsupported

_VALID = tflite.Padding.VALID
_TO_FIRST = (0, 3, 1, 2)
_TO_LAST = (0, 2, 3, 1)
_END = 2**31 - 1


class Translation:
    """The values that are already in the ONNX graph, by the index of their TFLite tensor."""

    def __init__(self, source: TfliteGraph, graph: OnnxGraph) -> None:
        self.source = source
        self.graph = graph
        self._names: dict[int, str] = {}

    def rank(self, index: int) -> int:
        """The number of dimensions of a tensor."""
        return len(self.source.shape(index))

    def value(self, index: int, *, channels_last: bool = False) -> str:
        """The ONNX name of an activation; one of four dimensions is NCHW unless ``channels_last``."""
        if index not in self._names:
            raise unsupported(f'{self.source.name(index)} is used before it is computed')
        name = self._names[index]
        if channels_last and self.rank(index) == 4:
            return self.graph.node('Transpose', [name], perm=_TO_LAST)
        return name

    def operands(self, operator: Operator) -> list[str]:
        """The inputs of an element-wise operator, so laid out that ONNX broadcasts them as TFLite does."""
        rank = self.rank(operator.outputs[0])
        first = rank == 4 and all(
            self.source.constant(index) is not None or self.rank(index) == 4 for index in operator.inputs
        )
        names = []
        for index in operator.inputs:
            constant = self.source.constant(index)
            if constant is None:
                names.append(self.value(index, channels_last=not first))
            elif first:
                # TFLite aligns shapes at their end, which is where its channels are.
                aligned = constant.reshape((1,) * (4 - constant.ndim) + constant.shape)
                names.append(self.graph.weight(aligned.transpose(_TO_FIRST)))
            else:
                names.append(self.graph.weight(constant))
        return names

    def define(self, index: int, name: str, *, channels_last: bool = False) -> None:
        """Makes ``name`` the value of a tensor."""
        if channels_last and self.rank(index) == 4:
            name = self.graph.node('Transpose', [name], perm=_TO_FIRST)
        self._names[index] = name

    def define_elementwise(self, operator: Operator, name: str) -> None:
        """Defines the output of an operator whose inputs came from ``operands``."""
        first = all(self.source.constant(index) is not None or self.rank(index) == 4 for index in operator.inputs)
        self.define(operator.outputs[0], name, channels_last=not first)

    def activated(self, name: str, code: int) -> str:
        """``name`` after the activation function that is fused into an operator."""
        kinds = tflite.ActivationFunctionType
        if code == kinds.NONE:
            return name
        if code == kinds.RELU:
            return self.graph.node('Relu', [name])
        if code == kinds.RELU6:
            return self.graph.node('Clip', [name, self.graph.scalar(0), self.graph.scalar(6)])
        raise unsupported(f'the fused activation {code} is not known')


Rule = Callable[[Translation, Operator], None]


def same_pads(
    size: tuple[int, int], kernel: tuple[int, int], stride: tuple[int, int], dilation: tuple[int, int]
) -> list[int]:
    """TFLite's SAME padding as ONNX pads (top, left, bottom, right): the odd row or column goes to the end."""
    total = []
    for axis in range(2):
        reach = (kernel[axis] - 1) * dilation[axis] + 1
        steps = -(-size[axis] // stride[axis])
        total.append(max((steps - 1) * stride[axis] + reach - size[axis], 0))
    return [total[0] // 2, total[1] // 2, total[0] - total[0] // 2, total[1] - total[1] // 2]


def _plane(shape: tuple[int, ...]) -> tuple[int, int]:
    return shape[1], shape[2]


def _convolution(translation: Translation, operator: Operator, *, depthwise: bool) -> None:
    source, graph = translation.source, translation.graph
    options = operator.options(tflite.DepthwiseConv2DOptions if depthwise else tflite.Conv2DOptions)
    shape = source.shape(operator.inputs[0])
    filters = source.required_constant(operator.inputs[1])
    kernel = _plane(filters.shape)
    # Filters are [1, kh, kw, out] when depthwise and [out, kh, kw, in] otherwise; ONNX wants [out, in, kh, kw].
    turned = filters.transpose(3, 0, 1, 2) if depthwise else filters.transpose(0, 3, 1, 2)
    stride = (options.StrideH(), options.StrideW())
    dilation = (options.DilationHFactor(), options.DilationWFactor())
    valid = options.Padding() == _VALID
    inputs = [translation.value(operator.inputs[0]), graph.weight(turned), *_bias(translation, operator, 2)]
    name = graph.node(
        'Conv',
        inputs,
        kernel_shape=kernel,
        strides=stride,
        dilations=dilation,
        group=shape[3] if depthwise else 1,
        pads=[0, 0, 0, 0] if valid else same_pads(_plane(shape), kernel, stride, dilation),
    )
    translation.define(operator.outputs[0], translation.activated(name, options.FusedActivationFunction()))


def _bias(translation: Translation, operator: Operator, position: int) -> list[str]:
    if len(operator.inputs) <= position or operator.inputs[position] < 0:
        return []
    return [translation.graph.weight(translation.source.required_constant(operator.inputs[position]))]


def _conv_2d(translation: Translation, operator: Operator) -> None:
    _convolution(translation, operator, depthwise=False)


def _depthwise_conv_2d(translation: Translation, operator: Operator) -> None:
    _convolution(translation, operator, depthwise=True)


def _transposed(translation: Translation, operator: Operator, filters: Array, value: int, bias: list[str]) -> None:
    source, graph = translation.source, translation.graph
    options = operator.options(tflite.TransposeConvOptions) if operator.kind == 'TRANSPOSE_CONV' else None
    if options is not None:
        stride = (options.StrideH(), options.StrideW())
    else:
        # TfLiteTransposeConvParams of the MediaPipe operator: padding, stride width, stride height.
        _, width, height = struct.unpack('<3i', operator.custom_options()[:12])
        stride = (height, width)
    kernel = _plane(filters.shape)
    given, wanted = _plane(source.shape(value)), _plane(source.shape(operator.outputs[0]))
    surplus = [(given[axis] - 1) * stride[axis] + kernel[axis] - wanted[axis] for axis in range(2)]
    pads = [max(total, 0) for total in surplus]
    name = graph.node(
        'ConvTranspose',
        [translation.value(value), graph.weight(filters.transpose(3, 0, 1, 2)), *bias],
        kernel_shape=kernel,
        strides=stride,
        pads=[pads[0] // 2, pads[1] // 2, pads[0] - pads[0] // 2, pads[1] - pads[1] // 2],
        output_padding=[max(-total, 0) for total in surplus],
    )
    translation.define(operator.outputs[0], name)


def _transpose_conv(translation: Translation, operator: Operator) -> None:
    filters = translation.source.required_constant(operator.inputs[1])
    _transposed(translation, operator, filters, operator.inputs[2], _bias(translation, operator, 3))


def _transpose_conv_bias(translation: Translation, operator: Operator) -> None:
    filters = translation.source.required_constant(operator.inputs[1])
    _transposed(translation, operator, filters, operator.inputs[0], _bias(translation, operator, 2))


def _pool(translation: Translation, operator: Operator, kind: str) -> None:
    options = operator.options(tflite.Pool2DOptions)
    kernel, stride = (options.FilterHeight(), options.FilterWidth()), (options.StrideH(), options.StrideW())
    size = _plane(translation.source.shape(operator.inputs[0]))
    name = translation.graph.node(
        kind,
        [translation.value(operator.inputs[0])],
        kernel_shape=kernel,
        strides=stride,
        pads=[0, 0, 0, 0] if options.Padding() == _VALID else same_pads(size, kernel, stride, (1, 1)),
    )
    translation.define(operator.outputs[0], translation.activated(name, options.FusedActivationFunction()))


def _max_pool(translation: Translation, operator: Operator) -> None:
    _pool(translation, operator, 'MaxPool')


def _average_pool(translation: Translation, operator: Operator) -> None:
    _pool(translation, operator, 'AveragePool')


def _simple(kind: str) -> Rule:
    def rule(translation: Translation, operator: Operator) -> None:
        translation.define(operator.outputs[0], translation.graph.node(kind, [translation.value(operator.inputs[0])]))

    return rule


def _relu6(translation: Translation, operator: Operator) -> None:
    value = translation.value(operator.inputs[0])
    translation.define(operator.outputs[0], translation.activated(value, tflite.ActivationFunctionType.RELU6))


def _prelu(translation: Translation, operator: Operator) -> None:
    translation.define_elementwise(operator, translation.graph.node('PRelu', translation.operands(operator)))


def _add(translation: Translation, operator: Operator) -> None:
    code = operator.options(tflite.AddOptions).FusedActivationFunction()
    name = translation.graph.node('Add', translation.operands(operator))
    translation.define_elementwise(operator, translation.activated(name, code))


def _mul(translation: Translation, operator: Operator) -> None:
    code = operator.options(tflite.MulOptions).FusedActivationFunction()
    name = translation.graph.node('Mul', translation.operands(operator))
    translation.define_elementwise(operator, translation.activated(name, code))


def _pad(translation: Translation, operator: Operator) -> None:
    pads = translation.source.required_constant(operator.inputs[1])
    if len(pads) == 4:
        pads = pads[list(_TO_FIRST)]
    amounts = translation.graph.whole(*pads[:, 0].tolist(), *pads[:, 1].tolist())
    name = translation.graph.node('Pad', [translation.value(operator.inputs[0]), amounts])
    translation.define(operator.outputs[0], name)


def _mean(translation: Translation, operator: Operator) -> None:
    axes = [int(axis) for axis in translation.source.required_constant(operator.inputs[1]).ravel()]
    keep = int(bool(operator.options(tflite.ReducerOptions).KeepDims()))
    value = translation.value(operator.inputs[0], channels_last=True)
    name = translation.graph.node('ReduceMean', [value, translation.graph.whole(*axes)], keepdims=keep)
    translation.define(operator.outputs[0], name, channels_last=True)


def _reshape(translation: Translation, operator: Operator) -> None:
    value = translation.value(operator.inputs[0], channels_last=True)
    _define_reshaped(translation, operator, value)


def _define_reshaped(translation: Translation, operator: Operator, value: str) -> None:
    shape = translation.source.shape(operator.outputs[0])
    if not shape or shape[0] != 1:
        raise unsupported(f'{operator.kind} changes the batch')
    name = translation.graph.node('Reshape', [value, translation.graph.whole(-1, *shape[1:])])
    translation.define(operator.outputs[0], name, channels_last=True)


def _concatenation(translation: Translation, operator: Operator) -> None:
    rank = translation.rank(operator.outputs[0])
    axis = operator.options(tflite.ConcatenationOptions).Axis() % rank
    name = translation.graph.node(
        'Concat',
        [translation.value(index) for index in operator.inputs],
        axis=_TO_FIRST.index(axis) if rank == 4 else axis,
    )
    translation.define(operator.outputs[0], name)


def _resize_bilinear(translation: Translation, operator: Operator) -> None:
    options = operator.options(tflite.ResizeBilinearOptions)
    mode = 'half_pixel' if options.HalfPixelCenters() else 'asymmetric'
    given = _plane(translation.source.shape(operator.inputs[0]))
    wanted = _plane(translation.source.shape(operator.outputs[0]))
    # Scales and not sizes: sizes would hold the batch, and ONNX Runtime 1.32 fails on sizes of chosen axes when it
    # moves a Transpose over the node.
    scales = np.array([1, 1, *(_scale(given[axis], wanted[axis]) for axis in range(2))], np.float32)
    name = translation.graph.node(
        'Resize',
        [translation.value(operator.inputs[0]), '', translation.graph.weight(scales)],
        mode='linear',
        coordinate_transformation_mode='align_corners' if options.AlignCorners() else mode,
    )
    translation.define(operator.outputs[0], name)


def _scale(given: int, wanted: int) -> np.float32:
    """The least float32 scale for which ``floor(given * scale)``, the size that ONNX computes, is ``wanted``.

    The exact product counts: checker and runtime multiply in different precision.
    """
    scale = np.float32(wanted / given)
    while given * float(scale) < wanted:
        scale = np.nextafter(scale, np.float32(np.inf))
    return scale


def _depth_to_space(translation: Translation, operator: Operator) -> None:
    size = operator.options(tflite.DepthToSpaceOptions).BlockSize()
    value = translation.value(operator.inputs[0])
    name = translation.graph.node('DepthToSpace', [value], blocksize=size, mode='DCR')
    translation.define(operator.outputs[0], name)


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
    # Only widens half-precision weights: they stay as they are and are widened in the ONNX graph.
    values = translation.source.required_constant(operator.inputs[0])
    if values.dtype not in (np.float16, np.float32):
        raise unsupported('DEQUANTIZE of whole numbers')
    translation.source.fold(operator.outputs[0], values)


def _densify(translation: Translation, operator: Operator) -> None:
    translation.source.fold(operator.outputs[0], translation.source.densify(operator.inputs[0]))


OPERATORS: Mapping[str, Rule] = MappingProxyType(
    {
        'ADD': _add,
        'AVERAGE_POOL_2D': _average_pool,
        'CONCATENATION': _concatenation,
        'CONV_2D': _conv_2d,
        'Convolution2DTransposeBias': _transpose_conv_bias,
        'DENSIFY': _densify,
        'DEPTHWISE_CONV_2D': _depthwise_conv_2d,
        'DEPTH_TO_SPACE': _depth_to_space,
        'DEQUANTIZE': _dequantize,
        'HARD_SWISH': _simple('HardSwish'),
        'LOGISTIC': _simple('Sigmoid'),
        'MAX_POOL_2D': _max_pool,
        'MEAN': _mean,
        'MUL': _mul,
        'PAD': _pad,
        'PRELU': _prelu,
        'RELU': _simple('Relu'),
        'RELU6': _relu6,
        'RESHAPE': _reshape,
        'RESIZE_BILINEAR': _resize_bilinear,
        'STRIDED_SLICE': _strided_slice,
        'TRANSPOSE_CONV': _transpose_conv,
    }
)
