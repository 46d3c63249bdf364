from __future__ import annotations

import io
import os
import subprocess
import sys
from pathlib import Path

import pytest

from facefusion.events import BarSink, JsonSink, LogSink, Message, StageFinished, StageProgress
from facefusion.standard_streams import is_terminal, write_line

ROOT = Path(__file__).resolve().parents[3]
POSIX = pytest.mark.skipif(sys.platform == 'win32', reason='needs inherited descriptors')


@pytest.fixture
def reader_gone():
    """A text stream to a pipe without a reader."""
    reading, writing = os.pipe()
    os.close(reading)
    stream = os.fdopen(writing, 'w')
    yield stream
    stream.close()


def closed_stream() -> io.StringIO:
    stream = io.StringIO()
    stream.close()
    return stream


@pytest.mark.parametrize('stream', [None, closed_stream()], ids=['missing', 'closed'])
def test_a_missing_stream_is_no_terminal_and_drops_lines(stream):
    assert not is_terminal(stream)
    write_line('lost', stream)


def test_no_sink_fails_when_the_reader_has_ended(reader_gone, monkeypatch):
    monkeypatch.setattr(sys, 'stderr', reader_gone)
    monkeypatch.setattr(sys, 'stdout', reader_gone)
    for sink in (LogSink('info'), JsonSink(), BarSink()):
        for event in (Message('info', 'run', 'text'), StageProgress('processing', 0, 2), StageFinished('x', 2, 0.1)):
            sink(event)
    sink.close()


def test_a_later_flush_does_not_fail_on_dropped_lines(reader_gone):
    write_line('lost', reader_gone)
    reader_gone.flush()


@POSIX
def test_lines_are_written_again_when_the_stream_recovers():
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    with os.fdopen(writing, 'w') as stream, os.fdopen(reading, 'rb') as reader:
        block = 'x' * 4095
        for _ in range(40):
            # These lines exceed the buffer of the pipe, so the last ones are dropped.
            write_line(block, stream)
        reader.read1(1 << 20)
        write_line('here again', stream)
        assert reader.read1(1 << 20).endswith(b'here again\n')


@POSIX
def test_a_file_does_not_get_the_descriptor_of_a_closed_stream(tmp_path):
    script = (
        'import os, sys; from facefusion.standard_streams import open_missing_streams; open_missing_streams();'
        f'file = open({str(tmp_path / "file")!r}, "w"); print("message", file=sys.stderr); print("result");'
        'os.write(2, b"from a library"); os.system("echo from a child >&2"); sys.exit(file.fileno() > 2)'
    )
    command = ['sh', '-c', 'exec "$0" "$@" 0<&- 1>&- 2>&-', sys.executable, '-c', script]
    assert subprocess.run(command, env={**os.environ, 'PYTHONPATH': str(ROOT)}, check=False).returncode == 1
    assert (tmp_path / 'file').read_bytes() == b''


@pytest.mark.skipif(not Path('/dev/full').exists(), reason='needs /dev/full')
@pytest.mark.parametrize('line', ["LogSink('info')(Message('info', 'run', 'x'))", 'main([], {})'])
def test_a_full_log_does_not_change_the_exit_code_of_the_interpreter(line):
    script = f'from facefusion.events import LogSink, Message\nfrom facefusion.cli.main import main\n{line}'
    with open('/dev/full', 'w') as full:
        command, environ = [sys.executable, '-c', script], {**os.environ, 'PYTHONPATH': str(ROOT)}
        assert subprocess.run(command, stdout=full, stderr=full, env=environ, check=False).returncode == 0
