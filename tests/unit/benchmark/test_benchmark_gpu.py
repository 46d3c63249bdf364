"""Tests of the values of a graphics card, with a stand-in for NVML."""

from __future__ import annotations

import pytest
from fakes.fake_nvml import FakeNvml

from facefusion.benchmark import gpu as gpus
from facefusion.benchmark.gauges import Gauges
from facefusion.benchmark.gpu import GpuEnergy, describe_gpu, find_gpu


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def card(**values):
    return find_gpu(0, lambda name: FakeNvml(**values))


def test_a_card_has_its_name_driver_and_memory():
    assert describe_gpu(card(), 0) == {'name': 'Test Card', 'driver': '570.1', 'memory_bytes': 8000}


def test_there_is_no_card_without_nvml_a_driver_or_the_number(monkeypatch):
    def missing(name):
        raise ImportError(name)

    assert find_gpu(0, missing) is None
    assert find_gpu(1, lambda name: FakeNvml()) is None
    monkeypatch.setattr(gpus.shutil, 'which', lambda name: None)
    assert describe_gpu(None, 0) is None


def test_without_nvml_the_program_nvidia_smi_is_asked(tmp_path, monkeypatch):
    program = tmp_path / 'nvidia-smi'
    program.write_text('#!/bin/sh\necho "Other Card, 565.2, 24564 MiB"\n')
    program.chmod(0o755)
    monkeypatch.setattr(gpus.shutil, 'which', lambda name: str(program))
    assert describe_gpu(None, 0) == {'name': 'Other Card', 'driver': '565.2', 'memory_bytes': 24564 * 2**20}
    program.write_text('#!/bin/sh\nexit 9\n')
    assert describe_gpu(None, 0) is None


def test_memory_is_that_of_this_process_or_else_of_all():
    def peak(nvml, *later):
        with Gauges(find_gpu(0, lambda name: nvml)) as gauges:
            for own in later:
                nvml.own = own
                gauges.readings()
            return gauges.readings().device_memory_bytes

    # A process is listed from its first use of the GPU on; the memory of other programs before that does not count.
    assert peak(FakeNvml(used=500), 300, 200) == 300
    assert peak(FakeNvml(used=500)) == 500
    assert peak(FakeNvml(used=None)) is None


def test_the_peak_of_the_memory_is_kept():
    nvml = FakeNvml(used=100)
    with Gauges(find_gpu(0, lambda name: nvml)) as gauges:
        nvml.used = 900
        gauges.readings()
        nvml.used = 200
        assert gauges.readings().device_memory_bytes == 900


def test_energy_is_the_difference_of_the_counter():
    nvml = FakeNvml(millijoules=5_000)
    energy = GpuEnergy(find_gpu(0, lambda name: nvml))
    nvml.millijoules = 12_500
    assert energy.joules() == 7.5


def test_energy_is_summed_from_the_power_where_there_is_no_counter():
    nvml, clock = FakeNvml(milliwatts=100_000), Clock()
    energy = GpuEnergy(find_gpu(0, lambda name: nvml), clock)
    clock.now = 2.0
    energy.sample()
    nvml.milliwatts, clock.now = 200_000, 3.0
    # 100 W for 2 s, and 150 W on average for 1 s.
    assert energy.joules() == pytest.approx(350)


def test_energy_is_unknown_where_the_card_reports_neither():
    assert GpuEnergy(card()).joules() is None
    with Gauges(card()) as gauges:
        assert gauges.readings().gpu_joules is None
