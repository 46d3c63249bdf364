from __future__ import annotations

from dataclasses import replace

import pytest

from facefusion.errors import JobError
from facefusion.jobs import steps as module
from facefusion.jobs.adhoc_jobs import empty_record
from facefusion.jobs.naming import step_output_path
from facefusion.jobs.steps import (
    add_step,
    groups_of,
    insert_step,
    remix_step,
    remove_step,
    requeued,
    step_index,
    submitted,
    work_paths,
)


def args(name, output=None, target='in.png'):
    return {'name': name, 'target_path': target, 'output_path': output or f'{name}.png'}


def job(names=''):
    record = replace(empty_record(), id='job')
    for name in names:
        record = add_step(record, args(name))
    return record


def names(record):
    return ''.join(step.args['name'] for step in record.steps)


def refused(call, reference):
    with pytest.raises(JobError) as caught:
        call()
    assert caught.value.reference == reference
    return caught.value


@pytest.mark.parametrize(('index', 'expected'), [(0, 'Xabc'), (1, 'aXbc'), (2, 'abXc'), (-1, 'abXc'), (-5, 'abXc')])
def test_an_inserted_step_gets_the_index_and_a_negative_index_means_before_the_last(index, expected):
    record = insert_step(job('abc'), index, args('X'))
    assert names(record) == expected
    assert {step.status for step in record.steps} == {'drafted'} and record.date_updated


@pytest.mark.parametrize(('index', 'expected'), [(0, 'bc'), (1, 'ac'), (2, 'ab'), (-1, 'ab'), (-5, 'ab')])
def test_a_negative_index_removes_the_last_step(index, expected):
    assert names(remove_step(job('abc'), index)) == expected


@pytest.mark.parametrize(('index', 'source'), [(0, 'a'), (2, 'c'), (-1, 'c'), (-5, 'c')])
def test_a_remix_is_appended_and_its_target_is_the_output_of_its_source(index, source):
    record = remix_step(job('abc'), index, args('X', target=None))
    assert names(record) == 'abcX'
    at = 'abc'.index(source)
    assert record.steps[3].remix_of == record.steps[at].id
    assert record.steps[3].args['target_path'] == step_output_path(f'{source}.png', 'job', at)


@pytest.mark.parametrize('change', [insert_step, remix_step, lambda record, index, _: remove_step(record, index)])
@pytest.mark.parametrize(('have', 'index'), [('abc', 3), ('abc', 99), ('', 0), ('', -1), ('', 5)])
def test_an_unknown_index_is_refused(change, have, index):
    error = refused(lambda: change(job(have), index, args('X')), 'step-unknown')
    assert str(index) in error.message and ('3 steps' if have else 'no steps') in error.cause


def test_a_step_without_output_cannot_be_remixed():
    record = add_step(job(), {'name': 'a', 'target_path': 'in.png', 'output_path': None})
    refused(lambda: remix_step(record, 0, args('X')), 'step-without-output')
    assert groups_of(record) == () and work_paths(record) == {}


def test_a_remix_follows_its_source_when_other_steps_are_inserted_or_removed():
    """FaceFusion 3.8 stores the target of a remix as a name with a step index, so these changes break its chains."""
    record = remix_step(job('ab'), 1, args('X'))
    source = record.steps[1].id
    for changed in (insert_step(record, 0, args('Y')), remove_step(record, 0)):
        (remix,) = [step for step in changed.steps if step.args['name'] == 'X']
        assert remix.remix_of == source and source in {step.id for step in changed.steps}


def test_the_source_of_a_remix_cannot_be_removed():
    record = remix_step(remix_step(job('ab'), 0, args('X')), 0, args('Y'))
    error = refused(lambda: remove_step(record, 0), 'step-in-use')
    assert '2, 3' in error.cause
    assert names(remove_step(remove_step(remove_step(record, 3), 2), 0)) == 'b'


def test_a_job_has_a_maximum_of_steps(monkeypatch):
    monkeypatch.setattr(module, 'MAX_STEPS', 3)
    refused(lambda: add_step(job('abc'), args('X')), 'job-too-long')
    refused(lambda: insert_step(job('abc'), 0, args('X')), 'job-too-long')
    assert names(remove_step(job('abc'), 0)) == 'bc'


def test_steps_have_unique_ids():
    assert len({step.id for step in job('a' * 50).steps}) == 50


def test_submitting_queues_every_step_and_an_empty_job_is_refused():
    record = submitted(job('ab'))
    assert [step.status for step in record.steps] == ['queued', 'queued'] and record.date_submitted
    refused(lambda: submitted(job()), 'job-empty')


def test_steps_with_one_output_are_a_group_and_write_separate_files():
    record = job()
    for name, output in (('a', 'one.mp4'), ('b', 'two.mp4'), ('c', 'one.mp4')):
        record = add_step(record, args(name, output))
    assert [(group.output_path, [step.args['name'] for step in group.steps]) for group in groups_of(record)] == [
        ('one.mp4', ['a', 'c']),
        ('two.mp4', ['b']),
    ]
    assert list(work_paths(record).values()) == ['one-job-0.mp4', 'two.mp4', 'one-job-2.mp4']


def test_any_negative_number_is_the_last_step():
    assert [step_index(job('abc'), index) for index in (0, 2, -1, -3, -4, -(10**30))] == [0, 2, 2, 2, 2, 2]


# The remaining steps of a started job


def done(step, path, text=b'made'):
    path.write_bytes(text)
    return replace(step, status='completed', output={'path': str(path), 'size': len(text), 'sha256': '0'})


@pytest.fixture
def begun(tmp_path):
    """Steps a and b share an output, and d is a remix of c. Steps a and c are completed, and b failed."""
    record = replace(empty_record(), id='job')
    for name, output in (('a', 'one'), ('b', 'one'), ('c', 'two')):
        record = add_step(record, args(name, str(tmp_path / f'{output}.mp4')))
    record = submitted(remix_step(record, 2, args('d', str(tmp_path / 'three.mp4'))))
    paths = work_paths(record)
    first, second, third, fourth = record.steps
    failed = replace(second, status='failed', error={'reference': 'x'}, seconds=1.0)
    made = [done(step, type(tmp_path)(paths[step.id])) for step in (first, third)]
    return replace(record, steps=(made[0], failed, made[1], fourth), error={'reference': 'x'})


def statuses(record):
    return {step.args['name']: step.status for step in record.steps}


def test_completed_steps_are_not_repeated(begun):
    again = requeued(begun)
    assert statuses(again) == {'a': 'completed', 'b': 'queued', 'c': 'completed', 'd': 'queued'}
    assert again.error is None and again.steps[1].error is None and again.steps[1].seconds is None
    assert again.steps[0].output == begun.steps[0].output


def test_from_scratch_repeats_all_steps(begun):
    again = requeued(replace(begun, outputs=({'path': 'x'},)), from_scratch=True)
    assert set(statuses(again).values()) == {'queued'} and again.outputs == ()


def test_a_step_whose_needed_file_is_missing_is_repeated(begun, tmp_path):
    (tmp_path / 'one-job-0.mp4').unlink()
    assert statuses(requeued(begun))['a'] == 'queued'
    (tmp_path / 'two.mp4').write_bytes(b'of another size')
    assert statuses(requeued(begun))['c'] == 'queued'


def test_a_published_file_that_no_step_needs_may_be_moved(begun, tmp_path):
    whole = replace(begun, steps=tuple(replace(step, status='completed') for step in begun.steps[:3]))
    (tmp_path / 'two.mp4').unlink()
    assert statuses(requeued(whole))['c'] == 'completed'
    # A repeated headless-run or batch-run creates the file again.
    assert statuses(requeued(whole, missing=True))['c'] == 'queued'


def test_a_chain_of_missing_files_is_followed_to_its_start(tmp_path):
    record = job('a')
    for index, name in enumerate('bcd'):
        record = remix_step(record, index, args(name))
    record = submitted(record)
    gone = [replace(done(step, tmp_path / f'{k}'), remix_of=step.remix_of) for k, step in enumerate(record.steps[:3])]
    for path in ('0', '1', '2'):
        (tmp_path / path).unlink()
    assert set(statuses(requeued(replace(record, steps=(*gone, record.steps[3])))).values()) == {'queued'}
