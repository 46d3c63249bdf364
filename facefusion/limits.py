"""Limits that the system sets for this process: memory, address space, data, threads and cores."""

from __future__ import annotations

import math
import mmap
import os
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Literal, NamedTuple

# Version 1 control groups report a number near 2^63 for "no limit".
_NO_LIMIT = 1 << 60
# A shared mapping, the default in Python, counts as address space but not as data.
_PRIVATE: dict[str, int] = {'flags': mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS} if hasattr(mmap, 'MAP_PRIVATE') else {}


class Limit(NamedTuple):
    """A limit, under its user-facing name, with the allowed and the used amount, in bytes or threads.

    ``kind`` is the counted quantity: 'memory' (pages in use), 'address' (all mapped memory), 'data' (writable
    mappings) or 'threads' (threads and processes). For an address limit, ``used`` is the peak of this process, or 0
    if the system does not count it. ``advice`` describes how to raise the limit.
    """

    kind: Literal['memory', 'address', 'data', 'threads']
    name: str
    allowed: int
    used: int
    advice: str

    @property
    def free(self) -> int:
        """The free amount; negative if the limit was lowered below the amount in use."""
        return self.allowed - self.used

    def __str__(self) -> str:
        if self.kind == 'threads':
            used = f', {self.used} are used' if self.used else ''
            return f'{self.name} allows {self.allowed} threads and processes{used}'
        noun = {'memory': 'memory', 'address': 'address space', 'data': 'data'}[self.kind]
        return f'{self.name} allows {self.allowed / 1e6:.0f} MB of {noun}, {self.used / 1e6:.0f} MB are used'


def nearest(limits: Iterable[Limit]) -> Limit | None:
    """Return the limit with the smallest free amount; None without limits."""
    return min(limits, key=lambda limit: limit.free, default=None)


def soft_limit(name: str) -> int | None:
    """Return the soft limit of this process for a constant such as RLIMIT_AS; None without a limit."""
    try:
        import resource
    except ImportError:  # Windows
        return None
    number = getattr(resource, name, None)
    value = resource.RLIM_INFINITY if number is None else resource.getrlimit(number)[0]
    return None if value in (resource.RLIM_INFINITY, -1) else int(value)


SoftLimit = Callable[[str], int | None]


def memory_limits(system: Path = Path('/'), soft: SoftLimit = soft_limit) -> tuple[Limit, ...]:
    """Return the limits of memory, data and address space; empty where the system reports none.

    ``system`` is the root of the ``proc`` and ``sys`` folders.
    """
    limits = []
    machine = _sizes(system / 'proc/meminfo')
    if 'MemAvailable' in machine:
        total = max(machine.get('MemTotal', 0), machine['MemAvailable'])
        limits.append(Limit('memory', 'this machine', total, total - machine['MemAvailable'], 'close other programs'))
    groups = (_memory_group(*group) for group in _control_groups(system, 'memory'))
    limits += [group for group in groups if group is not None]
    process = _sizes(system / 'proc/self/status')
    # A system that does not report the mapped size (macOS) does not enforce these limits either.
    if (allowed := soft('RLIMIT_AS')) is not None and 'VmPeak' in process:
        limits.append(Limit('address', 'ulimit -v', allowed, process['VmPeak'], 'raise ulimit -v'))
    if (allowed := soft('RLIMIT_DATA')) is not None and 'VmData' in process:
        limits.append(Limit('data', 'ulimit -d', allowed, process['VmData'], 'raise ulimit -d'))
    return tuple(limits)


def available_memory(system: Path = Path('/')) -> int | None:
    """Return the bytes that this process can still use, from the kernel and its control groups; None if unknown."""
    limit = nearest(memory_limits(system, lambda name: None))
    return max(limit.free, 0) if limit else None


def thread_limits(system: Path = Path('/'), soft: SoftLimit = soft_limit) -> tuple[Limit, ...]:
    """Return the limits of threads and processes; empty where the system reports none."""
    limits = []
    for _, folder, name in _control_groups(system, 'pids'):
        with suppress(OSError, ValueError):
            allowed, used = int((folder / 'pids.max').read_text()), int((folder / 'pids.current').read_text())
            advice = 'raise the limit of processes of the container'
            limits.append(Limit('threads', f'the control group {name}', allowed, used, advice))
    soft_allowed = soft('RLIMIT_NPROC')
    # This limit counts all processes of a user and does not apply to the administrator.
    if soft_allowed is not None and (not hasattr(os, 'geteuid') or os.geteuid() != 0):
        limits.append(Limit('threads', 'ulimit -u', soft_allowed, 0, 'raise ulimit -u'))
    return tuple(limits)


def usable_cores(system: Path = Path('/')) -> int:
    """Return the number of cores that this process may use, by its affinity and the quotas of its control groups."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, 'sched_getaffinity') else os.cpu_count() or 1
    quotas = [_core_quota(version, folder) for version, folder, _ in _control_groups(system, 'cpu')]
    return max(min([cores, *(math.ceil(quota) for quota in quotas if quota is not None)]), 1)


def probe_available(size: int, threads: int) -> tuple[bool, int]:
    """Return whether this process can map ``size`` more writable bytes, and how many more threads it can then start.

    The memory and the threads are released again. A control group does not refuse memory here: it kills processes that
    use too much.
    """
    try:
        mapping = mmap.mmap(-1, max(size, 1), **_PRIVATE)
    except (OSError, ValueError, OverflowError):
        return False, 0
    with mapping:
        return True, can_start(threads)


def can_start(threads: int) -> int:
    """Return how many more threads this process can start now, at most ``threads``; they end at once."""
    end, started = threading.Event(), []
    try:
        for _ in range(threads):
            thread = threading.Thread(target=end.wait, daemon=True)
            thread.start()
            started.append(thread)
    except (RuntimeError, MemoryError):
        pass
    finally:
        end.set()
        for thread in started:
            thread.join()
    return len(started)


def _sizes(table: Path) -> dict[str, int]:
    """Return the sizes in a table of the kernel, in bytes; the table states them in kB."""
    sizes = {}
    with suppress(OSError, UnicodeDecodeError):
        for line in table.read_text(encoding='utf-8', errors='replace').splitlines():
            key, _, value = line.partition(':')
            words = value.split()
            if words[1:] == ['kB'] and words[0].isdigit():
                sizes[key] = int(words[0]) * 1024
    return sizes


def _control_groups(system: Path, controller: str) -> Iterator[tuple[int, Path, str]]:
    """Yield version, folder and name of the control groups of this process, from its own group up to the root.

    In a container, the group of the process may be mounted as the root, while its name is still the one outside
    the container. A folder that does not exist sets no limit.
    """
    mounts = system / 'sys/fs/cgroup'
    lines = ['0::/']
    with suppress(OSError):
        lines = (system / 'proc/self/cgroup').read_text(encoding='utf-8', errors='replace').splitlines()
    for line in lines:
        number, _, rest = line.partition(':')
        controllers, _, name = rest.partition(':')
        if (number, controllers) == ('0', ''):
            version, root = 2, mounts
        elif controller in controllers.split(','):
            version, root = 1, mounts / controllers
            root = root if root.is_dir() else mounts / controller
        else:
            continue
        parts = [part for part in name.split('/') if part]
        for count in range(len(parts), -1, -1):
            yield version, root.joinpath(*parts[:count]), '/' + '/'.join(parts[:count])


def _core_quota(version: int, folder: Path) -> float | None:
    """Return the cores that a control group allows; None without a limit."""
    with suppress(OSError, ValueError):
        if version == 2:
            quota, period = (folder / 'cpu.max').read_text().split()
        else:
            quota, period = ((folder / f'cpu.cfs_{name}_us').read_text() for name in ('quota', 'period'))
        # Without a limit, the quota of version 2 is 'max', and that of version 1 is -1.
        return int(quota) / int(period) if int(quota) > 0 else None
    return None


def _memory_group(version: int, folder: Path, name: str) -> Limit | None:
    """Return the memory limit of a control group; None without a limit."""
    files = ('memory.max', 'memory.current', 'inactive_file')
    if version == 1:
        files = ('memory.limit_in_bytes', 'memory.usage_in_bytes', 'total_inactive_file')
    try:
        allowed, used = (int((folder / file).read_text()) for file in files[:2])
        idle = 0
        for line in (folder / 'memory.stat').read_text(encoding='ascii').splitlines():
            if line.startswith(f'{files[2]} '):
                # Idle file pages count as used, but the kernel frees them before it refuses memory.
                idle = int(line.split()[1])
    except (OSError, ValueError):
        return None
    if allowed >= _NO_LIMIT:
        return None
    advice = 'raise the memory limit of the container'
    return Limit('memory', f'the control group {name}', allowed, max(used - idle, 0), advice)
