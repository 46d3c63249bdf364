"""Tests of the dlib and CenterFace converters with generated files."""

from __future__ import annotations

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper

from facefusion.errors import ModelError
from facefusion.models.convert.dlib_resnet import convolutions, read_layers
from facefusion.models.convert.recipes import convert


def dlib_whole(value):
    data = value.to_bytes(max(1, -(-value.bit_length() // 8)), 'little')
    return bytes([len(data)]) + data


def dlib_tensor(values):
    header = b'\x01\x02' + dlib_whole(values.size) + 3 * dlib_whole(1)
    return header + values.astype('<f4').tobytes()


def dlib_file(scale=0.05):
    """Return a file like dlib's (parameters in network order, with other bytes between them) and its tensors."""
    random = np.random.default_rng(0)
    tensors = []
    for layer in convolutions():
        tensors.append(random.normal(size=layer.inputs * layer.outputs * layer.kernel**2 + layer.outputs) * scale)
        tensors.append(
            np.concatenate([random.uniform(0.5, 1, layer.outputs), random.normal(size=layer.outputs) * scale])
        )
    tensors.append(random.normal(size=256 * 128) * scale)
    noise = b'\x01\x04con_4\x01\x02\x02\x60\x03\x01\x02'
    return noise + noise.join(dlib_tensor(tensor) for tensor in tensors), tensors


def test_the_network_has_29_convolutions():
    assert len(convolutions()) == 29


def test_filters_and_biases_include_the_following_scale():
    data, tensors = dlib_file()
    layers = read_layers(data)
    affine = tensors[1].astype(np.float32)
    filters = tensors[0][:-32].astype(np.float32).reshape(32, 3, 7, 7) * affine[:32, None, None, None]
    np.testing.assert_allclose(layers[0], filters, rtol=1e-6)
    np.testing.assert_allclose(layers[1], tensors[0][-32:].astype(np.float32) * affine[:32] + affine[32:], rtol=1e-5)
    np.testing.assert_allclose(layers[-1], tensors[-1].reshape(256, 128).astype(np.float32))


def test_the_dlib_network_returns_one_embedding_per_image(tmp_path):
    (tmp_path / 'net.dat').write_bytes(dlib_file()[0])
    convert('dlib-resnet', tmp_path / 'net.dat', tmp_path / 'net.onnx')
    session = onnxruntime.InferenceSession(str(tmp_path / 'net.onnx'), providers=['CPUExecutionProvider'])
    pictures = np.random.default_rng(1).uniform(0, 255, (3, 3, 150, 150)).astype(np.float32)
    together = session.run(None, {'input': pictures})[0]
    assert together.shape == (3, 128)
    np.testing.assert_allclose(together[2:], session.run(None, {'input': pictures[2:]})[0], atol=1e-4)
    assert np.ptp(together, 0).max() > 0


def test_a_truncated_dlib_file_is_refused():
    with pytest.raises(ModelError) as error:
        read_layers(dlib_file()[0][:-1000])
    assert error.value.reference == 'convert-damaged'


def centerface_like(path, size=32):
    """Write a model with four outputs of a quarter of the size. As in the original, weights are among the inputs."""
    weights = [
        helper.make_tensor(f'w{i}', TensorProto.FLOAT, [c, 3, 4, 4], np.full(c * 48, 0.1 * (i + 1)))
        for i, c in enumerate((1, 2, 2, 10))
    ]
    nodes = [helper.make_node('Conv', ['input.1', f'w{i}'], [str(537 + i)], strides=[4, 4]) for i in range(4)]
    inputs = [helper.make_tensor_value_info('input.1', TensorProto.FLOAT, [10, 3, size, size])]
    inputs += [helper.make_tensor_value_info(w.name, TensorProto.FLOAT, list(w.dims)) for w in weights]
    outputs = [
        helper.make_tensor_value_info(str(537 + i), TensorProto.FLOAT, [10, c, size // 4, size // 4])
        for i, c in enumerate((1, 2, 2, 10))
    ]
    graph = helper.make_graph(nodes, 'g', inputs, outputs, weights)
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid('', 11)], ir_version=6), path)


def test_centerface_takes_any_size_and_batch(tmp_path):
    centerface_like(tmp_path / 'in.onnx')
    convert('centerface', tmp_path / 'in.onnx', tmp_path / 'out.onnx')
    session = onnxruntime.InferenceSession(str(tmp_path / 'out.onnx'), providers=['CPUExecutionProvider'])
    assert [value.name for value in session.get_inputs()] == ['input.1']
    found = session.run(None, {'input.1': np.ones((2, 3, 64, 96), np.float32)})
    assert [value.shape for value in found] == [(2, channels, 16, 24) for channels in (1, 2, 2, 10)]
    np.testing.assert_allclose(found[1], 48 * 0.2, rtol=1e-5)


def test_another_file_than_centerface_is_refused(tmp_path):
    centerface_like(tmp_path / 'in.onnx', size=64)
    with pytest.raises(ModelError, match='not the supported CenterFace file'):
        convert('centerface', tmp_path / 'in.onnx', tmp_path / 'out.onnx')


def test_an_unknown_recipe_is_refused(tmp_path):
    with pytest.raises(ModelError) as error:
        convert('magic', tmp_path / 'a', tmp_path / 'b')
    assert error.value.reference == 'convert-unknown'
