"""Tests of files that change between the addition of a step and its run."""

from __future__ import annotations

import os
from dataclasses import replace

import pytest

from facefusion.errors import InputError, Interrupted
from facefusion.events import silent
from facefusion.jobs.inputs import EXTENT, Extent, check_inputs, note_inputs
from facefusion.jobs.record import StepRecord
from facefusion.jobs.steps import add_step, insert_step, remix_step, submitted, work_paths
from facefusion.stopping import StopFlag

# In files of more than 16 bytes, only 4 pieces of 4 bytes each are compared.
SMALL = Extent(16, 4)


@pytest.fixture
def target(tmp_path):
    path = tmp_path / 'target.png'
    path.write_bytes(b'0123456789')
    return path


def step_of(*paths, extent=EXTENT, **args) -> StepRecord:
    target, *sources = map(str, paths)
    args |= {'target_path': target, 'source_paths': sources}
    return StepRecord('s', args, inputs=note_inputs(args, extent=extent))


def changes(step, **kw) -> list[str]:
    return [change['cause'] for change in check_inputs(step, False, silent, StopFlag(), **kw)]


def write_back(path, data: bytes) -> None:
    """Write other bytes to a file, and restore its modification time."""
    status = path.stat()
    path.write_bytes(data)
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))


def test_existing_files_are_described_and_missing_ones_skipped(tmp_path, target):
    (tmp_path / 'folder').mkdir()
    os.mkfifo(tmp_path / 'pipe')
    step = step_of(tmp_path / 'gone.png', target, tmp_path / 'folder', tmp_path / 'pipe', target)
    (noted,) = step.inputs
    assert noted['path'] == str(target) and (noted['size'], noted['sampled']) == (10, False)
    assert noted['modified'] == target.stat().st_mtime_ns
    assert noted['sha256'] == '84d89877f0d4041efb6bf91a16f0248f2fd573e6af05c19f96bedb9f882f7882'
    assert changes(step) == [] and note_inputs({}) == ()
    assert note_inputs({'target_path': str(target), 'source_paths': None}, with_target=False) == ()


def test_a_file_is_compared_by_its_content(target):
    step = step_of(target)
    target.touch()
    os.utime(target, (1, 1))
    assert changes(step) == []
    write_back(target, b'0123456780')
    assert changes(step) == ['its content differs']
    target.write_bytes(b'01')
    assert changes(step) == ['it has 2 bytes instead of 10']
    target.unlink()
    assert changes(step) == []


def test_a_large_file_is_compared_by_pieces_and_modification_time(target):
    for size in (17, 18, 31, 1000):
        data = bytes(index % 251 for index in range(size))
        target.write_bytes(data)
        step = step_of(target, extent=SMALL)
        assert step.inputs[0]['sampled']
        for at in (0, size - 1):
            write_back(target, data[:at] + b'\xff' + data[at + 1 :])
            assert changes(step, extent=SMALL) == ['its content differs']
        write_back(target, data)
        assert changes(step, extent=SMALL) == []
        os.utime(target, (1, 1))
        assert 'only parts of so large a file are compared' in changes(step, extent=SMALL)[0]
    # Changed bytes between the pieces are detected only by the modification time.
    write_back(target, data)
    step = step_of(target, extent=SMALL)
    write_back(target, data[:100] + b'\xff' + data[101:])
    assert changes(step, extent=SMALL) == []


def test_a_change_is_a_warning_and_refused_with_a_consent_or_a_policy(target):
    step, messages = step_of(target, consent=None), []
    target.write_bytes(b'other')
    found = check_inputs(step, False, messages.append, StopFlag())
    assert found == [{'path': str(target), 'cause': 'it has 5 bytes instead of 10'}]
    assert [event.level for event in messages] == ['warn'] and str(target) in messages[0].text
    agreed = replace(step, args=dict(step.args) | {'consent': 'she agreed'})
    for refused, is_required, word in ((agreed, False, 'consent'), (step, True, 'require_unchanged')):
        with pytest.raises(InputError) as caught:
            check_inputs(refused, is_required, silent, StopFlag())
        error = caught.value
        assert (error.reference, error.exit_code) == ('input-changed', 1) and word in error.cause and error.hint
        assert error.facts == {'inputs_changed': found}
    assert check_inputs(replace(agreed, inputs=()), True, silent, StopFlag()) == []


def test_the_comparison_can_be_stopped(target):
    step, flag = step_of(target), StopFlag()
    flag.set('enough')
    with pytest.raises(Interrupted):
        check_inputs(step, False, silent, flag)


def test_files_that_the_job_itself_writes_are_not_compared(tmp_path, target):
    from fakes.job_stores import make_record

    made = tmp_path / 'made.png'
    made.write_bytes(b'of an earlier run')
    record = make_record('j', 0)
    args = {'target_path': str(made), 'source_paths': [str(target)], 'output_path': str(tmp_path / 'out.png')}
    record = add_step(record, args, note_inputs(args))
    record = remix_step(
        record, 0, {**args, 'output_path': str(tmp_path / 'b.png')}, note_inputs(args, with_target=False)
    )
    first = {'target_path': str(target), 'output_path': str(tmp_path / '.' / 'x' / '..' / 'made.png')}
    record = insert_step(record, 0, first, note_inputs(first))
    assert [len(step.inputs) for step in record.steps] == [1, 2, 1]
    record = submitted(record)
    assert [[known['path'] for known in step.inputs] for step in record.steps] == [[str(target)]] * 3
    assert str(made) not in work_paths(record)
