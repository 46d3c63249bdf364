"""Tests of every supported container: frame counts, times, ranges, audio and refused input."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import NamedTuple

import av
import numpy as np
import pytest
from clips import make_clip
from fakes.media_files import rewrap
from test_media_video import run, video

from facefusion.errors import FaceFusionError, MediaError, UsageError
from facefusion.media.audio import plan_audio
from facefusion.media.concat import concat_clips
from facefusion.media.containers import CONTAINERS
from facefusion.media.encoder import choose_encoder
from facefusion.media.kinds import find_kind
from facefusion.media.options import OutputOptions
from facefusion.media.probe import probe
from facefusion.media.reader import ReaderPool, VideoReader
from facefusion.media.timeline import build_timeline
from facefusion.stopping import StopFlag

SMALL = (320, 176)
CODECS = {'.webm': 'vp9', '.wmv': 'wmv2', '.mpg': 'mpeg2video', '.mpeg': 'mpeg2video', '.mxf': 'mpeg2video'}


class Made(NamedTuple):
    """A clip as written by cameras and other programs, with reordered frames where the codec supports them."""

    name: str
    codec: str
    audio: str
    options: dict[str, str]
    muxer: str | None = None


X264 = {'preset': 'veryfast', 'g': '12', 'bf': '2', 'crf': '20'}
MPEG2 = {'g': '12', 'bf': '2', 'b': '1M'}
MADE = [
    Made('h264.avi', 'libx264', 'libmp3lame', X264),
    Made('xvid.avi', 'mpeg4', 'pcm_s16le', {'g': '12', 'bf': '2', 'qmin': '2'}),
    Made('mjpeg.avi', 'mjpeg', '', {}),
    Made('wmv2.wmv', 'wmv2', 'libmp3lame', {'g': '12'}),
    Made('h264.wmv', 'libx264', 'aac', X264),
    Made('mpeg2.mpg', 'mpeg2video', 'mp2', MPEG2, 'vob'),
    Made('mpeg1.mpeg', 'mpeg1video', 'mp2', {'g': '12', 'bf': '2'}, 'mpeg'),
    Made('h264.mpg', 'libx264', '', X264, 'vob'),
    Made('h264.ts', 'libx264', 'aac', X264),
    Made('mpeg2.ts', 'mpeg2video', 'mp2', MPEG2),
    Made('mpeg2.mxf', 'mpeg2video', 'pcm_s16le', MPEG2),
    Made('h264.mxf', 'libx264', 'pcm_s16le', X264),
    Made('vp9.webm', 'libvpx-vp9', 'libopus', {'deadline': 'realtime', 'cpu-used': '8', 'g': '12', 'b': '300k'}),
    Made('h264.m4v', 'libx264', 'aac', X264),
    Made('h264.flv', 'libx264', 'aac', X264),
    Made('flv1.flv', 'flv', '', {'g': '12'}),
    Made('h264.3gp', 'libx264', 'aac', X264),
    Made('h264.m2ts', 'libx264', 'aac', X264, 'mpegts'),
]


@pytest.fixture(scope='module')
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp('made')


def made(folder: Path, clip: Made) -> Path:
    path = folder / clip.name
    if not path.exists():
        pix_fmt = 'yuvj420p' if clip.codec == 'mjpeg' else 'yuv420p'
        make_clip(
            path,
            frames=40,
            size=SMALL,
            pix_fmt=pix_fmt,
            codec=clip.codec,
            time_base=Fraction(1, 25),
            # FLV supports no negative times, and without this offset the decoding times would be negative.
            pts=lambda k: k + 2 if path.suffix == '.flv' else k,
            options=clip.options,
            audio=clip.audio,
            container_format='mp4' if path.suffix == '.m4v' else clip.muxer,
            full_range=clip.codec == 'mjpeg',
        )
    return path


def digests(frames) -> list[tuple[int, str]]:
    return [
        (frame.pts, hashlib.sha256(b''.join(np.ascontiguousarray(plane) for plane in frame.planes)).hexdigest())
        for frame in frames
    ]


def pictures(path: Path) -> list[np.ndarray]:
    with av.open(str(path)) as container:
        return [frame.to_ndarray(format='gray') for frame in container.decode(video=0)]


@pytest.mark.parametrize('clip', MADE, ids=lambda clip: clip.name)
def test_every_range_equals_sequential_reading(folder: Path, clip: Made) -> None:
    path = made(folder, clip)
    info = video(path)
    assert info.frame_count == 40
    steps = np.diff(np.array(info.pts)) * float(info.time_base)
    assert np.allclose(steps, 0.04, atol=0.0011)
    assert abs(info.duration - Fraction(8, 5)) < Fraction(1, 500)
    assert [sound.rate for sound in info.audio] == ([48000] if clip.audio else [])
    reader = VideoReader(info)
    whole = digests(reader.frames(0, 40))
    assert [pts for pts, _ in whole] == list(info.pts)
    assert len({digest for _, digest in whole}) == 40
    # The frames are in display order, as PyAV's decoder returns them.
    expected, found = pictures(path), [frame.luma() for frame in reader.frames(0, 40)]
    far = np.array([np.abs(a.astype(int) - b).mean() for a, b in zip(expected, found, strict=True)])
    assert (far < 20).all() and (far.max() - far.min()) < 2
    pool = ReaderPool(info, 2)
    for start, stop in ((13, 15), (39, 40), (0, 3), (25, 38), (12, 13), (11, 26), (24, 25)):
        assert digests(reader.frames(start, stop)) == whole[start:stop]
        assert digests(pool.frames(start, stop)) == whole[start:stop]
    pool.close()


@pytest.fixture(scope='module')
def source(folder: Path) -> Path:
    return make_clip(folder / 'source.mp4', frames=50, size=SMALL, audio='aac', seconds=2)


@pytest.mark.parametrize('extension', CONTAINERS)
def test_every_container_preserves_frames_times_and_audio(tmp_path: Path, source: Path, extension: str) -> None:
    output = tmp_path / f'out{extension}'
    run(video(source), output)
    info = video(output)
    assert info.frame_count == 50 and info.remarks == ()
    begin = info.pts[0]
    times = [(pts - begin) * info.time_base for pts in info.pts]
    assert times == [Fraction(k, 25) for k in range(50)]
    assert info.last_duration * info.time_base == Fraction(1, 25)
    with av.open(str(output)) as opened:
        assert opened.streams.video[0].codec_context.name == CODECS.get(extension, 'h264')
        sound = list(opened.decode(audio=0))
    samples = np.concatenate([frame.to_ndarray().astype(float).reshape(-1) for frame in sound])
    assert np.abs(samples).max() > 0
    seconds = sum(frame.samples for frame in sound) / sound[0].sample_rate
    assert abs(seconds - 2) < 0.15
    assert abs(sound[0].pts * sound[0].time_base - begin * info.time_base) < Fraction(1, 20)


@pytest.mark.parametrize('extension', ['.mp4', '.avi', '.mpg', '.mxf', '.wmv', '.ts', '.webm'])
def test_audio_stays_in_sync(tmp_path: Path, extension: str) -> None:
    """The clip has a flash and a beep at 1 s, and its audio begins 0.4 s after its video."""
    clip = _flash_and_beep(tmp_path / 'in.mp4')
    output = tmp_path / f'out{extension}'
    convert(clip, output)
    flash, beep = _events(output)
    assert abs(flash - beep) < 0.045


def _flash_and_beep(path: Path) -> Path:
    with av.open(str(path), 'w') as output:
        stream = output.add_stream('libx264', rate=25, options={'g': '10'})
        stream.width, stream.height, stream.pix_fmt = *SMALL, 'yuv420p'
        sound = output.add_stream('aac', rate=48000)
        sound.codec_context.layout = 'mono'
        for number in range(50):
            pixels = np.full((SMALL[1], SMALL[0]), 230 if number >= 25 else 30, np.uint8)
            frame = av.VideoFrame.from_ndarray(pixels, format='gray').reformat(format='yuv420p')
            frame.pts, frame.time_base = number, Fraction(1, 25)
            output.mux(stream.encode(frame))
        output.mux(stream.encode(None))
        wave = np.sin(np.arange(48000 * 2) * 0.2).astype(np.float32) * 0.5
        wave[:48000] = 0
        for at in range(19200, 96000, 960):
            frame = av.AudioFrame.from_ndarray(wave[None, at : at + 960], format='fltp', layout='mono')
            frame.sample_rate, frame.pts, frame.time_base = 48000, at, Fraction(1, 48000)
            output.mux(sound.encode(frame))
        output.mux(sound.encode(None))
    return path


def _events(path: Path) -> tuple[float, float]:
    info = video(path)
    bright = [frame.pts for frame in VideoReader(info).frames(0, info.frame_count) if frame.luma().mean() > 130]
    with av.open(str(path)) as container:
        for frame in container.decode(audio=0):
            loud = np.abs(frame.to_ndarray().astype(float).reshape(-1))
            full = 32768 if frame.format.name.startswith('s16') else 1
            if loud.max() > 0.2 * full:
                at = int(np.argmax(loud > 0.2 * full)) / frame.sample_rate
                return float(min(bright) * info.time_base), float(frame.pts * frame.time_base) + at
    raise AssertionError('no beep')


def convert(clip: Path, output: Path, options: OutputOptions | None = None) -> None:
    run(video(clip), output, options)


def refusal(call) -> FaceFusionError:
    with pytest.raises(FaceFusionError) as caught:
        call()
    assert caught.value.hint
    return caught.value


@pytest.mark.parametrize('extension', ['.avi', '.mpg', '.mxf'])
def test_a_variable_rate_is_refused_where_frames_have_no_times(tmp_path: Path, extension: str) -> None:
    times = np.cumsum([0, 20, 100, 33, 7, 250, 40, 41, 39, 500]).tolist()
    clip = make_clip(
        tmp_path / 'in.mp4', frames=10, size=SMALL, time_base=Fraction(1, 1000), pts=lambda k: times[k], seconds=1
    )
    info = video(clip)
    error = refusal(lambda: choose_encoder(info, OutputOptions(), extension, build_timeline(info)))
    assert isinstance(error, UsageError) and error.reference == 'variable-rate' and '--output-video-fps' in error.hint
    steady = OutputOptions(output_video_fps=25)
    output = tmp_path / f'out{extension}'
    run(info, output, steady, build_timeline(info, fps=25))
    assert np.ptp(np.diff(np.array(video(output).pts))) == 0
    for other in ('.webm', '.wmv', '.ts'):
        convert(clip, tmp_path / f'out{other}')
        found = video(tmp_path / f'out{other}')
        shown = [round((pts - found.pts[0]) * found.time_base * 1000) for pts in found.pts]
        assert shown == [time - times[0] for time in times]


@pytest.mark.parametrize('extension', ['.mpg', '.mxf'])
def test_a_rate_that_the_header_cannot_store_is_refused(tmp_path: Path, extension: str) -> None:
    clip = make_clip(tmp_path / 'in.mp4', frames=12, size=SMALL, time_base=Fraction(1, 12), pts=lambda k: k)
    info = video(clip)
    error = refusal(lambda: choose_encoder(info, OutputOptions(), extension, build_timeline(info)))
    assert error.reference == 'rate-unheld' and '--output-video-fps 23.976' in error.hint
    convert(clip, tmp_path / 'out.avi')
    assert video(tmp_path / 'out.avi').average_rate == 12


@pytest.mark.parametrize(
    ('extension', 'kind', 'encoder'),
    [
        ('.webm', 'video', 'libx264'),
        ('.avi', 'video', 'libx265'),
        ('.mpg', 'video', 'libx264'),
        ('.mp4', 'video', 'wmv2'),
        ('.mxf', 'audio', 'aac'),
        ('.webm', 'audio', 'aac'),
        ('.avi', 'audio', 'libopus'),
        ('.mp4', 'audio', 'wmav2'),
    ],
)
def test_an_encoder_that_the_container_lacks_is_refused(source: Path, extension: str, kind: str, encoder: str) -> None:
    info, options = video(source), OutputOptions(**{f'output_{kind}_encoder': encoder})
    call = choose_encoder if kind == 'video' else lambda *all: plan_audio(all[0], all[3], all[1], all[2])
    error = refusal(lambda: call(info, options, extension, build_timeline(info)))
    assert isinstance(error, UsageError) and error.reference == 'encoder-container'
    assert encoder in error.message and extension[1:] in error.message


def test_requested_encoders_are_used(tmp_path: Path, source: Path) -> None:
    for extension, encoder, codec in (
        ('.wmv', 'libx264', 'h264'),
        ('.avi', 'mpeg4', 'mpeg4'),
        ('.mxf', 'libx264', 'h264'),
    ):
        convert(source, tmp_path / f'out{extension}', OutputOptions(output_video_encoder=encoder))
        info = video(tmp_path / f'out{extension}')
        assert info.codec == codec and info.frame_count == 50


def test_colours_are_converted_where_a_codec_cannot_store_their_meaning(tmp_path: Path) -> None:
    for options in ({'full_range': True, 'pix_fmt': 'yuvj420p'}, {}):
        clip = make_clip(tmp_path / 'in.mp4', frames=4, size=SMALL, **options)
        before = next(VideoReader(video(clip)).frames(2, 3))
        for extension in ('.wmv', '.mpg', '.mxf', '.avi'):
            convert(clip, tmp_path / f'out{extension}', OutputOptions(output_video_quality=100))
            after = next(VideoReader(video(tmp_path / f'out{extension}')).frames(2, 3))
            assert np.abs(before.read(before.window).astype(int) - after.read(after.window)).mean() < 3


def test_odd_sides_and_deep_colours(tmp_path: Path) -> None:
    clip = make_clip(tmp_path / 'in.mp4', frames=3, size=(161, 97), pix_fmt='yuv444p')
    for extension in ('.wmv', '.mpg', '.mxf', '.avi'):
        info = video(clip)
        chosen = choose_encoder(info, OutputOptions(), extension, build_timeline(info))
        assert (chosen.width, chosen.height) == ((161, 97) if chosen.pix_fmt == 'yuv444p' else (162, 98))
        convert(clip, tmp_path / f'out{extension}')
        assert video(tmp_path / f'out{extension}').frame_count == 3


@pytest.mark.parametrize('clip', [clip for clip in MADE if clip.audio], ids=lambda clip: clip.name)
def test_a_truncated_file_is_detected(folder: Path, tmp_path: Path, clip: Made) -> None:
    data = made(folder, clip).read_bytes()
    cut = tmp_path / clip.name
    cut.write_bytes(data[: len(data) // 3 + 5])
    try:
        info = probe(cut)
    except MediaError as error:
        assert clip.name.endswith(('m4v', '3gp')) and error.reference == 'media-truncated'
        return
    assert [remark for remark in info.remarks if 'ends early' in remark and 'missing' in remark], info.remarks
    assert len(list(VideoReader(info).frames(0, info.frame_count - 1))) == info.frame_count - 1


@pytest.mark.parametrize('clip', MADE, ids=lambda clip: clip.name)
def test_the_extension_of_an_input_does_not_matter(folder: Path, tmp_path: Path, clip: Made) -> None:
    path = made(folder, clip)
    right = probe(path)
    assert not find_kind(path).remark
    for name in ('a.png', 'a.bin', 'a'):
        wrong = tmp_path / name
        wrong.write_bytes(path.read_bytes())
        assert replace(probe(wrong), path=path, stamp=right.stamp) == right
        usual = {'.webm': 'mkv', '.mpeg': 'mpg', '.m4v': 'mp4', '.3gp': 'mp4', '.m2ts': 'ts'}.get(
            path.suffix, path.suffix[1:]
        )
        assert f'{name} is read as {usual}' in find_kind(wrong).remark


def test_a_lost_frame_of_a_counted_clip_is_an_error(folder: Path, tmp_path: Path) -> None:
    data = bytearray(made(folder, MADE[0]).read_bytes())
    with av.open(str(made(folder, MADE[0]))) as container:
        packet = [packet for packet in container.demux(video=0) if packet.size][20]
        begin, size = packet.pos, packet.size
    at = data.index(bytes(packet)[:16], begin - 16) if begin else 0
    data[at : at + size] = bytes(size)
    broken = tmp_path / 'broken.avi'
    broken.write_bytes(data)
    info = video(broken)
    assert info.is_counted
    error = refusal(lambda: list(VideoReader(info).frames(0, info.frame_count)))
    assert error.reference == 'frame-undecodable'


@pytest.mark.parametrize('extension', ['.webm', '.avi', '.wmv', '.mpg', '.ts', '.mxf'])
def test_clips_are_joined_in_every_container(tmp_path: Path, source: Path, extension: str) -> None:
    parts = [tmp_path / f'{number}{extension}' for number in range(2)]
    for part in parts:
        convert(source, part)
    concat_clips(parts, tmp_path / f'joined{extension}', extension, StopFlag())
    info = video(tmp_path / f'joined{extension}')
    assert [(pts - info.pts[0]) * info.time_base for pts in info.pts] == [Fraction(k, 25) for k in range(100)]
    joined = pictures(info.path)
    single = pictures(parts[0])
    assert all(np.array_equal(joined[k], single[k % 50]) for k in range(100))
    with av.open(str(info.path)) as container:
        samples = sum(frame.samples for frame in container.decode(audio=0))
    assert abs(samples / info.audio[0].rate - 4) < 0.15


@pytest.mark.parametrize('name', ['h264.ts', 'mpeg2.ts', 'mpeg2.mpg'])
def test_a_capture_that_begins_within_a_gop(folder: Path, tmp_path: Path, name: str) -> None:
    data = made(folder, next(clip for clip in MADE if clip.name == name)).read_bytes()
    step = 188 if name.endswith('ts') else 2048
    begin = len(data) // 8 // step * step
    path = tmp_path / name
    path.write_bytes(data[begin:])
    info = video(path)
    assert 12 <= info.frame_count < 40
    reader = VideoReader(info)
    whole = digests(reader.frames(0, info.frame_count))
    for start in range(0, info.frame_count - 3, 5):
        assert digests(reader.frames(start, start + 3)) == whole[start : start + 3]
    original = digests(VideoReader(video(made(folder, next(c for c in MADE if c.name == name)))).frames(0, 40))
    assert [digest for _, digest in whole] == [digest for _, digest in original[-info.frame_count :]]


def test_the_clock_of_a_broadcast_is_not_copied(folder: Path, tmp_path: Path) -> None:
    """Times of a transport stream count from an arbitrary time, but an output begins near time 0."""
    late = rewrap(made(folder, MADE[8]), tmp_path / 'late.ts', {'output_ts_offset': '40000'})
    info = video(late)
    assert info.pts[0] * info.time_base > 39000
    for extension in ('.mp4', '.mkv', '.avi'):
        convert(late, tmp_path / f'out{extension}')
        found = video(tmp_path / f'out{extension}')
        assert found.pts[0] * found.time_base < Fraction(1, 10)
        assert [round((pts - found.pts[0]) * found.time_base * 25) for pts in found.pts] == list(range(40))
        sound = found.audio[0]
        assert abs((sound.start or 0) * sound.time_base) < Fraction(1, 10)
