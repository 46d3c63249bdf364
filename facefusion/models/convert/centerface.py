"""Convert the published ONNX file of CenterFace to one with a free batch and a free image size."""

from __future__ import annotations

from pathlib import Path

import onnx

from facefusion.errors import ModelError

_DECLARED = (10, 3, 32, 32)


def convert_centerface(source: Path, target: Path) -> None:
    """Make batch, height and width free; the file declares them as 10, 32 and 32, but the network is convolutional.

    Also remove the weights from the list of inputs, because the runtime does not fold weights that are inputs. Raises
    ModelError when the source is another file.
    """
    model = onnx.load_model_from_string(source.read_bytes())
    graph = model.graph
    weights = {weight.name for weight in graph.initializer}
    for index in reversed(range(len(graph.input))):
        if graph.input[index].name in weights:
            del graph.input[index]
    if len(graph.input) != 1 or _shape(graph.input[0]) != _DECLARED or len(graph.output) != 4:
        raise ModelError('convert-unsupported', 'the source is not the supported CenterFace file')
    # The shapes of the inner values are valid for the declared size only.
    del graph.value_info[:]
    _free(graph.input[0], ('n', 'height', 'width'))
    for value in graph.output:
        _free(value, ('n', 'rows', 'columns'))
    onnx.checker.check_model(model)
    target.write_bytes(model.SerializeToString(deterministic=True))


def _shape(value: onnx.ValueInfoProto) -> tuple[int, ...]:
    return tuple(size.dim_value for size in value.type.tensor_type.shape.dim)


def _free(value: onnx.ValueInfoProto, names: tuple[str, str, str]) -> None:
    for axis, name in zip((0, 2, 3), names, strict=True):
        value.type.tensor_type.shape.dim[axis].dim_param = name
