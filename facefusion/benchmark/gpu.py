"""The GPU of a run: name, driver, memory and energy, as far as the system reports them.

The values come from NVML through the package pynvml (nvidia-ml-py) where it is installed; name and driver otherwise
from the program nvidia-smi.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from collections.abc import Callable
from importlib import import_module
from typing import Any

_SMI_SECONDS = 10


class Gpu:
    """A GPU of NVML. Each method returns None for a value that the GPU or its driver does not report."""

    def __init__(self, nvml: Any, handle: Any) -> None:
        self._nvml = nvml
        self._handle = handle

    def as_record(self) -> dict[str, Any]:
        """Return name, driver and memory in bytes."""
        memory = self._ask(lambda: int(self._nvml.nvmlDeviceGetMemoryInfo(self._handle).total))
        name = self._ask(lambda: _text(self._nvml.nvmlDeviceGetName(self._handle)))
        driver = self._ask(lambda: _text(self._nvml.nvmlSystemGetDriverVersion()))
        return {'name': name, 'driver': driver, 'memory_bytes': memory}

    def own_bytes(self) -> int | None:
        """Return the memory of this process on the GPU; None if the driver does not list it, as in containers."""
        listed = self._ask(lambda: self._nvml.nvmlDeviceGetComputeRunningProcesses(self._handle)) or []
        return next((each.usedGpuMemory for each in listed if each.pid == os.getpid()), None)

    def used_bytes(self) -> int | None:
        """Return the memory of all programs on the GPU."""
        used: int | None = self._ask(lambda: int(self._nvml.nvmlDeviceGetMemoryInfo(self._handle).used))
        return used

    def joules(self) -> float | None:
        """Return the energy that the GPU has used since its driver was loaded."""
        found: int | None = self._ask(lambda: int(self._nvml.nvmlDeviceGetTotalEnergyConsumption(self._handle)))
        return None if found is None else found / 1e3

    def watts(self) -> float | None:
        """Return the power of the GPU now."""
        found: int | None = self._ask(lambda: int(self._nvml.nvmlDeviceGetPowerUsage(self._handle)))
        return None if found is None else found / 1e3

    def _ask(self, question: Callable[[], Any]) -> Any:
        try:
            return question()
        except self._nvml.NVMLError:
            return None


def find_gpu(device_id: int, load: Callable[[str], Any] = import_module) -> Gpu | None:
    """Return the GPU with this number; None without NVML, a driver or a GPU."""
    try:
        nvml = load('pynvml')
    except ImportError:
        return None
    try:
        nvml.nvmlInit()
        return Gpu(nvml, nvml.nvmlDeviceGetHandleByIndex(device_id))
    except nvml.NVMLError:
        return None


def describe_gpu(gpu: Gpu | None, device_id: int) -> dict[str, Any] | None:
    """Return name, driver and memory in bytes of the GPU, None without one."""
    return gpu.as_record() if gpu is not None else _ask_smi(device_id)


def _ask_smi(device_id: int) -> dict[str, Any] | None:
    program = shutil.which('nvidia-smi')
    if program is None:
        return None
    query = [program, f'--id={device_id}', '--query-gpu=name,driver_version,memory.total', '--format=csv,noheader']
    try:
        answer = subprocess.run(query, capture_output=True, text=True, timeout=_SMI_SECONDS, check=True).stdout
        name, driver, memory = (part.strip() for part in answer.splitlines()[0].split(','))
        return {'name': name, 'driver': driver, 'memory_bytes': int(memory.split()[0]) * 2**20}
    except (OSError, subprocess.SubprocessError, ValueError, IndexError):
        return None


def _text(value: str | bytes) -> str:
    return value.decode() if isinstance(value, bytes) else value


class GpuEnergy:
    """Sums the energy of a GPU since it was created; None if the GPU reports neither energy nor power.

    Where the driver counts no energy, ``sample`` sums power over time, so it must be called several times a second.
    """

    def __init__(self, gpu: Gpu, clock: Callable[[], float] = time.monotonic) -> None:
        self._gpu = gpu
        self._clock = clock
        self._counter = gpu.joules()
        self._summed = 0.0
        self._last = clock()
        self._watts = gpu.watts() if self._counter is None else None

    def sample(self) -> None:
        """Read the power, where the GPU counts no energy."""
        if self._counter is None and self._watts is not None:
            now, watts = self._clock(), self._gpu.watts()
            watts = self._watts if watts is None else watts
            self._summed += (self._watts + watts) / 2 * (now - self._last)
            self._last, self._watts = now, watts

    def joules(self) -> float | None:
        """Return the energy since the object was created."""
        if self._counter is not None:
            now = self._gpu.joules()
            return None if now is None else now - self._counter
        self.sample()
        return self._summed if self._watts is not None else None
