"""Execution providers: their names, sessions on them, and whether they work on this machine.

onnxruntime also lists providers whose libraries are missing, and then runs on the CPU with only a log line. Therefore
its list is never trusted: a provider counts as working only if a session that was created with it reports it.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from facefusion.errors import ModelError, ProviderError
from facefusion.shortage import raise_shortage, require_available

RUNTIME_NAMES = {
    'cpu': 'CPUExecutionProvider',
    'cuda': 'CUDAExecutionProvider',
    'tensorrt': 'TensorrtExecutionProvider',
}

_ONE_NODE_OPSET = 17
# Memory for loading a model, as a multiple of the size of its file: the file is read, parsed and copied into a new
# layout.
_LOADING_FACTOR = 4


def resolve_providers(names: tuple[str, ...], device_id: int = 0) -> tuple[str, ...]:
    """Replace 'auto' with cuda (and cpu) where a probe session runs on that device, and with cpu elsewhere."""
    resolved = [found for name in names for found in (_auto_providers(device_id) if name == 'auto' else (name,))]
    return tuple(dict.fromkeys(resolved))


def probe_provider(name: str, device_id: int = 0) -> None:
    """Create and run a one-node session on a provider; raises ProviderError when the provider does not work."""
    import numpy as np

    session = create_session(one_node_model(), (name,), device_id)
    session.run(None, {'x': np.zeros(1, np.float32)})


def create_session(model: Path | bytes, names: tuple[str, ...], device_id: int, threads: int = 1) -> Any:
    """Return an onnxruntime session on the first of ``names``; raises ProviderError when it runs on another provider.

    Raises ResourceError memory-out or threads-out when memory or threads run short.
    """
    from facefusion.inference.runtime import onnxruntime

    # onnxruntime only warns about a provider that it does not list; a listed one may still not work.
    for name in names:
        if RUNTIME_NAMES[name] not in onnxruntime.get_available_providers():
            raise _provider_error(name, 'the installed onnxruntime was built without it')
    if names[0] != 'cpu' and hasattr(onnxruntime, 'preload_dlls'):
        onnxruntime.preload_dlls()
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    # Sessions get one thread where frames are processed in parallel, because spinning pool threads cost half of all
    # CPU time in small models (peer-performance.md).
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    # onnxruntime would keep a plan of its memory for each shape of an input: 60 MB after 40 shapes, no time saved.
    options.enable_mem_pattern = False
    options.add_session_config_entry('session.intra_op.allow_spinning', '0')
    wanted: list[Any] = [
        RUNTIME_NAMES[name] if name == 'cpu' else (RUNTIME_NAMES[name], {'device_id': device_id}) for name in names
    ]
    try:
        session = onnxruntime.InferenceSession(
            model if isinstance(model, bytes) else str(model), options, providers=wanted
        )
    except Exception as error:  # onnxruntime raises unrelated types of its own, and ValueError for unknown providers
        raise_shortage(error)
        if isinstance(model, Path):
            # When memory runs out while onnxruntime reads a file, it reports the file as damaged.
            require_available(f'loading {model.name}', model.stat().st_size * _LOADING_FACTOR, 1)
        cause = str(error).splitlines()[0]
        if names[0] == 'cpu' and isinstance(model, Path):
            # The CPU provider always works, so the file is at fault.
            hint = f'remove {model} and run the same command again'
            message = f'the model file {model.name} cannot be loaded'
            raise ModelError('model-unusable', message, cause=cause, hint=hint) from error
        raise _provider_error(names[0], cause) from error
    if RUNTIME_NAMES[names[0]] not in session.get_providers():
        raise _provider_error(names[0], f'the session runs on {", ".join(session.get_providers())} instead')
    return session


def _auto_providers(device_id: int) -> tuple[str, ...]:
    from facefusion.inference.runtime import onnxruntime

    if RUNTIME_NAMES['cuda'] not in onnxruntime.get_available_providers():
        return ('cpu',)
    try:
        probe_provider('cuda', device_id)
    except ProviderError:
        return ('cpu',)
    return ('cuda', 'cpu')


def _provider_error(name: str, cause: str) -> ProviderError:
    return ProviderError(
        'provider-unavailable',
        f'the execution provider {name} does not work on this machine',
        cause=cause,
        hint='run `python install.py` again'
        if name == 'cpu'
        else 'use --execution-providers cpu; `python install.py --device cuda` installs what CUDA needs',
    )


def one_node_model() -> bytes:
    """Return a minimal model that negates its input ``x``, float32 [1]."""
    from onnx import TensorProto, helper

    tensors = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1]) for name in ('x', 'y')]
    graph = helper.make_graph([helper.make_node('Neg', ['x'], ['y'])], 'probe', tensors[:1], tensors[1:])
    opset = [helper.make_opsetid('', _ONE_NODE_OPSET)]
    return bytes(helper.make_model(graph, opset_imports=opset, ir_version=8).SerializeToString())
