"""The machine of a benchmark: processor, graphics card, memory, system and versions."""

from __future__ import annotations

import math
import os
import platform
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from facefusion.benchmark.gpu import Gpu, describe_gpu
from facefusion.models.choice import physical_memory
from facefusion.packages import installed_versions
from facefusion.version import VERSION

_LIBRARIES = ('av', 'numpy', 'opencv-python-headless', 'pillow')
_RUNTIMES = ('onnxruntime', 'onnxruntime-gpu', 'onnxruntime-directml', 'onnxruntime-openvino', 'onnxruntime-rocm')
_CPUINFO, _CONTROL_GROUPS = Path('/proc/cpuinfo'), Path('/sys/fs/cgroup')


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


def usable_cores(groups: Path = _CONTROL_GROUPS) -> int:
    """Return the number of cores that this process may use, by its affinity and the quota of its control group."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, 'sched_getaffinity') else os.cpu_count() or 1
    quotas = [quota for read in (_quota, _old_quota) if (quota := read(groups)) is not None]
    return max(min([cores, *(math.ceil(quota) for quota in quotas)]), 1)


def _quota(groups: Path) -> float | None:
    """Return the cores that a control group of version 2 allows, None without a limit."""
    with suppress(OSError, ValueError):
        quota, period = (groups / 'cpu.max').read_text().split()
        return int(quota) / int(period)
    return None


def _old_quota(groups: Path) -> float | None:
    """Return the cores that a control group of version 1 allows, None without a limit."""
    with suppress(OSError, ValueError):
        quota, period = (int((groups / 'cpu' / f'cpu.cfs_{name}_us').read_text()) for name in ('quota', 'period'))
        return quota / period if quota > 0 else None
    return None


def cpu_model(cpuinfo: Path = _CPUINFO) -> str:
    """Return the name of the processor."""
    try:
        lines = cpuinfo.read_text(encoding='utf-8', errors='replace').splitlines()
    except OSError:
        lines = []
    names = (line.partition(':')[2].strip() for line in lines if line.startswith('model name'))
    return next(names, '') or platform.processor() or platform.machine()
