"""Tests of the gauges of memory and energy."""

from __future__ import annotations

import pytest

from facefusion.benchmark.gauges import EnergyZone, Gauges, cpu_zones

LIMIT = 1_000_000


def make_zone(folder, energy, name='package-0'):
    folder.mkdir(parents=True)
    (folder / 'name').write_text(f'{name}\n')
    (folder / 'energy_uj').write_text(f'{energy}\n')
    (folder / 'max_energy_range_uj').write_text(f'{LIMIT}\n')
    return folder


def test_the_peak_includes_memory_that_is_free_again(no_thread_stays):
    with Gauges(None) as gauges:
        before = gauges.readings().peak_memory_bytes
        block = bytearray(b'x') * 200_000_000
        del block
        assert gauges.readings().peak_memory_bytes >= before + 150_000_000
        assert gauges.readings().device_memory_bytes is None


def test_a_peak_does_not_count_for_the_next_run():
    with Gauges(None):
        block = bytearray(b'x') * 300_000_000
        del block
    with Gauges(None) as gauges:
        first = gauges.readings().peak_memory_bytes
    with Gauges(None) as gauges:
        assert abs(gauges.readings().peak_memory_bytes - first) < 100_000_000


def test_memory_is_sampled_where_the_system_keeps_no_peak(tmp_path):
    with Gauges(None, process=tmp_path) as gauges:
        before = gauges.readings().peak_memory_bytes
        block = bytearray(b'x') * 100_000_000
        gauges.readings()
        del block
        assert gauges.readings().peak_memory_bytes >= before + 90_000_000


def test_energy_is_that_of_all_packages_and_survives_a_restart_of_the_counter(tmp_path):
    first, second = make_zone(tmp_path / 'intel-rapl:0', 999_000), make_zone(tmp_path / 'intel-rapl:1', 0)
    # Zones of a part of a package, and of the platform, count the same energy again.
    make_zone(tmp_path / 'intel-rapl:0:0', 0, 'core')
    make_zone(tmp_path / 'intel-rapl:2', 0, 'psys')
    with Gauges(None, power=tmp_path) as gauges:
        (first / 'energy_uj').write_text('500000')
        (second / 'energy_uj').write_text('250000')
        for name in ('intel-rapl:0:0', 'intel-rapl:2'):
            (tmp_path / name / 'energy_uj').write_text('777777')
        # 999000 to the range of 1000000, and 500000 after it; 250000 of the other package.
        assert gauges.readings().cpu_joules == pytest.approx(0.751)


def test_energy_is_unknown_without_zones_or_permission(tmp_path):
    assert cpu_zones(tmp_path / 'none') == []
    zone = make_zone(tmp_path / 'intel-rapl:0', 5)
    (zone / 'energy_uj').unlink()
    assert EnergyZone(zone).joules() is None
    with Gauges(None, power=tmp_path) as gauges:
        assert gauges.readings().cpu_joules is None
