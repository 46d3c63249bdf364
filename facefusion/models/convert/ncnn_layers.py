"""Rules that translate ncnn layers to ONNX.

A rule reads the values of its inputs, takes its weights, adds nodes and returns the value of its outputs. Only the
layers and parameters of the upscalers in the catalogue are supported; every layer keeps the size of the image or
multiplies it by a whole number. ncnn's pages "operators" and "operation-param-weight-table" define the layers.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

from facefusion.models.convert.ncnn_files import Layer, Weights, damaged
from facefusion.models.convert.onnx_graph import OnnxGraph, unsupported

INPUT_CHANNELS = 3
_LARGEST_SCALE = 16
_ELEMENTWISE = ('Add', 'Sub', 'Mul')
# Numbers of ncnn for the kind of an operation.
_LEAKY, _NEAREST, _SUM = 2, 1, 1


@dataclass(frozen=True, slots=True)
class Value:
    """A blob, by its name in the ONNX graph: [n, channels, scale * height, scale * width] of the input image.

    ``scale`` is 0 for a constant of the shape [channels, 1, 1].
    """

    name: str
    channels: int
    scale: int


@dataclass(frozen=True, slots=True)
class Network:
    """The ONNX graph under construction, and the weights that the next layers take."""

    graph: OnnxGraph
    weights: Weights


def translate_layer(network: Network, layer: Layer, inputs: Sequence[Value]) -> Value:
    """Add the nodes of a layer and return the value of all its outputs; raises ModelError when it is unsupported."""
    if layer.kind not in _RULES:
        raise unsupported(f'the layer {layer.kind} ({layer.name}) is unknown')
    rule = _RULES[layer.kind]
    unknown = set(layer.parameters) - rule.parameters
    if unknown:
        raise unsupported(f'the parameter {min(unknown)} of {layer.kind} ({layer.name}) is unknown')
    if not rule.least_inputs <= len(layer.inputs) <= rule.most_inputs or not layer.outputs:
        raise damaged(f'{layer.kind} ({layer.name}) has {len(layer.inputs)} inputs and {len(layer.outputs)} outputs')
    if len(layer.outputs) > 1 and layer.kind != 'Split':
        raise unsupported(f'{layer.kind} ({layer.name}) has several outputs')
    if layer.kind != 'BinaryOp' and any(value.scale == 0 for value in inputs):
        raise unsupported(f'{layer.kind} ({layer.name}) has a constant input')
    return rule.translate(network, layer, inputs)


def _input(network: Network, layer: Layer, inputs: Sequence[Value]) -> Value:
    return Value(network.graph.input('input', ['n', INPUT_CHANNELS, 'height', 'width']), INPUT_CHANNELS, 1)


def _memory_data(network: Network, layer: Layer, inputs: Sequence[Value]) -> Value:
    """Add a constant; the parameters are width, height and channels."""
    width, height, channels = layer.whole(0), layer.whole(1), layer.whole(2)
    if (width, height) != (1, 1) or channels == 0:
        raise unsupported(f'the constant {layer.name} is not one value per channel')
    values = network.weights.plain(channels).reshape(channels, 1, 1)
    return Value(network.graph.weight(values), channels, 0)


def _split(network: Network, layer: Layer, inputs: Sequence[Value]) -> Value:
    return inputs[0]


def _convolution(network: Network, layer: Layer, inputs: Sequence[Value]) -> Value:
    """Add a convolution with stride 1 that keeps the size of the image, with the activation that follows it.

    Parameters: 0 channels of the result, 1 side of the kernel, 4 padding, 5 whether there is a bias, 6 number of
    filter values, 9 activation, 10 its values. Filters are [out, in, kernel, kernel] like those of ONNX.
    """
    (value,), graph = inputs, network.graph
    channels, kernel, padding = layer.whole(0), layer.whole(1), layer.whole(4)
    if kernel != 2 * padding + 1:
        raise unsupported(f'the convolution {layer.name} changes the size of the image')
    size = channels * value.channels * kernel**2
    if size == 0 or layer.whole(6) != size:
        raise damaged(f'the convolution {layer.name} must have {size} filter values')
    filters = network.weights.tagged(size).reshape(channels, value.channels, kernel, kernel)
    names = [value.name, graph.weight(filters)]
    if layer.whole(5):
        names.append(graph.weight(network.weights.plain(channels)))
    name = graph.node('Conv', names, kernel_shape=[kernel, kernel], pads=[padding] * 4)
    activation = layer.whole(9)
    if activation == _LEAKY:
        name = graph.node('LeakyRelu', [name], alpha=layer.numbers(10, 1)[0])
    elif activation != 0:
        raise unsupported(f'the activation {activation} of {layer.name} is unknown')
    return Value(name, channels, value.scale)


def _prelu(network: Network, layer: Layer, inputs: Sequence[Value]) -> Value:
    """Multiply negative values by a factor per channel; parameter 0 is the number of factors."""
    (value,) = inputs
    if layer.whole(0) != value.channels:
        raise unsupported(f'{layer.name} does not have one factor per channel')
    slopes = network.weights.plain(value.channels).reshape(value.channels, 1, 1)
    name = network.graph.node('PRelu', [value.name, network.graph.weight(slopes)])
    return Value(name, value.channels, value.scale)


def _sigmoid(network: Network, layer: Layer, inputs: Sequence[Value]) -> Value:
    (value,) = inputs
    return Value(network.graph.node('Sigmoid', [value.name]), value.channels, value.scale)


def _swish(network: Network, layer: Layer, inputs: Sequence[Value]) -> Value:
    """Multiply the value by its sigmoid."""
    (value,) = inputs
    name = network.graph.node('Mul', [value.name, network.graph.node('Sigmoid', [value.name])])
    return Value(name, value.channels, value.scale)


def _binary_op(network: Network, layer: Layer, inputs: Sequence[Value]) -> Value:
    """Combine two inputs, or an input and a number; parameters: 0 operation, 1 whether there is a number, 2 it."""
    operation, has_number = layer.whole(0), layer.whole(1)
    if operation >= len(_ELEMENTWISE):
        raise unsupported(f'the operation {operation} of {layer.name} is unknown')
    if has_number != 2 - len(inputs):
        raise damaged(f'{layer.name} does not have two operands')
    names = [value.name for value in inputs]
    if has_number:
        names.append(network.graph.scalar(layer.number(2)))
    name = network.graph.node(_ELEMENTWISE[operation], names)
    return Value(name, inputs[0].channels, _common_scale(layer, inputs))


def _eltwise(network: Network, layer: Layer, inputs: Sequence[Value]) -> Value:
    """Add two inputs, each multiplied by a factor; parameters: 0 operation, 1 factors."""
    if layer.whole(0) != _SUM:
        raise unsupported(f'the operation {layer.whole(0)} of {layer.name} is unknown')
    names = []
    for value, factor in zip(inputs, layer.numbers(1, len(inputs)), strict=True):
        is_one = factor == 1
        names.append(value.name if is_one else network.graph.node('Mul', [value.name, network.graph.scalar(factor)]))
    return Value(network.graph.node('Add', names), inputs[0].channels, _common_scale(layer, inputs))


def _concat(network: Network, layer: Layer, inputs: Sequence[Value]) -> Value:
    """Join the channels of all inputs."""
    name = network.graph.node('Concat', [value.name for value in inputs], axis=1)
    if len({value.scale for value in inputs}) > 1:
        raise damaged(f'the inputs of {layer.name} have different sizes')
    return Value(name, sum(value.channels for value in inputs), inputs[0].scale)


def _interp(network: Network, layer: Layer, inputs: Sequence[Value]) -> Value:
    """Repeat pixels; parameters: 0 kind of interpolation, 1 and 2 factors of height and width."""
    (value,) = inputs
    factor = layer.number(1)
    if layer.whole(0) != _NEAREST or factor != layer.number(2) or factor not in range(1, _LARGEST_SCALE + 1):
        raise unsupported(f'{layer.name} does not repeat each pixel a whole number of times')
    sizes = network.graph.floats(1, 1, factor, factor)
    mode = {'mode': 'nearest', 'nearest_mode': 'floor', 'coordinate_transformation_mode': 'asymmetric'}
    name = network.graph.node('Resize', [value.name, '', sizes], **mode)
    return Value(name, value.channels, _checked_scale(layer, value.scale * int(factor)))


def _pixel_shuffle(network: Network, layer: Layer, inputs: Sequence[Value]) -> Value:
    """Turn factor² channels into a square of pixels; parameter 0 is the factor."""
    (value,), factor = inputs, layer.whole(0)
    if factor == 0 or value.channels % factor**2:
        raise damaged(f'{layer.name} cannot distribute {value.channels} channels with the factor {factor}')
    name = network.graph.node('DepthToSpace', [value.name], blocksize=factor, mode='CRD')
    return Value(name, value.channels // factor**2, _checked_scale(layer, value.scale * factor))


def _common_scale(layer: Layer, inputs: Sequence[Value]) -> int:
    """Return the scale of inputs that are combined element by element; a constant has the scale of the others."""
    scales = {value.scale for value in inputs if value.scale}
    if len(scales) > 1 or len({value.channels for value in inputs}) > 1:
        raise damaged(f'the inputs of {layer.name} have different sizes')
    if not scales:
        raise unsupported(f'all inputs of {layer.name} are constant')
    return scales.pop()


def _checked_scale(layer: Layer, scale: int) -> int:
    if scale > _LARGEST_SCALE:
        raise unsupported(f'{layer.name} enlarges the image to more than {_LARGEST_SCALE} times its size')
    return scale


@dataclass(frozen=True, slots=True)
class _Rule:
    """The translation of a kind of layer, the number of its inputs, and the parameters that it reads."""

    translate: Callable[[Network, Layer, Sequence[Value]], Value]
    least_inputs: int = 1
    most_inputs: int = 1
    parameters: frozenset[int] = frozenset()


_RULES: Mapping[str, _Rule] = MappingProxyType(
    {
        'BinaryOp': _Rule(_binary_op, 1, 2, frozenset((0, 1, 2))),
        'Concat': _Rule(_concat, 2, 64),
        'Convolution': _Rule(_convolution, parameters=frozenset((0, 1, 4, 5, 6, 9, 10))),
        'Eltwise': _Rule(_eltwise, 2, 2, frozenset((0, 1))),
        'Input': _Rule(_input, 0, 0),
        'Interp': _Rule(_interp, parameters=frozenset((0, 1, 2))),
        'MemoryData': _Rule(_memory_data, 0, 0, frozenset((0, 1, 2))),
        'PReLU': _Rule(_prelu, parameters=frozenset((0,))),
        'PixelShuffle': _Rule(_pixel_shuffle, parameters=frozenset((0,))),
        'Sigmoid': _Rule(_sigmoid),
        'Split': _Rule(_split),
        'Swish': _Rule(_swish),
    }
)
