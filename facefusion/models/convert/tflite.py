"""Convert TFLite files of the image networks in the embedded set to ONNX, without TensorFlow.

Inside the graph, four-dimensional activations have their channels first (NCHW), as in ONNX; inputs and outputs have the
shape of the TFLite file (NHWC), except that the first dimension becomes the free batch ``n``. The results agree with
LiteRT to about 1e-6 of the range (tests/unit/models).
"""

from __future__ import annotations

from pathlib import Path

from facefusion.models.convert.onnx_graph import OnnxGraph, Shape, unsupported
from facefusion.models.convert.tflite_graph import TfliteGraph
from facefusion.models.convert.tflite_operators import OPERATORS, Translation


def convert_tflite(source: Path, target: Path) -> None:
    """Read a TFLite file and write the same network as ONNX; raises ModelError for an unknown operator."""
    target.write_bytes(translate(source.read_bytes()))


def translate(data: bytes) -> bytes:
    """Return the ONNX file for a TFLite file, both as bytes; equal inputs produce equal outputs."""
    source = TfliteGraph(data)
    graph = OnnxGraph('tflite')
    translation = Translation(source, graph)
    for index in source.inputs:
        name = graph.input(source.name(index), _free_batch(source, index))
        translation.define_tensor(index, name, channels_last=True)
    for operator in source.operators():
        rule = OPERATORS.get(operator.kind)
        if rule is None:
            raise unsupported(f'the operator {operator.kind} is unknown')
        rule(translation, operator)
    for index in source.outputs:
        graph.output(source.name(index), translation.value(index, channels_last=True), _free_batch(source, index))
    return bytes(graph.model().SerializeToString(deterministic=True))


def _free_batch(source: TfliteGraph, index: int) -> Shape:
    shape = source.shape(index)
    if not shape or shape[0] != 1:
        raise unsupported(f'{source.name(index)} has no batch dimension of 1')
    return ['n', *shape[1:]]
