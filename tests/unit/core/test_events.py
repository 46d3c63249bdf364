from __future__ import annotations

import dataclasses
import io
import json
import sys
import typing
from itertools import pairwise
from pathlib import Path

import pytest

from facefusion import events
from facefusion.events import (
    BarSink,
    JsonSink,
    LogSink,
    Message,
    RunFailed,
    RunFinished,
    StageFinished,
    StageProgress,
    silent,
    tee,
)


@pytest.mark.parametrize(
    ('level', 'shown'), [('error', 'E'), ('warn', 'EW'), ('info', 'EWI'), ('debug', 'EWID')], ids=lambda value: value
)
def test_the_log_shows_messages_at_or_above_its_level(level, shown):
    stream = io.StringIO()
    sink = LogSink(level, stream)
    for name in ('error', 'warn', 'info', 'debug'):
        sink(Message(name, 'media', name[0].upper()))
    sink(StageProgress('x', 1, 2))
    assert stream.getvalue() == ''.join(f'[FACEFUSION.MEDIA] {text}\n' for text in shown)


def test_sinks_write_to_the_current_streams(capsys):
    LogSink('info')(Message('info', 'run', 'for people'))
    JsonSink()(Message('info', 'run', 'for programs'))
    out, err = capsys.readouterr()
    assert 'for people' in err and 'for people' not in out
    assert json.loads(out)['text'] == 'for programs'


def test_json_lines_name_event_and_version():
    stream = io.StringIO()
    sink = JsonSink(stream)
    for event in (
        Message('warn', 'media', 'ä\nb'),
        StageFinished('processing', 3, 1.5),
        RunFinished('out.mp4', {'faces': 2}),
        RunFailed({'reference': 'x'}),
    ):
        sink(event)
    lines = stream.getvalue().splitlines()
    assert [json.loads(line) for line in lines] == [
        {'version': 1, 'event': 'message', 'level': 'warn', 'origin': 'media', 'text': 'ä\nb'},
        {'version': 1, 'event': 'stage_finished', 'stage': 'processing', 'done': 3, 'seconds': 1.5},
        {'version': 1, 'event': 'run_finished', 'output_path': 'out.mp4', 'report': {'faces': 2}},
        {'version': 1, 'event': 'run_failed', 'error': {'reference': 'x'}},
    ]
    assert stream.getvalue().isascii()


def test_json_survives_names_that_are_not_utf8():
    stream = io.TextIOWrapper(io.BytesIO(), encoding='utf-8')
    JsonSink(stream)(RunFinished('bad\udce4name.mp4'))
    stream.seek(0)
    assert json.loads(stream.read())['output_path'] == 'bad\udce4name.mp4'


def test_json_omits_debug_messages():
    stream = io.StringIO()
    JsonSink(stream)(Message('debug', 'run', 'noise'))
    assert stream.getvalue() == ''


def test_json_progress_is_limited_but_includes_first_and_last():
    stream, now = io.StringIO(), [0.0]
    sink = JsonSink(stream, clock=lambda: now[0])
    for done in range(101):
        sink(StageProgress('processing', done, 100))
        now[0] += 0.011
    shown = [json.loads(line)['done'] for line in stream.getvalue().splitlines()]
    assert shown[0] == 0 and shown[-1] == 100
    assert 10 <= len(shown) <= 13
    assert all(b - a >= 10 for a, b in pairwise(shown[:-1]))


def test_json_progress_is_limited_for_each_stage():
    stream = io.StringIO()
    sink = JsonSink(stream, clock=lambda: 5.0)
    sink(StageProgress('a', 3, 10))
    sink(StageProgress('b', 4, 10))
    assert len(stream.getvalue().splitlines()) == 2


def test_the_speed_of_a_bar_ignores_earlier_runs():
    now = [100.0]
    stream = io.StringIO()
    sink = BarSink(stream)
    sink(StageProgress('processing', 0, 1000))
    for bar in sink._bars.values():
        bar._time, bar.start_t, bar.last_print_t = (lambda: now[0]), 100.0, 100.0
    now[0] = 102.0
    sink(StageProgress('processing', 900, 1000))
    assert '900/1000 [00:02<?' in stream.getvalue().split('\r')[-1]
    now[0] = 110.0
    sink(StageProgress('processing', 920, 1000, 'frame', 'segment 5 of 5', 2.0, 40.0))
    shown = stream.getvalue().split('\r')[-1]
    assert '[00:10<00:40,  2.00frame/s, segment 5 of 5]' in shown, shown
    sink.close()


@pytest.mark.skipif(sys.platform == 'win32', reason='needs a pseudo terminal')
def test_a_terminal_without_a_reported_size_shows_bars():
    import pty

    master, slave = pty.openpty()
    with open(slave, 'w') as stream, open(master, 'rb', buffering=0) as terminal:
        sink = BarSink(stream)
        sink(StageProgress('analysing', 0, 4))
        shown = terminal.read(200).decode()
        sink.close()
    assert 'analysing' in shown and '0/4' in shown


def test_a_stage_has_one_bar_that_closes_with_it():
    stream = io.StringIO()
    sink = BarSink(stream)
    sink(StageProgress('analysing', 0, 4))
    sink(StageProgress('analysing', 4, 4, detail='face.onnx'))
    sink(StageFinished('analysing', 4, 0.1))
    assert 'analysing' in stream.getvalue() and '4/4' in stream.getvalue()
    assert stream.getvalue().endswith('\n')
    sink(StageFinished('never begun', 0, 0.0))
    sink(StageProgress('processing', 1, None))
    sink(RunFailed({}))
    assert stream.getvalue().endswith('\n')


def test_tee_calls_sinks_in_order_and_silent_drops_events():
    seen = []
    emit = tee([lambda event: seen.append(('a', event)), silent, lambda event: seen.append(('b', event))])
    event = StageProgress('x', 0, None)
    emit(event)
    assert seen == [('a', event), ('b', event)]


def test_every_event_and_every_key_is_documented():
    page = (Path(__file__).resolve().parents[3] / 'docs' / 'progress-events.md').read_text(encoding='utf-8')
    lines = {line.split('`')[1]: line for line in page.splitlines() if line.startswith('| `')}
    kinds = typing.get_args(events.Event)
    names = {''.join('_' + c.lower() if c.isupper() else c for c in kind.__name__).lstrip('_'): kind for kind in kinds}
    assert lines.keys() == names.keys()
    for name, kind in names.items():
        for entry in dataclasses.fields(kind):
            assert f'`{entry.name}`' in lines[name], f'{name}: {entry.name}'
