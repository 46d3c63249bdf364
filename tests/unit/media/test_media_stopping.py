"""Tests that every operation ends soon after the flag is set and leaves no files."""

from __future__ import annotations

from pathlib import Path

import av
import numpy as np
import pytest
from clips import make_clip

import facefusion.media.join as join_module
from facefusion.errors import Interrupted, OutputError, ResourceError
from facefusion.media.audio import plan_audio
from facefusion.media.encoder import choose_encoder
from facefusion.media.files import publish
from facefusion.media.frame import PixelFrame
from facefusion.media.image import write_image
from facefusion.media.info import VideoInfo
from facefusion.media.join import Joining, join_segments
from facefusion.media.options import OutputOptions
from facefusion.media.probe import probe
from facefusion.media.reader import VideoReader
from facefusion.media.timeline import build_timeline
from facefusion.media.writer import SegmentWriter
from facefusion.stopping import StopFlag


class Countdown(StopFlag):
    """A flag that is set after a number of checks."""

    def __init__(self, looks: int) -> None:
        super().__init__()
        self.looks = looks

    def check(self) -> None:
        self.looks -= 1
        if self.looks <= 0:
            self.set('the test')
        super().check()


def test_no_file_is_published_after_a_stop(tmp_path: Path) -> None:
    flag = StopFlag()
    flag.set('the test')
    (tmp_path / 'a.part').write_bytes(b'whole')
    with pytest.raises(Interrupted):
        publish(tmp_path / 'a.part', tmp_path / 'a', flag)
    assert not (tmp_path / 'a').exists()


@pytest.mark.parametrize('looks', [1, 5, 30])
def test_measuring_a_clip_stops_at_a_packet(tmp_path: Path, looks: int) -> None:
    clip = make_clip(tmp_path / 'a.mp4')
    with pytest.raises(Interrupted):
        probe(clip, Countdown(looks))


def test_skipping_frames_stops_at_a_frame(tmp_path: Path) -> None:
    info = probe(
        make_clip(tmp_path / 'a.mp4', options={'g': '900', 'preset': 'ultrafast', 'x264-params': 'scenecut=0'})
    )
    assert isinstance(info, VideoInfo)
    flag = Countdown(10)
    with pytest.raises(Interrupted):
        next(VideoReader(info, stop=flag).frames(39, 40))
    assert flag.looks > -5


@pytest.mark.parametrize('kind', ['png', 'jpeg', 'webp', 'bmp'])
def test_a_stopped_image_leaves_no_file(tmp_path: Path, kind: str) -> None:
    noise = PixelFrame(np.random.default_rng(0).integers(0, 256, (700, 900, 3), np.uint8))
    flag = Countdown(3)
    with pytest.raises(Interrupted):
        write_image(noise, tmp_path / 'a.part', kind, 90, stop=flag)
    assert not list(tmp_path.iterdir())


def test_a_png_stops_between_its_blocks(tmp_path: Path) -> None:
    noise = PixelFrame(np.random.default_rng(0).integers(0, 256, (700, 900, 3), np.uint8))
    flag = Countdown(10**6)
    write_image(noise, tmp_path / 'a.part', 'png', stop=flag)
    assert 10**6 - flag.looks > 20


def segments_of(info: VideoInfo, folder: Path, extension: str = '.mp4') -> Joining:
    options = OutputOptions(output_video_quality=100, output_video_preset='ultrafast')
    timeline = build_timeline(info)
    encoder = choose_encoder(info, options, extension, timeline)
    path = folder / 's.nut'
    with SegmentWriter(path, encoder) as writer:
        for frame in VideoReader(info).frames(0, info.frame_count):
            writer.write(frame, frame.pts)
    return Joining([path], timeline, info, encoder, plan_audio(info, timeline, options, extension))


def noisy(path: Path) -> VideoInfo:
    """Return a clip that takes several megabytes in lossless encoding."""
    info = probe(make_clip(path, frames=60, size=(640, 360), options={'crf': '4', 'preset': 'ultrafast'}))
    assert isinstance(info, VideoInfo)
    return info


@pytest.mark.parametrize('failure', ['stop', 'disk'])
def test_an_abandoned_join_does_not_move_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, failure: str
) -> None:
    """When the partial file is deleted, its index has not been moved to the beginning of the file."""
    parts = segments_of(noisy(tmp_path / 'a.mp4'), tmp_path)
    part, left = tmp_path / 'o.mp4', []
    unlink = Path.unlink

    def watched(path: Path, missing_ok: bool = False) -> None:
        if path == part and path.exists():
            left.append(path.read_bytes())
        unlink(path, missing_ok=missing_ok)

    monkeypatch.setattr(Path, 'unlink', watched)
    flag = StopFlag()
    real = join_module._timed

    def ending(packets):
        for number, entry in enumerate(real(packets)):
            if number == 50:
                if failure == 'disk':
                    raise av.error.OSError(28, 'No space left on device')
                flag.set('the test')
            yield entry

    monkeypatch.setattr(join_module, '_timed', ending)
    with pytest.raises(Interrupted if failure == 'stop' else ResourceError):
        join_segments(parts, part, flag)
    assert len(left[0]) > 20_000
    assert b'moov' not in left[0][:1000]
    assert not part.exists()


def test_a_stop_during_the_index_move_ends_the_join(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    parts = segments_of(noisy(tmp_path / 'a.mp4'), tmp_path)
    flag = StopFlag()
    read = join_module._ReadBack.read
    reads = []

    def counted(self, count: int) -> bytes:
        reads.append(count)
        flag.set('the test')
        return read(self, count)

    monkeypatch.setattr(join_module._ReadBack, 'read', counted)
    with pytest.raises(Interrupted):
        join_segments(parts, tmp_path / 'o.mp4', flag)
    assert 1 <= len(reads) <= 3
    assert not (tmp_path / 'o.mp4').exists()


def test_the_index_of_a_finished_file_is_in_front(tmp_path: Path) -> None:
    info = noisy(tmp_path / 'a.mp4')
    join_segments(segments_of(info, tmp_path), tmp_path / 'o.mp4', StopFlag())
    data = (tmp_path / 'o.mp4').read_bytes()
    assert 0 < data.find(b'moov') < data.find(b'mdat')
    after = probe(tmp_path / 'o.mp4')
    assert isinstance(after, VideoInfo)
    assert after.frame_count == info.frame_count
    if Path('/proc/self/fd').exists():
        held = [str(entry.readlink()) for entry in Path('/proc/self/fd').iterdir() if entry.is_symlink()]
        assert not [name for name in held if name.endswith('o.mp4')]


def test_joining_streams_the_packets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each packet is written before the next one is read; only the times may be read in advance."""
    parts = segments_of(noisy(tmp_path / 'a.mp4'), tmp_path)
    log: list[str] = []
    packets, timed = join_module._packets, join_module._timed

    def read(*arguments):
        for packet in packets(*arguments):
            log.append('read')
            yield packet

    def written(entries):
        for entry in timed(entries):
            log.append('written')
            yield entry

    monkeypatch.setattr(join_module, '_packets', read)
    monkeypatch.setattr(join_module, '_timed', written)
    join_segments(parts, tmp_path / 'o.mp4', StopFlag())
    first = log.index('written')
    assert log[first:] == ['written', *['read', 'written'] * 59]


def test_an_encoder_failure_is_not_a_disk_failure(tmp_path: Path) -> None:
    info = noisy(tmp_path / 'a.mp4')
    encoder = choose_encoder(info, OutputOptions(), '.mp4')

    class Broken:
        def encode(self, frame):
            raise av.error.OSError(5, 'Input/output error')

    with pytest.raises(OutputError) as caught, SegmentWriter(tmp_path / 's.nut', encoder) as writer:
        writer._stream = Broken()
        writer.write(next(VideoReader(info).frames(0, 1)), 0)
    assert caught.value.reference == 'encoder-failed'


def test_a_segment_that_cannot_be_read_is_no_output_that_cannot_be_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    parts = segments_of(noisy(tmp_path / 'a.mp4'), tmp_path)
    real = av.open

    class Failing:
        def __init__(self, container) -> None:
            self.container = container

        def __enter__(self):
            return self

        def __exit__(self, *error) -> None:
            self.container.close()

        @property
        def streams(self):
            return self.container.streams

        def demux(self, stream):
            yield next(self.container.demux(stream))
            raise av.error.OSError(5, 'Input/output error')

    def opened(name, *arguments, **options):
        container = real(name, *arguments, **options)
        return Failing(container) if str(name).endswith('.nut') else container

    monkeypatch.setattr(join_module.av, 'open', opened)
    with pytest.raises(ResourceError) as caught:
        join_segments(parts, tmp_path / 'o.mp4', StopFlag())
    assert caught.value.reference == 'work-unreadable'
    assert 's.nut' in caught.value.message
    assert not (tmp_path / 'o.mp4').exists()
