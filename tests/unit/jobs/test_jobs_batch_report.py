"""Tests of the report of a batch."""

from __future__ import annotations

import json
import os
import sys
from dataclasses import replace

import pytest
from fakes.job_schema import schema_errors
from fakes.job_stores import CLAIM_TIMEOUT, FakeWork, make_queued, make_record, make_store

from facefusion.errors import MediaError, OutputError
from facefusion.events import silent
from facefusion.jobs.batch_report import BatchReport
from facefusion.jobs.runner import JobRunner
from facefusion.jobs.steps import requeued
from facefusion.stopping import StopFlag


def lines_of(path):
    lines = [json.loads(line) for line in path.read_text('ascii').splitlines()]
    assert [schema_errors(line, 'report_line') for line in lines] == [[]] * len(lines)
    return lines


def run(store, work, report, action='run'):
    claim, record = store.claim('j', action)
    record = requeued(record)
    report.begin(record)
    return JobRunner(store, work, CLAIM_TIMEOUT, silent, report.add).run(claim, record, StopFlag())


@pytest.fixture
def store(tmp_path):
    store = make_store(tmp_path)
    record = make_record('j', 3, tmp_path, on_step_error='continue')
    steps = (*record.steps[:2], replace(record.steps[2], remix_of='s1'))
    make_queued(store, replace(record, steps=steps))
    return store


def test_each_finished_step_has_one_line(store, tmp_path):
    path = tmp_path / 'report.jsonl'
    path.write_text('of another batch\n')
    seen = []
    work = FakeWork(fails={1: MediaError('media-damaged', 'it is damaged')}, once=[1])
    work.before = lambda flag: seen.append(len(lines_of(path)))
    assert run(store, work, BatchReport(path, silent)).state == 'failed' and seen == [0, 1]
    lines = lines_of(path)
    assert [(line['index'], line['status']) for line in lines] == [(0, 'completed'), (1, 'failed'), (2, 'skipped')]
    assert [line['error'] and line['error']['reference'] for line in lines] == [None, 'media-damaged', 'step-skipped']
    assert [line['sha256'] is None for line in lines] == [False, True, True]
    assert run(store, work, BatchReport(path, silent), 'retry').state == 'completed'
    assert [(line['index'], line['status']) for line in lines_of(path)] == [(index, 'completed') for index in range(3)]
    assert lines_of(path)[0] == lines[0]


def test_a_report_that_becomes_unwritable_is_one_warning_and_the_batch_continues(store, tmp_path):
    messages, path = [], tmp_path / 'gone' / 'report.jsonl'
    assert run(store, FakeWork(), BatchReport(path, messages.append)).state == 'completed'
    (warning,) = messages
    assert warning.level == 'warn' and str(path) in warning.text and 'the batch continues' in warning.text


@pytest.mark.skipif(sys.platform == 'win32', reason='Windows has no named pipes')
def test_a_pipe_does_not_block(tmp_path):
    os.mkfifo(tmp_path / 'pipe')
    with pytest.raises(OutputError, match='cannot be written') as caught:
        BatchReport(tmp_path / 'pipe', silent).check([])
    assert caught.value.reference == 'report-unwritable'
