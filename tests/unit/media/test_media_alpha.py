"""Tests of transparency: the containers and encoders that support it preserve every sample."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from clips import make_clip, times

from facefusion.errors import UsageError
from facefusion.media.audio import plan_audio
from facefusion.media.concat import concat_clips
from facefusion.media.containers import CONTAINERS
from facefusion.media.encoder import EncoderSettings, Picture, choose_encoder
from facefusion.media.frame import Frame
from facefusion.media.join import Joining, join_segments
from facefusion.media.options import VIDEO_ENCODERS, OutputOptions
from facefusion.media.probe import VideoInfo, probe
from facefusion.media.reader import VideoReader
from facefusion.media.timeline import build_timeline
from facefusion.media.writer import SegmentWriter
from facefusion.stopping import StopFlag

SIZE = (49, 35)
FRAMES = 7
LENGTHS = (3, 4)
ANYWHERE = {encoder for container in CONTAINERS.values() for encoder in container.alpha}


def moving(number: int) -> int:
    return number * 512 + (number % 3) * 170 + (number // 4) * 91


@pytest.fixture(scope='module')
def clip(tmp_path_factory: pytest.TempPathFactory) -> VideoInfo:
    path = tmp_path_factory.mktemp('alpha') / 'clip.mkv'
    # FFV1 supports odd sizes. MP4 stores finer times, but does not support FFV1.
    return video(make_clip(path, frames=FRAMES, size=SIZE, codec='ffv1', pix_fmt='yuv444p', options={}, pts=moving))


@pytest.fixture(scope='module')
def fine(tmp_path_factory: pytest.TempPathFactory) -> VideoInfo:
    path = tmp_path_factory.mktemp('alpha') / 'clip.mp4'
    return video(make_clip(path, frames=FRAMES, size=(48, 36), pts=moving))


def video(path: Path) -> VideoInfo:
    info = probe(path)
    assert isinstance(info, VideoInfo)
    return info


def alpha_of(number: int, width: int, height: int) -> np.ndarray:
    """Return an alpha plane with a moving ramp, a transparent part and an opaque part."""
    alpha = np.tile(np.linspace(0, 255, width).astype(np.uint8), (height, 1))
    alpha = np.roll(alpha, 3 * number, axis=1)
    alpha[:6, :8], alpha[-6:, -8:] = 0, 255
    return alpha


def choose(info: VideoInfo, extension: str, asked: str = 'auto', quality: int = 90, alpha: bool = True):
    options = OutputOptions(output_video_encoder=asked, output_video_quality=quality)
    picture = Picture(info.width, info.height, alpha)
    return choose_encoder(info, options, extension, build_timeline(info), picture)


def segments_of(info: VideoInfo, encoder: EncoderSettings, folder: Path, has_alpha: bool = True) -> list[Path]:
    timeline, paths, begin = build_timeline(info), [], 0
    for length in LENGTHS:
        path = folder / f'segment-{begin}{encoder.segment_suffix}'
        with SegmentWriter(path, encoder) as writer:
            for frame in VideoReader(info).frames(begin, begin + length):
                made: Frame = frame
                if has_alpha:
                    made = frame.replaced(frame.whole(), alpha_of(frame.number, info.width, info.height))
                writer.write(made, int(timeline.pts[frame.number]))
        paths.append(path)
        begin += length
    return paths


def joined(info: VideoInfo, encoder: EncoderSettings, paths: list[Path], output: Path) -> Path:
    timeline = build_timeline(info)
    audio = plan_audio(info, timeline, OutputOptions(), output.suffix)
    join_segments(Joining(paths, timeline, info, encoder, audio), output, StopFlag())
    return output


def decoded(path: Path) -> list[np.ndarray]:
    """Return every frame as RGBA. Only libvpx decodes the alpha of VP9."""
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        if stream.codec_context.name != 'vp9':
            return [frame.to_ndarray(format='rgba') for frame in container.decode(stream)]
        decoder = av.CodecContext.create('libvpx-vp9', 'r')
        frames = [frame for packet in container.demux(stream) for frame in decoder.decode(packet)]
        return [frame.to_ndarray(format='rgba') for frame in frames]


def tags_of(path: Path) -> tuple[str | None, str | None]:
    """Return the codec tag of the video in a .mov file (else None) and its Matroska alpha tag."""
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        tags = {key.lower(): value for key, value in stream.metadata.items()}
        return stream.codec_context.codec_tag if path.suffix == '.mov' else None, tags.get('alpha_mode')


CASES = [('.webm', 'auto', 'libvpx-vp9'), ('.mkv', 'auto', 'libvpx-vp9'), ('.mov', 'auto', 'prores_ks')]


@pytest.mark.parametrize(('extension', 'asked', 'codec'), [*CASES, ('.mov', 'qtrle', 'qtrle')])
def test_alpha_survives_segments_and_joining(
    clip: VideoInfo, tmp_path: Path, extension: str, asked: str, codec: str
) -> None:
    encoder = choose(clip, extension, asked, 100)
    assert (encoder.codec, encoder.has_alpha, encoder.width, encoder.height) == (codec, True, *SIZE)
    assert EncoderSettings.from_record(encoder.as_record()) == encoder
    paths = segments_of(clip, encoder, tmp_path)
    output = joined(clip, encoder, paths, tmp_path / f'out{extension}')
    kept = decoded(output)
    for before, after in zip([frame for path in paths for frame in decoded(path)], kept, strict=True):
        assert np.array_equal(before, after)
    # Only the tag declares the alpha of VP9.
    assert video(output).has_alpha or codec == 'libvpx-vp9'
    for number, (frame, seen) in enumerate(zip(VideoReader(clip).frames(0, FRAMES), kept, strict=True)):
        error = np.abs(seen[..., 3].astype(int) - alpha_of(number, *SIZE))
        assert error.max() <= (6 if codec == 'libvpx-vp9' else 1)
        # Colours of transparent pixels are preserved, too.
        wanted = frame.read(frame.window)[..., ::-1]
        assert np.abs(seen[..., :3].astype(int) - wanted).mean() < 4
    assert times(output) == times(clip.path)
    # Browsers read the element AlphaMode (RFC 9559 5.1.4.1.28.4).
    assert extension == '.mov' or b'\x53\xc0\x81\x01' in output.read_bytes()
    assert tags_of(output) == {'.mov': ('rle ' if codec == 'qtrle' else 'ap4h', None)}.get(extension, (None, '1'))


@pytest.mark.parametrize('extension', ['.webm', '.mkv', '.mov'])
def test_times_are_those_of_the_timeline_whatever_the_segments_count(
    fine: VideoInfo, tmp_path: Path, extension: str
) -> None:
    encoder = choose(fine, extension)
    output = joined(fine, encoder, segments_of(fine, encoder, tmp_path), tmp_path / f'out{extension}')
    wanted = times(fine.path)
    if extension == '.mov':
        assert times(output) == wanted
    else:
        assert [abs(a - b) <= Fraction(1, 2000) for a, b in zip(times(output), wanted, strict=True)] == [True] * FRAMES


def test_frames_without_alpha_are_opaque(clip: VideoInfo, tmp_path: Path) -> None:
    for extension in ('.webm', '.mov'):
        encoder = choose(clip, extension)
        for path in segments_of(clip, encoder, tmp_path, has_alpha=False):
            assert all((frame[..., 3] == 255).all() for frame in decoded(path))


def test_setting_alpha_changes_no_samples(clip: VideoInfo, tmp_path: Path) -> None:
    """This test uses QuickTime RLE because lossless VP9 has no alpha."""
    encoder = choose(clip, '.mov', 'qtrle')
    with SegmentWriter(tmp_path / 's.mov', encoder) as writer:
        for frame in VideoReader(clip).frames(0, FRAMES):
            frame.alpha = alpha_of(frame.number, *SIZE)
            assert not frame.is_touched
            writer.write(frame, frame.pts)
    for frame, seen in zip(VideoReader(clip).frames(0, FRAMES), decoded(tmp_path / 's.mov'), strict=True):
        assert np.array_equal(seen[..., 3], alpha_of(frame.number, *SIZE))
        assert np.array_equal(seen[..., 2::-1], frame.whole())


def test_nut_loses_the_alpha_of_vp9(clip: VideoInfo, tmp_path: Path) -> None:
    """NUT loses alpha, so segments are Matroska files. When this test fails, NUT can be used too."""
    encoder = choose(clip, '.webm')
    assert encoder.segment_suffix == '.mkv'
    (path, _) = segments_of(clip, encoder, tmp_path)
    assert (decoded(path)[0][..., 3] < 255).any()
    with av.open(str(path)) as source, av.open(str(tmp_path / 's.nut'), 'w') as target:
        stream = target.add_stream_from_template(source.streams.video[0])
        stream.metadata['alpha_mode'] = '1'
        for packet in source.demux(video=0):
            if packet.size:
                packet.stream = stream
                target.mux(packet)
    assert (decoded(tmp_path / 's.nut')[0][..., 3] == 255).all()


def test_alpha_of_16_bits_is_preserved_to_the_encoders_depth(clip: VideoInfo, tmp_path: Path) -> None:
    encoder = choose(clip, '.mov', quality=100)
    assert encoder.pix_fmt == 'yuva444p10le'
    deep = np.random.default_rng(1).integers(0, 65536, SIZE[::-1], np.uint16)
    with SegmentWriter(tmp_path / 's.mov', encoder) as writer:
        (frame,) = VideoReader(clip).frames(0, 1)
        writer.write(frame.replaced(frame.whole(), deep), 0)
    with av.open(str(tmp_path / 's.mov')) as container:
        seen = next(container.decode(video=0)).to_ndarray(format='rgba64le')[..., 3]
    assert np.abs(seen.astype(int) - deep).max() <= 65535 / 1023


@pytest.mark.parametrize(('extension', 'asked'), [('.webm', 'auto'), ('.mov', 'auto'), ('.mov', 'qtrle')])
def test_joining_preserves_alpha(clip: VideoInfo, tmp_path: Path, extension: str, asked: str) -> None:
    encoder = choose(clip, extension, asked)
    output = joined(clip, encoder, segments_of(clip, encoder, tmp_path), tmp_path / f'one{extension}')
    concat_clips([output, output], tmp_path / f'both{extension}', extension, StopFlag())
    once, both = decoded(output), decoded(tmp_path / f'both{extension}')
    assert len(both) == 2 * len(once)
    assert all(np.array_equal(a, b) for a, b in zip([*once, *once], both, strict=True))
    assert tags_of(tmp_path / f'both{extension}') == tags_of(output)


@pytest.mark.parametrize('extension', [name for name, container in CONTAINERS.items() if not container.alpha])
def test_a_container_without_alpha_is_refused_with_an_alternative(fine: VideoInfo, extension: str) -> None:
    with pytest.raises(UsageError) as caught:
        choose(fine, extension)
    assert caught.value.reference == 'alpha-container'
    assert caught.value.message == f'{extension[1:]} does not support transparency'
    assert caught.value.hint == 'name the output .mov, .mkv or .webm'


@pytest.mark.parametrize('extension', ['.webm', '.mkv', '.mov', '.mp4'])
def test_an_encoder_without_alpha_is_refused_with_an_alternative(fine: VideoInfo, extension: str) -> None:
    held = CONTAINERS[extension].alpha
    for asked in VIDEO_ENCODERS:
        if asked in held:
            continue
        with pytest.raises(UsageError) as caught:
            choose(fine, extension, asked)
        assert caught.value.reference == 'alpha-container'
        hint = caught.value.hint
        assert all(name in hint for name in held)
        # Another container is suggested only for an encoder that supports alpha in some container.
        assert held or ('--output-video-encoder' in hint) == (asked not in ANYWHERE)
        if asked == 'libvpx-vp9':
            assert hint.endswith('name the output .mkv or .webm')
        if asked == 'prores_ks':
            assert hint.endswith('name the output .mov')


def test_a_loss_of_depth_or_chroma_is_reported(tmp_path: Path) -> None:
    deep = video(make_clip(tmp_path / 'a.mp4', frames=2, pix_fmt='yuv444p10le', size=(48, 36)))
    assert choose(deep, '.webm').remarks == (
        'libvpx-vp9 does not support 10-bit video with transparency: it is written with 8 bits',
        'libvpx-vp9 does not support the chroma of yuv444p10le with transparency: it is written as yuva420p',
    )
    assert choose(deep, '.mov').remarks == ()


@pytest.mark.parametrize(('asked', 'pix_fmt'), [('prores_ks', 'yuv422p10le'), ('qtrle', 'rgb24')])
def test_encoders_of_mov_write_opaque_frames_too(fine: VideoInfo, tmp_path: Path, asked: str, pix_fmt: str) -> None:
    encoder = choose(fine, '.mov', asked, alpha=False)
    assert (encoder.pix_fmt, encoder.has_alpha) == (pix_fmt, False)
    output = joined(fine, encoder, segments_of(fine, encoder, tmp_path, has_alpha=False), tmp_path / 'out.mov')
    assert times(output) == times(fine.path)
    after = video(output)
    assert not after.has_alpha
    for before, seen in zip(VideoReader(fine).frames(0, FRAMES), VideoReader(after).frames(0, FRAMES), strict=True):
        assert np.abs(seen.read(seen.window).astype(int) - before.read(before.window)).mean() < 2


def test_the_size_of_processors_is_written(fine: VideoInfo, tmp_path: Path) -> None:
    """Frames of one, two and three times the target's size are all written at the output size."""
    options = OutputOptions(output_video_scale=0.5)
    assert choose_encoder(fine, options, '.mp4').picture_size == (24, 18)
    encoder = choose_encoder(fine, options, '.mp4', picture=Picture(96, 72))
    assert encoder.picture_size == (encoder.width, encoder.height) == (96, 72)
    with SegmentWriter(tmp_path / 's.nut', encoder) as writer:
        for frame in VideoReader(fine).frames(0, 3):
            factor = (1, 2, 3)[frame.number]
            made = (
                frame if factor == 1 else frame.replaced(np.kron(frame.whole(), np.ones((factor, factor, 1), np.uint8)))
            )
            writer.write(made, frame.pts)
    with av.open(str(tmp_path / 's.nut')) as container:
        seen = [frame.to_ndarray(format='bgr24') for frame in container.decode(video=0)]
    assert [frame.shape for frame in seen] == [(72, 96, 3)] * 3
    for frame, found in zip(VideoReader(fine).frames(0, 3), seen, strict=True):
        assert np.abs(found.astype(int) - frame.resized(96, 72)).mean() < 4
