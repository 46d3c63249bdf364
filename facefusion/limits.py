"""The limits that the system sets to this process: of memory, address space, and threads."""

from __future__ import annotations

import mmap
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Literal, NamedTuple

# Version 1 control groups write a number near 2^63 for no limit.
_NO_LIMIT = 1 << 60
# A shared mapping, Python's default, counts as address space, but not as data.
_PRIVATE: dict[str, int] = {'flags': mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS} if hasattr(mmap, 'MAP_PRIVATE') else {}


class Limit(NamedTuple):
    """A limit by the name that a user knows, how much it allows, and how much of that is taken: bytes or threads.

    ``kind`` is what it counts: 'memory' pages in use, 'address' all that is mapped, 'data' what is mapped to be
    written, 'threads' threads and processes. ``taken`` of an address limit is the most that this process had mapped;
    of what is not counted for this process it is 0. ``advice`` is how to raise it.
    """

    kind: Literal['memory', 'address', 'data', 'threads']
    name: str
    allowed: int
    taken: int
    advice: str

    @property
    def free(self) -> int:
        """How much of it is left; below 0 where it was lowered later."""
        return self.allowed - self.taken

    def __str__(self) -> str:
        if self.kind == 'threads':
            taken = f', {self.taken} are taken' if self.taken else ''
            return f'{self.name} allows {self.allowed} threads and processes{taken}'
        noun = {'memory': 'memory', 'address': 'address space', 'data': 'data'}[self.kind]
        return f'{self.name} allows {self.allowed / 1e6:.0f} MB of {noun}, {self.taken / 1e6:.0f} MB are taken'


def soft_limit(name: str) -> int | None:
    """The soft limit of this process by the name of its constant, as RLIMIT_AS; None where there is none."""
    try:
        import resource
    except ImportError:  # Windows has none
        return None
    number = getattr(resource, name, None)
    found = resource.RLIM_INFINITY if number is None else resource.getrlimit(number)[0]
    return None if found in (resource.RLIM_INFINITY, -1) else int(found)


SoftLimit = Callable[[str], int | None]


def memory_limits(system: Path = Path('/'), soft: SoftLimit = soft_limit) -> tuple[Limit, ...]:
    """The limits of memory, data and address space; empty where the system tells none.

    ``system`` is the root under which ``proc`` and ``sys`` lie.
    """
    found = []
    sizes = _sizes(system / 'proc/meminfo')
    if 'MemAvailable' in sizes:
        total = max(sizes.get('MemTotal', 0), sizes['MemAvailable'])
        taken = total - sizes['MemAvailable']
        found.append(Limit('memory', 'this machine', total, taken, 'close other programs'))
    for version, folder, name in _control_groups(system, 'memory'):
        group = _memory_group(version, folder, name)
        if group is not None:
            found.append(group)
    own = _sizes(system / 'proc/self/status')
    for kind, constant, flag, key in (('address', 'RLIMIT_AS', 'v', 'VmPeak'), ('data', 'RLIMIT_DATA', 'd', 'VmData')):
        allowed = soft(constant)
        # Where the system does not say how much is taken (macOS), it does not hold a process to this limit either.
        if allowed is not None and key in own:
            limit = Limit(kind, f'ulimit -{flag}', allowed, own[key], f'raise ulimit -{flag}')  # type: ignore[arg-type]
            found.append(limit)
    return tuple(found)


def available_memory(system: Path = Path('/')) -> int | None:
    """Bytes that this process could still take, from the kernel and its control groups; None where unknown."""
    free = [limit.free for limit in memory_limits(system, lambda name: None)]
    return max(min(free), 0) if free else None


def thread_limits(system: Path = Path('/'), soft: SoftLimit = soft_limit) -> tuple[Limit, ...]:
    """The limits of threads and processes; empty where the system tells none."""
    found = []
    for _, folder, name in _control_groups(system, 'pids'):
        with suppress(OSError, ValueError):
            most, taken = int((folder / 'pids.max').read_text()), int((folder / 'pids.current').read_text())
            advice = 'raise the limit of processes of the container'
            found.append(Limit('threads', f'the control group {name}', most, taken, advice))
    allowed = soft('RLIMIT_NPROC')
    # It counts all processes of a user, and does not hold the administrator.
    if allowed is not None and (not hasattr(os, 'geteuid') or os.geteuid() != 0):
        found.append(Limit('threads', 'ulimit -u', allowed, 0, 'raise ulimit -u'))
    return tuple(found)


def find_room(size: int, threads: int) -> tuple[bool, int]:
    """Whether this process gets so many more bytes to write, and how many threads it can start beside them.

    Nothing of it is used, and all is given back. A control group does not refuse memory here: it ends processes once
    that is used.
    """
    try:
        room = mmap.mmap(-1, max(size, 1), **_PRIVATE)
    except (OSError, ValueError, OverflowError):
        return False, 0
    with room:
        return True, can_start(threads)


def can_start(threads: int) -> int:
    """How many threads this process can start now beside those that it has, ``threads`` at most; they end at once."""
    ended, started = threading.Event(), []
    try:
        for _ in range(threads):
            thread = threading.Thread(target=ended.wait, daemon=True)
            thread.start()
            started.append(thread)
    except (RuntimeError, MemoryError):
        pass
    finally:
        ended.set()
        for thread in started:
            thread.join()
    return len(started)


def _sizes(table: Path) -> dict[str, int]:
    """The sizes of a table of the kernel, which counts them in kB, in bytes."""
    found = {}
    with suppress(OSError, UnicodeDecodeError):
        for line in table.read_text(encoding='utf-8', errors='replace').splitlines():
            key, _, value = line.partition(':')
            words = value.split()
            if words[1:] == ['kB'] and words[0].isdigit():
                found[key] = int(words[0]) * 1024
    return found


def _control_groups(system: Path, controller: str) -> Iterator[tuple[int, Path, str]]:
    """Version, folder and name of this process's control groups, each from its own up to the root.

    A container may see its own group as the root while its name is the one outside: folders that are not there have
    no limits.
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


def _memory_group(version: int, folder: Path, name: str) -> Limit | None:
    """The memory limit of a control group; None where it has none."""
    files = ('memory.max', 'memory.current', 'inactive_file')
    if version == 1:
        files = ('memory.limit_in_bytes', 'memory.usage_in_bytes', 'total_inactive_file')
    try:
        most, taken = (int((folder / file).read_text()) for file in files[:2])
        idle = 0
        for line in (folder / 'memory.stat').read_text(encoding='ascii').splitlines():
            if line.startswith(f'{files[2]} '):
                # File pages that are not in use count as taken, but are given back before anything is refused.
                idle = int(line.split()[1])
    except (OSError, ValueError):
        return None
    if most >= _NO_LIMIT:
        return None
    advice = 'raise the memory limit of the container'
    return Limit('memory', f'the control group {name}', most, max(taken - idle, 0), advice)
