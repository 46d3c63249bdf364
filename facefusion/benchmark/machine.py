"""The machine of a benchmark: processor, GPU, memory, system and versions."""

from __future__ import annotations

import os
import platform
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from facefusion.benchmark.gpu import Gpu, describe_gpu
from facefusion.limits import usable_cores
from facefusion.models.choice import physical_memory
from facefusion.packages import installed_versions
from facefusion.version import VERSION

_LIBRARIES = ('av', 'numpy', 'opencv-python-headless', 'pillow')
_RUNTIMES = ('onnxruntime', 'onnxruntime-gpu', 'onnxruntime-directml', 'onnxruntime-openvino', 'onnxruntime-rocm')
_CPUINFO = Path('/proc/cpuinfo')


def describe_machine(gpu: Gpu | None, device_id: int, providers: Sequence[str]) -> dict[str, Any]:
    """Return the facts about this machine as plain JSON; ``providers`` are those that sessions run on."""
    return {
        'cpu': {'model': cpu_model(), 'cores': os.cpu_count(), 'usable_cores': usable_cores()},
        'gpu': describe_gpu(gpu, device_id),
        'memory_bytes': physical_memory(),
        'system': platform.platform(),
        'python': platform.python_version(),
        'facefusion': VERSION,
        'libraries': installed_versions((*_RUNTIMES, *_LIBRARIES)),
        'providers': list(providers),
    }


def cpu_model(cpuinfo: Path = _CPUINFO) -> str:
    """Return the name of the processor."""
    try:
        lines = cpuinfo.read_text(encoding='utf-8', errors='replace').splitlines()
    except OSError:
        lines = []
    names = (line.partition(':')[2].strip() for line in lines if line.startswith('model name'))
    return next(names, '') or platform.processor() or platform.machine()
