"""Tests of crashes and errors at any change of a file: every job stays in exactly one state, and no job is lost.

Each scenario is repeated with a fault at some of its file changes, including the first and the last one; with
``--exhaustive`` there is one repetition for every change.
"""

from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from fakes.job_stores import CLAIM_TIMEOUT, FakeWork, content, files_in, make_queued, make_record, make_store
from fakes.owners import dead_owner
from fakes.samples import sample
from fakes.store_faults import NEVER, Crash, StoreFaults

from facefusion.errors import FaceFusionError, InputError, JobError
from facefusion.events import silent
from facefusion.jobs.cancel import cancel
from facefusion.jobs.reaper import Reaper
from facefusion.jobs.runner import JobRunner, Outcome
from facefusion.jobs.states import STATES
from facefusion.jobs.steps import add_step, requeued, submitted
from facefusion.jobs.store import JobStore
from facefusion.jobs.summary import job_view, summaries
from facefusion.ownership import new_owner
from facefusion.stopping import StopFlag

ID = 'the.job'
can_mount = pytest.mark.skipif(
    sys.platform != 'linux' or os.geteuid() != 0, reason='needs root on Linux, to mount a small file system'
)
# The number of faults in each scenario; short scenarios have a fault at every change.
FAULTS = 8


@dataclass(frozen=True)
class Scenario:
    """An action ``act`` with faults, in a store created by ``prepare``.

    Without a fault, the job ends in the state ``new``. After a crash and a sweep, it is in the state ``old`` or ``new``
    ('gone': deleted). ``steps`` are the numbers of its steps before and after the action.
    """

    prepare: Callable[[JobStore, Path], None]
    act: Callable[[JobStore, Path], object]
    old: str
    new: str
    steps: tuple[int, int] = (3, 3)


def record_in(folder, **fields):
    """Return a job with two steps that are joined, and a remix of the first one."""
    record = make_record(ID, 3, folder / 'out', **fields)
    first, second, third = record.steps
    shared = replace(second, args={**second.args, 'output_path': first.output_path})
    return replace(record, steps=(first, shared, replace(third, remix_of='s0')))


def drafted(store, folder):
    store.create(record_in(folder))


def queued(store, folder):
    make_queued(store, record_in(folder))


def queued_for_retries(store, folder):
    make_queued(store, record_in(folder, retries=1, retry_delay=0.0))


def failed(store, folder):
    queued(store, folder)
    cancel(store, ID, StopFlag())


def killed(store, folder):
    """Run the job in a process that dies after the first step."""
    queued(store, folder)
    with pytest.raises(Crash):
        run(store, folder, FakeWork({1: Crash()}))


def killed_at_the_fence(store, folder):
    """Submit the job in a process that dies between the fence and the last rename."""
    drafted(store, folder)
    with StoreFaults(store.root, 1) as faults, pytest.raises(Crash):
        real = store.files.rename

        def rename(old, new):
            if new.suffix == '.json':
                faults.at = faults.count + 1
            real(old, new)

        store.files.rename = rename
        faults.at = NEVER
        submit(store, folder)
    del store.files.rename
    assert [job_file.kind for job_file in store.claimed_files()] == ['done']


def create(store, folder):
    store.create(record_in(folder))


def create_running(store, folder):
    store.create_running(submitted(record_in(folder, origin='headless-run')))


def add(store, folder):
    with store.edit(ID, 'edit') as (claim, record):
        args = {'target_path': 'target.bin', 'output_path': str(folder / 'out' / 'more.bin')}
        claim.finish('drafted', add_step(record, args))


def submit(store, folder):
    with store.edit(ID, 'submit') as (claim, record):
        claim.finish('queued', submitted(record))


def delete(store, folder):
    store.delete(ID)


def claim(store, folder):
    store.claim(ID, 'run')


def claim_and_give_back(store, folder):
    store.claim(ID, 'run')[0].release('queued')


def run(store, folder, work=None, flag=None) -> Outcome:
    claim, record = store.claim(ID, 'run')
    return JobRunner(store, work or FakeWork(), CLAIM_TIMEOUT, silent).run(claim, record, flag or StopFlag(), 'queued')


def run_failing(store, folder):
    return run(store, folder, FakeWork({2: InputError('no-good', 'no good')}))


def run_stopped(store, folder):
    flag = StopFlag()
    work = FakeWork(before=lambda inner: flag.set('the end') if len(work.ran) == 2 else None)
    return run(store, folder, work, flag)


def retry(store, folder):
    claim, record = store.claim(ID, 'retry')
    return JobRunner(store, FakeWork(), CLAIM_TIMEOUT, silent).run(claim, requeued(record), StopFlag())


def sweep(store, folder):
    Reaper(store, CLAIM_TIMEOUT, silent).sweep()


def cancel_it(store, folder):
    cancel(store, ID, StopFlag())


SCENARIOS = {
    'create': Scenario(lambda store, folder: None, create, 'gone', 'drafted'),
    'create_running': Scenario(lambda store, folder: None, create_running, 'gone', 'failed'),
    'add_step': Scenario(drafted, add, 'drafted', 'drafted', (3, 4)),
    'submit': Scenario(drafted, submit, 'drafted', 'queued'),
    'delete_drafted': Scenario(drafted, delete, 'drafted', 'gone'),
    'delete_failed': Scenario(failed, delete, 'failed', 'gone'),
    'claim': Scenario(queued, claim, 'queued', 'queued'),
    'give_back': Scenario(queued, claim_and_give_back, 'queued', 'queued'),
    'run': Scenario(queued, run, 'queued', 'completed'),
    'run_failing': Scenario(queued, run_failing, 'queued', 'failed'),
    'run_stopped': Scenario(queued, run_stopped, 'queued', 'queued'),
    'run_tried_again': Scenario(queued_for_retries, run_failing, 'queued', 'queued'),
    'retry': Scenario(failed, retry, 'failed queued', 'completed'),
    'reaper': Scenario(killed, sweep, 'queued', 'queued'),
    'roll_forward': Scenario(killed_at_the_fence, sweep, 'queued', 'queued'),
    'cancel_queued': Scenario(queued, cancel_it, 'queued', 'failed'),
    'cancel_killed': Scenario(killed, cancel_it, 'queued', 'failed'),
}
every_scenario = pytest.mark.parametrize('name', SCENARIOS)


@pytest.fixture(scope='module')
def dead_pid():
    return dead_owner().pid


def tree(root):
    """Return all folders, and all files with their content."""
    return {path: path.read_bytes() if path.is_file() else None for path in root.rglob('*')}


def observed_state(root) -> str:
    """Return the state of the job right after a crash; check that all queries agree and change nothing."""
    before = tree(root)
    store = JobStore(root)
    shown = summaries(store)
    assert len(shown) <= 1
    state = shown[0]['state'] if shown else 'gone'
    if shown:
        assert state in STATES, shown
        assert store.open(ID).state == job_view(store, ID)['state'] == store.find(ID).state == state
    else:
        assert store.find(ID) is None
        with pytest.raises(JobError, match='there is no job'):
            store.open(ID)
    assert list(store.job_files()) == [entry['id'] for entry in shown]
    assert tree(root) == before
    return state


def check_swept(root, may_have_notes=False) -> str:
    """Return the state of the job after a sweep; check that no other files are left.

    ``may_have_notes`` allows notes of an attempt that could not merge its results into the record.
    """
    files = files_in(root)
    if may_have_notes:
        noted = [path for path in files if path.parent == root / '.work' / ID and path.name.count('.') == 1]
        files = [path for path in files if path not in noted]
    assert len(files) <= 1, files
    if not files:
        return 'gone'
    assert files[0].name == f'{ID}.json'
    assert observed_state(root) == files[0].parent.name
    return files[0].parent.name


def complete(root, done=frozenset()):
    """Complete the job from any state, and check that steps with flushed results are not repeated."""
    store, work = JobStore(root), FakeWork()
    state = store.find(ID).state
    if state == 'drafted':
        submit(store, None)
    if state != 'completed':
        claim, record = store.claim(ID, 'retry' if state == 'failed' else 'run')
        assert JobRunner(store, work, CLAIM_TIMEOUT, silent).run(claim, requeued(record), StopFlag()).error is None
    assert not done & set(work.ran)
    assert check_swept(root) == 'completed'
    record = store.open(ID).record
    assert {step.status for step in record.steps} == {'completed'}
    assert record.error is None
    for output in record.outputs:
        joined = b''.join(content(step_id) for step_id in output['steps'])
        assert Path(output['path']).read_bytes() == joined
    assert {output['path'] for output in record.outputs} == {step.output_path for step in record.steps}


def completed_steps(results: bytes):
    lines = [json.loads(line) for line in results.split(b'\n')[:-1]]
    return {line['step']['id'] for line in lines if line.get('step', {}).get('status') == 'completed'}


@pytest.fixture
def each_fault(tmp_path, dead_pid, request):
    """Return a function that runs a scenario without a fault, and with a fault at some of its file changes.

    For each run it yields the store folder, the faults, the raised error, and the state before the action.
    """

    def act(name, at, **fault):
        scenario, job_file = SCENARIOS[name], tmp_path / str(at)
        store = make_store(job_file, make_owner=lambda: new_owner()._replace(pid=dead_pid))
        with StoreFaults(store.root, NEVER):
            scenario.prepare(store, job_file)
        before, raised = observed_state(store.root), None
        with StoreFaults(store.root, at, **fault) as faults:
            try:
                scenario.act(store, job_file)
            except (Crash, Exception) as error:  # noqa: BLE001 - the test checks the type
                raised = error
        return store.root, faults, raised, before

    def run_all(name, **fault):
        whole = act(name, NEVER, **fault)
        yield whole
        for at in sample(request.config, range(1, whole[1].count + 1), FAULTS, f'{name} {fault}'):
            yield act(name, at, **fault)

    return run_all


@every_scenario
@pytest.mark.parametrize('how', ['before', 'half', 'after'])
def test_a_crash_anywhere(each_fault, name, how):
    scenario = SCENARIOS[name]
    for root, faults, raised, before in each_fault(name, how=how):
        assert isinstance(raised, Crash) if faults.has_struck else raised is None
        shown = observed_state(root)
        assert shown in {before, *scenario.old.split(), scenario.new, 'running' if scenario.new != 'gone' else 'gone'}
        with StoreFaults(root, NEVER):
            Reaper(JobStore(root), CLAIM_TIMEOUT, silent).sweep()
        state = check_swept(root)
        assert state in ({*scenario.old.split(), scenario.new} if faults.has_struck else {scenario.new})
        if state != 'gone':
            steps = len(JobStore(root).open(ID).record.steps)
            assert steps in scenario.steps if faults.has_struck else steps == scenario.steps[1]
            with StoreFaults(root, NEVER):
                complete(root, completed_steps(faults.results))


SIMILAR = ('give_back', 'delete_failed', 'run_stopped', 'run_tried_again', 'cancel_killed')
ERRORS = [
    (errno.ENOSPC, 'before', False),
    (errno.ENOSPC, 'half', True),
    (errno.EROFS, 'before', True),
    (errno.EIO, 'after', False),
]


@pytest.mark.parametrize('name', [name for name in SCENARIOS if name not in SIMILAR])
@pytest.mark.parametrize(('error', 'how', 'stays'), ERRORS, ids=lambda value: str(value))
def test_an_error_anywhere(each_fault, dead_pid, name, error, how, stays):
    scenario = SCENARIOS[name]
    reference = 'store-full' if error == errno.ENOSPC else 'store-unwritable'
    fault = {'how': how, 'error': error, 'stays': stays}
    for root, faults, raised, before in each_fault(name, **fault):
        if raised is not None:
            assert isinstance(raised, FaceFusionError), raised
            assert raised.reference == reference
            assert raised.cause
            assert raised.hint
        shown = observed_state(root)
        may_be = {before, *scenario.old.split(), scenario.new, 'running' if scenario.new != 'gone' else 'gone'}
        # A run fails with this error if it cannot write its notes.
        assert shown in may_be | ({'failed'} if 'run' in name or name == 'retry' else set())
        with StoreFaults(root, NEVER):
            Reaper(JobStore(root), CLAIM_TIMEOUT, silent).sweep()
            state = check_swept(root, may_have_notes=raised is not None)
            may_end = {'failed', 'queued'} if 'run' in name or name == 'retry' else set()
            assert state in {*scenario.old.split(), scenario.new} | may_end
            if raised is not None:
                try_again(root, scenario, state, dead_pid)
            elif name.startswith(('create', 'add', 'submit', 'delete', 'cancel')):
                assert state == scenario.new
            if JobStore(root).find(ID) is not None:
                complete(root, completed_steps(faults.results))


def try_again(root, scenario, state, dead_pid):
    """Repeat the action, which succeeds now unless it had already succeeded."""
    try:
        scenario.act(JobStore(root, make_owner=lambda: new_owner()._replace(pid=dead_pid)), root.parent)
    except JobError as error:
        assert error.reference in ('job-wrong-state', 'job-exists', 'job-unknown')
        assert state != scenario.old or scenario.old == scenario.new
    Reaper(JobStore(root), CLAIM_TIMEOUT, silent).sweep()


# Tests with a real disk


@pytest.fixture
def disk(tmp_path):
    """A file system of 100 KiB."""
    folder = tmp_path / 'disk'
    folder.mkdir()
    command = ['mount', '-t', 'tmpfs', '-o', 'size=100k', 'tmpfs', str(folder)]
    if subprocess.run(command, capture_output=True, check=False).returncode:
        pytest.skip('even root cannot mount on this machine')
    yield folder
    subprocess.run(['umount', '-l', str(folder)], check=True)


@can_mount
def test_a_full_disk(disk, tmp_path):
    store = JobStore(disk / 'jobs')
    drafted(store, tmp_path)
    made = []
    with pytest.raises(JobError) as caught:
        for number in range(100):
            store.create(make_record(f'j{number}', 4, tmp_path))
            made.append(f'j{number}')
    assert caught.value.reference == 'store-full'
    (disk / 'rest').write_bytes(b'')
    with suppress(OSError), open(disk / 'rest', 'ab', buffering=0) as file:
        while file.write(bytes(512)):
            pass
    for call in (submit, add, lambda store, folder: store.create(make_record('more'))):
        with pytest.raises(JobError) as caught:
            call(store, tmp_path)
        assert caught.value.reference == 'store-full'
        assert sorted(entry['id'] for entry in summaries(store)) == sorted([ID, *made])
        assert {entry['state'] for entry in summaries(store)} == {'drafted'}
    assert store.claimed_files() == []
    # The disk becomes full during the run, and later has space again.
    (disk / 'rest').unlink()
    for _ in range(6):
        store.delete(made.pop())
    submit(store, tmp_path)

    def fill(flag):
        with suppress(OSError), open(disk / 'rest', 'ab', buffering=0) as file:
            while file.write(bytes(512)):
                pass

    first = FakeWork(before=fill)
    with suppress(JobError):
        assert run(store, tmp_path, first).error.reference == 'store-full'
    (disk / 'rest').unlink()
    assert store.find(ID).state in ('queued', 'failed')
    Reaper(store, CLAIM_TIMEOUT, silent).sweep()
    claim, record = store.claim(ID, 'retry' if store.find(ID).state == 'failed' else 'run')
    work = FakeWork()
    outcome = JobRunner(store, work, CLAIM_TIMEOUT, silent).run(claim, requeued(record), StopFlag())
    assert outcome.state == 'completed'
    for job_id in made:
        store.delete(job_id)
    assert check_swept(store.root) == 'completed'


@can_mount
def test_an_unwritable_store(disk, tmp_path):
    store = JobStore(disk / 'jobs')
    killed(JobStore(store.root, make_owner=dead_owner), tmp_path)
    store.create(make_record('other'))
    subprocess.run(['mount', '-o', 'remount,ro', str(disk)], check=True)
    before = tree(store.root)
    shown = {entry['id']: entry['state'] for entry in summaries(store)}
    assert shown == {ID: 'running', 'other': 'drafted'}
    assert job_view(store, ID)['worker']['dead'] is True
    messages = []
    reaper = Reaper(store, CLAIM_TIMEOUT, messages.append)
    for _ in range(3):
        reaper.sweep()
    assert len(messages) == 1
    calls = [
        lambda: store.create(make_record('more')),
        lambda: store.delete('other'),
        lambda: cancel(store, ID, StopFlag()),
        lambda: store.create_running(make_record('more')),
    ]
    for call in calls:
        with pytest.raises(JobError) as caught:
            call()
        assert caught.value.reference == 'store-unwritable'
        assert 'ead-only' in caught.value.cause
    assert tree(store.root) == before
    subprocess.run(['mount', '-o', 'remount,rw', str(disk)], check=True)
    store.delete('other')
    reaper.sweep()
    complete(store.root)
