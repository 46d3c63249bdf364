"""Tests that compare every operator of the converter with plain NumPy on generated TFLite files."""

from __future__ import annotations

import struct

import numpy as np
import onnxruntime
import pytest
import tflite
from tflite_builder import TfliteFile

from facefusion.errors import ModelError
from facefusion.models.convert.tflite import translate

RELU6 = tflite.ActivationFunctionType.RELU6
SAME, VALID = tflite.Padding.SAME, tflite.Padding.VALID


def values(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def run(file, result, *pictures):
    """Run the converted file (input tensor 0) on a batch of two different images, and return the result."""
    session = onnxruntime.InferenceSession(translate(file.data([0], [result])), providers=['CPUExecutionProvider'])
    return session.run(None, {'x': np.concatenate(pictures)})[0]


def check(file, result, reference, shape, *, tolerance=1e-5):
    first, second = values(1, *shape, seed=1), values(1, *shape, seed=2)
    expected = np.concatenate([reference(first), reference(second)])
    np.testing.assert_allclose(run(file, result, first, second), expected, rtol=0, atol=tolerance)


def padded(x, kernel, stride, padding, fill, dilation=1):
    if padding == VALID:
        return x
    amounts = [(0, 0)]
    for axis in (1, 2):
        reach = (kernel - 1) * dilation + 1
        total = max((-(-x.shape[axis] // stride) - 1) * stride + reach - x.shape[axis], 0)
        amounts.append((total // 2, total - total // 2))
    return np.pad(x, [*amounts, (0, 0)], constant_values=fill)


def windows(x, kernel, stride, dilation=1):
    reach = (kernel - 1) * dilation + 1
    rows, columns = ((x.shape[axis] - reach) // stride + 1 for axis in (1, 2))
    for row in range(rows):
        for column in range(columns):
            top, left = row * stride, column * stride
            yield row, column, x[0, top : top + reach : dilation, left : left + reach : dilation]


def convolved(x, filters, bias, stride, padding, dilation=1):
    """Return ``x`` (NHWC) convolved with ``filters`` [out, kh, kw, in]."""
    x = padded(x, filters.shape[1], stride, padding, 0, dilation)
    found = {
        (row, column): np.einsum('okli,kli->o', filters, part) + bias
        for row, column, part in windows(x, filters.shape[1], stride, dilation)
    }
    height, width = (max(place[axis] for place in found) + 1 for axis in (0, 1))
    out = np.zeros((1, height, width, len(bias)), np.float32)
    for (row, column), value in found.items():
        out[0, row, column] = value
    return out


def conv_options(kind, stride, padding, dilation=1, activation=0, **more):
    return kind, {
        'Padding': padding,
        'StrideH': stride,
        'StrideW': stride,
        'DilationHFactor': dilation,
        'DilationWFactor': dilation,
        'FusedActivationFunction': activation,
        **more,
    }


@pytest.mark.parametrize(
    'stride,padding,dilation,size',
    [(1, SAME, 1, 5), (2, SAME, 1, 6), (2, SAME, 1, 5), (2, VALID, 1, 6), (1, SAME, 2, 7)],
)
def test_convolution(stride, padding, dilation, size):
    filters, bias = values(4, 3, 3, 2), values(4, seed=3)

    def reference(x):
        return np.clip(convolved(x, filters, bias, stride, padding, dilation), 0, 6)

    shape = reference(np.zeros((1, size, size, 2), np.float32)).shape
    file = TfliteFile()
    x, w, b, y = (
        file.tensor('x', (1, size, size, 2)),
        file.constant('w', filters),
        file.constant('b', bias),
        file.tensor('y', shape),
    )
    file.operator('CONV_2D', [x, w, b], [y], conv_options('Conv2DOptions', stride, padding, dilation, RELU6))
    check(file, y, reference, (size, size, 2))


def test_depthwise_convolution_with_half_weights_and_a_multiplier():
    filters = values(1, 3, 3, 4).astype(np.float16)
    bias = values(4, seed=3)
    wide = filters.astype(np.float32)

    def reference(x):
        parts = [
            convolved(
                x[..., channel // 2 : channel // 2 + 1],
                wide[..., channel : channel + 1],
                bias[channel : channel + 1],
                2,
                SAME,
            )
            for channel in range(4)
        ]
        return np.concatenate(parts, -1)

    file = TfliteFile()
    x, half = file.tensor('x', (1, 6, 6, 2)), file.constant('half', filters)
    w, b, y = file.tensor('w', filters.shape), file.constant('b', bias), file.tensor('y', (1, 3, 3, 4))
    file.operator('DEQUANTIZE', [half], [w])
    file.operator(
        'DEPTHWISE_CONV_2D', [x, w, b], [y], conv_options('DepthwiseConv2DOptions', 2, SAME, DepthMultiplier=2)
    )
    check(file, y, reference, (6, 6, 2))


@pytest.mark.parametrize('kind', ['MAX_POOL_2D', 'AVERAGE_POOL_2D'])
def test_pooling_ignores_the_padding(kind):
    def reference(x):
        wide = padded(x, 3, 2, SAME, np.nan)
        out = np.zeros((1, 3, 3, 2), np.float32)
        for row, column, part in windows(wide, 3, 2):
            out[0, row, column] = (np.nanmax if kind == 'MAX_POOL_2D' else np.nanmean)(part, (0, 1))
        return out

    file = TfliteFile()
    x, y = file.tensor('x', (1, 5, 5, 2)), file.tensor('y', (1, 3, 3, 2))
    file.operator(
        kind,
        [x],
        [y],
        ('Pool2DOptions', {'Padding': SAME, 'StrideH': 2, 'StrideW': 2, 'FilterHeight': 3, 'FilterWidth': 3}),
    )
    check(file, y, reference, (5, 5, 2))


@pytest.mark.parametrize('alpha_shape', [(1, 1, 3), (3,), (1,), (1, 4, 3)])
def test_prelu(alpha_shape):
    alpha = values(*alpha_shape, seed=4)
    file = TfliteFile()
    x, a, y = file.tensor('x', (1, 4, 4, 3)), file.constant('a', alpha), file.tensor('y', (1, 4, 4, 3))
    file.operator('PRELU', [x, a], [y])
    check(file, y, lambda x: np.where(x < 0, x * alpha, x), (4, 4, 3))


@pytest.mark.parametrize('kind,function', [('ADD', np.add), ('MUL', np.multiply)])
@pytest.mark.parametrize('other', [(3,), (1, 1, 1, 3), (1, 4, 5, 3)])
def test_elementwise_with_a_constant_broadcasts_over_channels(kind, function, other):
    constant = values(*other, seed=4)
    file = TfliteFile()
    x, c, y = file.tensor('x', (1, 4, 5, 3)), file.constant('c', constant), file.tensor('y', (1, 4, 5, 3))
    options = (f'{kind.capitalize()}Options', {'FusedActivationFunction': RELU6})
    file.operator(kind, [x, c], [y], options)
    check(file, y, lambda x: np.clip(function(x, constant), 0, 6), (4, 5, 3))


def test_elementwise_on_rows_keeps_their_order():
    constant = values(3, seed=4)
    file = TfliteFile()
    x, c, y = file.tensor('x', (1, 5, 3)), file.constant('c', constant), file.tensor('y', (1, 5, 3))
    file.operator('ADD', [x, c], [y], ('AddOptions', {}))
    check(file, y, lambda x: x + constant, (5, 3))


def test_padding_of_space_and_channels():
    amounts = np.array([[0, 0], [1, 2], [0, 3], [0, 4]], np.int32)
    file = TfliteFile()
    x, p, y = file.tensor('x', (1, 2, 3, 2)), file.constant('p', amounts), file.tensor('y', (1, 5, 6, 6))
    file.operator('PAD', [x, p], [y])
    check(file, y, lambda x: np.pad(x, amounts), (2, 3, 2))


@pytest.mark.parametrize('width', [10, 7])
@pytest.mark.parametrize('mode', ['asymmetric', 'half_pixel', 'align_corners'])
def test_bilinear_resize(mode, width):
    def axis_weights(size, result):
        positions = np.arange(result)
        if mode == 'align_corners':
            positions = positions * (size - 1) / (result - 1)
        else:
            positions = (positions + 0.5) * size / result - 0.5 if mode == 'half_pixel' else positions * size / result
        positions = np.clip(positions, 0, size - 1)
        low = np.floor(positions).astype(int)
        weights = np.zeros((result, size))
        weights[np.arange(result), low] += 1 - (positions - low)
        weights[np.arange(result), np.minimum(low + 1, size - 1)] += positions - low
        return weights

    def reference(x):
        return np.einsum('ai,bj,nijc->nabc', axis_weights(3, 6), axis_weights(3, width), x).astype(np.float32)

    file = TfliteFile()
    x, s = file.tensor('x', (1, 3, 3, 2)), file.constant('s', np.array([6, width], np.int32))
    y = file.tensor('y', (1, 6, width, 2))
    options = {'HalfPixelCenters': mode == 'half_pixel', 'AlignCorners': mode == 'align_corners'}
    file.operator('RESIZE_BILINEAR', [x, s], [y], ('ResizeBilinearOptions', options))
    check(file, y, reference, (3, 3, 2))


@pytest.mark.parametrize('custom', [True, False])
@pytest.mark.parametrize('stride,size,out', [(2, 3, 6), (1, 4, 4)])
def test_transposed_convolution(custom, stride, size, out):
    filters, bias = values(2, 3, 3, 4), values(2, seed=3)

    def reference(x):
        whole = np.zeros((1, (size - 1) * stride + 3, (size - 1) * stride + 3, 2))
        for row in range(size):
            for column in range(size):
                part = np.einsum('okli,i->klo', filters.transpose(0, 1, 2, 3), x[0, row, column])
                whole[0, row * stride : row * stride + 3, column * stride : column * stride + 3] += part
        start = (whole.shape[1] - out) // 2
        return (whole[:, start : start + out, start : start + out] + bias).astype(np.float32)

    file = TfliteFile()
    x, w, b = file.tensor('x', (1, size, size, 4)), file.constant('w', filters), file.constant('b', bias)
    s, y = file.constant('s', np.array([1, out, out, 2], np.int32)), file.tensor('y', (1, out, out, 2))
    if custom:
        file.operator('Convolution2DTransposeBias', [x, w, b], [y], custom=struct.pack('<3i', 1, stride, stride))
    else:
        options = {'Padding': SAME, 'StrideH': stride, 'StrideW': stride}
        file.operator('TRANSPOSE_CONV', [s, w, x, b], [y], ('TransposeConvOptions', options))
    check(file, y, reference, (size, size, 4))


@pytest.mark.parametrize(
    'kind,function',
    [
        ('RELU', lambda x: np.maximum(x, 0)),
        ('RELU6', lambda x: np.clip(x, 0, 6)),
        ('LOGISTIC', lambda x: 1 / (1 + np.exp(-x))),
        ('HARD_SWISH', lambda x: x * np.clip(x + 3, 0, 6) / 6),
    ],
)
def test_activation(kind, function):
    file = TfliteFile()
    x, y = file.tensor('x', (1, 4, 4, 3)), file.tensor('y', (1, 4, 4, 3))
    file.operator(kind, [x], [y])
    check(file, y, function, (4, 4, 3))


def test_mean_reshape_concatenation_and_slice_keep_channels_last():
    file = TfliteFile()
    x, axes = file.tensor('x', (1, 4, 4, 2)), file.constant('axes', np.array([1, 2], np.int32))
    mean, both = file.tensor('mean', (1, 1, 1, 2)), file.tensor('both', (1, 8, 4, 2))
    flat, y = file.tensor('flat', (1, 64)), file.tensor('y', (1, 20))
    begin, end, step = (
        file.constant(name, np.array(pair, np.int32))
        for name, pair in (('begin', (0, 4)), ('end', (1, 44)), ('step', (1, 2)))
    )
    shape = file.constant('shape', np.array([1, 64], np.int32))
    total = file.tensor('total', (1, 4, 4, 2))
    file.operator('MEAN', [x, axes], [mean], ('ReducerOptions', {'KeepDims': True}))
    file.operator('ADD', [x, mean], [total], ('AddOptions', {}))
    file.operator('CONCATENATION', [x, total], [both], ('ConcatenationOptions', {'Axis': 1}))
    file.operator('RESHAPE', [both, shape], [flat])
    file.operator(
        'STRIDED_SLICE', [flat, begin, end, step], [y], ('StridedSliceOptions', {'BeginMask': 1, 'EndMask': 1})
    )

    def reference(x):
        total = x + x.mean((1, 2), keepdims=True)
        return np.concatenate([x, total], 1).reshape(1, 64)[:, 4:44:2]

    check(file, y, reference, (4, 4, 2))


def test_depth_to_space():
    file = TfliteFile()
    x, y = file.tensor('x', (1, 2, 3, 8)), file.tensor('y', (1, 4, 6, 2))
    file.operator('DEPTH_TO_SPACE', [x], [y], ('DepthToSpaceOptions', {'BlockSize': 2}))
    check(file, y, lambda x: x.reshape(1, 2, 3, 2, 2, 2).transpose(0, 1, 3, 2, 4, 5).reshape(1, 4, 6, 2), (2, 3, 8))


@pytest.mark.parametrize('blocks', [False, True])
def test_densify(blocks):
    dense = np.array([[0, 0, 5, 6], [0, 0, 7, 8], [1, 2, 0, 0], [3, 4, 0, 0]], np.float32)
    if blocks:
        # Each of the two block rows has one 2 x 2 block. The order is row blocks, column blocks, row inside, column
        # inside.
        sparsity = {'order': [0, 1, 2, 3], 'blocks': [0, 1], 'levels': [2, ([0, 1, 2], [1, 0]), 2, 2]}
        values = np.array([5, 6, 7, 8, 1, 2, 3, 4], np.float32)
    else:
        sparsity = {'order': [0, 1], 'blocks': [], 'levels': [4, ([0, 2, 4, 6, 8], [2, 3, 2, 3, 0, 1, 0, 1])]}
        values = np.array([5, 6, 7, 8, 1, 2, 3, 4], np.float32)
    file = TfliteFile()
    x, w = file.tensor('x', (1, 4, 4)), file.tensor('w', (4, 4), values, sparsity)
    full, y = file.tensor('full', (4, 4)), file.tensor('y', (1, 4, 4))
    file.operator('DENSIFY', [w], [full])
    file.operator('MUL', [x, full], [y], ('MulOptions', {}))
    check(file, y, lambda x: x * dense, (4, 4))


def test_an_unknown_operator_is_named():
    file = TfliteFile()
    x, y = file.tensor('x', (1, 4)), file.tensor('y', (1, 4))
    file.operator('SOFTMAX', [x], [y], ('SoftmaxOptions', {}))
    with pytest.raises(ModelError, match='cannot be converted') as error:
        translate(file.data([x], [y]))
    assert 'SOFTMAX' in error.value.cause


def test_another_kind_of_file_is_refused():
    with pytest.raises(ModelError) as error:
        translate(b'<html>sign in first</html>')
    assert error.value.reference == 'convert-damaged'


def test_equal_input_gives_equal_bytes():
    file = TfliteFile()
    x, y = file.tensor('x', (1, 4, 4, 1)), file.tensor('y', (1, 4, 4, 1))
    file.operator('RELU', [x], [y])
    assert translate(file.data([x], [y])) == translate(file.data([x], [y]))
