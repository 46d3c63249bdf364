"""Convert ncnn files of the upscalers in the embedded set to ONNX, without ncnn.

An ncnn network consists of two files, the weights (``.bin``) and the structure (``.param``). The results agree with
those of ncnn to about 1e-5 of the range (tests/unit/models).
"""

from __future__ import annotations

from pathlib import Path

from facefusion.models.convert.ncnn_files import Weights, damaged, read_structure
from facefusion.models.convert.ncnn_layers import Network, Value, translate_layer
from facefusion.models.convert.onnx_graph import OnnxGraph, unsupported


def convert_ncnn(source: Path, target: Path, companion: Path) -> None:
    """Read the weights (``source``) and the structure (``companion``) of a network, and write it as ONNX.

    ``input``: float32 [n,3,height,width]. ``output``: float32 [n,channels,scale * height,scale * width]. Raises
    ModelError convert-unsupported for an unknown layer or parameter, convert-damaged for files that do not agree.
    """
    target.write_bytes(translate(companion.read_bytes(), source.read_bytes()))


def translate(structure: bytes, weights: bytes) -> bytes:
    """Return the ONNX file for the two files of a network, all as bytes; equal inputs produce equal outputs."""
    layers = read_structure(structure)
    if [layer.kind for layer in layers].count('Input') != 1:
        raise unsupported('the network does not have one input')
    network = Network(OnnxGraph('ncnn'), Weights(weights))
    values: dict[str, Value] = {}
    for layer in layers:
        missing = [name for name in layer.inputs if name not in values]
        if missing:
            raise damaged(f'{layer.name} reads {missing[0]}, which no earlier layer computes')
        value = translate_layer(network, layer, [values[name] for name in layer.inputs])
        values |= dict.fromkeys(layer.outputs, value)
    if network.weights.unread:
        raise damaged(f'{network.weights.unread} bytes of the weights belong to no layer')
    results = set(values).difference(*(layer.inputs for layer in layers))
    if len(results) != 1:
        raise unsupported(f'the network has {len(results)} outputs')
    result = values[results.pop()]
    network.graph.output('output', result.name, ['n', result.channels, 'out_height', 'out_width'])
    return bytes(network.graph.model().SerializeToString(deterministic=True))
