"""Gauges of this process and the machine: peak memory, memory of the GPU, and energy."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

import psutil

from facefusion.benchmark.gpu import Gpu, GpuEnergy

SAMPLE_SECONDS = 0.05
_POWER, _PROCESS = Path('/sys/class/powercap'), Path('/proc/self')
# The value that resets the peak of resident memory (Linux, Documentation/filesystems/proc.rst).
_RESET_PEAK = '5'


@dataclass(frozen=True, slots=True)
class Readings:
    """Peaks in bytes and energy in joules; None where the system does not report a value."""

    peak_memory_bytes: int
    device_memory_bytes: int | None
    cpu_joules: float | None
    gpu_joules: float | None


class Gauges:
    """A context manager that watches a run from a thread of its own; ``readings`` returns its values."""

    def __init__(self, gpu: Gpu | None, power: Path = _POWER, process: Path = _PROCESS) -> None:
        self._gpu = gpu
        self._power = power
        self._process = process
        self._own = psutil.Process()
        self._stop = threading.Event()
        # The thread and the caller of ``readings`` both take samples.
        self._lock = threading.Lock()
        self._thread = threading.Thread(target=self._watch, name='gauges', daemon=True)

    def __enter__(self) -> Self:
        self._is_exact = _reset_peak(self._process)
        self._peak = self._resident()
        self._own_device: int | None = None
        self._device = self._gpu.used_bytes() if self._gpu is not None else None
        self._energy = GpuEnergy(self._gpu) if self._gpu is not None else None
        self._zones = cpu_zones(self._power)
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._stop.set()
        self._thread.join()

    def readings(self) -> Readings:
        """Return the peaks and the energy since the block began."""
        with self._lock:
            self._sample()
            peak = _peak_of(self._process) if self._is_exact else None
            spent = [zone.joules() for zone in self._zones]
            joules = sum(each for each in spent if each is not None) if spent and None not in spent else None
            gpu_joules = self._energy.joules() if self._energy is not None else None
            # The memory of all programs counts only where that of this process is unknown.
            device = self._device if self._own_device is None else self._own_device
            return Readings(max(peak or 0, self._peak), device, joules, gpu_joules)

    def _resident(self) -> int:
        return int(self._own.memory_info().rss)

    def _sample(self) -> None:
        self._peak = max(self._peak, self._resident())
        for zone in self._zones:
            zone.joules()
        if self._gpu is not None:
            self._own_device = _larger(self._own_device, self._gpu.own_bytes())
            self._device = _larger(self._device, self._gpu.used_bytes())
        if self._energy is not None:
            self._energy.sample()

    def _watch(self) -> None:
        while not self._stop.wait(SAMPLE_SECONDS):
            with self._lock:
                self._sample()


class EnergyZone:
    """The energy of a processor package since the object was created, from a zone of RAPL.

    Its counter restarts at ``max_energy_range_uj`` (Linux, Documentation/power/powercap/powercap.rst).
    """

    def __init__(self, folder: Path) -> None:
        self._counter = folder / 'energy_uj'
        self._last = _number(self._counter)
        self._range = _number(folder / 'max_energy_range_uj') or 0
        self._spent = 0

    def joules(self) -> float | None:
        """Return the joules; None if the counter cannot be read, as only root may on many systems."""
        now = _number(self._counter)
        if now is None or self._last is None:
            return None
        self._spent += now - self._last if now >= self._last else now + self._range - self._last
        self._last = now
        return self._spent / 1e6


def cpu_zones(power: Path = _POWER) -> list[EnergyZone]:
    """Return the zones of the processor packages.

    Other zones count the energy of a part of a package, or of the platform with its packages.
    """
    try:
        folders = sorted(path for path in power.iterdir() if path.name.startswith('intel-rapl:'))
    except OSError:
        return []
    return [EnergyZone(path) for path in folders if _text(path / 'name').startswith('package')]


def _larger(one: int | None, other: int | None) -> int | None:
    return max((each for each in (one, other) if each is not None), default=None)


def _number(path: Path) -> int | None:
    try:
        return int(_text(path))
    except ValueError:
        return None


def _text(path: Path) -> str:
    """Return the text of a file, '' if it cannot be read."""
    try:
        return path.read_text()
    except OSError:
        return ''


def _reset_peak(process: Path) -> bool:
    """Reset the peak of resident memory; return whether the system did."""
    try:
        (process / 'clear_refs').write_text(_RESET_PEAK)
    except OSError:
        return False
    return _peak_of(process) is not None


def _peak_of(process: Path) -> int | None:
    """Return the peak of resident memory in bytes, None where the system does not report it."""
    try:
        lines = (process / 'status').read_text().splitlines()
        return next(int(line.split()[1]) * 1024 for line in lines if line.startswith('VmHWM:'))
    except (OSError, StopIteration, ValueError, IndexError):
        return None
