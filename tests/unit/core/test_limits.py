from __future__ import annotations

import os
import sys
import threading
from pathlib import Path

import pytest

from facefusion import limits
from facefusion.limits import (
    available_memory,
    can_start,
    memory_limits,
    probe_available,
    thread_limits,
    usable_cores,
)

GB = 1 << 30


def unlimited(name: str) -> None:
    return None


@pytest.fixture
def system(tmp_path: Path) -> Path:
    (tmp_path / 'proc/self').mkdir(parents=True)
    (tmp_path / 'proc/meminfo').write_text(f'MemTotal: {64 * GB // 1024} kB\nMemAvailable: {60 * GB // 1024} kB\n')
    (tmp_path / 'proc/self/cgroup').write_text('0::/\n')
    return tmp_path


def write(folder: Path, **files: object) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, value in files.items():
        (folder / name.replace('__', '.')).write_text(f'{value}\n')


def write_group(folder: Path, most: object, taken: int, idle: int = 0) -> None:
    write(folder, memory__max=most, memory__current=taken, memory__stat=f'anon 5\ninactive_file {idle}')


def write_old_group(folder: Path, most: int, taken: int, idle: int = 0) -> None:
    stat = f'inactive_file 1\ntotal_inactive_file {idle}'
    write(folder, memory__limit_in_bytes=most, memory__usage_in_bytes=taken, memory__stat=stat)


def test_idle_file_pages_count_as_available(system):
    write_group(system / 'sys/fs/cgroup', 4 * GB, 4 * GB, 3 * GB)
    assert available_memory(system) == 3 * GB


def test_the_tightest_of_nested_groups_counts(system):
    (system / 'proc/self/cgroup').write_text('0::/a/b\n')
    write_group(system / 'sys/fs/cgroup', 'max', 9 * GB)
    write_group(system / 'sys/fs/cgroup/a', 3 * GB, 2 * GB)
    write_group(system / 'sys/fs/cgroup/a/b', 4 * GB, 1 * GB)
    assert available_memory(system) == GB
    assert [limit.name for limit in memory_limits(system, unlimited)][1:] == [
        'the control group /a/b',
        'the control group /a',
    ]


def test_control_groups_of_version_1_count_with_their_parents(system):
    (system / 'proc/self/cgroup').write_text('5:cpu,cpuacct:/x\n4:memory:/a/b\n0::/\n')
    root = system / 'sys/fs/cgroup/memory'
    write_old_group(root, 9223372036854771712, 9 * GB)
    write_old_group(root / 'a', 3 * GB, 2 * GB, GB // 2)
    write_old_group(root / 'a/b', 9223372036854771712, 0)
    assert available_memory(system) == 3 * GB // 2
    # In a container, the control group has the same name as outside, but its folder is the root folder.
    (system / 'proc/self/cgroup').write_text('4:memory:/docker/0123\n')
    write_old_group(root, 2 * GB, GB)
    assert available_memory(system) == GB


def test_without_groups_the_memory_of_the_machine_counts(system, tmp_path):
    assert available_memory(system) == 60 * GB
    assert available_memory(tmp_path / 'nothing') is None


def test_limits_of_the_process_count_mapped_memory(system):
    sizes = 'Name:\tpython\nVmPeak:\t 500 kB\nVmSize:\t 400 kB\nVmData:\t 100 kB\n'
    (system / 'proc/self/status').write_text(sizes)
    found = {limit.kind: limit for limit in memory_limits(system, {'RLIMIT_AS': 10**9, 'RLIMIT_DATA': 10**8}.get)}
    assert (found['address'].allowed, found['address'].used) == (10**9, 512000)
    assert (found['data'].allowed, found['data'].used) == (10**8, 102400)
    assert found['address'].name == 'ulimit -v' and found['data'].name == 'ulimit -d'
    assert '1000 MB of address space' in str(found['address'])
    # A system that does not report mapped memory does not enforce these limits.
    (system / 'proc/self/status').unlink()
    assert {limit.kind for limit in memory_limits(system, lambda name: 10**9)} == {'memory'}


@pytest.mark.parametrize(
    ('lines', 'folder'),
    [('0::/a\n', 'sys/fs/cgroup/a'), ('3:pids:/a\n0::/\n', 'sys/fs/cgroup/pids/a')],
    ids=['version 2', 'version 1'],
)
def test_threads_are_limited_by_groups_of_both_versions(system, lines, folder):
    (system / 'proc/self/cgroup').write_text(lines)
    write(system / folder, pids__max=20, pids__current=15)
    write((system / folder).parent, pids__max='max', pids__current=15)
    (limit,) = thread_limits(system, unlimited)
    assert (limit.free, str(limit)) == (5, 'the control group /a allows 20 threads and processes, 15 are used')


def test_a_limit_of_processes_applies_to_users_but_not_to_root(system, monkeypatch):
    monkeypatch.setattr(limits.os, 'geteuid', lambda: 1000, raising=False)
    (limit,) = thread_limits(system, {'RLIMIT_NPROC': 30}.get)
    assert str(limit) == 'ulimit -u allows 30 threads and processes'
    monkeypatch.setattr(limits.os, 'geteuid', lambda: 0, raising=False)
    assert thread_limits(system, {'RLIMIT_NPROC': 30}.get) == ()


def test_probed_memory_and_threads_are_released():
    before = threading.active_count()
    assert probe_available(1 << 20, 3) == (True, 3)
    assert probe_available(1 << 60, 3) == (False, 0)
    assert threading.active_count() == before


def test_threads_that_cannot_be_started_are_counted(monkeypatch):
    class Scarce(threading.Thread):
        started = 0

        def start(self):
            if Scarce.started == 2:
                raise RuntimeError("can't start new thread")
            Scarce.started += 1
            super().start()

    monkeypatch.setattr(limits.threading, 'Thread', Scarce)
    assert can_start(5) == 2


@pytest.mark.skipif(sys.platform != 'linux', reason='only Linux reports these numbers')
def test_this_machine_reports_its_memory():
    free = available_memory()
    assert free is not None and free > 1 << 20


@pytest.fixture
def eight_cores(monkeypatch):
    monkeypatch.setattr(os, 'sched_getaffinity', lambda number: set(range(8)), raising=False)


@pytest.mark.parametrize(
    ('own', 'parent', 'cores'),
    [
        ('250000 100000', 'max 100000', 3),
        ('max 100000', '400000 100000', 4),
        ('max 100000', 'max 100000', 8),
        ('1000 100000', '400000 100000', 1),
        ('broken', 'max 100000', 8),
    ],
)
def test_the_lowest_quota_of_nested_groups_limits_the_cores(system, eight_cores, own, parent, cores):
    assert usable_cores(system) == 8
    (system / 'proc/self/cgroup').write_text('0::/a/b\n')
    write(system / 'sys/fs/cgroup/a', cpu__max=parent)
    write(system / 'sys/fs/cgroup/a/b', cpu__max=own)
    assert usable_cores(system) == cores


@pytest.mark.parametrize(('quota', 'cores'), [(50000, 1), (400000, 4), (-1, 8)])
def test_quotas_of_version_1_limit_the_cores(system, eight_cores, quota, cores):
    (system / 'proc/self/cgroup').write_text('5:cpu,cpuacct:/x\n')
    write(system / 'sys/fs/cgroup/cpu,cpuacct/x', cpu__cfs_quota_us=quota, cpu__cfs_period_us=100000)
    assert usable_cores(system) == cores
