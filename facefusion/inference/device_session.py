"""A session on an accelerator: calls with reused buffers, and smaller calls when its memory runs out."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from facefusion.device_failure import is_device_memory_error
from facefusion.inference.engine_cache import EngineBuiltAgain
from facefusion.inference.memory_ladder import MemoryLadder, device_error

# The kinds of memory that a provider's buffers may have; those of other providers are in the memory of the CPU.
_BUFFERS = {'CUDAExecutionProvider': 'cuda', 'TensorrtExecutionProvider': 'cuda'}
# A network gets one shape per size of call; detectors get few sizes of pictures. Buffers of older shapes are freed.
_MOST_SHAPES = 4

Arrays = dict[str, NDArray[Any]]


class DeviceSession:
    """An onnxruntime session on an accelerator, with all its attributes; any number of threads may share it.

    ``release`` frees the idle sessions of the process and returns their number.
    """

    def __init__(
        self, session: Any, model: str, ladder: MemoryLadder, release: Callable[[], int], device_id: int = 0
    ) -> None:
        self._session = session
        self._model = model
        self._ladder = ladder
        self._release = release
        self._bindings = BindingPool(session, device_id)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._session, name)

    def run(self, names: list[str] | None, feeds: Arrays) -> list[NDArray[Any]]:
        """Return the outputs; crops are split into smaller calls of one shape if they do not fit into memory.

        Raises ResourceError device-memory-out, ProviderError device-failed, and the errors of onnxruntime.
        """
        crops = [each.name for each in self._session.get_inputs() if is_crop_axis(each.shape)]
        count = len(feeds[crops[0]]) if crops else 1
        first = size = self._ladder.most_crops(self._model, count)
        while True:
            try:
                outputs = self._in_parts(names, feeds, crops, size)
            except Exception as error:  # onnxruntime raises unrelated types of its own
                self._bindings.clear()
                if not is_device_memory_error(error):
                    raise device_error(error, self._model, '') or error from error
                if size == 1 or not crops:
                    break
                size = -(-size // 2)
            else:
                if size < first:
                    self._ladder.note_smaller_calls(self._model, size)
                return outputs
        try:
            return self._ladder.with_fewer_sessions(
                self._model, self._release, lambda: self._in_parts(names, feeds, crops, 1)
            )
        except Exception as error:  # see above
            self._bindings.clear()
            raise device_error(error, self._model, _needs(feeds, count)) or error from error

    def run_whole(self, names: list[str] | None, feeds: Arrays) -> list[NDArray[Any]]:
        """Return the outputs of one call with all crops; raises the errors of onnxruntime when they do not fit."""
        try:
            return self._call(names, feeds)
        except Exception:
            self._bindings.clear()
            raise

    def _in_parts(self, names: list[str] | None, feeds: Arrays, crops: list[str], size: int) -> list[NDArray[Any]]:
        """Call the network with ``size`` crops at a time; the last call is filled with copies of its first crop."""
        count = len(feeds[crops[0]]) if crops else size
        if count == size:
            return self._call(names, feeds)
        parts: list[list[NDArray[Any]]] = []
        for start in range(0, count, size):
            part = feeds | {name: filled(feeds[name][start : start + size], size) for name in crops}
            parts.append([output[: count - start] for output in self._call(names, part)])
        return [np.concatenate(outputs) for outputs in zip(*parts, strict=True)]

    def _call(self, names: list[str] | None, feeds: Arrays) -> list[NDArray[Any]]:
        with self._ladder.call():
            return self._bindings.run(names, feeds)


class BindingPool:
    """Calls of a session with buffers that are reused for calls of the same shape; any number of threads may share it.

    Each thread in a call has buffers of its own.
    """

    def __init__(self, session: Any, device_id: int) -> None:
        self._session, self._device_id = session, device_id
        self._free: OrderedDict[tuple[Any, ...], list[_Binding]] = OrderedDict()
        self._lock = threading.Lock()

    def run(self, names: list[str] | None, feeds: Arrays) -> list[NDArray[Any]]:
        """Return the outputs of one call, in new arrays."""
        key = (tuple(names or ()), *((name, value.shape, value.dtype.str) for name, value in feeds.items()))
        with self._lock:
            waiting = self._free.get(key)
            binding = waiting.pop() if waiting else None
        device = _buffer_device(self._session), self._device_id
        if binding is None:
            binding = _Binding(self._session, device, names, feeds)
        try:
            outputs = binding.run(feeds)
        except EngineBuiltAgain:
            self.clear()
            binding = _Binding(self._session, device, names, feeds)
            outputs = binding.run(feeds)
        with self._lock:
            self._free.setdefault(key, []).append(binding)
            self._free.move_to_end(key)
            while len(self._free) > _MOST_SHAPES:
                self._free.popitem(last=False)
        return outputs

    def clear(self) -> None:
        """Free all buffers that no call uses."""
        with self._lock:
            self._free.clear()


class _Binding:
    """The buffers of one call in the memory of the device."""

    def __init__(self, session: Any, device: tuple[str, int], names: list[str] | None, feeds: Arrays) -> None:
        from facefusion.inference.runtime import onnxruntime

        self._session, self._device = session, device
        self._io = session.io_binding()
        self._inputs = {}
        for name, value in feeds.items():
            # A buffer made from an array on the CPU would share its memory with the array of the caller.
            buffer = onnxruntime.OrtValue.ortvalue_from_shape_and_type(list(value.shape), value.dtype, *device)
            self._io.bind_ortvalue_input(name, buffer)
            self._inputs[name] = buffer
        axes = {each.shape[0] for each in session.get_inputs() if is_crop_axis(each.shape)}
        listed = session.get_outputs()
        self._outputs = [each for each in listed if not names or each.name in names]
        self._outputs.sort(key=lambda each: names.index(each.name) if names else 0)
        self._kept = {each.name for each in self._outputs if _has_known_shape(each.shape, axes)}
        self._values: dict[str, Any] = {}

    def run(self, feeds: Arrays) -> list[NDArray[Any]]:
        for name, value in feeds.items():
            self._inputs[name].update_inplace(np.ascontiguousarray(value))
        for each in self._outputs:
            if each.name not in self._values:
                self._io.bind_output(each.name, *self._device)
        self._session.run_with_iobinding(self._io)
        found = dict(zip((each.name for each in self._outputs), self._io.get_outputs(), strict=True))
        for name in self._kept - self._values.keys():
            self._io.bind_ortvalue_output(name, found[name])
            self._values[name] = found[name]
        # On the CPU the array shares its memory with the buffer of the next call.
        return [np.array(found[each.name].numpy()) for each in self._outputs]


def is_crop_axis(shape: list[int | str | None]) -> bool:
    """Whether an input with this shape takes any number of crops; one with a single axis is the same for all crops."""
    return len(shape) > 1 and not isinstance(shape[0], int)


def filled(crops: NDArray[Any], size: int) -> NDArray[Any]:
    """Return ``size`` crops: the given ones, followed by copies of the first."""
    missing = size - len(crops)
    return np.concatenate([crops, np.repeat(crops[:1], missing, axis=0)]) if missing else crops


def _has_known_shape(shape: list[int | str | None], axes: set[int | str | None]) -> bool:
    """Whether an output has the same shape in all calls of one shape, so that its buffer can be reused.

    The number of detections, for example, is a name that no input has.
    """
    if not shape or not all(isinstance(size, int) for size in shape[1:]):
        return False
    return isinstance(shape[0], int) or (shape[0] is not None and shape[0] in axes)


def _buffer_device(session: Any) -> str:
    from facefusion.inference.runtime import onnxruntime

    # A build without CUDA, with which tests run, has no such buffers.
    return _BUFFERS.get(session.get_providers()[0], 'cpu') if onnxruntime.get_device() == 'GPU' else 'cpu'


def _needs(feeds: Arrays, count: int) -> str:
    megabytes = sum(value.nbytes for value in feeds.values()) / max(count, 1) / 1e6
    shapes = ', '.join('x'.join(map(str, (1, *value.shape[1:]))) for value in feeds.values() if value.ndim > 1)
    return f'one crop per call has {megabytes:.1f} MB of input ({shapes})'
