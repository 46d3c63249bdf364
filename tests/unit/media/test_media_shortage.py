"""Tests that a shortage of memory or threads is not reported as a failure of an encoder, a clip or a frame."""

from __future__ import annotations

import errno
import subprocess
import sys
from pathlib import Path

import av
import pytest
from clips import make_clip

from facefusion import shortage
from facefusion.errors import FaceFusionError, MediaError, OutputError, ResourceError, UsageError
from facefusion.media import encoder as encoder_module
from facefusion.media.encoder import choose_encoder, usable_encoders
from facefusion.media.encoder_room import frames_held
from facefusion.media.options import OutputOptions
from facefusion.media.probe import VideoInfo, probe
from facefusion.media.reader import VideoReader
from facefusion.media.writer import SegmentWriter

ROOT = Path(__file__).resolve().parents[3]
NO_MEMORY = av.error.MemoryError(errno.ENOMEM, 'Cannot allocate memory')
NO_THREAD = av.error.BlockingIOError(errno.EAGAIN, 'Resource temporarily unavailable')
# libx264 and libvpx-vp9 report these errors in both shortages.
EXTERNAL = av.error.ExternalError(542398533, 'Generic error in an external library')
INVALID = av.error.InvalidDataError(1094995529, 'Invalid data found when processing input')


@pytest.fixture(scope='module')
def info(tmp_path_factory) -> VideoInfo:
    found = probe(make_clip(tmp_path_factory.mktemp('shortage') / 'a.mp4', frames=3))
    assert isinstance(found, VideoInfo)
    return found


@pytest.fixture
def tried(monkeypatch) -> list[str]:
    """Make every encoder fail, and return the names of the encoders that were opened."""
    names: list[str] = []

    class Failing:
        error: Exception = NO_MEMORY

        @classmethod
        def create(cls, name, mode):
            names.append(name)
            raise cls.error

    monkeypatch.setattr(encoder_module.av, 'CodecContext', Failing)
    return names


@pytest.fixture
def no_room(monkeypatch):
    monkeypatch.setattr(shortage, 'probe_available', lambda size, threads: (False, 0))


@pytest.mark.parametrize('asked', ['auto', 'libx264', 'libvpx-vp9'])
@pytest.mark.parametrize(('error', 'reference'), [(NO_MEMORY, 'memory-out'), (NO_THREAD, 'threads-out')])
def test_a_shortage_does_not_try_another_encoder(info, tried, asked, error, reference):
    encoder_module.av.CodecContext.error = error
    with pytest.raises(ResourceError) as caught:
        choose_encoder(info, OutputOptions(output_video_encoder=asked), '.mp4')
    assert caught.value.reference == reference
    assert tried == ['libx264' if asked == 'auto' else asked]


@pytest.mark.parametrize('error', [EXTERNAL, INVALID])
def test_an_unspecific_encoder_error_is_checked_for_a_shortage(info, tried, no_room, error):
    encoder_module.av.CodecContext.error = error
    with pytest.raises(ResourceError) as caught:
        choose_encoder(info, OutputOptions(), '.mp4')
    assert caught.value.reference == 'memory-out' and 'libx264 with 320x180 needs about' in caught.value.cause
    assert tried == ['libx264']


def test_only_the_selected_encoder_is_opened(info, tried):
    encoder_module.av.CodecContext.error = EXTERNAL
    with pytest.raises(UsageError) as caught:
        choose_encoder(info, OutputOptions(), '.mp4')
    assert set(tried) == {'libx264'}
    assert 'libx265' in caught.value.hint and 'nvenc' not in caught.value.hint and 'libx264,' not in caught.value.hint


def test_libx265_is_not_opened_in_a_shortage(info, tried, no_room):
    # In a shortage libx265 would wait forever or end the process.
    with pytest.raises(ResourceError):
        choose_encoder(info, OutputOptions(output_video_encoder='libx265'), '.mp4')
    assert tried == []


def test_libx265_is_not_opened_for_a_segment_in_a_shortage(info, tmp_path, no_room):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(shortage, 'probe_available', lambda size, threads: (True, threads))
        settings = choose_encoder(info, OutputOptions(output_video_encoder='libx265'), '.mp4')
    with pytest.raises(ResourceError), SegmentWriter(tmp_path / 's.nut', settings):
        raise AssertionError('it was opened')
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize('is_there', [True, False])
def test_a_segments_encoder_error_is_its_own_or_a_shortage(info, tmp_path, monkeypatch, is_there):
    settings = choose_encoder(info, OutputOptions(), '.mp4')

    class Broken:
        def encode(self, frame):
            raise EXTERNAL

    monkeypatch.setattr(shortage, 'probe_available', lambda size, threads: (is_there, threads))
    with pytest.raises(FaceFusionError) as caught, SegmentWriter(tmp_path / 's.nut', settings) as writer:
        writer._stream = Broken()
        writer.write(next(VideoReader(info).frames(0, 1)), 0)
    assert isinstance(caught.value, OutputError if is_there else ResourceError)
    assert list(tmp_path.iterdir()) == []


def test_encoders_with_more_look_ahead_need_more_frames():
    assert frames_held('libx264', 'veryfast') < frames_held('libx264', 'medium') < frames_held('libx265', 'medium')
    assert frames_held('libx264', 'slower') < frames_held('libx264', 'veryslow')
    assert frames_held('mpeg2video', 'veryslow') == frames_held('libx264', 'ultrafast')


@pytest.mark.parametrize(('error', 'reference'), [(NO_MEMORY, 'memory-out'), (NO_THREAD, 'threads-out')])
def test_a_frame_without_memory_is_not_damaged(info, monkeypatch, error, reference):
    class Starving:
        def __init__(self, packet):
            self.packet = packet

        def __getattr__(self, name):
            return getattr(self.packet, name)

        def decode(self):
            raise error

    from facefusion.media import reader

    with pytest.raises(ResourceError) as caught:
        list(reader._decode(iter([Starving(None)]), []))
    assert caught.value.reference == reference
    trouble: list[str] = []
    monkeypatch.setattr(Starving, 'decode', lambda packet: (_ for _ in ()).throw(INVALID))
    assert list(reader._decode(iter([Starving(None)]), trouble)) == [] and trouble


def test_a_clip_without_memory_is_not_damaged(info, monkeypatch):
    class Stream:
        pass

    class Container:
        def __init__(self, error):
            self.error = error

        def demux(self, stream):
            raise self.error
            yield

    from facefusion.media import probe as probe_module
    from facefusion.stopping import StopFlag

    with pytest.raises(ResourceError):
        probe_module._first_frame(Container(NO_MEMORY), Stream(), info.path, StopFlag())
    with pytest.raises(MediaError, match='no frame in it can be decoded'):
        probe_module._first_frame(Container(INVALID), Stream(), info.path, StopFlag())


STARVED = """
import resource, sys
from facefusion.errors import FaceFusionError
from facefusion.media.encoder import choose_encoder
from facefusion.media.options import OutputOptions
from facefusion.media.probe import probe
info = probe(__import__('pathlib').Path(sys.argv[1]))
with open('/proc/self/statm') as file:
    mapped = int(file.read().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (mapped + (int(sys.argv[3]) << 20),) * 2)
try:
    print(choose_encoder(info, OutputOptions(output_video_encoder=sys.argv[2], output_video_scale=8), '.mp4').codec)
except FaceFusionError as error:
    print(error.exit_code, error.reference)
"""


@pytest.mark.skipif(sys.platform != 'linux', reason='only Linux enforces such a limit')
@pytest.mark.parametrize(
    ('codec', 'megabytes'), [('libx265', 20), ('libx265', 200), ('libx264', 40), ('libvpx-vp9', 100)]
)
def test_under_a_real_limit_every_encoder_reports_the_shortage(info, codec, megabytes):
    words = [sys.executable, '-c', STARVED, str(info.path), codec, str(megabytes)]
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, timeout=20, check=False)
    assert done.stdout.strip() in ('5 memory-out', '5 threads-out'), done.stderr


def test_working_encoders_are_found():
    assert {'libx264', 'libx265', 'libvpx-vp9'} <= set(usable_encoders())
