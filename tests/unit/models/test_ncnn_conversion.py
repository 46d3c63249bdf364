"""Tests that compare every layer of the ncnn converter with plain NumPy on generated files, and of its refusals."""

from __future__ import annotations

import re
import tracemalloc

import numpy as np
import onnx
import onnxruntime
import pytest

from facefusion.errors import ModelError
from facefusion.models.convert.ncnn import translate
from facefusion.models.convert.recipes import convert

FLOAT16_TAG = b'\x47\x6b\x30\x01'
SPLIT = 'Split s 1 2 data a b'


def values(*shape, seed=0):
    return np.random.default_rng(seed).normal(0, 0.5, shape).astype(np.float32)


def plain(array):
    return array.astype('<f4').tobytes()


def tagged(array, half=False):
    """Return the bytes of an array with its type in front of it, as ncnn stores filters."""
    data = array.astype('<f2' if half else '<f4').tobytes()
    return (FLOAT16_TAG if half else bytes(4)) + data + bytes(-len(data) % 4)


def structure(*lines):
    """Return a structure with these layers after the input ``data``."""
    words = [line.split() for line in lines]
    blobs = 1 + sum(int(line[3]) for line in words)
    return '\n'.join(['7767517', f'{len(lines) + 1} {blobs}', 'Input in 0 1 data', *lines, '']).encode()


def open_network(file):
    return onnxruntime.InferenceSession(file, providers=['CPUExecutionProvider'])


def convolved(x, filters, bias=0.0):
    """Return ``x`` [3,h,w] convolved with ``filters`` [out,in,k,k], padded with zeros to the same size."""
    out, _, kernel, _ = filters.shape
    edge = kernel // 2
    x = np.pad(x, ((0, 0), (edge, edge), (edge, edge)))
    windows = np.lib.stride_tricks.sliding_window_view(x, (kernel, kernel), (1, 2))
    return np.einsum('chwkl,ockl->ohw', windows, filters) + np.reshape(bias, (-1, 1, 1)) * np.ones((out, 1, 1))


def shuffled(x, factor):
    """Return [c,factor*h,factor*w] of which each pixel is that of one of factor² channels."""
    channels, height, width = x.shape
    out = np.empty((channels // factor**2, height * factor, width * factor), x.dtype)
    for channel in range(channels):
        row, column = divmod(channel % factor**2, factor)
        out[channel // factor**2, row::factor, column::factor] = x[channel]
    return out


def repeated(x, factor):
    return x.repeat(factor, 1).repeat(factor, 2)


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


WIDE, SQUARE, POINT = values(5, 3, 5, 5), values(4, 3, 3, 3), values(5, 3, 1, 1)
MANY, BIAS, COLOURS = values(12, 3, 1, 1), values(5, seed=1), values(3, seed=2)
HALF = POINT.astype(np.float16).astype(np.float32)
LAYERS = {
    'convolution': (
        ['Convolution c 1 1 data out 0=5 1=5 4=2 5=1 6=375'],
        tagged(WIDE) + plain(BIAS),
        lambda x: convolved(x, WIDE, BIAS),
    ),
    'convolution of float16 without a bias': (
        ['Convolution c 1 1 data out 0=5 1=1 6=15'],
        tagged(POINT, half=True),
        lambda x: convolved(x, HALF),
    ),
    'convolution with an activation': (
        ['Convolution c 1 1 data out 0=4 1=3 4=1 6=108 9=2 -23310=1,2.000000e-01'],
        tagged(SQUARE),
        lambda x: np.where(convolved(x, SQUARE) < 0, 0.2, 1) * convolved(x, SQUARE),
    ),
    'parametric relu': (
        ['PReLU p 1 1 data out 0=3'],
        plain(COLOURS),
        lambda x: np.where(x < 0, COLOURS[:, None, None], 1) * x,
    ),
    'sigmoid': (['Sigmoid g 1 1 data out'], b'', sigmoid),
    'swish': (['Swish w 1 1 data out'], b'', lambda x: x * sigmoid(x)),
    'sum of two values': (
        [SPLIT, 'Sigmoid g 1 1 b c', 'BinaryOp o 2 1 a c out'],
        b'',
        lambda x: x + sigmoid(x),
    ),
    'difference of two values': (
        [SPLIT, 'Sigmoid g 1 1 b c', 'BinaryOp o 2 1 a c out 0=1'],
        b'',
        lambda x: x - sigmoid(x),
    ),
    'product of two values': (
        [SPLIT, 'Sigmoid g 1 1 b c', 'BinaryOp o 2 1 a c out 0=2'],
        b'',
        lambda x: x * sigmoid(x),
    ),
    'sum with a number': (['BinaryOp o 1 1 data out 1=1 2=-2.5e-01'], b'', lambda x: x - 0.25),
    'difference with a number': (['BinaryOp o 1 1 data out 0=1 1=1 2=0.5'], b'', lambda x: x - 0.5),
    'product with a number': (['BinaryOp o 1 1 data out 0=2 1=1 2=255'], b'', lambda x: x * 255),
    'difference with a constant': (
        ['MemoryData m 0 1 m 0=1 1=1 2=3', 'BinaryOp o 2 1 data m out 0=1'],
        plain(COLOURS),
        lambda x: x - COLOURS[:, None, None],
    ),
    'constant minus a value': (
        ['MemoryData m 0 1 m 0=1 1=1 2=3', 'BinaryOp o 2 1 m data out 0=1'],
        plain(COLOURS),
        lambda x: COLOURS[:, None, None] - x,
    ),
    'weighted sum': (
        [SPLIT, 'Sigmoid g 1 1 b c', 'Eltwise e 2 1 a c out 0=1 -23301=2,2.000000e-01,1.000000e+00'],
        b'',
        lambda x: 0.2 * x + sigmoid(x),
    ),
    'joined channels': (
        [SPLIT, 'Convolution c 1 1 b c 0=5 1=1 6=15', 'Concat k 2 1 c a out'],
        tagged(POINT),
        lambda x: np.concatenate([convolved(x, POINT), x]),
    ),
    'repeated pixels': (['Interp i 1 1 data out 0=1 1=3.0 2=3.0'], b'', lambda x: repeated(x, 3)),
    'shuffled pixels': (
        ['Convolution c 1 1 data c 0=12 1=1 6=36', 'PixelShuffle p 1 1 c out 0=2'],
        tagged(MANY),
        lambda x: shuffled(convolved(x, MANY), 2),
    ),
}


@pytest.mark.parametrize('name', LAYERS)
def test_a_layer_computes_the_same_as_numpy_for_each_image_of_a_batch(name):
    lines, weights, reference = LAYERS[name]
    pictures = values(2, 3, 6, 7, seed=5)
    found = open_network(translate(structure(*lines), weights)).run(None, {'input': pictures})[0]
    np.testing.assert_allclose(found, np.stack([reference(picture) for picture in pictures]), rtol=0, atol=1e-5)


# A small network with every layer, and the data for it.
NETWORK = structure(
    'MemoryData mean 0 1 mean 0=1 1=1 2=3',
    'BinaryOp centred 2 1 data mean x 0=1',
    'Split s1 1 3 x x1 x2 x3',
    'Convolution conv1 1 1 x1 y 0=3 1=3 4=1 5=1 6=81 9=2 -23310=1,2.0e-01',
    'PReLU prelu 1 1 y z 0=3',
    'Eltwise sum 2 1 z x2 r 0=1 -23301=2,2.0e-01,1.0e+00',
    'Split s2 1 2 r r1 r2',
    'Sigmoid gate 1 1 r1 g',
    'Swish swish 1 1 r2 w',
    'Concat join 2 1 g w j',
    'Convolution conv2 1 1 j k 0=12 1=1 6=72',
    'PixelShuffle shuffle 1 1 k p 0=2',
    'Interp repeat 1 1 x3 q 0=1 1=2.0 2=2.0',
    'BinaryOp total 2 1 p q t',
    'BinaryOp scaled 1 1 t u 0=2 1=1 2=5.0e-01',
    'Sigmoid last 1 1 u output',
)
WEIGHTS = (
    plain(COLOURS)
    + tagged(values(3, 3, 3, 3), half=True)
    + plain(COLOURS)
    + plain(COLOURS)
    + tagged(values(12, 6, 1, 1), half=True)
)


def test_input_output_and_weights_of_the_converted_file(tmp_path):
    (tmp_path / 'net.bin').write_bytes(WEIGHTS)
    (tmp_path / 'net.param').write_bytes(NETWORK)
    convert('ncnn', tmp_path / 'net.bin', tmp_path / 'net.onnx', tmp_path / 'net.param')
    session = open_network(str(tmp_path / 'net.onnx'))
    assert [(value.name, value.shape) for value in session.get_inputs()] == [('input', ['n', 3, 'height', 'width'])]
    assert [(value.name, value.shape) for value in session.get_outputs()] == [
        ('output', ['n', 3, 'out_height', 'out_width'])
    ]
    assert session.run(None, {'input': values(2, 3, 5, 8)})[0].shape == (2, 3, 10, 16)
    graph = onnx.load(tmp_path / 'net.onnx').graph
    halves = [weight for weight in graph.initializer if weight.data_type == onnx.TensorProto.FLOAT16]
    assert [tuple(weight.dims) for weight in halves] == [(3, 3, 3, 3), (12, 6, 1, 1)]


def test_line_ends_and_names_do_not_change_the_converted_file():
    renamed = re.sub(rb'\b(conv|[xyzrgjkp])(\d?)\b', rb'other/\1\2', NETWORK)
    assert renamed.count(b'other/') > 20
    assert translate(renamed.replace(b'\n', b'\r\n'), WEIGHTS) == translate(NETWORK, WEIGHTS)


POINT_LINE = 'Convolution c 1 1 data out 0=5 1=1 6=15'
UNSUPPORTED = {
    'the layer Softmax': (['Softmax s 1 1 data out'], b''),
    'the parameter 7 of Sigmoid': (['Sigmoid g 1 1 data out 7=1'], b''),
    'the parameter 3 of Convolution': ([POINT_LINE + ' 3=2'], tagged(POINT)),
    'the parameter 1 of PixelShuffle': (['PixelShuffle p 1 1 data out 0=1 1=1'], b''),
    'the type 0x000d4b38': ([POINT_LINE], b'\x38\x4b\x0d\x00' + bytes(60)),
    'the activation 1 of c': ([POINT_LINE + ' 9=1'], tagged(POINT)),
    'changes the size of the image': (['Convolution c 1 1 data out 0=4 1=3 6=108'], tagged(SQUARE)),
    'one factor per channel': (['PReLU p 1 1 data out 0=1'], plain(COLOURS[:1])),
    'the operation 3 of o': (['BinaryOp o 1 1 data out 0=3 1=1 2=2.0'], b''),
    'the operation 0 of e': ([SPLIT, 'Eltwise e 2 1 a b out'], b''),
    'not one value per channel': (['MemoryData m 0 1 m 0=3', 'BinaryOp o 2 1 data m out'], plain(COLOURS)),
    'has a constant input': (['MemoryData m 0 1 m 0=1 1=1 2=3', 'Concat k 2 1 data m out'], plain(COLOURS)),
    'are constant': (
        ['MemoryData m 0 1 m 0=1 1=1 2=3', 'BinaryOp o 1 1 m c 1=1 2=1.0', 'BinaryOp p 2 1 data c out'],
        plain(COLOURS),
    ),
    'i does not repeat': (['Interp i 1 1 data out 0=2 1=2.0 2=2.0'], b''),
    'j does not repeat': (['Interp j 1 1 data out 0=1 1=2.0 2=3.0'], b''),
    'k does not repeat': (['Interp k 1 1 data out 0=1 1=1.5 2=1.5'], b''),
    'l does not repeat': (['Interp l 1 1 data out 0=1'], b''),
    'more than 16 times': (['Interp i 1 1 data a 0=1 1=8.0 2=8.0', 'Interp j 1 1 a out 0=1 1=3.0 2=3.0'], b''),
    'does not have one input': (['Input more 0 1 more', 'BinaryOp o 2 1 data more out'], b''),
    'several outputs': (['Sigmoid g 1 2 data out more'], b''),
    'the network has 2 outputs': ([SPLIT], b''),
}


@pytest.mark.parametrize('words', UNSUPPORTED)
def test_an_unsupported_network_is_refused(words):
    lines, weights = UNSUPPORTED[words]
    with pytest.raises(ModelError) as error:
        translate(structure(*lines), weights)
    assert error.value.reference == 'convert-unsupported' and words in error.value.cause and error.value.hint


DAMAGED = {
    'too short': (structure(POINT_LINE), tagged(POINT)[:-1]),
    'is too short': (structure(POINT_LINE), b'\0\0'),
    '4 bytes of the weights belong to no layer': (structure(POINT_LINE), tagged(POINT) + bytes(4)),
    'must have 15 filter values': (structure(POINT_LINE.replace('6=15', '6=16')), tagged(POINT)),
    'must have 0 filter values': (structure('Convolution c 1 1 data out 0=0 1=1'), tagged(POINT)),
    'must have 2999999997 filter values': (structure('Convolution c 1 1 data out 0=999999999 1=1 6=999999999'), b''),
    'the file of the weights': (structure('MemoryData m 0 1 m 0=1 1=1 2=999999999', 'Sigmoid g 1 1 data out'), b''),
    'the parameter 10 of c': (structure(POINT_LINE + ' 9=2'), tagged(POINT)),
    'does not have two operands': (structure('BinaryOp o 1 1 data out 0=2'), b''),
    'must have 2 values': (structure(SPLIT, 'Eltwise e 2 1 a b out 0=1 -23301=1,0.2'), b''),
    'have different sizes': (
        structure(SPLIT, 'Interp i 1 1 a c 0=1 1=2.0 2=2.0', 'BinaryOp o 2 1 b c out'),
        b'',
    ),
    'inputs of k have different sizes': (
        structure(SPLIT, 'Interp i 1 1 a c 0=1 1=2.0 2=2.0', 'Concat k 2 1 b c out'),
        b'',
    ),
    'inputs of e have different sizes': (
        structure(SPLIT, 'Convolution c 1 1 a c 0=5 1=1 6=15', 'Eltwise e 2 1 b c out 0=1 -23301=2,1,1'),
        tagged(POINT),
    ),
    'cannot distribute 3 channels with the factor 2': (structure('PixelShuffle p 1 1 data out 0=2'), b''),
    'the factor 0': (structure('PixelShuffle p 1 1 data out'), b''),
    'Sigmoid (g) has 2 inputs': (structure(SPLIT, 'Sigmoid g 2 1 a b out'), b''),
    'reads b, which no earlier layer computes': (structure('BinaryOp o 2 1 data b a', 'Sigmoid g 1 1 a b'), b''),
    'reads nothing, which no': (structure('Sigmoid g 1 1 nothing out'), b''),
    'the same name': (structure('Sigmoid g 1 1 data a', 'Sigmoid h 1 1 a data'), b''),
    'not text': (b'\xff\xfe\x00', b''),
    'the header of ncnn': (b'42\n1 1\nInput in 0 1 data\n', b''),
    'have the header': (b'', b''),
    'the header states 2 layers and 1 blobs, not 1 and 1': (b'7767517\n2 1\nInput in 0 1 data\n', b''),
    'the header states 1 layers and 2 blobs': (b'7767517\n1 2\nInput in 0 1 data\n', b''),
    "'-1' is not a whole number (in the header)": (b'7767517\n1 -1\nInput in 0 1 data\n', b''),
    'a layer is incomplete': (b'7767517\n1 1\nInput in 0\n', b''),
    'does not have 0 inputs and 999999999 outputs': (b'7767517\n1 1\nInput in 0 999999999 data\n', b''),
    'does not have 0 inputs and 2 outputs': (b'7767517\n1 1\nInput in 0 2 data 0=1\n', b''),
    'the parameter 0 twice': (structure('PReLU p 1 1 data out 0=3 0=3'), plain(COLOURS)),
    'does not have 3 values': (structure(POINT_LINE + ' 9=2 -23310=3,0.2'), tagged(POINT)),
    'must have one value': (structure('PReLU p 1 1 data out -23300=2,3,3'), plain(COLOURS)),
    "'x' is not a whole number": (structure('PReLU p 1 1 data out x=3'), plain(COLOURS)),
    "'1_0' is not a whole number": (structure('PReLU p 1 1 data out 0=1_0'), plain(COLOURS)),
    "'nan' is not a number": (structure('BinaryOp o 1 1 data out 1=1 2=nan'), b''),
    "'1e999' is not a number": (structure('BinaryOp o 1 1 data out 1=1 2=1e999'), b''),
    "'4e38' is not a number of float32": (structure('BinaryOp o 1 1 data out 1=1 2=4e38'), b''),
}


@pytest.mark.parametrize('words', DAMAGED)
def test_damaged_files_are_refused(words):
    with pytest.raises(ModelError) as error:
        translate(*DAMAGED[words])
    assert error.value.reference == 'convert-damaged' and words in error.value.cause and error.value.hint


def converted(layers, weights):
    """Return the converted file, or None when the network is refused."""
    try:
        return translate(layers, weights)
    except ModelError as error:
        assert error.reference in ('convert-damaged', 'convert-unsupported')
        return None


def test_a_truncated_structure_is_refused_unless_only_the_end_of_a_name_is_missing():
    start_of_last_line = NETWORK.rstrip().rindex(b'\n')
    assert all(converted(NETWORK[:length], WEIGHTS) is None for length in range(start_of_last_line))
    whole = translate(NETWORK, WEIGHTS)
    found = [converted(NETWORK[:length], WEIGHTS) for length in range(start_of_last_line, len(NETWORK))]
    assert found[0] is None and found[-1] == whole and set(found) == {None, whole}


def test_truncated_weights_are_refused():
    assert all(converted(NETWORK, WEIGHTS[:length]) is None for length in range(len(WEIGHTS)))


def test_a_changed_number_is_refused_or_gives_a_valid_network_within_little_memory():
    accepted = 0
    tracemalloc.start()
    try:
        for number in re.finditer(rb'\d+', NETWORK):
            for other in (b'', b'-1', b'0', b'1', b'2', b'7', b'99', b'999999999', b'9' * 5000):
                changed = NETWORK[: number.start()] + other + NETWORK[number.end() :]
                file = converted(changed, WEIGHTS)
                if file is not None:
                    onnx.checker.check_model(onnx.load_from_string(file), full_check=True)
                    accepted += 1
        assert tracemalloc.get_traced_memory()[1] < 4_000_000
    finally:
        tracemalloc.stop()
    assert accepted > 0


def test_a_changed_type_of_weights_is_refused():
    for place in (len(plain(COLOURS)), len(WEIGHTS) - len(tagged(values(12, 6, 1, 1), half=True))):
        for offset in range(4):
            changed = bytearray(WEIGHTS)
            changed[place + offset] ^= 0x10
            assert converted(NETWORK, bytes(changed)) is None
