"""Small networks with the contracts of the classifiers of the content gate, and a catalogue with their digests.

Each published stand-in measures one colour: the mean of red (nsfw_1), green (nsfw_2) or blue (nsfw_3) over its entire
input, 0 to 1. The stand-in of open_nsfw measures the mean brightness. So an image of a plain colour selects the
classifiers that vote against it.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from pathlib import Path

import numpy as np
from msgspec.structs import replace
from onnx import ModelProto, TensorProto, helper, numpy_helper

from facefusion.events import Emit, silent
from facefusion.models.catalog import Catalog, Contract, HttpsSource, load_catalog
from facefusion.models.store import ModelStore

SHIPPED = Path(__file__).resolve().parents[2] / 'models' / 'catalog'
CHANNELS = {'nsfw_1': 0, 'nsfw_2': 1, 'nsfw_3': 2}
# BGR colours against which the named classifiers vote.
RED, GREEN, BLUE = (0, 0, 255), (0, 255, 0), (255, 0, 0)
YELLOW, WHITE, BLACK = (0, 255, 255), (255, 255, 255), (0, 0, 0)
_OPSET = 13


def plain(colour, height=60, width=60):
    """Return uint8 [height,width,3] of one colour."""
    return np.full((height, width, 3), colour, np.uint8)


def network_bytes(model_id: str) -> bytes:
    """Return the ONNX file of a stand-in."""
    if model_id == 'open_nsfw':
        return _brightness()
    return _colour(model_id, load_catalog(SHIPPED).entry(model_id).contract)


def store_with(weights: Path, present: Iterable[str], emit: Emit = silent) -> ModelStore:
    """Return an offline store of the four stand-ins, those named ``present`` with files."""
    weights.mkdir(parents=True, exist_ok=True)
    entries = []
    shipped = load_catalog(SHIPPED)
    for model_id in ('open_nsfw', *CHANNELS):
        data = network_bytes(model_id)
        digest = {'sha256': hashlib.sha256(data).hexdigest(), 'size': len(data)}
        source = HttpsSource((f'https://example.org/{model_id}',))
        entries.append(replace(shipped.entry(model_id), sources=(source,), **digest))
        if model_id in present:
            (weights / entries[-1].file).write_bytes(data)
    return ModelStore(Catalog(tuple(entries)), weights, offline=True, emit=emit)


def write_catalog(folder: Path) -> None:
    """Write the shipped catalogue with the digests of the published stand-ins."""
    folder.mkdir(parents=True)
    for path in SHIPPED.glob('*.json'):
        content = json.loads(path.read_text())
        for entry in content['models']:
            if entry['id'] in CHANNELS:
                data = network_bytes(entry['id'])
                entry |= {'sha256': hashlib.sha256(data).hexdigest(), 'size': len(data)}
        (folder / path.name).write_text(json.dumps(content))


def _colour(model_id: str, contract: Contract) -> bytes:
    """A network that undoes the normalisation of its contract and returns the mean of its colour as its output."""
    width, height = contract.size
    channel = CHANNELS[model_id]
    constants = {
        'std': np.array(contract.std, np.float32).reshape(1, 3, 1, 1),
        'mean': np.array(contract.mean, np.float32).reshape(1, 3, 1, 1),
        'channel': np.array([channel], np.int64),
        **_layout(model_id),
    }
    nodes = [
        helper.make_node('Mul', ['input', 'std'], ['scaled']),
        helper.make_node('Add', ['scaled', 'mean'], ['rgb']),
        helper.make_node('ReduceMean', ['rgb'], ['means'], axes=[2, 3], keepdims=0),
        helper.make_node('Gather', ['means', 'channel'], ['colour'], axis=1),
        # The output is a line in the mean of the colour: factor * colour + offset.
        helper.make_node('Mul', ['colour', 'factor'], ['product']),
        helper.make_node('Add', ['product', 'offset'], ['output']),
    ]
    return _model(nodes, constants, ('input', [1, 3, height, width]), ('output', list(constants['factor'].shape)))


def _layout(model_id: str) -> dict[str, np.ndarray]:
    """Return factor and offset of the output, so that another reading of the output gives another score."""
    if model_id == 'nsfw_1':
        # The last class of the third box has the mean; boxes are in pixels, other classes are lower.
        factor, offset = np.zeros((1, 9, 5), np.float32), np.full((1, 9, 5), -3, np.float32)
        offset[:, :4], factor[0, 8, 3], offset[0, 8, 3] = 600, 1, 0
        return {'factor': factor, 'offset': offset}
    if model_id == 'nsfw_2':
        return {'factor': np.array([[1, -1]], np.float32), 'offset': np.array([[0, 1]], np.float32)}
    return {'factor': np.array([[-7, -9, 6, 10]], np.float32), 'offset': np.array([[7, 9, 0, 0]], np.float32)}


def _brightness() -> bytes:
    """The stand-in of open_nsfw: its second value is the mean of its input, BGR minus the mean colour, from 0 to 1."""
    constants = {
        'mean': np.array([104, 117, 123], np.float32),
        'white': np.array(255, np.float32),
        'one': np.array(1, np.float32),
        'low': np.array(0, np.float32),
    }
    nodes = [
        helper.make_node('Add', ['input', 'mean'], ['bgr']),
        helper.make_node('Div', ['bgr', 'white'], ['shares']),
        helper.make_node('Clip', ['shares', 'low', 'one'], ['clipped']),
        helper.make_node('ReduceMean', ['clipped'], ['flat'], axes=[1, 2, 3], keepdims=1),
        helper.make_node('Flatten', ['flat'], ['unsafe'], axis=1),
        helper.make_node('Sub', ['one', 'unsafe'], ['safe']),
        helper.make_node('Concat', ['safe', 'unsafe'], ['outputs'], axis=1),
    ]
    return _model(nodes, constants, ('input', ['n', 224, 224, 3]), ('outputs', ['n', 2]))


def _model(nodes, constants, given, found) -> bytes:
    values = [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in (given, found)]
    tensors = [numpy_helper.from_array(array, name) for name, array in constants.items()]
    graph = helper.make_graph(nodes, 'stand-in', values[:1], values[1:], tensors)
    model: ModelProto = helper.make_model(graph, opset_imports=[helper.make_opsetid('', _OPSET)], ir_version=8)
    return bytes(model.SerializeToString(deterministic=True))
