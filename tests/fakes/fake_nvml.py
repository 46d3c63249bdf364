"""A stand-in for the module pynvml with one card."""

from __future__ import annotations

import os
from types import SimpleNamespace


class FakeNvml:
    """The functions of NVML that the benchmark calls; a value of None is an unsupported query."""

    class NVMLError(Exception):
        pass

    def __init__(self, used=100, own=None, millijoules=None, milliwatts=None, cards=1) -> None:
        self.used, self.own = used, own
        self.millijoules, self.milliwatts = millijoules, milliwatts
        self.cards = cards
        self.is_open = False

    def nvmlInit(self):  # noqa: N802
        self.is_open = True

    def nvmlDeviceGetHandleByIndex(self, number):  # noqa: N802
        assert self.is_open
        return f'card {self._known(number if number < self.cards else None)}'

    def nvmlDeviceGetName(self, handle):  # noqa: N802
        assert handle == 'card 0'
        return b'Test Card'

    def nvmlSystemGetDriverVersion(self):  # noqa: N802
        return '570.1'

    def nvmlDeviceGetMemoryInfo(self, handle):  # noqa: N802
        return SimpleNamespace(total=8_000, used=self._known(self.used))

    def nvmlDeviceGetComputeRunningProcesses(self, handle):  # noqa: N802
        others = [SimpleNamespace(pid=1, usedGpuMemory=999)]
        return others + ([SimpleNamespace(pid=os.getpid(), usedGpuMemory=self.own)] if self.own else [])

    def nvmlDeviceGetTotalEnergyConsumption(self, handle):  # noqa: N802
        return self._known(self.millijoules)

    def nvmlDeviceGetPowerUsage(self, handle):  # noqa: N802
        return self._known(self.milliwatts)

    def _known(self, value):
        if value is None:
            raise self.NVMLError('not supported')
        return value
