"""Tests of the job store: it finds each job in one state despite foreign files and processes that move jobs."""

from __future__ import annotations

import json
import os
import shutil
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

import pytest
from fakes.job_stores import CLAIM_TIMEOUT, FakeWork, drain, make_queued, make_record, make_store, submit
from fakes.owners import dead_owner, foreign_owner

from facefusion.errors import ClaimLost, JobError, OutputError, UsageError
from facefusion.events import silent
from facefusion.jobs.garbage import remove_garbage
from facefusion.jobs.notify import Notifier
from facefusion.jobs.reaper import Reaper
from facefusion.jobs.record import record_bytes
from facefusion.jobs.runner import JobRunner
from facefusion.jobs.steps import add_step, requeued
from facefusion.jobs.store import JobStore
from facefusion.jobs.summary import job_view, summaries
from facefusion.jobs.worker import Queue, Worker
from facefusion.stopping import StopFlag

needs_posix = pytest.mark.skipif(os.name == 'nt', reason='needs pipes and links')
# This timeout detects a hang long before the timeout of the suite.
pytestmark = pytest.mark.timeout(60)


@pytest.fixture
def store(tmp_path):
    return make_store(tmp_path)


def put(store, state, name, data=b'{}'):
    path = store.root / state / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return path


def states(store):
    return {entry['id']: entry['state'] for entry in summaries(store)}


def worker_of(store, work, emit=silent, flag=None):
    flag = flag or StopFlag()
    return Worker(store, JobRunner(store, work, CLAIM_TIMEOUT, emit), Notifier(emit), CLAIM_TIMEOUT, emit, flag)


# Foreign and broken files


def test_a_missing_folder_is_a_store_without_jobs(tmp_path):
    store = JobStore(tmp_path / 'nowhere')
    assert summaries(store) == []
    assert store.find('x') is None
    assert store.claimed_files() == []
    Reaper(store, CLAIM_TIMEOUT, silent).sweep()
    assert not store.root.exists()


def test_foreign_files_are_ignored(store):
    store.create(make_record('one'))
    names = ['README.txt', '.DS_Store', '.hidden.json', 'one.json~', 'one.json.bak', 'x@y.json', 'a@b.c.edit', '@.json']
    for name in names:
        put(store, 'drafted', name)
    (store.root / 'drafted' / 'folder').mkdir()
    put(store, 'elsewhere', 'two.json')
    (store.root / 'stray.json').write_bytes(b'{}')
    put(store, '.work', 'stray')
    assert states(store) == {'one': 'drafted'}
    Reaper(store, CLAIM_TIMEOUT, silent).sweep()
    assert all((store.root / 'drafted' / name).exists() for name in names)
    assert (store.root / '.work' / 'stray').exists()


BROKEN = {
    'empty': b'',
    'truncated': record_bytes(make_record('x'))[:-30],
    'zeros': bytes(4096),
    'binary': bytes(range(256)),
    'list': b'[]',
    'number': b'1e999',
    'nested': b'[' * 100_000,
    'version_3': record_bytes(make_record('x')).replace(b'"version": "2"', b'"version": "3"'),
    'no_version': b'{"steps": [], "date_created": "2024"}',
    'steps_no_list': b'{"version": "2", "steps": {}, "date_created": "2024"}',
    'a b': b'{}',
    'ünïcode': b'{}',
    'b' * 250: b'{}',
}


@pytest.mark.parametrize('state', ['drafted', 'queued', 'completed', 'failed'])
def test_broken_files_are_listed_opened_and_deleted(store, state):
    for name, data in BROKEN.items():
        put(store, state, f'{name}.json', data)
    shown = {entry['id']: entry for entry in summaries(store)}
    assert shown.keys() == BROKEN.keys()
    for entry in shown.values():
        assert (entry['state'], entry['folder']) == ('broken', state)
        assert entry['error']['message']
    json.dumps(list(shown.values()))
    for name in BROKEN:
        with pytest.raises(JobError) as caught:
            store.open(name)
        assert caught.value.reference == 'job-broken'
        assert caught.value.cause
        if len(name) < 200:
            assert store.resolve_id(name) == name
        store.delete(name)
    assert states(store) == {}


@needs_posix
def test_special_files_with_names_of_jobs(store, tmp_path):
    folder = put(store, 'queued', 'good.json', record_bytes(make_record('good'))).parent
    (folder / 'folder.json').mkdir()
    os.mkfifo(folder / 'pipe.json')
    (folder / 'dangling.json').symlink_to(tmp_path / 'nothing')
    (folder / 'loop.json').symlink_to('loop.json')
    with open(folder / 'huge.json', 'wb') as file:
        file.truncate(1 << 40)
    raw = os.fsencode(folder) + b'/\xff\xfe.json'
    with open(raw, 'wb') as file:
        file.write(record_bytes(make_record('x')))
    target = tmp_path / 'elsewhere.json'
    target.write_bytes(record_bytes(make_record('linked')))
    (folder / 'linked.json').symlink_to(target)
    start = time.monotonic()
    shown = states(store)
    assert time.monotonic() - start < 20
    broken = {'folder', 'pipe', 'dangling', 'loop', 'huge'}
    assert shown == {**dict.fromkeys(broken, 'broken'), 'good': 'queued', 'linked': 'queued', '\udcff\udcfe': 'queued'}
    json.dumps(summaries(store))
    for name in broken - {'loop'}:
        with pytest.raises(JobError) as caught:
            store.open(name)
        assert caught.value.reference == 'job-broken'
    assert set(Queue(store, silent).ready()[0]) == {'good', 'linked', '\udcff\udcfe'}
    for name in broken - {'folder'}:
        store.delete(name)
    with pytest.raises(JobError, match='cannot be changed'):
        store.delete('folder')


def test_the_queue_order_respects_time_zones(store):
    dates = {
        'second': '2026-01-01T12:00:00+00:00',
        'first': '2026-01-01T12:30:00+01:00',
        'third': '2026-01-01T07:30:00-05:00',
        'undated': 'yesterday',
    }
    for job_id, date in dates.items():
        put(store, 'queued', f'{job_id}.json', record_bytes(make_record(job_id, date_created=date)))
    turns = ['undated', 'first', 'second', 'third']
    assert Queue(store, silent).ready() == (turns, set())
    assert [entry['id'] for entry in summaries(store)] == turns


def test_a_file_of_facefusion_38_is_a_job(store, tmp_path):
    args = {'target_path': 't.bin', 'output_path': str(tmp_path / 'o.bin')}
    step = {'args': args, 'status': 'queued'}
    peer = {'version': '1', 'date_created': '2024-01-01T00:00:00+00:00', 'date_updated': None, 'steps': [step]}
    put(store, 'queued', 'peer.json', json.dumps(peer).encode())
    assert states(store) == {'peer': 'queued'}
    assert drain(store, FakeWork())['peer'].state == 'completed'
    assert json.loads((store.root / 'completed' / 'peer.json').read_bytes())['version'] == '2'


def test_broken_jobs_in_the_queue_are_reported_once_and_block_no_others(store, tmp_path):
    for name, data in BROKEN.items():
        put(store, 'queued', f'{name}.json', data)
    late = record_bytes(make_record('wrong-step')).replace(b'"drafted"', b'"nonsense"')
    put(store, 'queued', 'wrong-step.json', late)
    make_queued(store, make_record('good', 1, tmp_path / 'out'), make_record('second', 1, tmp_path / 'out'))
    messages, flag, work = [], StopFlag(), FakeWork()
    worker = worker_of(store, work, messages.append, flag)
    stop = threading.Timer(2.0, flag.set, ('enough',))
    stop.start()
    worker.run_queue(watch=True, max_jobs=None, halt_on_error=False, stop_after_current=StopFlag())
    assert states(store)['good'] == states(store)['second'] == 'completed'
    texts = [event.text for event in messages if getattr(event, 'level', '') == 'warn']
    for name in [*BROKEN, 'wrong-step']:
        assert sum(f'the job {name} ' in text for text in texts) == 1, name
        assert states(store)[name] in ('broken', 'queued')
    with pytest.raises(JobError, match='no queued job'):
        worker_of(store, work).run_next()


def test_jobs_with_odd_names_run_or_are_reported(store, tmp_path):
    names = ['{x}', '{0}', '{}', 'a b', 'x' * 250]
    for name in names:
        put(store, 'queued', f'{name}.json', record_bytes(make_record('x', 0)))
    put(store, 'running', '{y}.json', record_bytes(make_record('x', 0)))
    messages, now = [], [0.0]
    worker = worker_of(store, FakeWork(), messages.append)
    tally = worker.run_queue(watch=False, max_jobs=None, halt_on_error=False, stop_after_current=StopFlag())
    # The jobs fail because they have no steps.
    assert tally[:2] == (4, 4)
    assert {name: states(store)[name] for name in names} == dict.fromkeys(names[:4], 'failed') | {names[4]: 'queued'}
    assert [event.text[-20:] for event in messages if getattr(event, 'level', '') == 'warn'] == [' has too long a name']
    with store.edit('{x}', 'requeue') as (claim, record):
        claim.finish('queued', record)
    reaper = Reaper(store, CLAIM_TIMEOUT, silent, clock=lambda: now[0])
    reaper.sweep()
    now[0] = 11.0
    reaper.sweep()
    assert states(store)['{y}'] == 'queued'


def test_a_running_file_without_an_owner_returns_to_the_queue(store, tmp_path):
    data = record_bytes(make_record('stray', 1, tmp_path / 'out'))
    put(store, 'running', 'stray.json', data)
    assert states(store) == {'stray': 'running'}
    assert store.open('stray').state == 'running'
    now = [0.0]
    reaper = Reaper(store, CLAIM_TIMEOUT, silent, clock=lambda: now[0])
    reaper.sweep()
    assert states(store) == {'stray': 'running'}
    now[0] = 11.0
    reaper.sweep()
    assert drain(store, FakeWork())['stray'].state == 'completed'


def test_invalid_ids(store):
    put(store, 'drafted', 'x.json', record_bytes(make_record('x')))
    for name in ('', '.', '..', '../drafted/x', 'drafted/x', 'x/', '.x', 'x\0', 'x@y.1.ab'):
        with pytest.raises((JobError, UsageError)):
            store.resolve_id(name)
    assert store.resolve_id('x') == 'x'


# Leftovers and deletion


def test_a_leftover_of_a_change_does_not_restore_a_deleted_job(store):
    store.create(make_record('x'))
    submit(store, 'x')
    left = put(store, 'drafted', f'x@{dead_owner().tag}.done')
    assert states(store) == {'x': 'queued'}
    store.delete('x')
    assert not left.exists()
    assert store.find('x') is None
    store.create(make_record('x'))


def test_the_job_of_a_dead_process_can_be_deleted_but_not_that_of_a_silent_one(store):
    for name, owner in (('dead', dead_owner), ('broken', dead_owner), ('far', foreign_owner)):
        make_queued(store, make_record(name))
        JobStore(store.root, make_owner=owner).claim(name, 'run')
    next((store.root / 'running').glob('broken@*')).write_bytes(b'{')
    store.delete('dead')
    store.delete('broken')
    with pytest.raises(JobError, match='is running'):
        store.delete('far')
    assert states(store) == {'far': 'running'} and store.find('dead') is None
    assert not (store.root / '.work' / 'dead').exists()


def test_garbage_is_removed_and_needed_files_stay(store, tmp_path):
    make_queued(store, make_record('waits'), make_record('done', 1, tmp_path / 'out'), make_record('runs'))
    claim, _ = store.claim('runs', 'run')
    runner = JobRunner(store, FakeWork(), CLAIM_TIMEOUT, silent)
    outcome = runner.run(*store.claim('done', 'run'), StopFlag())
    known = outcome.record.attempts[0].nonce
    work = store.root / '.work'
    garbage = [f'done/{known}.json', f'done/{known}.results', 'done/ab.queued.json', 'gone/ab.json', 'gone/ab.results']
    garbage += ['waits/cd.results', 'waits/cd.cancel', f'.new/part@{dead_owner().tag}']
    foreign = foreign_owner().tag
    needed = ['waits/ef.json', 'waits/ef.results', f'runs/{claim.owner.nonce}.json', 'runs/12.completed.json']
    needed += ['gone/notes.txt', f'.new/part@{foreign}', f'run@{foreign}/file', '.workers/worker@x.1.ab']
    # A new claim may appear late in a shared folder, so the notes of a missing job are preserved for a while.
    needed += ['hidden/ab.json', 'hidden/ab.results', 'hidden/ab.completed.json']
    for name in garbage + needed:
        path = put(store, '.work', name)
        if name.startswith('gone/'):
            os.utime(path, (time.time() - 7200, time.time() - 7200))
    remove_garbage(store)
    assert {str(path.relative_to(work)) for path in work.rglob('*') if path.is_file()} == set(needed)
    assert states(store) == {'waits': 'queued', 'done': 'completed', 'runs': 'running'}


# Concurrent processes


def test_one_of_several_creators_of_a_job_succeeds(store):
    for round_number in range(30):
        job_id = f'j{round_number}'
        barrier = threading.Barrier(4)

        def create(number, job_id=job_id, barrier=barrier):
            barrier.wait()
            try:
                store.create(make_record(job_id, priority=number))
            except JobError as error:
                assert error.reference == 'job-exists'
                return None
            with suppress(JobError):
                submit(store, job_id)
            return number

        with ThreadPoolExecutor(4) as pool:
            winners = [number for number in pool.map(create, range(4)) if number is not None]
        assert len(winners) == 1
        opened = store.open(job_id)
        assert (opened.state, opened.record.priority) == ('queued', winners[0])
        assert [path.parent.name for path in store.root.rglob(f'{job_id}.json')] == ['queued']


def test_a_job_that_moves_during_a_creation_is_not_created_twice(store, monkeypatch):
    other = JobStore(store.root)
    real = store.files.name_new

    def late(old, new):
        make_queued(other, make_record('x', priority=5))
        real(old, new)

    monkeypatch.setattr(store.files, 'name_new', late)
    with pytest.raises(JobError, match='already'):
        store.create(make_record('x'))
    assert states(store) == {'x': 'queued'}
    assert [path.name for path in (store.root / 'drafted').iterdir()] == []


def test_several_editors_lose_no_change(store):
    store.create(make_record('x', 0))

    def edit(number):
        for turn in range(8):
            with JobStore(store.root).edit('x', 'edit') as (claim, record):
                claim.finish('drafted', add_step(record, {'name': f'{number}.{turn}'}))

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(edit, range(4)))
    names = [step.args['name'] for step in store.open('x').record.steps]
    assert sorted(names) == sorted(f'{number}.{turn}' for number in range(4) for turn in range(8))
    for number in range(4):
        own = [name for name in names if name.startswith(f'{number}.')]
        assert own == sorted(own)
    assert not list((store.root / '.work').glob('x*'))


def test_the_change_of_a_hanging_editor_is_refused(store, monkeypatch):
    monkeypatch.setattr('facefusion.jobs.store.EDIT_SECONDS', 0.2)
    store.create(make_record('x', 0))
    with pytest.raises(ClaimLost), store.edit('x', 'edit') as (claim, record):
        with store.edit('x', 'edit') as (second, other):
            second.finish('drafted', add_step(other, {'name': 'second'}))
        claim.finish('drafted', add_step(record, {'name': 'first'}))
    assert [step.args['name'] for step in store.open('x').record.steps] == ['second']
    assert [path for path in store.root.rglob('*') if path.is_file()] == [store.root / 'drafted' / 'x.json']


def test_a_long_wait_for_several_editors_settles_none_of_them(store, monkeypatch):
    """Several short changes by other processes do not count as one hanging change."""
    store.create(make_record('x', 0))
    real, start, settled = store.find, time.monotonic(), []
    owners = [foreign_owner(number) for number in range(6)]

    def find(job_id):
        job_file, turn = real(job_id), int((time.monotonic() - start) / 0.1)
        if turn >= len(owners):
            return job_file
        path = job_file.path.with_name(f'x@{owners[turn].tag}.edit')
        return job_file._replace(path=path, kind='edit', owner=owners[turn])

    # The changes of all six owners end within twice this time.
    monkeypatch.setattr('facefusion.jobs.store.EDIT_SECONDS', 0.35)
    monkeypatch.setattr(store, 'find', find)
    monkeypatch.setattr(store, 'settle', settled.append)
    with store.edit('x', 'edit') as (claim, record):
        claim.finish('drafted', record)
    assert time.monotonic() - start > 0.35
    assert settled == []


def test_a_file_system_without_hard_links(store, monkeypatch):
    def link(old, new):
        raise PermissionError(1, 'Operation not permitted')

    monkeypatch.setattr(os, 'link', link)
    store.create(make_record('x', 2))
    assert len(store.open('x').record.steps) == 2
    with pytest.raises(FileExistsError):
        store.files.name_new(store.root / 'drafted' / 'x.json', store.root / 'drafted' / 'x.json')
    assert [path for path in store.root.rglob('*') if path.is_file()] == [store.root / 'drafted' / 'x.json']


JOBS = 6


def move_about(root, number, flag):
    """Move one job through all states repeatedly."""
    store, job_id = JobStore(root), f'j{number}'
    runner = JobRunner(store, FakeWork(), CLAIM_TIMEOUT, silent)
    while not flag.is_set():
        submit(store, job_id)
        store.claim(job_id, 'run')[0].release('queued')
        claim, record = store.claim(job_id, 'run')
        claim.finish('queued', record)
        claim, record = store.claim(job_id, 'run')
        claim.finish('failed', record)
        with store.edit(job_id, 'requeue') as (claim, record):
            claim.finish('queued', requeued(record))
        assert runner.run(*store.claim(job_id, 'run'), StopFlag()).state == 'completed'
        # No command does this, but a listing must tolerate it.
        (root / 'completed' / f'{job_id}.json').replace(root / 'drafted' / f'{job_id}.json')


def test_readers_find_every_moving_job(store, tmp_path):
    ids = {f'j{number}' for number in range(JOBS)}
    for number in range(JOBS):
        store.create(make_record(f'j{number}', 1, tmp_path / 'out'))
    flag, missed, looks = StopFlag(), [], [0, 0, 0]

    def look(kind):
        reader = JobStore(store.root)
        while not flag.is_set():
            looks[kind] += 1
            if kind == 0:
                shown = [entry['id'] for entry in summaries(reader)]
                if sorted(shown) != sorted(ids):
                    missed.append(shown)
            else:
                for job_id in ids:
                    if kind == 1 and reader.find(job_id) is None:
                        missed.append(job_id)
                    if kind == 2:
                        job_view(reader, job_id)

    with ThreadPoolExecutor(JOBS + 3) as pool:
        calls = [pool.submit(move_about, store.root, number, flag) for number in range(JOBS)]
        calls += [pool.submit(look, kind) for kind in range(3)]
        time.sleep(3.0)
        flag.set('enough')
        for call in calls:
            call.result()
    assert missed == []
    assert min(looks) > 0


def test_an_unreadable_store_is_an_error(store, monkeypatch):
    store.create(make_record('x'))
    path = store.root / 'drafted' / 'x.json'
    real = os.listdir

    def listdir(folder):
        if str(folder).endswith('queued'):
            raise PermissionError(13, 'Permission denied')
        return real(folder)

    monkeypatch.setattr(os, 'listdir', listdir)
    for call in (lambda: summaries(store), lambda: store.find('y'), lambda: store.create(make_record('y'))):
        with pytest.raises(JobError) as caught:
            call()
        assert caught.value.reference == 'store-unreadable'
    monkeypatch.undo()
    if os.name != 'nt' and os.geteuid() != 0:
        path.chmod(0)
        assert states(store) == {'x': 'broken'}


def test_a_store_deleted_during_a_run_is_an_error(store):
    class Work(FakeWork):
        def run(self, *args):
            shutil.rmtree(store.root)
            raise OutputError('output-unwritable', 'it cannot be written')

    make_queued(store, make_record('x'))
    with pytest.raises(JobError) as caught:
        worker_of(store, Work()).run_one('x')
    assert caught.value.reference == 'job-gone' and str(store.root) in caught.value.cause
