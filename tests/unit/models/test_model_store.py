"""Tests of the model store with a local web server and a local folder as pip's index, without network access."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from fakes.owners import dead_owner, foreign_owner
from fakes.waits import unlimited_waits
from local_server import served
from test_package_host import MEMBER, make_wheel, source_of
from tflite_builder import TfliteFile

from facefusion.errors import FaceFusionError, Interrupted, ModelError, OutputError, ResourceError
from facefusion.events import Message, StageFinished, StageProgress
from facefusion.models import store as store_module
from facefusion.models.catalog import Catalog, Conversion, HttpsSource, Licence, ModelEntry
from facefusion.models.hosts import transfer
from facefusion.models.lockfile import LockFile, Stamp
from facefusion.models.store import ModelStore
from facefusion.ownership import new_owner
from facefusion.stopping import StopFlag

BODY = b'published' * 90_000
LICENCE = Licence('MIT', True)


def sha(data):
    return hashlib.sha256(data).hexdigest()


def entry_of(model_id, source, *, sha256=None, size=None, convert=None):
    sources = source if isinstance(source, tuple) else (source,)
    facts = {'id': model_id, 'task': 'test', 'file': f'{model_id}.bin', 'size': size, 'sha256': sha256}
    facts |= {'licence': LICENCE, 'vendor': 'someone', 'year': 2020, 'sources': sources, 'convert': convert}
    return ModelEntry(inputs=(), outputs=(), **facts)


def web_entry(site, model_id='web', body=BODY, **changes):
    site.files[f'/{model_id}'] = body
    values = {'sha256': sha(body), 'size': len(body), **changes}
    source = HttpsSource((site.url(f'/{model_id}'),), values['sha256'], values['size'])
    return entry_of(model_id, source, **values)


def tflite_body():
    file = TfliteFile()
    x, y = file.tensor('x', (1, 4, 4, 1)), file.tensor('y', (1, 4, 4, 1))
    file.operator('RELU', [x], [y])
    return file.data([x], [y])


def converted_entry(site, model_id='converted', revision=1):
    body = tflite_body()
    site.files[f'/{model_id}'] = body
    source = HttpsSource((site.url(f'/{model_id}'),), sha(body), len(body))
    return entry_of(model_id, source, convert=Conversion('tflite', revision))


@pytest.fixture
def site():
    with served() as site:
        yield site


@pytest.fixture
def index(tmp_path, monkeypatch):
    folder = tmp_path / 'index'
    folder.mkdir()
    monkeypatch.setenv('PIP_CONFIG_FILE', os.devnull)
    monkeypatch.setenv('PIP_NO_INDEX', '1')
    monkeypatch.setenv('PIP_FIND_LINKS', str(folder))
    return folder


def make_store(tmp_path, *entries, offline=False, events=None, stop=None):
    events = [] if events is None else events
    return ModelStore(Catalog(entries), tmp_path / 'weights', offline=offline, emit=events.append, stop=stop)


def files(tmp_path):
    return sorted(path.name for path in (tmp_path / 'weights').iterdir() if not path.name.startswith('.lock'))


def test_a_missing_model_is_fetched_once(site, tmp_path):
    store = make_store(tmp_path, web_entry(site))
    assert store.state('web') == 'missing'
    assert store.path('web').read_bytes() == BODY and store.path('web').read_bytes() == BODY
    assert len(site.requests) == 1 and files(tmp_path) == ['web.bin']


def test_the_size_of_a_file_is_known_without_reading_or_fetching_it(site, tmp_path):
    store = make_store(tmp_path, web_entry(site))
    assert store.file_size('web') is None and site.requests == []
    store.path('web').write_bytes(b'damaged')
    assert store.file_size('web') == 7
    with pytest.raises(ModelError, match='no model'):
        store.file_size('other')
    (tmp_path / 'file').write_bytes(b'')
    store.weights = tmp_path / 'file'
    assert store.file_size('web') is None


def test_published_weights_have_the_size_of_the_catalogue_or_else_of_the_local_file(site, tmp_path):
    entry = web_entry(site)
    store = make_store(tmp_path, entry, web_entry(site, 'other', sha256=None, size=None))
    assert store.published_bytes('web') == entry.size and store.published_bytes('other') == 0
    store.weights.mkdir()
    (store.weights / 'web.bin').write_bytes(b'')
    (store.weights / 'other.bin').write_bytes(b'four')
    assert store.published_bytes('web') == entry.size and store.published_bytes('other') == 4


def test_progress_is_reported_in_bytes(site, tmp_path):
    events = []
    make_store(tmp_path, web_entry(site), events=events).path('web')
    progress = [event for event in events if isinstance(event, StageProgress)]
    assert progress[0].done == 0 and progress[-1].done == progress[-1].total == len(BODY)
    assert {event.unit for event in progress} == {'B'} and isinstance(events[-1], StageFinished)


def test_a_damaged_file_is_reported_and_fetched_again(site, tmp_path):
    events = []
    store = make_store(tmp_path, web_entry(site), events=events)
    store.path('web').write_bytes(b'x' * len(BODY))
    assert store.state('web') == 'damaged'
    assert store.path('web').read_bytes() == BODY
    warnings = [event.text for event in events if isinstance(event, Message) and event.level == 'warn']
    assert len(warnings) == 1 and sha(BODY) in warnings[0] and sha(b'x' * len(BODY)) in warnings[0]


def test_offline_a_damaged_file_is_an_error_with_both_digests(site, tmp_path):
    entry = web_entry(site)
    make_store(tmp_path, entry).path('web').write_bytes(b'other')
    with pytest.raises(ModelError) as error:
        make_store(tmp_path, entry, offline=True).path('web')
    assert error.value.reference == 'model-damaged' and error.value.exit_code == 6
    assert sha(BODY) in error.value.cause and sha(b'other') in error.value.cause


def test_offline_opens_no_socket(site, tmp_path, monkeypatch):
    entry = web_entry(site)
    monkeypatch.setattr(socket, 'socket', None)
    monkeypatch.setattr(subprocess, 'Popen', None)
    with pytest.raises(ModelError) as error:
        make_store(tmp_path, entry, offline=True).path('web')
    assert error.value.reference == 'model-missing-offline' and 'models fetch web' in error.value.hint


def test_a_converted_file_must_have_its_recorded_digest(site, tmp_path):
    store = make_store(tmp_path, converted_entry(site))
    path = store.path('converted')
    assert store.pinned('converted') == 'source'
    recorded = json.loads((tmp_path / 'weights' / 'lock.json').read_text())['models']['converted']
    assert recorded['sha256'] == sha(path.read_bytes()) and sha(tflite_body()) in recorded['origin']
    assert make_store(tmp_path, *store.catalog, offline=True).path('converted') == path
    path.write_bytes(path.read_bytes() + b'x')
    assert store.state('converted') == 'damaged'


def test_a_new_revision_of_a_conversion_outdates_the_file(site, tmp_path):
    make_store(tmp_path, converted_entry(site)).path('converted')
    later = make_store(tmp_path, converted_entry(site, revision=2))
    assert later.state('converted') == 'missing'
    later.path('converted')
    assert later.state('converted') == 'present'


def test_a_converted_file_without_a_record_is_not_trusted(site, tmp_path):
    store = make_store(tmp_path, converted_entry(site))
    store.path('converted')
    (tmp_path / 'weights' / 'lock.json').unlink()
    assert store.state('converted') == 'damaged'


def test_an_unpinned_download_is_reported_and_pinned(site, tmp_path):
    events = []
    store = make_store(tmp_path, web_entry(site, sha256=None, size=None), events=events)
    assert store.pinned('web') == ''
    path = store.path('web')
    assert any(isinstance(event, Message) and sha(BODY) in event.text for event in events)
    assert store.pinned('web') == 'first-use'
    path.unlink()
    site.files['/web'] = BODY[::-1]
    with pytest.raises(ModelError) as error:
        store.path('web')
    assert error.value.reference == 'model-digest' and sha(BODY) in error.value.cause


def test_a_wrong_digest_leaves_no_file(site, tmp_path):
    store = make_store(tmp_path, web_entry(site, sha256='0' * 64))
    with pytest.raises(ModelError):
        store.path('web')
    assert store.state('web') == 'missing'


def test_members_of_one_archive_come_from_one_download(index, tmp_path):
    wheel = make_wheel(index)
    source = source_of(wheel)
    entries = [entry_of(name, source, sha256=sha(MEMBER), size=len(MEMBER)) for name in ('one', 'two')]
    store = make_store(tmp_path, *entries)
    assert store.path('one').read_bytes() == MEMBER
    wheel.unlink()
    assert store.path('two').read_bytes() == MEMBER
    assert files(tmp_path) == ['one.bin', 'two.bin']


def test_the_next_source_is_used_when_the_first_fails(index, site, tmp_path):
    wheel = make_wheel(tmp_path)
    site.files['/member'] = MEMBER
    sources = (source_of(wheel), HttpsSource((site.url('/member'),), sha(MEMBER), len(MEMBER)))
    store = make_store(tmp_path, entry_of('one', sources, sha256=sha(MEMBER), size=len(MEMBER)))
    assert store.path('one').read_bytes() == MEMBER


def test_one_failure_does_not_stop_the_others(site, tmp_path):
    good = [web_entry(site, name) for name in ('a', 'b', 'c', 'd')]
    bad = entry_of('bad', HttpsSource((site.url('/none'),), '0' * 64, 9), sha256='0' * 64, size=9)
    store = make_store(tmp_path, bad, *good)
    with pytest.raises(ModelError, match='could not be downloaded'):
        store.fetch(['bad', 'a', 'b', 'c', 'd'])
    assert files(tmp_path) == ['a.bin', 'b.bin', 'c.bin', 'd.bin']


def test_a_store_reads_an_unchanged_file_once(site, tmp_path, monkeypatch):
    read = []
    real = store_module.file_sha256
    monkeypatch.setattr(store_module, 'file_sha256', lambda file: read.append(file) or real(file))
    store = make_store(tmp_path, web_entry(site))
    path = store.path('web')
    assert [store.state('web'), store.state('web')] == ['present', 'present'] and len(read) == 1
    assert store.verify(['web'])[0].state == 'present' and len(read) == 2
    path.write_bytes(b'x' * len(BODY))
    assert store.state('web') == 'damaged'


def test_large_files_are_read_again_only_when_they_changed(site, tmp_path, monkeypatch):
    monkeypatch.setattr(store_module, 'CACHED_FROM_BYTES', 1000)
    store = make_store(tmp_path, web_entry(site))
    path = store.path('web')
    read = []
    real = store_module.file_sha256
    monkeypatch.setattr(store_module, 'file_sha256', lambda file: read.append(file) or real(file))
    assert make_store(tmp_path, *store.catalog, offline=True).path('web') == path
    assert read == []
    assert store.check('web', thorough=True).state == 'present' and len(read) == 1
    os.utime(path, (1, 1))
    assert store.state('web') == 'present' and len(read) == 2
    path.write_bytes(b'x' * len(BODY))
    assert store.state('web') == 'damaged'


def test_a_file_of_another_size_is_damaged_despite_its_record(site, tmp_path, monkeypatch):
    monkeypatch.setattr(store_module, 'CACHED_FROM_BYTES', 1000)
    store = make_store(tmp_path, web_entry(site))
    path = store.path('web')
    path.write_bytes(BODY + b'x' * 5000)
    LockFile(path.parent).mark_verified('web', sha(BODY), 'catalog', Stamp.of(path))
    assert store.state('web') == 'damaged'


def test_a_read_only_folder_serves_its_files(site, tmp_path, monkeypatch):
    monkeypatch.setattr(store_module, 'CACHED_FROM_BYTES', 1000)
    store = make_store(tmp_path, web_entry(site))
    path = store.path('web')
    (tmp_path / 'weights' / 'lock.json').unlink()

    def refuse(*_):
        raise PermissionError(13, 'read-only')

    monkeypatch.setattr('facefusion.models.lockfile.LockFile.mark_verified', refuse)
    assert store.path('web') == path


def test_a_folder_that_cannot_be_created_is_an_error(site, tmp_path):
    (tmp_path / 'weights').write_text('a file')
    with pytest.raises(OutputError) as error:
        make_store(tmp_path, web_entry(site)).path('web')
    assert error.value.reference == 'models-folder'


def test_too_small_a_disk_is_an_error_before_the_fetch(site, tmp_path, monkeypatch):
    usage = type('Usage', (), {'free': 10})
    monkeypatch.setattr(transfer.shutil, 'disk_usage', lambda folder: usage)
    with pytest.raises(ResourceError) as error:
        make_store(tmp_path, web_entry(site)).path('web')
    assert error.value.exit_code == 5 and site.requests == []


def test_no_wait_for_a_fetch_blocks_signals(site, tmp_path, monkeypatch):
    def slow(path):
        time.sleep(0.5)

    monkeypatch.setattr('facefusion.models.publishing.force_to_disk', slow)
    store = make_store(tmp_path, web_entry(site))
    with unlimited_waits() as found:
        store.fetch(['web'])
    assert found == [] and store.state('web') == 'present'


def test_a_stop_ends_the_fetch(site, tmp_path):
    stop = StopFlag()
    stop.set('asked')
    with pytest.raises(Interrupted):
        make_store(tmp_path, web_entry(site), stop=stop).path('web')


def test_verify_names_all_that_is_damaged(site, tmp_path):
    store = make_store(tmp_path, web_entry(site, 'a'), web_entry(site, 'b'), web_entry(site, 'c'))
    store.fetch(['a', 'b'])
    assert [check.state for check in store.verify(['a', 'b', 'c'])] == ['present', 'present', 'missing']
    for name in ('a', 'b'):
        (tmp_path / 'weights' / f'{name}.bin').write_bytes(b'')
    with pytest.raises(ModelError, match='damaged: a, b'):
        store.verify(['a', 'b', 'c'])


def test_several_fetchers_at_once_leave_one_complete_file(site, tmp_path):
    entries = [web_entry(site), converted_entry(site)]
    failures = []

    def fetch():
        try:
            make_store(tmp_path, *entries).fetch(['web', 'converted'])
        except FaceFusionError as error:
            failures.append(error)

    threads = [threading.Thread(target=fetch) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    store = make_store(tmp_path, *entries, offline=True)
    assert store.state('web') == store.state('converted') == 'present'
    assert files(tmp_path) == ['converted.bin', 'lock.json', 'web.bin']


SCRIPT = """
import sys
from pathlib import Path
from facefusion.events import silent
from facefusion.models.catalog import *
from facefusion.models.store import ModelStore
url, sha256, size, weights = sys.argv[1], sys.argv[2], int(sys.argv[3]), Path(sys.argv[4])
entry = ModelEntry(id='web', task='test', file='web.bin', size=size, sha256=sha256, licence=Licence('MIT', True),
                   vendor='x', year=2020, sources=(HttpsSource((url,), sha256, size),), inputs=(), outputs=())
ModelStore(Catalog((entry,)), weights, offline=False, emit=silent).path('web')
"""


@pytest.mark.skipif(sys.platform == 'win32', reason='needs SIGKILL')
def test_after_a_kill_the_next_run_resumes_the_download(site, tmp_path):
    body = os.urandom(1 << 20)
    entry = web_entry(site, body=body)
    site.stalls = threading.Event()
    site.cuts['/web'] = [600_000]
    root = Path(store_module.__file__).parents[2]
    arguments = [site.url('/web'), sha(body), str(len(body)), str(tmp_path / 'weights')]
    child = subprocess.Popen([sys.executable, '-c', SCRIPT, *arguments], env={**os.environ, 'PYTHONPATH': str(root)})
    part = None
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        part = next(iter((tmp_path / 'weights').glob('.fetching/*/body.part')), None)
        if part is not None and part.stat().st_size >= 512 << 10:
            break
        time.sleep(0.02)
    child.send_signal(signal.SIGKILL)
    child.wait()
    store = make_store(tmp_path, entry)
    assert part is not None and store.state('web') == 'missing'
    assert store.path('web').read_bytes() == body
    assert site.requests[-1][1] == f'bytes={512 << 10}-'
    assert [path.name for path in (tmp_path / 'weights').iterdir()] == ['web.bin']


def test_workspaces_of_dead_package_fetches_are_removed(site, tmp_path):
    parent = tmp_path / 'weights' / '.fetching'
    gone = parent / f'once-x.whl@{dead_owner().tag}'
    alive = parent / f'once-x.whl@{new_owner().tag}'
    elsewhere = parent / f'once-x.whl@{foreign_owner().tag}'
    old = parent / f'resume-y.bin@{foreign_owner().tag}'
    for folder in (gone, alive, elsewhere, old):
        folder.mkdir(parents=True)
    os.utime(old, (1, 1))
    make_store(tmp_path, web_entry(site)).path('web')
    assert sorted(path.name for path in parent.iterdir()) == sorted([alive.name, elsewhere.name])


def test_a_damaged_lock_file_is_named(site, tmp_path):
    store = make_store(tmp_path, converted_entry(site))
    store.path('converted')
    (tmp_path / 'weights' / 'lock.json').write_text('{"version": 1, "models": {"converted": 3}}')
    with pytest.raises(ModelError) as error:
        store.path('converted')
    assert error.value.reference == 'lock-damaged' and 'delete it' in error.value.hint


def test_entries_are_frozen(site):
    with pytest.raises(AttributeError, match='immutable'):
        web_entry(site).size = 3
