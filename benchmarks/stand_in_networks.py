"""Stand-ins for published networks: ONNX files with random weights, for measurements of cost."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from pipeline_cost import ROOT


class Layers:
    """A sequence of convolutions with random weights."""

    def __init__(self) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.weights: list[onnx.TensorProto] = []
        self.random = np.random.default_rng(7)

    def conv(self, name: str, before: int, after: int, kernel: int = 3, stride: int = 1) -> str:
        """Append a convolution with a rectifier; return the name of its output."""
        scale = (2 / (before * kernel * kernel)) ** 0.5
        weight = self.random.standard_normal((after, before, kernel, kernel), np.float32) * np.float32(scale)
        number = len(self.weights)
        self.weights.append(numpy_helper.from_array(weight, f'w{number}'))
        sides = {'kernel_shape': [kernel] * 2, 'strides': [stride] * 2, 'pads': [kernel // 2] * 4}
        self.nodes.append(helper.make_node('Conv', [name, f'w{number}'], [f'c{number}'], **sides))
        self.nodes.append(helper.make_node('Relu', [f'c{number}'], [f'r{number}']))
        return f'r{number}'

    def enlarge(self, name: str) -> str:
        """Append a layer that enlarges by 2; return the name of its output."""
        if not any(weight.name == 'double' for weight in self.weights):
            self.weights.append(numpy_helper.from_array(np.array([1, 1, 2, 2], np.float32), 'double'))
        self.nodes.append(helper.make_node('Resize', [name, '', 'double'], [f'u{name}'], mode='nearest'))
        return f'u{name}'


def write(path: Path, layers: Layers, inputs: list[tuple[str, list[int]]], output: tuple[str, list[int]]) -> None:
    """Write the ONNX file of the layers."""
    given = [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in inputs]
    made = [helper.make_tensor_value_info(output[0], TensorProto.FLOAT, output[1])]
    graph = helper.make_graph(layers.nodes, 'stand-in', given, made, layers.weights)
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid('', 17)], ir_version=8), path)


def write_weights(folder: Path, embedded: Iterable[str], stand_ins: Mapping[str, Callable[[Path], None]]) -> Path:
    """Fill ``folder``/weights with embedded models and imported stand-ins; return the path of the example portrait.

    ``stand_ins`` has the function that writes the network of each published model.
    """
    from facefusion.events import silent
    from facefusion.models.catalog import load_catalog
    from facefusion.models.store import ModelStore

    known = ModelStore(load_catalog(ROOT / 'models/catalog'), ROOT / 'models/weights', offline=False, emit=silent)
    weights = folder / 'weights'
    weights.mkdir()
    for model in embedded:
        (weights / known.path(model).name).symlink_to(known.path(model))
    (weights / 'lock.json').write_bytes((known.weights / 'lock.json').read_bytes())
    for model, write_network in stand_ins.items():
        write_network(folder / f'{model}.onnx')
        command = [sys.executable, str(ROOT / 'facefusion.py'), 'models', 'import', str(folder / f'{model}.onnx')]
        subprocess.run([*command, '--as', model, '--models-path', str(weights)], check=True, capture_output=True)
    return known.path('example_portrait')
