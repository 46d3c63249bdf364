"""Small ONNX files, and catalogue entries for them."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

from onnx import TensorProto, helper

from facefusion.models.catalog import Catalog, HttpsSource, Licence, ModelEntry, Tensor
from facefusion.models.store import ModelStore

IMAGE = Tensor('input', (1, 3, 8, 8), 'float32')
PAIR = (Tensor('source', ('n', 4), 'float32'), Tensor('target', (1, 3, 8, 8), 'float32'))


def sha(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def onnx_bytes(*inputs: tuple[str, Any], outputs: int = 1, dtype: int = TensorProto.FLOAT, seed: float = 1.0) -> bytes:
    """Return a model with these inputs (name and shape) whose output k is input k plus ``seed``."""
    infos = [helper.make_tensor_value_info(name, dtype, shape) for name, shape in inputs]
    constant = helper.make_tensor('c', dtype, [1], [seed])
    nodes, results = [], []
    for k in range(outputs):
        name, shape = inputs[k % len(inputs)]
        nodes.append(helper.make_node('Add', [name, 'c'], [f'out{k}']))
        results.append(helper.make_tensor_value_info(f'out{k}', dtype, shape))
    graph = helper.make_graph(nodes, 'test', infos, results, [constant])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid('', 17)], ir_version=8)
    return bytes(model.SerializeToString())


def image_bytes(seed: float = 1.0) -> bytes:
    """Return a model with the inputs of ``IMAGE``."""
    return onnx_bytes(('input', [1, 3, 8, 8]), seed=seed)


def onnx_entry(model_id: str = 'net', published: bytes | None = None, **changes: Any) -> ModelEntry:
    """Return an entry with one image input; its https source cannot be reached."""
    sha256, size = (None, None) if published is None else (sha(published), len(published))
    source = HttpsSource((f'https://localhost:1/{model_id}.onnx',), sha256, size)
    facts: dict[str, Any] = {'id': model_id, 'task': 'test', 'file': f'{model_id}.onnx', 'size': size, 'sha256': sha256}
    facts |= {'licence': Licence('MIT', True), 'vendor': 'someone', 'year': 2020, 'sources': (source,)}
    facts |= {'inputs': (IMAGE,), 'outputs': ()}
    return ModelEntry(**(facts | changes))


def store_of(folder: Path, *entries: ModelEntry, events: list[Any] | None = None, offline: bool = True) -> ModelStore:
    emit = (lambda event: None) if events is None else events.append
    return ModelStore(Catalog(entries), folder / 'weights', offline=offline, emit=emit)
