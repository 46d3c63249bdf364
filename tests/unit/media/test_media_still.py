"""Tests of clips made from an image and a voice, and of replacing a clip's audio."""

from __future__ import annotations

import io
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
import pytest
from clips import audio_packets, make_clip, times
from PIL import Image, ImageCms
from sounds import voice_like, write_sound
from test_media_video import variable, video

from facefusion.events import Message
from facefusion.media.audio import AudioPlan, plan_audio
from facefusion.media.encoder import choose_encoder
from facefusion.media.file_stamp import check_unchanged
from facefusion.media.frame import PixelFrame
from facefusion.media.info import ImageInfo, MediaInfo, VideoInfo
from facefusion.media.join import Joining, join_segments
from facefusion.media.options import OutputOptions
from facefusion.media.probe import probe
from facefusion.media.reader import VideoReader
from facefusion.media.side_streams import plan_extras
from facefusion.media.sound import SoundInfo, probe_sound
from facefusion.media.still import read_still
from facefusion.media.timeline import Timeline, build_timeline, still_timeline
from facefusion.media.voice import write_voice
from facefusion.media.writer import SegmentWriter
from facefusion.stopping import StopFlag

KINDS = ('.mp4', '.mkv', '.webm', '.mov')


def still(path: Path, size: tuple[int, int] = (161, 91)) -> ImageInfo:
    pixels = np.full((size[1], size[0], 3), (40, 80, 160), np.uint8)
    pixels[20:50, 30:90] = (200, 180, 20)
    path.write_bytes(cv2.imencode(path.suffix, pixels)[1].tobytes())
    info = probe(path)
    assert isinstance(info, ImageInfo)
    return info


def voice_file(path: Path, seconds: float = 1.0, rate: int = 16000, codec: str = 'pcm_s16le') -> SoundInfo:
    return probe_sound(write_sound(path, [(0, voice_like(seconds, rate))], rate, codec))


def render(
    info: MediaInfo, timeline: Timeline, sound: SoundInfo | None, output: Path, options: OutputOptions | None = None
) -> AudioPlan:
    """Run all stages of a clip with two segments, and return the audio plan."""
    options = options or OutputOptions()
    encoder = choose_encoder(info, options, output.suffix, timeline)
    audio = plan_audio(info, timeline, options, output.suffix, sound)
    assert AudioPlan.from_record(audio.as_record()) == audio
    if isinstance(info, VideoInfo):
        read = VideoReader(info)
        first, last = int(timeline.sources.min()), int(timeline.sources.max())
        frames = {frame.number: frame for frame in read.frames(first, last + 1)}
    else:
        frames = {0: read_still(info.path)}
    middle = timeline.frame_count // 2
    segments = []
    for begin, end in ((0, middle), (middle, timeline.frame_count)):
        segments.append(output.with_name(f'{begin}.nut'))
        with SegmentWriter(segments[-1], encoder) as writer:
            for number in range(begin, end):
                writer.write(frames[int(timeline.sources[number])], int(timeline.pts[number]))
    extras = plan_extras(info, timeline, output.suffix)
    join_segments(Joining(segments, timeline, info, encoder, audio, extras), output, StopFlag())
    return audio


def heard(path: Path) -> Callable[[float, float], np.ndarray]:
    """Return a function that returns the samples from a start (seconds after the first frame) for a duration."""
    info, sound = video(path), probe_sound(path)
    voice = write_voice(sound, path.with_suffix('.npy'))
    shown = info.pts[0] * info.time_base - sound.origin
    return lambda start, seconds: voice.window(shown + Fraction(start), seconds)


def off(path: Path, start: float, seconds: float, said: np.ndarray) -> float:
    """Return the largest difference from the voice ``said``, at the best offset within a millisecond."""
    wanted = said[round(start * 16000) :][: round(seconds * 16000)]
    found = heard(path)
    return min(float(np.abs(found(start + lag / 16000, seconds) - wanted).max()) for lag in range(-16, 17))


@pytest.mark.parametrize('kind', KINDS)
def test_an_image_with_a_voice_is_a_clip(tmp_path: Path, kind: str) -> None:
    # FFmpeg would read such a name as a series of images.
    info = still(tmp_path / 'face%03d.png')
    sound = voice_file(tmp_path / 'voice.wav')
    timeline = still_timeline(sound.duration)
    output = tmp_path / f'out{kind}'
    plan = render(info, timeline, sound, output)
    made = video(output)
    assert times(output) == [Fraction(number, 25) for number in range(25)]
    assert (made.width, made.height) == ((161, 91) if kind == '.webm' else (162, 92))
    assert made.average_rate == 25
    assert plan.mode == ('copy' if kind in ('.mkv', '.mov') else 'encode')
    assert len(made.audio) == 1
    assert off(output, 0.05, 0.9, voice_like(1, 16000)) < (1e-3 if plan.mode == 'copy' else 0.1)
    assert float(probe_sound(output).duration) == pytest.approx(1, abs=0.03)
    for frame in VideoReader(made).frames(0, 25):
        assert np.abs(frame.read(frame.window)[35, 60].astype(int) - (200, 180, 20)).max() < 12
        assert np.abs(frame.read(frame.window)[70, 20].astype(int) - (40, 80, 160)).max() < 12


@pytest.mark.parametrize(
    ('name', 'codec', 'rate', 'kind', 'is_copied'),
    [
        ('a.mp3', 'libmp3lame', 44100, '.mp4', True),
        ('a.mp3', 'libmp3lame', 44100, '.mkv', True),
        ('a.mp3', 'libmp3lame', 44100, '.webm', False),
        ('a.m4a', 'aac', 44100, '.mp4', True),
        ('a.m4a', 'aac', 44100, '.mov', True),
        ('a.m4a', 'aac', 44100, '.mkv', True),
        ('a.opus', 'libopus', 48000, '.webm', True),
        ('a.opus', 'libopus', 48000, '.mp4', True),
        ('a.flac', 'flac', 16000, '.mkv', True),
        ('a.flac', 'flac', 16000, '.mov', False),
        ('a.wav', 'pcm_s16le', 48000, '.avi', True),
        ('a.wav', 'pcm_s16le', 48000, '.mxf', True),
        ('a.mp3', 'libmp3lame', 44100, '.mpg', False),
        ('a.flac', 'flac', 22050, '.avi', False),
    ],
)
def test_packets_of_the_voice_are_copied_where_supported(
    tmp_path: Path, name: str, codec: str, rate: int, kind: str, is_copied: bool
) -> None:
    sound = voice_file(tmp_path / name, 0.5, rate, codec)
    info = still(tmp_path / 'a.jpg', (64, 48))
    output = tmp_path / f'out{kind}'
    plan = render(info, still_timeline(sound.duration), sound, output)
    assert (plan.mode == 'copy') == is_copied
    if is_copied and kind != '.mxf':
        copied = b''.join(data for _, data in audio_packets(output))
        assert copied == b''.join(data for _, data in audio_packets(sound.path))
    assert off(output, 0.1, 0.3, voice_like(0.5, 16000)) < 0.15


def test_the_rate_of_an_image_is_25_or_the_requested_one() -> None:
    second = still_timeline(Fraction(1))
    assert (second.frame_count, second.rate, second.last_duration * second.time_base) == (25, 25, Fraction(1, 25))
    assert (second.start, second.stop, second.end) == (0, 1, 1)
    assert not second.sources.any()
    assert still_timeline(Fraction(1), 50).frame_count == 50
    assert still_timeline(Fraction(1), 500).rate == 60
    broadcast = still_timeline(Fraction(10), 29.97)
    assert broadcast.rate == Fraction(30000, 1001)
    assert [broadcast.time_of(number) for number in (0, 1, 299)] == [
        0,
        Fraction(1001, 30000),
        Fraction(299 * 1001, 30000),
    ]
    assert broadcast.end - broadcast.begin == Fraction(300 * 1001, 30000)
    # A voice that ends within a frame gets the complete frame, and rounding adds no frame.
    assert [still_timeline(Fraction(length, 1000)).frame_count for length in (1, 1000, 1001, 1039)] == [1, 25, 26, 26]
    assert still_timeline(Fraction(1) + Fraction(1, 100000)).frame_count == 25


def test_every_output_frame_has_a_time_of_its_own(tmp_path: Path) -> None:
    info = video(make_clip(tmp_path / 'a.mkv', frames=20, pts=lambda k: 5000 + variable(k)))
    plain = build_timeline(info)
    expected = [(info.pts[number] - info.pts[0]) * info.time_base for number in range(20)]
    assert [plain.time_of(number) for number in range(20)] == expected
    steady = video(make_clip(tmp_path / 'b.mp4', frames=10))
    doubled = build_timeline(steady, 2, 8, 50)
    assert doubled.sources.tolist() == [2, 2, 3, 3, 4, 4, 5, 5, 6, 6, 7, 7]
    assert [doubled.time_of(number) for number in range(12)] == [Fraction(number, 50) for number in range(12)]


def test_a_voice_replaces_the_audio_from_the_first_frame_on(tmp_path: Path) -> None:
    info = video(make_clip(tmp_path / 'a.mp4', frames=40, audio='aac'))
    assert len(info.audio) == 1
    longer, shorter = voice_file(tmp_path / 'long.flac', 2.5, codec='flac'), voice_file(tmp_path / 'short.wav', 0.5)
    for number, (start, end, kind) in enumerate(
        ((None, None, '.mp4'), (10, 30, '.mp4'), (10, 30, '.mkv'), (None, None, '.mov'), (5, None, '.avi'))
    ):
        timeline = build_timeline(info, start, end)
        length = float(timeline.end - timeline.begin)
        output = tmp_path / f'{number}{kind}'
        plan = render(info, timeline, longer, output)
        said = ' '.join(plan.remarks)
        assert f'last {2.5 - length:.2f} seconds are left out' in said
        assert 'the audio of a.mp4 is replaced by the audio of long.flac' in said
        assert (kind, off(output, 0.1, length - 0.2, voice_like(2.5, 16000))) < (kind, 0.1)
        assert float(probe_sound(output).duration) == pytest.approx(length, abs=0.3 if kind == '.mkv' else 0.05)
        plan = render(info, timeline, shorter, output)
        assert f'the last {length - 0.5:.2f} seconds are silent' in ' '.join(plan.remarks)
        assert off(output, 0.05, 0.4, voice_like(0.5, 16000)) < 0.1
        assert np.abs(heard(output)(0.6, 0.1)).max() < 0.01


@pytest.mark.parametrize('kind', ['.mp4', '.mkv', '.webm', '.avi', '.mpg', '.mxf', '.ts'])
def test_a_clip_that_begins_late_has_the_voice_with_its_first_frame(tmp_path: Path, kind: str) -> None:
    clip = make_clip(tmp_path / 'a.mkv', frames=20, pts=lambda k: (10 + k) * 512, audio='aac', seconds=1)
    info = video(clip)
    timeline = build_timeline(info)
    assert timeline.begin == Fraction(2, 5)
    sound = voice_file(tmp_path / 'voice.wav', 0.5, 48000)
    output = tmp_path / f'out{kind}'
    render(info, timeline, sound, output)
    assert off(output, 0.1, 0.3, voice_like(0.5, 16000)) < 0.15
    assert np.abs(heard(output)(-0.2, 0.15)).max() < 0.01


def test_volume_0_writes_no_voice(tmp_path: Path) -> None:
    info, sound = still(tmp_path / 'a.png'), voice_file(tmp_path / 'a.wav')
    silent = OutputOptions(output_audio_volume=0)
    plan = render(info, still_timeline(sound.duration), sound, tmp_path / 'out.mp4', silent)
    assert (plan.mode, plan.remarks) == ('none', ())
    assert not video(tmp_path / 'out.mp4').audio
    quiet = OutputOptions(output_audio_volume=50)
    plan = render(info, still_timeline(sound.duration), sound, tmp_path / 'out.mkv', quiet)
    assert plan.mode == 'encode'
    assert off(tmp_path / 'out.mkv', 0.1, 0.8, voice_like(1, 16000) / 2) < 1e-3
    assert plan_audio(info, still_timeline(Fraction(1)), OutputOptions(), '.mp4').mode == 'none'


def test_the_plan_reports_losses_of_a_voice(tmp_path: Path) -> None:
    sound = voice_file(tmp_path / 'a.wav')
    sound.path.write_bytes(sound.path.read_bytes()[:-9600])
    cut = probe_sound(sound.path)
    plan = plan_audio(still(tmp_path / 'a.png'), still_timeline(cut.duration), OutputOptions(), '.mkv', cut)
    assert 'ends early' in plan.remarks[0]
    check_unchanged(cut)
    with pytest.raises(Exception, match='changed'):
        check_unchanged(sound)


def test_losses_of_a_voice_in_a_container_name_the_file(tmp_path: Path) -> None:
    path = write_sound(tmp_path / 'a.flac', [(0, voice_like(0.5, 48000))], 48000, 'flac', layout='5.1')
    sound, info = probe_sound(path), still(tmp_path / 'a.png', (64, 48))
    timeline = still_timeline(sound.duration)
    remarks = plan_audio(info, timeline, OutputOptions(), '.wmv', sound).remarks
    (said,) = [remark for remark in remarks if 'mixed' in remark]
    assert said.startswith('the audio of a.flac is mixed from 6 channels (5.1) to 2 channels (stereo), the LFE channel')
    plan = plan_audio(info, timeline, OutputOptions(), '.mkv', sound)
    assert (plan.mode, plan.remarks) == ('copy', ())


def test_an_image_without_audio_is_a_mute_clip(tmp_path: Path) -> None:
    info = still(tmp_path / 'a.bmp', (64, 48))
    render(info, still_timeline(Fraction(1, 5), 10), None, tmp_path / 'out.mp4')
    assert times(tmp_path / 'out.mp4') == [0, Fraction(1, 10)]


def test_transparent_parts_become_white_with_a_message(tmp_path: Path) -> None:
    pixels = np.full((40, 60, 4), (10, 200, 30, 255), np.uint8)
    pixels[:, 30:, 3] = 0
    cv2.imwrite(str(tmp_path / 'a.png'), pixels)
    said: list[object] = []
    frame = read_still(tmp_path / 'a.png', said.append)
    assert frame.alpha is None
    assert (frame.pixels[5, 5].tolist(), frame.pixels[5, 50].tolist()) == ([10, 200, 30], [255, 255, 255])
    assert [message.text for message in said if isinstance(message, Message)] == [
        'a.png: a video has no transparency: the image is flattened onto white'
    ]


def test_colours_of_another_profile_become_srgb(tmp_path: Path) -> None:
    usual = ImageCms.ImageCmsProfile(ImageCms.createProfile('sRGB')).tobytes()
    # This profile swaps red and green and has another name.
    swapped = usual.replace(b'rXYZ', b'#XYZ').replace(b'gXYZ', b'rXYZ').replace(b'#XYZ', b'gXYZ')
    swapped = swapped.replace('sRGB'.encode('utf-16-be'), 'sXGB'.encode('utf-16-be'))
    picture = Image.new('RGB', (8, 8), (200, 40, 90))
    for name, icc in (('usual.png', usual), ('other.png', swapped), ('broken.png', b'no profile at all')):
        data = io.BytesIO()
        picture.save(data, 'PNG', icc_profile=icc)
        (tmp_path / name).write_bytes(data.getvalue())
    said: list[object] = []
    assert read_still(tmp_path / 'usual.png', said.append).pixels[0, 0].tolist() == [90, 40, 200]
    assert not said
    other = read_still(tmp_path / 'other.png', said.append)
    assert np.abs(other.pixels[0, 0].astype(int) - (90, 200, 40)).max() <= 3
    assert not other.extras.icc
    assert read_still(tmp_path / 'broken.png', said.append).pixels[0, 0].tolist() == [90, 40, 200]
    assert ['sRGB' in str(said[0]), 'left out' in str(said[1])] == [True, True]


def test_the_bytes_do_not_depend_on_the_segments(tmp_path: Path) -> None:
    info = still(tmp_path / 'a.png')
    timeline = still_timeline(Fraction(1, 2))
    encoder = choose_encoder(info, OutputOptions(), '.mp4', timeline)
    pixels = read_still(info.path).pixels
    found = []
    for begin in (0, 6):
        path = tmp_path / f'{begin}.nut'
        with SegmentWriter(path, encoder) as writer:
            for number in range(begin, begin + 6):
                writer.write(PixelFrame(pixels, number=number), int(timeline.pts[number]))
        with av.open(str(path)) as container:
            found.append([frame.to_ndarray().tobytes() for frame in container.decode(video=0)])
    assert found[0] == found[1]
