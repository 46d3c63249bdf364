"""The metrics of the page."""

from __future__ import annotations

import re

from fakes.job_stores import FakeWork, drain, make_queued, make_record, make_store

from facefusion.errors import InputError
from facefusion.events import StageFinished
from facefusion.gui.routes.metrics import StepTotals, metrics_text
from facefusion.jobs.board import Board


class TimedWork(FakeWork):
    """Work whose stage takes 2.5 seconds, with a fetch beside it."""

    def run(self, job_id, step, target, output, emit, flag):
        report = super().run(job_id, step, target, output, emit, flag)
        emit(StageFinished('render', 1, 2.5))
        emit(StageFinished('model.onnx', 1, 9.0))
        return {**report, 'frames': 30}


def lines_of(store):
    board = Board(store)
    board.refresh()
    return metrics_text(board.summaries(), StepTotals(store).refresh(), 1).splitlines()


def test_metrics_count_states_frames_stages_and_failures(tmp_path):
    store = make_store(tmp_path)
    make_queued(store, make_record('good', 2, tmp_path), make_record('other', 1, tmp_path))
    drain(store, TimedWork())
    make_queued(store, make_record('failing', 1, tmp_path))
    drain(store, FakeWork(fails={0: InputError('media-damaged', 'it is damaged')}))
    lines = lines_of(store)
    for line in (
        'facefusion_jobs{state="completed"} 2',
        'facefusion_jobs{state="queued"} 0',
        'facefusion_failed_jobs{reference="media-damaged"} 1',
        'facefusion_frames 90',
        'facefusion_stage_seconds{stage="render"} 7.5',
        'facefusion_workers 1',
    ):
        assert line in lines
    assert not [line for line in lines if 'model.onnx' in line]


def test_every_line_has_the_format_of_prometheus(tmp_path):
    store = make_store(tmp_path)
    make_queued(store, make_record('x', 1, tmp_path))
    value = re.compile(r'[a-z_]+(\{[a-z]+="(\\.|[^"\\])*"(,[a-z]+="(\\.|[^"\\])*")*\})? -?[0-9.]+')
    names = set()
    for line in lines_of(store):
        if line.startswith('# '):
            kind, name, *_ = line[2:].split(' ')
            names.add(name)
            assert kind in ('HELP', 'TYPE')
        else:
            assert value.fullmatch(line), line
            assert line.split('{')[0].split(' ')[0] in names


def test_only_changed_jobs_are_read_again(tmp_path, monkeypatch):
    store = make_store(tmp_path)
    make_queued(store, *(make_record(f'j{number}', 1, tmp_path) for number in range(4)))
    totals = StepTotals(store)
    totals.refresh()
    read = []
    original = store.read
    monkeypatch.setattr(store, 'read', lambda job_file: read.append(job_file.job_id) or original(job_file))
    totals.refresh()
    assert read == []
    store.delete('j0')
    drain(store, TimedWork())
    assert totals.refresh().frames == 90
    assert sorted(read) == ['j1', 'j2', 'j3']
