"""A trial of an execution provider: it runs two small networks and is compared with the CPU."""

from __future__ import annotations

import math
import statistics
import time
from dataclasses import dataclass
from typing import Any

from facefusion.errors import ProviderError
from facefusion.inference.devices import CUDA_PROVIDERS, find_driver
from facefusion.inference.probe_models import CONVOLUTION_SHAPE, convolution_model, one_node_model
from facefusion.inference.providers import RUNTIME_NAMES, create_session, provider_failure
from facefusion.shortage import raise_shortage

_RUNS = 5
# Relative to the largest value. Accelerators may compute with 10 bits of mantissa (TensorFloat-32, half precision).
_TOLERANCE = 0.02


@dataclass(frozen=True, slots=True)
class ProviderTrial:
    """A provider that works: its device, and the median milliseconds of one node and of a convolution.

    ``left_to_cpu`` is whether the convolution ran on the CPU although a session reports the provider.
    """

    device: str
    node_ms: float
    convolution_ms: float
    left_to_cpu: bool


def try_provider(name: str, device_id: int) -> ProviderTrial:
    """Run both networks on a provider. Raises ProviderError when it does not work, or computes something else."""
    import numpy as np

    x = np.linspace(-1, 1, math.prod(CONVOLUTION_SHAPE), dtype=np.float32).reshape(CONVOLUTION_SHAPE)
    _, node_ms = _timed(name, create_session(one_node_model(), (name,), device_id), {'x': x.ravel()[:1]})
    session = create_session(convolution_model(), (name,), device_id)
    result, convolution_ms = _timed(name, session, {'x': x})
    expected = create_session(convolution_model(), ('cpu',), 0).run(None, {'x': x})[0]
    error = float(np.abs(result - expected).max() / np.abs(expected).max())
    # A comparison with NaN is false.
    if not error <= _TOLERANCE:
        raise ProviderError(
            'provider-unavailable',
            f'the execution provider {name} computes a wrong convolution',
            cause=f'its values differ by up to {error:.1%} from those of the CPU',
            hint='update the driver of the device, or use --execution-providers cpu',
        )
    return ProviderTrial(device_label(name, device_id), node_ms, convolution_ms, _is_left_to_cpu(name, session))


def device_label(name: str, device_id: int) -> str:
    """Return the device of a provider in words."""
    if name == 'cpu':
        return 'the CPU'
    driver = find_driver() if name in CUDA_PROVIDERS else None
    known = driver.devices[device_id] if driver is not None and device_id < len(driver.devices) else ''
    return f'device {device_id}' + (f' ({known})' if known else '')


def _timed(name: str, session: Any, feeds: dict[str, Any]) -> tuple[Any, float]:
    """Return the output, and the median milliseconds of the runs after the first one, which prepares the device."""
    seconds = []
    try:
        output = session.run(None, feeds)[0]
        for _ in range(_RUNS):
            began = time.perf_counter()
            output = session.run(None, feeds)[0]
            seconds.append(time.perf_counter() - began)
    except Exception as error:  # onnxruntime raises unrelated types of its own
        raise_shortage(error)
        raise provider_failure(name, str(error).splitlines()[0]) from error
    return output, statistics.median(seconds) * 1000


def _is_left_to_cpu(name: str, session: Any) -> bool:
    if name == 'cpu' or not hasattr(session, 'get_provider_graph_assignment_info'):
        return False
    parts = session.get_provider_graph_assignment_info()
    return bool(parts) and all(part.ep_name == RUNTIME_NAMES['cpu'] for part in parts if part.get_nodes())
