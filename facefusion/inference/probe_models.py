"""Small networks that show whether an execution provider works."""

from __future__ import annotations

CONVOLUTION_SHAPE = (1, 16, 64, 64)
_OPSET = 17


def one_node_model() -> bytes:
    """Return a minimal model that negates its input ``x``, float32 [1]."""
    from onnx import TensorProto, helper

    tensors = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1]) for name in ('x', 'y')]
    graph = helper.make_graph([helper.make_node('Neg', ['x'], ['y'])], 'probe', tensors[:1], tensors[1:])
    opset = [helper.make_opsetid('', _OPSET)]
    return bytes(helper.make_model(graph, opset_imports=opset, ir_version=8).SerializeToString())


def convolution_model() -> bytes:
    """Return a network with one convolution of 3x3 over 16 channels; input ``x`` float32 [1,16,64,64]."""
    import numpy as np
    from onnx import TensorProto, helper, numpy_helper

    channels = CONVOLUTION_SHAPE[1]
    tensors = [helper.make_tensor_value_info(name, TensorProto.FLOAT, CONVOLUTION_SHAPE) for name in ('x', 'y')]
    weights = np.cos(np.arange(channels**2 * 9, dtype=np.float32)).reshape(channels, channels, 3, 3) / channels
    node = helper.make_node('Conv', ['x', 'weights'], ['y'], kernel_shape=[3, 3], pads=[1, 1, 1, 1])
    graph = helper.make_graph(
        [node], 'convolution', tensors[:1], tensors[1:], [numpy_helper.from_array(weights, 'weights')]
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid('', _OPSET)], ir_version=8)
    return bytes(model.SerializeToString())
