"""Tests of the file operations of the job store with file system errors and races between processes."""

from __future__ import annotations

import errno
import os

import pytest

from facefusion.errors import JobError
from facefusion.jobs.files import StoreFiles

files = StoreFiles()


@pytest.fixture
def os_call(monkeypatch):
    """Return a function that makes a function of ``os`` fail ``times`` times with an errno before it works."""

    def fail(name, number, times=1):
        real, left = getattr(os, name), [times]

        def call(*args, **kw):
            if left[0]:
                left[0] -= 1
                raise OSError(number, os.strerror(number))
            return real(*args, **kw)

        monkeypatch.setattr(os, name, call)

    return fail


@pytest.mark.parametrize('number', [errno.EEXIST, errno.ENOENT])
def test_a_folder_is_created_although_another_process_removes_it(tmp_path, os_call, number):
    # The folder exists when mkdir runs, and is missing when pathlib checks its type.
    os_call('mkdir', number, times=3)
    files.make_folder(tmp_path / 'store' / 'work')
    assert (tmp_path / 'store' / 'work').is_dir()


def test_a_file_in_place_of_a_folder_is_an_error(tmp_path):
    (tmp_path / 'drafted').write_bytes(b'')
    with pytest.raises(JobError) as caught:
        files.make_folder(tmp_path / 'drafted')
    assert caught.value.reference == 'store-unwritable' and str(tmp_path / 'drafted') in caught.value.cause


@pytest.mark.skipif(os.name == 'nt', reason='folders are not flushed on Windows')
def test_missing_support_for_flushing_folders_is_tolerated_but_other_errors_are_not(tmp_path, os_call):
    os_call('fsync', errno.EINVAL)
    files.sync_folder(tmp_path)
    os_call('fsync', errno.EIO)
    with pytest.raises(JobError, match='cannot be changed'):
        files.sync_folder(tmp_path)


@pytest.mark.parametrize('call', ['write', 'fsync', 'close'])
def test_a_failed_write_leaves_no_file(tmp_path, os_call, call):
    os_call(call, errno.ENOSPC)
    with pytest.raises(JobError) as caught:
        files.write(tmp_path / 'new', b'data', sync=True)
    assert caught.value.reference == 'store-full'
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize('times', [3, 100])
def test_on_windows_a_change_waits_for_readers_of_the_file(tmp_path, os_call, monkeypatch, times):
    monkeypatch.setattr('facefusion.jobs.files._WAITS_FOR_READERS', True)
    monkeypatch.setattr('facefusion.jobs.files._READER_SECONDS', 0.001)
    (tmp_path / 'old').write_bytes(b'')
    os_call('replace', errno.EACCES, times=times)
    if times == 3:
        files.rename(tmp_path / 'old', tmp_path / 'new')
        assert (tmp_path / 'new').exists()
    else:
        with pytest.raises(JobError, match='cannot be changed'):
            files.rename(tmp_path / 'old', tmp_path / 'new')
        assert (tmp_path / 'old').exists()
