"""Tests of how often a run reads each byte of a work file after writing the file."""

from __future__ import annotations

import io
import os
from collections import Counter
from pathlib import Path

import av
import pytest

from facefusion.errors import ResourceError
from facefusion.pipeline import run as stages

pytestmark = pytest.mark.usefixtures('no_thread_stays')


class CountingFile:
    """A file that counts the bytes read from it under the final name of the work file."""

    def __init__(self, file, name, counts):
        self._file = file
        self._name = name
        self._counts = counts

    def read(self, *size):
        data = self._file.read(*size)
        self._counts[self._name] += len(data)
        return data

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self._file.close()

    def __getattr__(self, name):
        return getattr(self._file, name)


@pytest.fixture
def counted(runs, monkeypatch):
    """Return a function that executes a run and returns how many times each work file was read.

    Reads by the signer do not count. A partial file counts under its final name, unless FFmpeg reads it while writing
    it.
    """
    real_open, real_av_open = io.open, av.open

    def execute(**more):
        counts, sizes = Counter(), Counter()

        def counting_open(path, mode='r', buffering=-1, *args, **named):
            file = real_open(path, mode, buffering, *args, **named)
            path = os.fspath(path) if not isinstance(path, int) else ''
            if not path.startswith(str(runs.work)) or mode != 'rb' or buffering == 0 or path.endswith('.json'):
                return file
            name = Path(path).stem.partition('@')[0] + Path(path).suffix
            sizes[name] = os.fstat(file.fileno()).st_size
            return CountingFile(file, name, counts)

        def counting_av_open(file, mode='r', *args, **named):
            if mode == 'r' and isinstance(file, str) and file.startswith(str(runs.work)):
                file = counting_open(file, 'rb')
            return real_av_open(file, mode, *args, **named)

        with monkeypatch.context() as patch:
            patch.setattr(io, 'open', counting_open)
            patch.setattr(av, 'open', counting_av_open)
            runs.execute(**more)
        return {name: counts[name] / size for name, size in sizes.items()}

    return execute


def test_a_run_reads_each_work_file_at_most_twice(runs, counted):
    reads = counted()
    kinds = {name.partition('-')[0].partition('.')[0] for name in reads}
    assert kinds == {'chunk', 'linked', 'selected', 'segment', 'clip'}
    assert {name: count for name, count in reads.items() if count > 2} == {}


def test_a_resumed_run_reads_each_work_file_at_most_twice(runs, counted, wanted):
    runs.interrupted_at(25)
    reads = counted()
    assert runs.chunks('work') == [0, 20, 40] and runs.segments('work') == [0, 10]
    assert {name: count for name, count in reads.items() if count > 2} == {}
    assert runs.output.read_bytes() == wanted


def test_a_run_that_resumes_at_the_joined_clip_reads_it_twice(runs, counted, wanted, monkeypatch):
    def no_space(*args):
        raise ResourceError('disk-full', 'no space is left')

    with monkeypatch.context() as patch, pytest.raises(ResourceError):
        patch.setattr(stages, 'publish_file', no_space)
        runs.execute()
    assert counted()['clip.mp4'] == 2
    assert runs.output.read_bytes() == wanted


def test_a_chunk_of_the_cache_is_read_at_most_twice(runs, counted, wanted):
    runs.cache_limit = 1 << 30
    runs.execute()
    for path in runs.work.iterdir():
        path.unlink()
    reads = counted(digests=('target', 'analysis', 'other'))
    assert runs.chunks('cache') == [0, 20, 40]
    assert {name: count for name, count in reads.items() if count > 2} == {}
