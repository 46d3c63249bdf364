from __future__ import annotations

import random
import tracemalloc
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import av
import numpy as np
import pytest
from clips import audio_packets, make_clip, picture, times

from facefusion.errors import InternalError, Interrupted, MediaError, OutputError, ResourceError, UsageError
from facefusion.media.audio import AudioPlan, plan_audio
from facefusion.media.encoder import EncoderSettings, Picture, choose_encoder
from facefusion.media.frame import Window
from facefusion.media.info import VideoInfo
from facefusion.media.join import Joining, join_segments
from facefusion.media.options import OutputOptions
from facefusion.media.probe import probe
from facefusion.media.reader import ReaderPool, VideoReader
from facefusion.media.timeline import Timeline, build_timeline, exact_rate
from facefusion.media.writer import SegmentWriter
from facefusion.stopping import StopFlag


def video(path: Path) -> VideoInfo:
    info = probe(path)
    assert isinstance(info, VideoInfo)
    return info


def variable(number: int) -> int:
    return number * 512 + (number % 3) * 170 + (number // 7) * 90


def run(
    info: VideoInfo,
    output: Path,
    options: OutputOptions | None = None,
    timeline: Timeline | None = None,
    lengths: tuple[int, ...] = (13, 9, 100),
) -> EncoderSettings:
    options = options or OutputOptions()
    timeline = timeline or build_timeline(info)
    encoder = choose_encoder(info, options, output.suffix, timeline)
    segments = []
    begin = 0
    for length in lengths:
        end = min(begin + length, timeline.frame_count)
        if begin == end:
            break
        path = output.parent / f'{output.stem}-{begin}.nut'
        sources = timeline.sources[begin:end].tolist()
        with SegmentWriter(path, encoder) as writer:
            frames = VideoReader(info).frames(sources[0], sources[-1] + 1)
            frame = next(frames)
            for source, pts in zip(sources, timeline.pts[begin:end].tolist(), strict=True):
                while frame.number < source:
                    frame = next(frames)
                writer.write(frame, pts)
        segments.append(path)
        begin = end
    audio = plan_audio(info, timeline, options, output.suffix)
    join_segments(Joining(segments, timeline, info, encoder, audio), output, StopFlag())
    return encoder


CLIPS = {
    'constant.mp4': {},
    'variable.mp4': {'pts': variable},
    'variable.mov': {'pts': variable},
    'offset.mp4': {'pts': lambda k: 3840 + k * 512},
    'open_gop.mp4': {
        'options': {'crf': '18', 'preset': 'medium', 'x264-params': 'open-gop=1:bframes=8:keyint=12:b-adapt=0'}
    },
    'plain.mkv': {},
    'ten.mp4': {'pix_fmt': 'yuv420p10le'},
    'full.mp4': {'full_range': True, 'pix_fmt': 'yuvj420p'},
    'hevc.mp4': {'codec': 'libx265'},
}


@pytest.mark.parametrize('name', CLIPS)
def test_every_frame_is_written_at_its_own_time(tmp_path: Path, name: str) -> None:
    source = make_clip(tmp_path / name, **CLIPS[name])
    info = video(source)
    assert info.frame_count == 40
    output = tmp_path / f'out{source.suffix}'
    run(info, output)
    assert times(output) == times(source)
    with av.open(str(source)) as a, av.open(str(output)) as b:
        x, y = next(a.decode(video=0)), next(b.decode(video=0))
        assert (x.format.name, x.width, x.height) == (y.format.name, y.width, y.height)
        assert (y.colorspace, y.color_range) == (info.color.matrix_code, info.color.range_code)
        assert (y.color_primaries, y.color_trc) == (info.color.primaries, info.color.transfer)
        assert abs(float(b.duration or 0) - float(a.duration or 0)) / 1e6 < 0.001


@pytest.mark.parametrize('name', CLIPS)
def test_any_range_equals_sequential_reading(tmp_path: Path, name: str) -> None:
    info = video(make_clip(tmp_path / name, **CLIPS[name]))
    reader = VideoReader(info)
    through = [frame.planes[0].tobytes() for frame in reader.frames(0, 40)]
    with av.open(str(info.path)) as container:
        pixel = 1 if info.bits == 8 else 2
        for frame, mine in zip(container.decode(video=0), through, strict=True):
            plane = np.frombuffer(frame.planes[0], np.uint8).reshape(frame.height, -1)[:, : frame.width * pixel]
            assert plane.tobytes() == mine
    dice = random.Random(5)
    for _ in range(12):
        start = dice.randrange(40)
        stop = dice.randrange(start + 1, 41)
        frames = list(reader.frames(start, stop))
        assert [frame.number for frame in frames] == list(range(start, stop))
        assert [frame.planes[0].tobytes() for frame in frames] == through[start:stop]


@pytest.mark.parametrize('rotation', [90, 180, 270])
@pytest.mark.parametrize('mirrored', [False, True])
def test_rotated_clips_are_read_upright(tmp_path: Path, rotation: int, mirrored: bool) -> None:
    straight = video(make_clip(tmp_path / 'straight.mp4', frames=3))
    turned = video(make_clip(tmp_path / 'turned.mp4', frames=3, rotation=rotation, mirrored=mirrored))
    with av.open(str(turned.path)) as container:
        declared = next(container.decode(video=0)).rotation
    expected = next(VideoReader(straight).frames(0, 1)).read(Window(0, 0, 320, 180))
    if mirrored:
        expected = expected[:, ::-1]
    else:
        assert turned.rotation == declared % 360
    frame = next(VideoReader(turned).frames(0, 1))
    assert (turned.mirrored, (frame.width, frame.height)) == (mirrored, (turned.width, turned.height))
    assert np.abs(frame.read(frame.window).astype(int) - np.rot90(expected, turned.rotation // 90)).max() <= 3
    run(turned, tmp_path / 'out.mp4')
    after = video(tmp_path / 'out.mp4')
    assert (after.width, after.height, after.rotation, after.mirrored) == (turned.width, turned.height, 0, False)


def test_quarter_turn_of_422_becomes_444(tmp_path: Path) -> None:
    info = video(make_clip(tmp_path / 'a.mp4', frames=2, pix_fmt='yuv422p', rotation=90))
    assert info.plane_format == 'yuv444p'
    assert next(VideoReader(info).frames(0, 1)).video.format.name == 'yuv444p'


def test_unchanged_frames_reach_the_encoder_as_decoded(tmp_path: Path) -> None:
    info = video(make_clip(tmp_path / 'a.mp4', frames=12))
    lossless = OutputOptions(output_video_quality=100)
    encoder = choose_encoder(info, lossless, '.mp4')
    with SegmentWriter(tmp_path / 's.nut', encoder) as writer:
        for frame in VideoReader(info).frames(0, 12):
            writer.write(frame, frame.pts)
    with av.open(str(tmp_path / 's.nut')) as container:
        for before, after in zip(VideoReader(info).frames(0, 12), container.decode(video=0), strict=True):
            for plane, other in zip(before.planes, after.planes, strict=True):
                found = np.frombuffer(other, np.uint8).reshape(-1, other.line_size)[:, : plane.shape[1]]
                assert np.array_equal(found, plane)


def test_the_yellow_bar_keeps_its_color(tmp_path: Path) -> None:
    info = video(make_clip(tmp_path / 'a.mp4', frames=4))
    run(info, tmp_path / 'out.mp4')
    wanted = info.color.from_bgr(8) @ np.array([16, 180, 180, 1], np.float32)
    for path in (info.path, tmp_path / 'out.mp4'):
        frame = next(VideoReader(video(path)).frames(0, 1))
        luma, blue, red = frame.planes
        found = [luma[30:50, 30:50].mean(), blue[15:25, 15:25].mean(), red[15:25, 15:25].mean()]
        assert np.abs(found - wanted).max() <= 2
        frame.write(Window(24, 24, 56, 56), np.full((32, 32, 3), (16, 180, 180), np.uint8))
        assert np.abs(frame.read(Window(30, 30, 50, 50)).astype(int) - [16, 180, 180]).max() <= 2


@pytest.mark.parametrize('codec', ['png', 'ffv1', 'qtrle', 'mjpeg'])
def test_rgb_and_other_formats_are_read_as_planes(tmp_path: Path, codec: str) -> None:
    formats = {'png': 'rgb24', 'ffv1': 'bgr0', 'qtrle': 'rgb24', 'mjpeg': 'yuvj422p'}
    path = tmp_path / ('a.mkv' if codec == 'ffv1' else 'a.mov')
    full = codec == 'mjpeg'
    info = video(make_clip(path, frames=3, codec=codec, pix_fmt=formats[codec], options={}, full_range=full))
    frame = next(VideoReader(info).frames(0, 1))
    assert np.abs(frame.read(Window(30, 30, 50, 50)).astype(int) - [16, 180, 180]).max() <= 4
    run(info, tmp_path / 'out.mp4')
    after = next(VideoReader(video(tmp_path / 'out.mp4')).frames(0, 1))
    assert np.abs(after.read(Window(30, 30, 50, 50)).astype(int).mean(axis=(0, 1)) - [16, 180, 180]).max() <= 4


@pytest.mark.parametrize(
    ('source', 'codec', 'target'),
    [
        ('a.mp4', 'aac', '.mp4'),
        ('a.mkv', 'libopus', '.mkv'),
        ('a.mov', 'pcm_s16le', '.mov'),
        ('b.mp4', 'libmp3lame', '.mkv'),
    ],
)
def test_audio_packets_are_copied_byte_for_byte(tmp_path: Path, source: str, codec: str, target: str) -> None:
    info = video(make_clip(tmp_path / source, audio=codec))
    output = tmp_path / f'out{target}'
    run(info, output)
    before, after = audio_packets(info.path), audio_packets(output)
    assert [data for _, data in before] == [data for _, data in after]
    tolerance = Fraction(1, 1000) if target == '.mkv' else 0
    assert all(abs(a - b) <= tolerance for (a, _), (b, _) in zip(before, after, strict=True))


def test_trimmed_audio_starts_with_its_frame(tmp_path: Path) -> None:
    info = video(make_clip(tmp_path / 'a.mp4', audio='aac'))
    timeline = build_timeline(info, 10, 30)
    run(info, tmp_path / 'out.mp4', timeline=timeline, lengths=(8, 100))
    assert times(tmp_path / 'out.mp4') == [Fraction(k, 25) for k in range(20)]
    start = Fraction(10, 25)
    # The decoder's lead-in has times before 0, which players do not play.
    lead = Fraction(1, 10) + Fraction(1024, 48000)
    kept = [(t - start, data) for t, data in audio_packets(info.path) if start - lead < t < start + Fraction(20, 25)]
    after = audio_packets(tmp_path / 'out.mp4')
    assert after[0][0] < 0
    assert [data for _, data in after] == [data for _, data in kept]
    assert all(abs(a - b) < Fraction(1, 40000) for (a, _), (b, _) in zip(after, kept, strict=True))


@pytest.mark.parametrize(
    ('options', 'extension', 'codec'),
    [
        (OutputOptions(output_audio_volume=50), '.mp4', 'aac'),
        (OutputOptions(output_audio_encoder='libmp3lame'), '.mp4', 'mp3float'),
        (OutputOptions(output_audio_encoder='flac'), '.mov', 'aac'),
        (OutputOptions(output_audio_encoder='libopus'), '.mkv', 'opus'),
    ],
)
def test_audio_is_encoded_again_on_request(tmp_path: Path, options: OutputOptions, extension: str, codec: str) -> None:
    info = video(make_clip(tmp_path / 'a.mp4', audio='aac'))
    output = tmp_path / f'out{extension}'
    run(info, output, options)
    after = video(output)
    assert [track.codec for track in after.audio] == [codec]
    loud, quiet = loudness(info.path), loudness(output)
    factor = options.output_audio_volume / 100
    assert quiet[0] == pytest.approx(loud[0] * factor, rel=0.1)
    assert quiet[1] == pytest.approx(1.6, abs=0.06)


def loudness(path: Path) -> tuple[float, float]:
    with av.open(str(path)) as container:
        resampler = av.AudioResampler('s16', 'mono', 48000)
        parts = [part.to_ndarray() for frame in container.decode(audio=0) for part in resampler.resample(frame)]
    samples = np.concatenate(parts, axis=1)[0].astype(float)
    return float(np.sqrt((samples[9600:48000] ** 2).mean())), len(samples) / 48000


def test_volume_zero_writes_no_audio(tmp_path: Path) -> None:
    info = video(make_clip(tmp_path / 'a.mp4', audio='aac'))
    plan = plan_audio(info, build_timeline(info), OutputOptions(output_audio_volume=0), '.mp4')
    assert plan.mode == 'none'


def test_plans_survive_json(tmp_path: Path) -> None:
    info = video(make_clip(tmp_path / 'a.mp4', audio='aac', frames=5))
    plan = plan_audio(info, build_timeline(info, 1, 4), OutputOptions(output_audio_volume=50), '.mp4')
    assert AudioPlan.from_record(plan.as_record()) == plan
    encoder = choose_encoder(info, OutputOptions(), '.mp4')
    assert EncoderSettings.from_record(encoder.as_record()) == encoder


def test_odd_sizes_gain_a_repeated_line_and_lose_nothing(tmp_path: Path) -> None:
    path = make_clip(tmp_path / 'a.mp4', frames=4, size=(161, 91), pix_fmt='yuv444p')
    info = video(path)
    assert choose_encoder(info, OutputOptions(), '.mp4').width == 161
    odd = video(make_clip(tmp_path / 'b.mkv', frames=4, size=(161, 91), codec='libvpx-vp9', options={'crf': '10'}))
    encoder = run(odd, tmp_path / 'out.mkv')
    assert (encoder.width, encoder.height, encoder.picture_width) == (162, 92, 161)
    assert 'odd' in encoder.remarks[0]
    before = next(VideoReader(odd).frames(0, 1)).read(Window(0, 0, 160, 90)).astype(int)
    after = next(VideoReader(video(tmp_path / 'out.mkv')).frames(0, 1)).read(Window(0, 0, 160, 90))
    assert np.abs(after - before).mean() < 2


def test_scale_rounds_to_even_sides_as_facefusion_3_8(tmp_path: Path) -> None:
    info = video(make_clip(tmp_path / 'a.mp4', frames=3, size=(426, 226)))
    encoder = run(info, tmp_path / 'out.mp4', OutputOptions(output_video_scale=0.5))
    assert (encoder.width, encoder.height) == (212, 112)  # 213 -> 212 and 113 -> 112, half to even
    assert video(tmp_path / 'out.mp4').width == 212


@pytest.mark.parametrize(
    ('quality', 'codec', 'crf'),
    [
        (0, 'libx264', '51'),
        (50, 'libx264', '26'),
        (80, 'libx265', '10'),
        (50, 'libvpx-vp9', '32'),
        (80, 'libvpx-vp9', '13'),
        (100, 'libx264', '0'),
    ],
)
def test_quality_follows_the_table_of_facefusion_3_8(tmp_path: Path, quality: int, codec: str, crf: str) -> None:
    info = video(make_clip(tmp_path / 'a.mp4', frames=2))
    chosen = choose_encoder(info, OutputOptions(output_video_encoder=codec, output_video_quality=quality), '.mp4')
    assert dict(chosen.options)['crf'] == crf


def test_hevc_in_mp4_is_tagged_hvc1(tmp_path: Path) -> None:
    info = video(make_clip(tmp_path / 'a.mp4', frames=3))
    run(info, tmp_path / 'out.mp4', OutputOptions(output_video_encoder='libx265'))
    with av.open(str(tmp_path / 'out.mp4')) as container:
        assert container.streams.video[0].codec_context.codec_tag == 'hvc1'


def test_an_encoder_without_its_hardware_is_refused_with_alternatives(tmp_path: Path) -> None:
    info = video(make_clip(tmp_path / 'a.mp4', frames=2))
    with pytest.raises(UsageError) as caught:
        choose_encoder(info, OutputOptions(output_video_encoder='h264_videotoolbox'), '.mp4')
    assert caught.value.reference == 'encoder-unusable'
    assert 'libx264' in caught.value.hint


def test_a_size_that_the_encoder_does_not_support_is_refused_with_numbers(tmp_path: Path) -> None:
    info = video(make_clip(tmp_path / 'a.mp4', frames=2))
    with pytest.raises(OutputError) as caught:
        choose_encoder(info, OutputOptions(output_video_encoder='libx264'), '.mp4', picture=Picture(32768, 512))
    assert caught.value.reference == 'output-too-large' and '32768x512' in caught.value.message
    assert '--output-video-scale' in caught.value.hint


def test_hdr_is_refused(tmp_path: Path) -> None:
    info = video(make_clip(tmp_path / 'a.mkv', frames=2, pix_fmt='yuv420p10le', transfer=16))
    with pytest.raises(MediaError) as caught:
        choose_encoder(info, OutputOptions(), '.mp4')
    assert caught.value.reference == 'hdr-unsupported'


@pytest.mark.parametrize('fps', [10.0, 25.0, 50.0, 23.976])
def test_another_frame_rate_keeps_the_duration(tmp_path: Path, fps: float) -> None:
    info = video(make_clip(tmp_path / 'a.mp4', pts=variable))
    timeline = build_timeline(info, fps=fps)
    assert abs(timeline.end - timeline.begin - info.duration) <= 1 / exact_rate(fps)
    shown = [info.pts[source] * info.time_base - timeline.origin for source in timeline.sources.tolist()]
    ends = [*info.pts[1:], info.pts[-1] + info.last_duration]
    for k, source in enumerate(timeline.sources.tolist()):
        moment = k / exact_rate(fps)
        assert shown[k] <= moment + info.time_base
        assert moment < ends[source] * info.time_base - timeline.origin + info.time_base
    run(info, tmp_path / 'out.mp4', timeline=timeline)
    assert times(tmp_path / 'out.mp4') == [k / exact_rate(fps) for k in range(timeline.frame_count)]


def test_rates_are_clamped_and_exact() -> None:
    assert exact_rate(29.97) == Fraction(30000, 1001)
    assert exact_rate(12.5) == Fraction(25, 2)
    assert (exact_rate(0.1), exact_rate(240)) == (1, 60)


def test_trim_is_clamped_and_never_empty(tmp_path: Path) -> None:
    info = video(make_clip(tmp_path / 'a.mp4'))
    timeline = build_timeline(info, -5, 900)
    assert (timeline.start, timeline.stop, timeline.is_trimmed) == (0, 40, False)
    assert build_timeline(info, 5, 9).pts.tolist() == [0, 512, 1024, 1536]
    with pytest.raises(UsageError) as caught:
        build_timeline(info, 30, 20)
    assert caught.value.reference == 'trim-empty'


def test_one_piece_and_many_pieces_join_to_the_same_times(tmp_path: Path) -> None:
    info = video(make_clip(tmp_path / 'a.mp4', pts=variable))
    run(info, tmp_path / 'one.mp4', lengths=(100,))
    run(info, tmp_path / 'many.mp4', lengths=(1, 2, 3, 5, 8, 13, 21))
    assert times(tmp_path / 'one.mp4') == times(tmp_path / 'many.mp4') == times(info.path)


def test_segments_of_other_settings_or_frames_are_not_joined(tmp_path: Path) -> None:
    info = video(make_clip(tmp_path / 'a.mp4', frames=10))
    timeline = build_timeline(info)
    encoder = choose_encoder(info, OutputOptions(), '.mp4', timeline)
    path = tmp_path / 's.nut'
    joining = Joining([path], timeline, info, encoder, plan_audio(info, timeline, OutputOptions(), '.mp4'))
    with SegmentWriter(path, encoder) as writer:
        for frame in VideoReader(info).frames(0, 6):
            writer.write(frame, frame.pts)
    with pytest.raises(InternalError) as caught:
        join_segments(joining, tmp_path / 'o.part', StopFlag())
    assert caught.value.reference == 'join-frames'
    assert not (tmp_path / 'o.part').exists()
    stop = StopFlag()
    stop.set('test')
    with pytest.raises(Interrupted):
        join_segments(joining, tmp_path / 'o.part', stop)
    assert not (tmp_path / 'o.part').exists()


def test_a_failed_segment_leaves_no_file(tmp_path: Path) -> None:
    info = video(make_clip(tmp_path / 'a.mp4', frames=3))
    encoder = choose_encoder(info, OutputOptions(), '.mp4')
    with pytest.raises(ZeroDivisionError), SegmentWriter(tmp_path / 's.nut', encoder) as writer:
        writer.write(next(VideoReader(info).frames(0, 1)), 0)
        raise ZeroDivisionError
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ['a.mp4']


def test_a_full_disk_is_reported(tmp_path: Path) -> None:
    if not Path('/dev/full').exists():
        pytest.skip('this system has no /dev/full')
    info = video(make_clip(tmp_path / 'a.mp4', frames=3))
    encoder = choose_encoder(info, OutputOptions(), '.mp4')
    (tmp_path / 's.nut.part').symlink_to('/dev/full')
    with pytest.raises(ResourceError) as caught, SegmentWriter(tmp_path / 's.nut', encoder) as writer:
        for frame in VideoReader(info).frames(0, 3):
            writer.write(frame, frame.pts)
    assert caught.value.reference == 'disk-full'
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ['a.mp4']


def test_a_truncated_mkv_has_its_remaining_frames(tmp_path: Path) -> None:
    whole = make_clip(tmp_path / 'a.mkv')
    data = whole.read_bytes()
    cut = tmp_path / 'cut.mkv'
    cut.write_bytes(data[: len(data) * 2 // 3])
    info = video(cut)
    assert 5 < info.frame_count < 40
    frames = list(VideoReader(info).frames(0, info.frame_count))
    assert [frame.number for frame in frames] == list(range(info.frame_count))
    assert not any(frame.is_damaged for frame in frames[:-1])


def test_a_frame_that_does_not_decode_is_replaced_by_the_previous_one(tmp_path: Path) -> None:
    path = make_clip(tmp_path / 'a.mp4', options={'crf': '18', 'preset': 'ultrafast', 'g': '1'})
    whole = [frame.luma() for frame in VideoReader(video(path)).frames(0, 40)]
    with av.open(str(path)) as container:
        places = [(p.pos, p.size) for p in container.demux(container.streams.video[0]) if p.size]
    with path.open('r+b') as file:
        for position, size in (places[17], places[18], places[30]):
            file.seek(position)
            file.write(b'\0' * size)
    info = video(path)
    shown = [16 if k in (17, 18) else 29 if k == 30 else k for k in range(40)]
    for start, stop in ((0, 40), (17, 20), (18, 19), (19, 31), (30, 40)):
        for reader in (VideoReader(info), ReaderPool(info, 1)):
            frames = list(reader.frames(start, stop))
            assert [frame.number for frame in frames if frame.is_damaged] == [
                k for k in (17, 18, 30) if start <= k < stop
            ]
            for frame in frames:
                assert np.array_equal(frame.luma(), whole[shown[frame.number]])


def test_too_many_undecodable_frames_are_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr('facefusion.media.reader._MAXIMUM_REPLACED', 5)
    path = make_clip(tmp_path / 'a.mp4', options={'crf': '18', 'preset': 'ultrafast', 'g': '1'})
    with av.open(str(path)) as container:
        places = [(p.pos, p.size) for p in container.demux(container.streams.video[0]) if p.size]
    with path.open('r+b') as file:
        for position, size in places[20:]:
            file.seek(position)
            file.write(b'\0' * size)
    reader = VideoReader(video(path))
    assert len(list(reader.frames(0, 25))) == 25
    for start in (0, 25, 30):
        with pytest.raises(MediaError) as caught:
            list(reader.frames(start, 40))
        assert caught.value.reference == 'frame-undecodable'
        assert f'frame {max(start, 25)}' in caught.value.message


def test_a_changed_file_is_detected(tmp_path: Path) -> None:
    info = video(make_clip(tmp_path / 'a.mp4', frames=5))
    make_clip(info.path, frames=6)
    with pytest.raises(MediaError) as caught:
        next(VideoReader(info).frames(0, 1))
    assert caught.value.reference == 'media-changed'


def test_reading_stores_no_frames(tmp_path: Path) -> None:
    info = video(make_clip(tmp_path / 'a.mp4'))
    open_files = len(list(Path('/proc/self/fd').iterdir())) if Path('/proc/self/fd').exists() else 0
    tracemalloc.start()
    peaks = []
    for frame in VideoReader(info).frames(0, 40):
        frame.read(Window(0, 0, 320, 180))
        peaks.append(tracemalloc.get_traced_memory()[0])
    tracemalloc.stop()
    assert max(peaks[5:]) - min(peaks[5:]) < 400_000  # two windows of 320x180x3
    frames = VideoReader(info).frames(0, 40)
    next(frames)
    frames.close()
    if open_files:
        assert len(list(Path('/proc/self/fd').iterdir())) <= open_files


def test_clips_without_frame_counts_are_counted(tmp_path: Path) -> None:
    info = video(make_clip(tmp_path / 'a.mkv', audio='aac', seconds=3.0))
    with av.open(str(info.path)) as container:
        assert container.streams.video[0].frames == 0
    assert info.frame_count == 40
    assert all(a < b for a, b in pairwise(info.pts))
    assert picture(0).shape == (180, 320, 3)
