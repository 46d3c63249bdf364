"""Execution providers: their names, sessions on them, and whether they work on this machine.

onnxruntime also lists providers whose libraries are missing, and then runs on the CPU with only a log line. Therefore
its list is never trusted: a provider counts as working only if a session that was created with it reports it.
"""

from __future__ import annotations

import contextlib
import io
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from facefusion.device_failure import is_device_memory_error
from facefusion.errors import ModelError, ProviderError
from facefusion.events import Emit, Message, silent
from facefusion.inference.builds import conflict_remedy, installed_builds
from facefusion.inference.devices import check_device_ids, lists_devices, visibility_note
from facefusion.inference.engine_cache import COMPILING, EngineSession, engine_folder, remove_engines
from facefusion.inference.libraries import loading_error, missing_library, remedy_for
from facefusion.inference.options import ExecutionOptions
from facefusion.inference.probe_models import CONVOLUTION_SHAPE, convolution_model, one_node_model
from facefusion.inference.provider_settings import provider_settings
from facefusion.shortage import raise_shortage, require_available

RUNTIME_NAMES = {
    'cpu': 'CPUExecutionProvider',
    'cuda': 'CUDAExecutionProvider',
    'tensorrt': 'TensorrtExecutionProvider',
    'openvino': 'OpenVINOExecutionProvider',
    'coreml': 'CoreMLExecutionProvider',
    'directml': 'DmlExecutionProvider',
    'rocm': 'ROCMExecutionProvider',
    'migraphx': 'MIGraphXExecutionProvider',
    'qnn': 'QNNExecutionProvider',
}
# 'auto' selects the first of these that works. TensorRT is left out because it compiles each model for minutes, QNN
# because it is made for quantised models.
AUTO_ORDER = ('cuda', 'migraphx', 'rocm', 'coreml', 'directml', 'openvino')
# The package of onnxruntime that has a provider.
_PACKAGES = {
    'openvino': 'onnxruntime-openvino',
    'directml': 'onnxruntime-directml',
    'rocm': 'onnxruntime-rocm',
    'migraphx': 'onnxruntime-migraphx',
    'qnn': 'onnxruntime-qnn',
    'coreml': 'onnxruntime for macOS',
}
_ASSIGNMENT = 'session.record_ep_graph_assignment_info'
_SHORT_CAUSE = 100
# Memory for loading a model, as a multiple of the size of its file: the file is read, parsed and copied into a new
# layout.
_LOADING_FACTOR = 4


@dataclass(frozen=True, slots=True)
class SessionRules:
    """How sessions are created on accelerators.

    With ``allow_cpu_fallback`` a session runs on the CPU, with a warning, when its provider fails. ``half_precision``
    permits TensorRT to compute in half precision. ``emit`` gets the warnings, and the number of nodes on the CPU.
    """

    allow_cpu_fallback: bool = False
    half_precision: bool = False
    emit: Emit = silent


PLAIN_RULES = SessionRules()


def select_providers(options: ExecutionOptions, emit: Emit = silent) -> tuple[str, ...]:
    """Return the execution providers of a run; raises ProviderError for a provider or device that does not work.

    With ``allow_cpu_fallback`` a warning takes the place of the error, and the run uses the CPU. 'auto' warns when the
    build has an accelerator that does not work.
    """
    names, device_ids = options.execution_providers, options.execution_device_ids
    try:
        asked = [each for name in names for each in (_auto_candidates() if name == 'auto' else [name])]
        _require_in_build(asked)
        # 'auto' on a machine without a visible device is the CPU; a number beyond the listed devices is a mistake.
        if 'auto' not in names or lists_devices():
            check_device_ids(asked, device_ids)
        found = resolve_providers(names, device_ids[0], emit)
        if options.allow_cpu_fallback:
            for name in found:
                probe_provider(name, device_ids[0])
    except ProviderError as error:
        if not options.allow_cpu_fallback:
            raise
        emit(_fallback_message(error))
        return ('cpu',)
    if found[0] == 'cpu' and device_ids != (0,):
        shown = ' '.join(map(str, device_ids))
        emit(Message('warn', 'run', f'the CPU has no device numbers: --execution-device-ids {shown} has no effect'))
    return found


def resolve_providers(names: tuple[str, ...], device_id: int = 0, emit: Emit = silent) -> tuple[str, ...]:
    """Replace 'auto' with the first accelerator (and cpu) where a probe session runs on that device, or with cpu."""
    resolved = [found for name in names for found in (_auto_providers(device_id, emit) if name == 'auto' else (name,))]
    return tuple(dict.fromkeys(resolved))


def probe_provider(name: str, device_id: int = 0) -> None:
    """Run one node and a convolution on a provider; raises ProviderError when the provider does not work.

    onnxruntime loads cuDNN at the first convolution, so one node alone does not show that it is there.
    """
    import numpy as np

    probes = ((one_node_model(), (1,)), (convolution_model(), CONVOLUTION_SHAPE))
    for model, shape in probes:
        session = create_session(model, (name,), device_id)
        try:
            session.run(None, {'x': np.zeros(shape, np.float32)})
        except Exception as error:  # onnxruntime raises unrelated types of its own
            if name == 'cpu' or not is_device_memory_error(error):
                raise_shortage(error)
            raise provider_failure(name, str(error).splitlines()[0]) from error


def create_session(
    model: Path | bytes, names: tuple[str, ...], device_id: int, threads: int = 1, rules: SessionRules = PLAIN_RULES
) -> Any:
    """Return an onnxruntime session on ``names``; raises ProviderError when an accelerator among them is not in use.

    Raises ModelError model-unusable, and ResourceError memory-out or threads-out when memory or threads run short.
    """
    if names == ('cpu',):
        return _create(model, names, device_id, threads, PLAIN_RULES, None)
    try:
        _require_in_build(names)
        return _create_with_engines(model, names, device_id, threads, rules)
    except ProviderError as error:
        if not rules.allow_cpu_fallback:
            raise
        rules.emit(_fallback_message(error))
        return _create(model, ('cpu',), device_id, threads, PLAIN_RULES, None)


def providers_in_build() -> tuple[str, ...]:
    """Return the providers that the installed onnxruntime lists; whether they work is another question."""
    from facefusion.inference.runtime import onnxruntime

    listed = onnxruntime.get_available_providers()
    return tuple(name for name, runtime_name in RUNTIME_NAMES.items() if runtime_name in listed)


def _require_in_build(names: Sequence[str]) -> None:
    # onnxruntime only warns about a provider that it does not list; a listed one may still not work.
    built = providers_in_build()
    for name in names:
        if name not in built:
            raise provider_failure(name, 'the installed onnxruntime was built without it')


def _create_with_engines(
    model: Path | bytes, names: tuple[str, ...], device_id: int, threads: int, rules: SessionRules
) -> Any:
    """Create a session that uses stored engines; build damaged ones again, and do without them if that fails."""
    compiling = next((name for name in names if name in COMPILING), None)
    if compiling is None or isinstance(model, bytes):
        return _create(model, names, device_id, threads, rules, None)
    variant = 'half' if rules.half_precision else 'full'
    folder = engine_folder(model, compiling, device_id, variant, rules.emit)
    if folder is None or not any(folder.iterdir()):
        return _create(model, names, device_id, threads, rules, folder)

    def create_again(cause: str) -> Any:
        is_empty = remove_engines(folder, model, cause, rules.emit)
        return _create(model, names, device_id, threads, rules, folder if is_empty else None)

    try:
        return EngineSession(_create(model, names, device_id, threads, rules, folder), create_again)
    except ProviderError as error:
        cause = error.cause
    return create_again(cause)


def _create(
    model: Path | bytes, names: tuple[str, ...], device_id: int, threads: int, rules: SessionRules, folder: Path | None
) -> Any:
    from facefusion.inference.runtime import onnxruntime

    if names[0] != 'cpu':
        _preload_libraries(onnxruntime)
    wanted = [(name, provider_settings(name, device_id, folder, rules.half_precision)) for name in _with_cuda(names)]
    providers: list[Any] = [(RUNTIME_NAMES[name], given) if given else RUNTIME_NAMES[name] for name, given in wanted]
    source = model if isinstance(model, bytes) else str(model)
    try:
        # Otherwise onnxruntime creates the session on the CPU after an error, and does so within a run, too.
        session = onnxruntime.InferenceSession(
            source, _session_options(onnxruntime, names, threads), providers=providers, enable_fallback=0
        )
    except Exception as error:  # onnxruntime raises unrelated types of its own, and ValueError for unknown providers
        raise _creation_error(error, model, names[0]) from error
    used = session.get_providers()
    for name in names:
        if RUNTIME_NAMES[name] not in used and name != 'cpu':
            raise provider_failure(name, f'the session runs on {", ".join(used)} instead')
    if names[0] != 'cpu':
        _report_cpu_nodes(session, model, names[0], rules.emit)
    return session


def _session_options(onnxruntime: Any, names: Sequence[str], threads: int) -> Any:
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    # Sessions get one thread where frames are processed in parallel, because spinning pool threads cost half of all
    # CPU time in small models (docs/performance.md).
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    # onnxruntime would keep a plan of its memory for each shape of an input: 60 MB after 40 shapes, no time saved.
    options.enable_mem_pattern = False
    options.add_session_config_entry('session.intra_op.allow_spinning', '0')
    if names[0] != 'cpu':
        options.add_session_config_entry(_ASSIGNMENT, '1')
    return options


def _with_cuda(names: Sequence[str]) -> tuple[str, ...]:
    """Return the names with cuda after tensorrt, so that nodes that TensorRT does not support stay on the device."""
    if 'tensorrt' not in names or 'cuda' in names or 'cuda' not in providers_in_build():
        return tuple(names)
    place = names.index('tensorrt') + 1
    return (*names[:place], 'cuda', *names[place:])


def _preload_libraries(onnxruntime: Any) -> None:
    """Load the CUDA libraries of the Python packages; the missing ones are reported when a session fails."""
    if hasattr(onnxruntime, 'preload_dlls'):
        # It prints what it misses on stdout, which belongs to the results of commands.
        with contextlib.redirect_stdout(io.StringIO()):
            onnxruntime.preload_dlls()


def _creation_error(error: Exception, model: Path | bytes, name: str) -> ModelError | ProviderError:
    if name != 'cpu' and is_device_memory_error(error):
        return provider_failure(name, str(error).splitlines()[0])
    raise_shortage(error)
    if isinstance(model, Path):
        # When memory runs out while onnxruntime reads a file, it reports the file as damaged.
        require_available(f'loading {model.name}', model.stat().st_size * _LOADING_FACTOR, 1)
    cause = str(error).splitlines()[0]
    if name == 'cpu' and isinstance(model, Path):
        # The CPU provider always works, so the file is at fault.
        hint = f'remove {model} and run the same command again'
        return ModelError('model-unusable', f'the model file {model.name} cannot be loaded', cause=cause, hint=hint)
    return provider_failure(name, cause)


def _report_cpu_nodes(session: Any, model: Path | bytes, name: str, emit: Emit) -> None:
    """Emit the number of nodes that an accelerator left to the CPU; earlier versions of onnxruntime do not tell it."""
    if not hasattr(session, 'get_provider_graph_assignment_info'):
        return
    counts: Counter[str] = Counter()
    for part in session.get_provider_graph_assignment_info():
        counts[part.ep_name] += len(part.get_nodes())
    left, label = counts[RUNTIME_NAMES['cpu']], model.name if isinstance(model, Path) else 'the probe'
    if left:
        emit(Message('debug', 'run', f'{label}: {name} left {left} of {counts.total()} nodes to the CPU'))


def _auto_candidates() -> list[str]:
    built = providers_in_build()
    return [name for name in AUTO_ORDER if name in built]


def _auto_providers(device_id: int, emit: Emit) -> tuple[str, ...]:
    for name in _auto_candidates():
        try:
            probe_provider(name, device_id)
        except ProviderError as error:
            emit(_fallback_message(error))
        else:
            return (name, 'cpu')
    return ('cpu',)


def _fallback_message(error: ProviderError) -> Message:
    text = f'{error.message} ({error.cause}): the CPU is used; {error.hint}'
    return Message('warn', 'run', text)


def provider_failure(name: str, cause: str) -> ProviderError:
    """Return the error of a provider, with the missing library if the system names one."""
    if 'built without' in cause and (remedy := conflict_remedy(builds := installed_builds())):
        cause = f'{cause}; {len(builds)} builds of onnxruntime are installed and overwrite each other'
        hint = remedy
    elif name == 'cpu':
        hint = 'run `python install.py` again'
    elif name in _PACKAGES and 'built without' in cause:
        package = _PACKAGES[name]
        hint = f'use --execution-providers cpu, or install {package} in place of the installed onnxruntime'
    else:
        hint = 'use --execution-providers cpu; `python install.py --device cuda` installs CUDA and cuDNN'
        hint += ', and `.venv/bin/pip install tensorrt` TensorRT' if name == 'tensorrt' else ''
    library = missing_library(cause)
    if name != 'cpu' and not library and (reason := loading_error(name)):
        library = missing_library(reason)
        # The exceptions of onnxruntime repeat the reason in many words; a mismatch is a short fact of its own.
        cause = f'{reason}; {cause}' if len(cause) < _SHORT_CAUSE else reason
    if library and remedy_for(library):
        hint = f'{remedy_for(library)}; or use --execution-providers cpu'
    note = visibility_note() if name in ('cuda', 'tensorrt') else ''
    return ProviderError(
        'provider-unavailable',
        f'the execution provider {name} does not work on this machine',
        cause='; '.join(filter(None, (cause, note))),
        hint=hint,
        facts={'provider': name} | ({'library': library} if library else {}),
    )
