from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import pytest
from fakes.tiny_clip import make_tiny_clip

from facefusion.errors import ResourceError
from facefusion.limits import Limit
from facefusion.media.options import OutputOptions
from facefusion.media.probe import probe
from facefusion.pipeline import estimates, resources
from facefusion.pipeline.crew import Crew
from facefusion.pipeline.estimates import MediaSize, fitted_memory
from facefusion.pipeline.resources import (
    ADDRESS_BYTES,
    BASE_BYTES,
    STACK_BYTES,
    THREADS,
    check_asked,
    check_memory,
    check_start,
    check_threads,
    lowest_room,
    memory_of_image,
    memory_of_published,
    memory_of_video,
    return_freed_memory,
)

MB = 1_000_000
MACHINE = Limit('memory', 'this machine', 8000 * MB, 1000 * MB, 'close other programs')
GROUP = Limit('memory', 'the control group /a', 1000 * MB, 100 * MB, 'raise the memory limit of the container')


def address(megabytes: int) -> Limit:
    return Limit('address', 'ulimit -v', megabytes * MB, 300 * MB, 'raise ulimit -v')


@pytest.fixture
def limits(monkeypatch):
    def apply(*found):
        monkeypatch.setattr(resources, 'memory_limits', lambda: found)

    return apply


def test_memory_grows_with_pixels_depth_workers_and_encoder_frames():
    def video(*facts):
        return sum(memory_of_video(*facts).values())

    def image(*facts):
        return sum(memory_of_image(*facts).values())

    small = video(1280 * 720, 1.5, 2)
    assert small < video(1280 * 720, 3.0, 2) < video(3840 * 2160, 3.0, 2)
    assert small < video(1280 * 720, 1.5, 8) < 1 << 30
    assert small < video(1280 * 720, 1.5, 2, 270)
    assert image(10**6, 10**6) < image(10**6, 4 * 10**6) < image(10**8, 10**8)


def test_memory_of_published_models_grows_with_their_weights_and_the_workers():
    assert memory_of_published(0, 8) == {}
    one, more, larger = (sum(memory_of_published(*facts).values()) for facts in ((1000, 1), (1000, 8), (4000, 1)))
    assert 2000 < one < more < 8 * one and larger == 4 * one


def test_the_lowest_limit_counts_and_address_space_includes_mapped_bytes():
    assert lowest_room(1, []) is None
    assert lowest_room(1, [MACHINE, GROUP]) == (900 * MB, GROUP)
    tight = address(1000)
    assert lowest_room(2, [GROUP, tight]) == (1000 * MB - ADDRESS_BYTES - 2 * STACK_BYTES, tight)
    assert lowest_room(2, [GROUP, address(5000)]) == (900 * MB, GROUP)
    assert lowest_room(1, [address(1)])[0] == 0


def test_too_little_memory_is_reported_with_numbers(limits):
    limits(MACHINE, GROUP)
    check_memory(900 * MB, 'this video')
    with pytest.raises(ResourceError) as caught:
        check_memory(901 * MB, 'this video')
    error = caught.value
    assert (error.reference, error.exit_code) == ('memory-short', 5)
    assert error.message == 'this video would need about 901 MB of memory, and 900 MB are free'
    assert error.cause == 'the control group /a allows 1000 MB of memory, 100 MB are used'
    assert error.hint.startswith('raise the memory limit of the container, ')
    limits()
    check_memory(1 << 60, 'this video')


def test_too_little_address_space_is_reported_with_numbers(limits):
    limits(MACHINE, address(1000))
    with pytest.raises(ResourceError) as caught:
        check_memory(900 * MB, 'this video', 2)
    error = caught.value
    assert error.reference == 'memory-short' and error.hint.startswith('raise ulimit -v, ')
    assert error.message == 'this video would need about 1443 MB of address space, and ulimit -v allows 1000 MB'
    assert error.cause.startswith('543 MB of these are mapped for libraries')


def test_libraries_are_not_loaded_without_address_space_for_them(limits):
    # The free memory of the machine does not matter for a small run.
    limits(Limit('memory', 'this machine', 10 * MB, 9 * MB, ''), address(2000))
    check_start()
    limits(MACHINE, address((BASE_BYTES + ADDRESS_BYTES) // MB))
    with pytest.raises(ResourceError, match='the program would need about'):
        check_start()


def test_the_users_own_limit_counts_too():
    check_asked(5 * MB, 'this image', None)
    check_asked(5 * MB, 'this image', 5 * MB)
    with pytest.raises(ResourceError, match='--system-memory-limit allows 4 MB') as caught:
        check_asked(5 * MB, 'this image', 4 * MB)
    assert caught.value.reference == 'memory-limit'


def test_too_few_threads_are_reported_before_the_run(monkeypatch):
    check_threads(2, 'this video')
    monkeypatch.setattr(resources, 'can_start', lambda threads: 7)
    pids = Limit('threads', 'the control group /a', 20, 12, 'raise the limit of processes of the container')
    monkeypatch.setattr(resources, 'thread_limits', lambda: (pids,))
    with pytest.raises(ResourceError) as caught:
        check_threads(2, 'this video')
    error = caught.value
    assert (error.reference, error.exit_code) == ('threads-short', 5)
    assert f'{THREADS + 2} threads, and 7 can be started' in error.message and 'allows 20' in error.cause
    monkeypatch.setattr(resources, 'thread_limits', lambda: ())
    with pytest.raises(ResourceError, match='7 can be started'):
        check_threads(2, 'this video')


def test_a_limit_of_the_system_reduces_the_workers_first(tmp_path, limits):
    make_tiny_clip(tmp_path / 'clip.mp4', 3, (64, 48))
    target = replace(probe(tmp_path / 'clip.mp4'), width=1920, height=1080)

    def fitted(workers, limit=None, processes=1):
        size = MediaSize(target, OutputOptions(), '.mp4', (1920, 1080))
        (workers, processes), parts = fitted_memory(size, Crew(workers, processes), limit, 1000)
        return workers, parts, processes

    limits(MACHINE)
    assert fitted(8)[0] == 8
    enough = sum(fitted(2)[1].values())
    limits(MACHINE, Limit('address', 'ulimit -v', enough + ADDRESS_BYTES + 2 * STACK_BYTES, 0, ''))
    assert fitted(8)[0] == 2
    limits(Limit('memory', 'the control group /a', enough, 0, ''))
    assert fitted(8)[0] == 2
    limits(MACHINE)
    assert fitted(8, enough)[0] == 2
    # Each process has its own libraries, networks, decoder and encoder.
    shared, own = fitted(8)[1], fitted(8, processes=4)[1]
    assert own['3 more processes'] == 3 * (own['program and models'] + own['decoder and encoder'])
    assert own['published models'] == shared['published models'] + 3 * 1750
    assert sum(fitted(2, processes=2)[1].values()) > enough
    assert fitted(8, enough, 4)[::2] == (1, 1)
    assert fitted(8, sum(fitted(3, processes=3)[1].values()), 4)[::2] == (3, 3)
    limits(address(1))
    assert fitted(8)[0] == 1


@pytest.mark.parametrize(
    ('options', 'extension'),
    [
        ({'output_video_preset': 'medium'}, '.mp4'),
        ({'output_video_encoder': 'libx265'}, '.mp4'),
        ({'output_video_encoder': 'libx264rgb'}, '.mp4'),
        ({}, '.webm'),
    ],
)
def test_encoders_with_longer_lookahead_need_more_memory(tmp_path, options, extension):
    make_tiny_clip(tmp_path / 'clip.mp4', 3, (64, 48))
    target = probe(tmp_path / 'clip.mp4')
    usual = estimates._memory(MediaSize(target, OutputOptions(), '.mp4', (64, 48)), 1, 1)
    more = estimates._memory(MediaSize(target, OutputOptions(**options), extension, (64, 48)), 1, 1)
    assert more['decoder and encoder'] > usual['decoder and encoder']


def test_freed_memory_is_returned_with_any_c_library(monkeypatch):
    return_freed_memory()
    monkeypatch.setattr(resources.ctypes, 'CDLL', lambda name: SimpleNamespace())
    return_freed_memory()
