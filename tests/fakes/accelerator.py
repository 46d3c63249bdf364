"""An accelerator for tests: the CPU provider of onnxruntime behind another name, with failures on request.

``Accelerator(...).install(monkeypatch)`` replaces the functions of the module onnxruntime that the program calls. The
sessions compute on the CPU, so their outputs equal those of the CPU provider. The words of the failures are those of
onnxruntime 1.31 for Linux.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import onnxruntime

from facefusion.inference import devices
from facefusion.inference import providers as provider_module

NAMES = {
    'cuda': 'CUDAExecutionProvider',
    'tensorrt': 'TensorrtExecutionProvider',
    'rocm': 'ROCMExecutionProvider',
    'migraphx': 'MIGraphXExecutionProvider',
    'openvino': 'OpenVINOExecutionProvider',
    'coreml': 'CoreMLExecutionProvider',
    'directml': 'DmlExecutionProvider',
    'qnn': 'QNNExecutionProvider',
}
CPU = 'CPUExecutionProvider'
ENGINE = b'engine of the fake accelerator: '
MISSING_LIBRARY = 'libcudnn.so.9: cannot open shared object file: No such file or directory'
DEVICE_LOST = (
    '[ONNXRuntimeError] : 1 : FAIL : Non-zero status code returned while running Conv node. '
    'CUDA failure 719: unspecified launch failure ; GPU={device} ; hostname=test ; expr=cudaStreamSynchronize(stream)'
)
OUT_OF_MEMORY = (
    '[ONNXRuntimeError] : 6 : RUNTIME_EXCEPTION : Non-zero status code returned while running Conv node. '
    'bfc_arena.cc:376 void* onnxruntime::BFCArena::AllocateRawInternal(size_t, bool) '
    'Failed to allocate memory for requested buffer of size {size}'
)
NO_SUCH_DEVICE = (
    '[ONNXRuntimeError] : 1 : FAIL : provider_bridge_ort.cc:1992 CUDA failure 101: invalid device ordinal ; '
    'GPU={device} ; hostname=test ; expr=cudaSetDevice(info_.device_id)'
)


@dataclass(slots=True, eq=False)
class Accelerator:
    """A device with injected failures; ``install`` makes onnxruntime use it.

    ``name`` is the name of the execution provider in the program. ``in_build`` False leaves it out of the providers of
    the build. ``devices`` is the number of devices. ``mismatch`` makes sessions run on the CPU without an error, as
    onnxruntime does for a library that is missing; ``library_error`` is the reason of the dynamic linker.
    ``lost_at`` is the number of the call (of all sessions, the first is 1) from which on the device is lost.
    ``full_at`` are the numbers of calls that find no memory on the device; ``full_above`` is the largest batch (first
    axis of the first input) that it holds. ``left_to_cpu`` is the number of nodes that the accelerator leaves to the
    CPU, ``on_device`` of those that it runs.
    ``factor`` multiplies all outputs. With ``reads_engine_late`` TensorRT reads its engine at each call, not when the
    session is created. ``calls`` are the shapes of the first input of each call; ``sessions`` are the sessions created
    on it.
    """

    name: str = 'cuda'
    in_build: bool = True
    devices: int = 1
    mismatch: bool = False
    library_error: str = ''
    lost_at: int | None = None
    full_at: Sequence[int] = ()
    full_above: int | None = None
    left_to_cpu: int = 0
    on_device: int = 10
    factor: float = 1.0
    calls: list[tuple[int, ...]] = field(default_factory=list)
    sessions: list[FakeSession] = field(default_factory=list)
    reads_engine_late: bool = False
    real: Any = onnxruntime.InferenceSession
    lock: Any = field(default_factory=threading.Lock)

    @property
    def runtime_name(self) -> str:
        """The name of the provider in onnxruntime."""
        return NAMES[self.name]

    def install(self, monkeypatch: Any) -> Accelerator:
        """Replace the functions of onnxruntime until the end of the test."""
        listed = [self.runtime_name] * self.in_build + [CPU]
        if self.name == 'tensorrt' and self.in_build:
            listed.insert(1, NAMES['cuda'])
        monkeypatch.setattr(onnxruntime, 'get_available_providers', lambda: list(listed))
        monkeypatch.setattr(onnxruntime, 'preload_dlls', lambda *ignored, **named: None, raising=False)
        monkeypatch.setattr(onnxruntime, 'InferenceSession', self.create)
        if self.name in devices.CUDA_PROVIDERS:
            monkeypatch.setattr(devices, 'load_driver', lambda: FakeDriver(self.devices))
        if self.library_error:
            monkeypatch.setattr(provider_module, 'loading_error', lambda name: self.library_error)
        return self

    def create(self, model: str | bytes, sess_options: Any = None, providers: Sequence[Any] = (), **named: Any) -> Any:
        """Return a session, in place of ``onnxruntime.InferenceSession``."""
        asked = [entry if isinstance(entry, tuple) else (entry, {}) for entry in providers]
        names = [name for name, _ in asked]
        known = {self.runtime_name, NAMES['cuda'] if self.name == 'tensorrt' else self.runtime_name}
        if self.mismatch or known.isdisjoint(names):
            return self.real(model, sess_options, providers=[CPU], **named)
        options = dict(next(options for name, options in asked if name in known))
        device = int(options.get('device_id', 0))
        if device >= self.devices:
            raise RuntimeError(NO_SUCH_DEVICE.format(device=device))
        if not self.reads_engine_late:
            self.use_engine(options)
        session = FakeSession(self, self.real(model, sess_options, providers=[CPU], **named), names, options)
        self.sessions.append(session)
        return session

    def count(self, shape: tuple[int, ...], device: int) -> None:
        """Count a call, or raise the failure that is injected for it."""
        with self.lock:
            self.calls.append(shape)
            number = len(self.calls)
        if self.lost_at is not None and number >= self.lost_at:
            raise RuntimeError(DEVICE_LOST.format(device=device))
        if number in self.full_at or (self.full_above is not None and shape and shape[0] > self.full_above):
            raise RuntimeError(OUT_OF_MEMORY.format(size=1 << 28))

    def use_engine(self, options: dict[str, Any]) -> None:
        """Read or write the engine of TensorRT, as its provider does; a damaged one fails."""
        folder = options.get('trt_engine_cache_path')
        if self.name != 'tensorrt' or not folder or str(options.get('trt_engine_cache_enable')) not in ('True', '1'):
            return
        engine = Path(folder) / 'fake.engine'
        if not engine.exists():
            engine.write_bytes(ENGINE + str(sorted(options.items())).encode())
        elif not engine.read_bytes().startswith(ENGINE):
            raise RuntimeError(
                '[ONNXRuntimeError] : 11 : EP_FAIL : TensorRT EP could not deserialize engine from cache: '
                + str(engine)
            )


class FakeDriver:
    """The functions of the CUDA driver that the program calls, with cards named Test Card 0, 1 and so on."""

    def __init__(self, count: int) -> None:
        self._count = count

    def cuInit(self, flags: int) -> int:  # noqa: N802
        return 0 if self._count else 100

    def cuDriverGetVersion(self, version: Any) -> int:  # noqa: N802
        version._obj.value = 13010
        return 0

    def cuDeviceGetCount(self, count: Any) -> int:  # noqa: N802
        count._obj.value = self._count
        return 0

    def cuDeviceGet(self, device: Any, number: int) -> int:  # noqa: N802
        device._obj.value = number
        return 0

    def cuDeviceGetName(self, name: Any, size: int, device: Any) -> int:  # noqa: N802
        name.value = b'Test Card %d' % device.value
        return 0


class FakeSession:
    """A session on the accelerator; ``asked`` are the requested providers, ``options`` those of the accelerator."""

    def __init__(self, accelerator: Accelerator, session: Any, asked: Sequence[str], options: dict[str, Any]) -> None:
        self._accelerator = accelerator
        self._session = session
        self.asked = list(asked)
        self.options = options

    def __getattr__(self, name: str) -> Any:
        return getattr(self._session, name)

    def get_providers(self) -> list[str]:
        return [*(name for name in self.asked if name != CPU), CPU]

    def get_provider_options(self) -> dict[str, dict[str, str]]:
        named = {name: {key: str(value) for key, value in self.options.items()} for name in self.asked if name != CPU}
        return {**named, CPU: {}}

    def get_provider_graph_assignment_info(self) -> list[Any]:
        nodes = {CPU: self._accelerator.left_to_cpu, self.asked[0]: self._accelerator.on_device}
        return [SimpleNamespace(ep_name=name, get_nodes=lambda n=count: ['node'] * n) for name, count in nodes.items()]

    def run(self, names: Any, feeds: dict[str, Any], options: Any = None) -> list[Any]:
        self._start_call(tuple(next(iter(feeds.values())).shape))
        outputs = self._session.run(names, feeds, options)
        return [output * output.dtype.type(self._accelerator.factor) for output in outputs]

    def io_binding(self) -> Binding:
        return Binding(self._session, self._accelerator.factor)

    def run_with_iobinding(self, binding: Binding, options: Any = None) -> None:
        self._start_call(binding.shape)
        self._session.run_with_iobinding(binding, options)

    def _start_call(self, shape: tuple[int, ...]) -> None:
        if self._accelerator.reads_engine_late:
            self._accelerator.use_engine(self.options)
        self._accelerator.count(shape, int(self.options.get('device_id', 0)))


class Binding(onnxruntime.IOBinding):
    """Buffers of a call; ``shape`` is that of the first bound input, and ``factor`` multiplies the outputs."""

    def __init__(self, session: Any, factor: float) -> None:
        super().__init__(session)
        self.shape: tuple[int, ...] = ()
        self._factor = factor

    def bind_ortvalue_input(self, name: str, ortvalue: Any) -> None:
        self.shape = self.shape or tuple(ortvalue.shape())
        super().bind_ortvalue_input(name, ortvalue)

    def get_outputs(self) -> list[Any]:
        return (
            [Scaled(value, self._factor) for value in super().get_outputs()]
            if self._factor != 1
            else super().get_outputs()
        )


class Scaled:
    """An output whose values are multiplied; it serves as a buffer for later calls, too."""

    def __init__(self, value: Any, factor: float) -> None:
        self._value, self._factor = value, factor

    def __getattr__(self, name: str) -> Any:
        return getattr(self._value, name)

    def numpy(self) -> Any:
        array = self._value.numpy()
        return array * array.dtype.type(self._factor)
