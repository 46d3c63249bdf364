"""How much memory there is, and how much a run needs."""

from __future__ import annotations

import pytest

from facefusion.errors import ResourceError
from facefusion.pipeline.resources import (
    available_memory,
    check_memory,
    memory_of_image,
    memory_of_video,
    return_freed_memory,
)


def test_too_little_memory_is_said_with_numbers():
    free = available_memory()
    assert free is None or free > 1 << 20
    check_memory(1, 'nothing')
    if free is not None:
        with pytest.raises(ResourceError, match='this video would need about') as caught:
            check_memory(1 << 60, 'this video')
        assert caught.value.reference == 'memory-short' and caught.value.hint
    return_freed_memory()


def test_memory_grows_with_pixels_depth_and_workers():
    def video(*facts):
        return sum(memory_of_video(*facts).values())

    def image(*facts):
        return sum(memory_of_image(*facts).values())

    small = video(1280 * 720, 1.5, 2)
    assert small < video(1280 * 720, 3.0, 2) < video(3840 * 2160, 3.0, 2)
    assert small < video(1280 * 720, 1.5, 8) < 1 << 30
    assert image(10**6, 10**6) < image(10**6, 4 * 10**6) < image(10**8, 10**8)


def fake_system(tmp_path, available: int, groups: dict[str, tuple[str, int, int]], own: str):
    """A proc and sys tree: groups by path with their limit, what is taken, and how much of that is idle cache."""
    (tmp_path / 'proc/self').mkdir(parents=True)
    (tmp_path / 'proc/meminfo').write_text(f'MemTotal: 1 kB\nMemAvailable: {available // 1024} kB\n')
    (tmp_path / 'proc/self/cgroup').write_text(f'0::{own}\n')
    for name, (most, taken, idle) in groups.items():
        folder = tmp_path / 'sys/fs/cgroup' / name
        folder.mkdir(parents=True, exist_ok=True)
        (folder / 'memory.max').write_text(f'{most}\n')
        (folder / 'memory.current').write_text(f'{taken}\n')
        (folder / 'memory.stat').write_text(f'anon 5\ninactive_file {idle}\n')
    return tmp_path


def test_idle_file_pages_count_as_available(tmp_path):
    system = fake_system(tmp_path, 64 << 30, {'': (str(4 << 30), 4 << 30, 3 << 30)}, '/')
    assert available_memory(system) == 3 << 30


def test_the_tightest_of_nested_groups_counts(tmp_path):
    groups = {'': ('max', 9 << 30, 0), 'a': (str(8 << 30), 1 << 30, 0), 'a/b': (str(2 << 30), 1 << 30, 0)}
    assert available_memory(fake_system(tmp_path, 64 << 30, groups, '/a/b')) == 1 << 30


def test_without_groups_the_kernel_says(tmp_path):
    assert available_memory(fake_system(tmp_path, 5 << 30, {}, '/')) == 5 << 30
    assert available_memory(tmp_path / 'nothing') is None
