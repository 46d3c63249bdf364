"""Tests of joining clips without encoding: every frame and every audio packet has the right time."""

from __future__ import annotations

import hashlib
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import av
import av.logging
import numpy as np
import pytest
from clips import audio_packets, make_clip
from test_media_stopping import Countdown

from facefusion.errors import Interrupted, MediaError, ResourceError
from facefusion.media.concat import concat_clips
from facefusion.media.info import VideoInfo
from facefusion.media.probe import probe
from facefusion.stopping import StopFlag

SIZE = (128, 96)
PLAIN = {'preset': 'ultrafast', 'crf': '30', 'g': '5'}
SLOW = {'preset': 'slow', 'crf': '12', 'g': '6', 'bf': '3', 'x264-params': 'scenecut=0:b-adapt=0'}
FAST = {'preset': 'veryfast', 'crf': '20', 'g': '4', 'x264-params': 'cabac=0:ref=3'}
QUIET = 'log-level=none:pools=1:frame-threads=1'


class Shown(NamedTuple):
    time: Fraction
    duration: Fraction
    pixels: str


def shown(path: Path, threads: str = 'AUTO') -> list[Shown]:
    """Return every decoded frame. An error of the decoder fails the test."""
    before = av.logging.get_level()
    av.logging.set_level(av.logging.ERROR)
    found = []
    try:
        with av.logging.Capture(local=False) as lines, av.open(str(path)) as container:
            stream = container.streams.video[0]
            stream.thread_type = threads
            for frame in container.decode(stream):
                assert not frame.is_corrupt
                found.append(
                    Shown(frame.pts * frame.time_base, (frame.duration or 0) * frame.time_base, pixels_of(frame))
                )
    finally:
        av.logging.set_level(before)
    assert not [line for line in lines if line[0] <= av.logging.ERROR], lines
    return found


def pixels_of(frame: av.VideoFrame) -> str:
    return hashlib.sha1(frame.to_ndarray().tobytes()).hexdigest()


def joined(folder: Path, clips: list[Path]) -> Path:
    output = folder / f'joined{clips[0].suffix}'
    concat_clips(clips, output, clips[0].suffix, StopFlag())
    return output


def begins_of(clips: list[Path]) -> list[Fraction]:
    """Return the expected start time of each clip in the output, and the end time of the last clip."""
    infos = [probe(clip) for clip in clips]
    begins = [infos[0].pts[0] * infos[0].time_base]
    for info in infos:
        begins.append(begins[-1] + info.duration)
    return begins


def check_pictures(clips: list[Path], output: Path, tolerance: Fraction = Fraction(0)) -> list[Fraction]:
    begins = begins_of(clips)
    expected = []
    for clip, begin in zip(clips, begins, strict=False):
        own = shown(clip)
        expected += [(begin + frame.time - own[0].time, frame.pixels) for frame in own]
    for threads in ('AUTO', 'NONE'):
        found = shown(output, threads)
        assert [frame.pixels for frame in found] == [pixels for _, pixels in expected]
        for frame, (time, _) in zip(found, expected, strict=True):
            assert abs(frame.time - time) <= tolerance
        assert all(one.time < two.time for one, two in pairwise(found))
    assert abs(found[-1].time + found[-1].duration - begins[-1]) <= tolerance
    return begins


def h264_clips(folder: Path, extension: str) -> list[Path]:
    """Create clips with different presets, frame rates, time bases and B-frames, one of them with irregular times."""
    return [
        make_clip(folder / f'a{extension}', size=SIZE, frames=17, options=PLAIN),
        make_clip(
            folder / f'b{extension}',
            size=SIZE,
            frames=14,
            options=SLOW,
            time_base=Fraction(1, 30000),
            pts=lambda k: k * 1001,
        ),
        make_clip(
            folder / f'c{extension}',
            size=SIZE,
            frames=9,
            options=FAST,
            time_base=Fraction(1, 90000),
            pts=lambda k: 27000 + k * 3000 + (k % 3) * 701,
        ),
        make_clip(folder / f'd{extension}', size=SIZE, frames=11, options=PLAIN | {'crf': '5'}),
    ]


@pytest.mark.parametrize('extension', ['.mp4', '.mov', '.mkv'])
def test_clips_of_other_settings_are_joined_frame_by_frame(tmp_path: Path, extension: str) -> None:
    clips = h264_clips(tmp_path, extension)
    headers = set()
    for clip in clips:
        with av.open(str(clip)) as container:
            headers.add(bytes(container.streams.video[0].codec_context.extradata))
    assert len(headers) > 2
    output = joined(tmp_path, clips)
    check_pictures(clips, output)
    with av.open(str(output)) as container:
        stream = container.streams.video[0]
        assert stream.codec_context.color_range == 1
        assert stream.codec_context.color_trc == stream.codec_context.color_primaries == 1
        if extension != '.mkv':
            assert stream.codec_tag == 'avc1'
            assert stream.time_base == Fraction(1, 2880000)
            packets = [packet for packet in container.demux(stream) if packet.size]
            assert all(one.dts < two.dts for one, two in pairwise(packets))
            assert all(packet.dts <= packet.pts for packet in packets)
    data = output.read_bytes()
    if extension != '.mkv':
        assert 0 < data.find(b'moov') < data.find(b'mdat')


@pytest.mark.parametrize('extension', ['.mp4', '.mov', '.mkv'])
def test_ten_bit_hevc_clips_are_joined_frame_by_frame(tmp_path: Path, extension: str) -> None:
    settings = [
        {'preset': 'ultrafast', 'x265-params': f'{QUIET}:keyint=5'},
        {'preset': 'medium', 'crf': '15', 'x265-params': f'{QUIET}:keyint=6:min-keyint=6:bframes=4:b-adapt=0'},
        {'preset': 'fast', 'crf': '30', 'x265-params': f'{QUIET}:keyint=4:ref=4:no-sao=1:ctu=16'},
    ]
    clips = [
        make_clip(
            tmp_path / f'{number}{extension}',
            size=SIZE,
            frames=13,
            codec='libx265',
            pix_fmt='yuv420p10le',
            options=options,
            time_base=Fraction(1, 12800 if number else 600),
            pts=lambda k, number=number: k * (512 if number else 25),
        )
        for number, options in enumerate(settings)
    ]
    output = joined(tmp_path, clips)
    check_pictures(clips, output)
    with av.open(str(output)) as container:
        assert container.streams.video[0].codec_context.pix_fmt == 'yuv420p10le'
        if extension != '.mkv':
            assert container.streams.video[0].codec_tag == 'hvc1'


@pytest.mark.parametrize('codec', ['libx264', 'libx265'])
@pytest.mark.parametrize('extension', ['.mp4', '.mkv'])
def test_a_decoder_can_begin_at_every_keyframe(tmp_path: Path, codec: str, extension: str) -> None:
    """The decoder can return to an earlier clip even after it has read the parameter sets of a later clip."""
    if codec == 'libx264':
        clips = h264_clips(tmp_path, extension)
    else:
        clips = [
            make_clip(
                tmp_path / f'{name}{extension}',
                size=SIZE,
                frames=12,
                codec=codec,
                options={'x265-params': f'{QUIET}:{more}'},
            )
            for name, more in (('a', 'keyint=4:no-open-gop=1'), ('b', 'keyint=5:no-open-gop=1:ref=5:ctu=16'))
        ]
    output = joined(tmp_path, clips)
    expected = {frame.time: frame.pixels for frame in shown(output)}
    info = probe(output)
    keys = [info.pts[number] for number in info.keyframes]
    assert len(keys) > 4
    with av.open(str(output)) as container:
        stream = container.streams.video[0]
        for key in reversed(keys):
            container.seek(key, stream=stream)
            for number, frame in enumerate(container.decode(stream)):
                # FFmpeg may seek to an earlier keyframe where the frame intervals change.
                assert frame.pts <= key
                assert number or frame.pts in keys
                assert pixels_of(frame) == expected[frame.pts * frame.time_base]
                if frame.pts == key:
                    break


def test_clips_of_the_same_settings_are_joined_packet_by_packet(tmp_path: Path) -> None:
    clips = [make_clip(tmp_path / f'{name}.mp4', size=SIZE, frames=10, options=SLOW) for name in 'ab']
    output = joined(tmp_path, clips)
    check_pictures(clips, output)

    def packets(path: Path) -> list[bytes]:
        with av.open(str(path)) as container:
            return [bytes(packet) for packet in container.demux(video=0) if packet.size]

    assert packets(output) == packets(clips[0]) + packets(clips[1])


@pytest.mark.parametrize('extension', ['.mp4', '.mkv'])
def test_a_joined_clip_can_be_joined_again(tmp_path: Path, extension: str) -> None:
    """The header of a joined clip does not match its last frames."""
    first, second, third, _ = h264_clips(tmp_path, extension)
    middle = tmp_path / f'middle{extension}'
    concat_clips([first, second], middle, extension, StopFlag())
    again = make_clip(tmp_path / f'again{extension}', size=SIZE, frames=12, options=PLAIN)
    for clips in ([middle, again], [third, middle, again]):
        check_pictures(clips, joined(tmp_path, clips))


def test_one_clip_is_written_again_as_it_is(tmp_path: Path) -> None:
    for extension in ('.mp4', '.mov', '.mkv'):
        clip = make_clip(
            tmp_path / f'one{extension}',
            size=SIZE,
            frames=20,
            options=SLOW,
            audio='aac',
            seconds=0.9,
            pts=lambda k: 5120 + k * 512,
        )
        output = joined(tmp_path, [clip])
        assert shown(output) == shown(clip)
        assert audio_packets(output) == audio_packets(clip)


def test_tags_and_aspect_and_rotation_are_the_first_clips(tmp_path: Path) -> None:
    clips = []
    for name in 'ab':
        options = PLAIN | {'x264-params': 'sar=4/3'}
        plain = make_clip(tmp_path / f'{name}0.mp4', size=SIZE, frames=6, options=options, rotation=90, full_range=True)
        clip = tmp_path / f'{name}.mp4'
        with av.open(str(plain)) as source, av.open(str(clip), 'w') as output:
            output.metadata['title'] = name
            stream = output.add_stream_from_template(source.streams.video[0])
            stream.set_display_rotation(90)
            stream.metadata['language'] = 'deu'
            for packet in source.demux(source.streams.video[0]):
                if packet.size:
                    packet.stream = stream
                    output.mux(packet)
        clips.append(clip)
    for extension in ('.mp4', '.mkv'):
        output = tmp_path / f'joined{extension}'
        concat_clips(clips, output, extension, StopFlag())
        one, two = probe(clips[0]), probe(output)
        assert isinstance(one, VideoInfo)
        assert isinstance(two, VideoInfo)
        assert (one.rotation, one.color) == (90, two.color)
        assert (two.rotation, two.mirrored) == (one.rotation, one.mirrored)
        with av.open(str(output)) as container:
            assert container.streams.video[0].sample_aspect_ratio == Fraction(4, 3)
            assert container.metadata['title'] == 'a'
            assert container.streams.video[0].language == 'deu'


def sounding_clips(folder: Path, extension: str, audio: str, seconds: list[float]) -> list[Path]:
    """Create clips of one second, each with audio of its length in ``seconds`` (0: without audio)."""
    return [
        make_clip(
            folder / f's{number}{extension}',
            size=SIZE,
            frames=25,
            options=PLAIN,
            audio=audio if length else '',
            seconds=length,
        )
        for number, length in enumerate(seconds)
    ]


@pytest.mark.parametrize(
    ('extension', 'audio'),
    [
        ('.mp4', 'aac'),
        ('.mov', 'aac'),
        ('.mkv', 'aac'),
        ('.mkv', 'libopus'),
        ('.mp4', 'libmp3lame'),
        ('.mkv', 'flac'),
        ('.mp4', 'flac'),
        ('.mov', 'pcm_s16le'),
        ('.mkv', 'pcm_s16le'),
    ],
)
def test_the_sound_of_each_clip_begins_with_it(tmp_path: Path, extension: str, audio: str) -> None:
    lengths = [1.13, 1.3, 0.0, 0.71, 1.3, 1.02]
    clips = sounding_clips(tmp_path, extension, audio, lengths)
    output = joined(tmp_path, clips)
    begins = check_pictures(clips, output)
    packets = audio_packets(output)
    times = [time for time, _ in packets]
    assert times == sorted(set(times))
    longest = Fraction(1, 10) if audio == 'flac' else Fraction(1152 + 48, 48000)
    tick = Fraction(1, 1000) if extension == '.mkv' else Fraction(0)
    used = 0
    for number, (clip, length) in enumerate(zip(clips, lengths, strict=True)):
        if not length:
            inside = [data for time, data in packets if begins[number] + longest <= time < begins[number + 1] - longest]
            assert not any(map(any, inside)) if extension == '.mov' and audio == 'pcm_s16le' else not inside
            continue
        own = audio_packets(clip)
        wanted = {begins[number] - begins[0] + time: data for time, data in own}
        kept = [(time, data) for time, data in packets if any(abs(time - at) <= tick for at in wanted)]
        exact = [time for time, data in kept if any(abs(time - at) <= tick and data == wanted[at] for at in wanted)]
        assert exact[0] <= begins[number] + longest
        assert exact[0] >= begins[number] - longest
        end = min(begins[number] + max(time for time, _ in own), begins[number + 1])
        # Packets are never cut, and the lead-in of the next clip's audio replaces the last packets.
        assert exact[-1] >= end - 3 * longest
        assert len(exact) >= (exact[-1] - exact[0]) / longest
        used += len(exact)
    assert used >= len([data for _, data in packets if any(data)]) - 1
    check_waves(clips, lengths, begins, output, longest)


def check_waves(
    clips: list[Path], lengths: list[float], begins: list[Fraction], output: Path, packet: Fraction
) -> None:
    """Check that the audio of the output equals that of each clip, except near the ends of the clip."""
    heard = wave(output)
    for number, length in enumerate(lengths):
        if not length:
            continue
        own = wave(clips[number])
        margin = int(2 * packet * 48000)
        at = round(begins[number] * 48000)
        first, last = margin, int(min(length, 1) * 48000) - margin
        # Matroska rounds times to milliseconds, so a sample may be off by half a millisecond.
        shift = 60 if output.suffix == '.mkv' else 0
        best = min(
            np.abs(heard[at + first + by : at + last + by] - own[first:last]).mean() for by in range(-shift, shift + 1)
        )
        # In the Opus decoder, earlier packets influence the next few packets.
        assert best < 0.01, number


def wave(path: Path) -> np.ndarray:
    """Return the left channel, with sample n at n / 48000 seconds."""
    samples = np.zeros(48000 * 8, np.float32)
    with av.open(str(path)) as container:
        resampler = av.AudioResampler(format='fltp')
        for frame in container.decode(audio=0):
            at = round(frame.pts * frame.time_base * 48000)
            for part in resampler.resample(frame):
                values = part.to_ndarray()[0]
                skip = max(-at, 0)
                samples[at + skip : at + len(values)] = values[skip:]
    return samples


def test_audio_keeps_its_offset_to_the_video(tmp_path: Path) -> None:
    """Audio that begins before the video is kept in the first clip and cut in later ones."""
    clips = [
        make_clip(
            tmp_path / f'{number}.mp4',
            size=SIZE,
            frames=20,
            options=options,
            audio='aac',
            seconds=1.2,
            pts=lambda k: 3840 + k * 512,
        )
        for number, options in enumerate([SLOW, PLAIN, SLOW])
    ]
    output = joined(tmp_path, clips)
    begins = check_pictures(clips, output)
    assert begins[:2] == [Fraction(3, 10), Fraction(11, 10)]
    packets = audio_packets(output)
    own = [audio_packets(clip) for clip in clips]
    assert packets[0] == own[0][0]
    found = dict(packets)
    for number in (1, 2):
        shift = round((begins[number] - Fraction(3, 10)) * 48000)
        moved = [(time + Fraction(shift, 48000), data) for time, data in own[number]]
        kept = [(time, data) for time, data in moved if found.get(time) == data]
        assert begins[number] - Fraction(2048, 48000) < kept[0][0] <= begins[number]
        assert len(kept) > 30


def test_different_audio_is_refused(tmp_path: Path) -> None:
    one, two = (make_clip(tmp_path / f'{a}.mkv', size=SIZE, frames=5, audio=a) for a in ('aac', 'libopus'))
    with pytest.raises(MediaError) as caught:
        concat_clips([one, two], tmp_path / 'o.mkv', '.mkv', StopFlag())
    assert caught.value.reference == 'join-audio'
    assert 'aac' in caught.value.cause
    assert 'opus' in caught.value.cause
    assert '--output-audio-encoder' in caught.value.hint
    assert not (tmp_path / 'o.mkv').exists()


@pytest.mark.parametrize(
    ('other', 'named'),
    [
        ({'size': (96, 96)}, ('128x96', '96x96')),
        ({'pix_fmt': 'yuv444p'}, ('yuv420p', 'yuv444p')),
        ({'codec': 'libx265'}, ('h264', 'hevc')),
        ({'codec': 'mpeg4'}, ('h264', 'mpeg4')),
        ({'rotation': 180}, ('orientation',)),
    ],
)
def test_different_video_is_refused(tmp_path: Path, other: dict, named: tuple[str, ...]) -> None:
    one = make_clip(tmp_path / 'a.mp4', size=SIZE, frames=5)
    two = make_clip(tmp_path / 'b.mp4', **{'size': SIZE, 'frames': 5, **other})
    with pytest.raises(MediaError) as caught:
        concat_clips([one, two], tmp_path / 'o.mp4', '.mp4', StopFlag())
    assert caught.value.reference == 'join-mismatch'
    assert 'b.mp4' in caught.value.message
    for name in named:
        assert name in caught.value.cause
    assert sorted(path.name for path in tmp_path.iterdir()) == ['a.mp4', 'b.mp4']


def test_a_truncated_clip_is_refused(tmp_path: Path) -> None:
    clips = [make_clip(tmp_path / f'{name}.mp4', size=SIZE, frames=10) for name in 'ab']
    clips[1].write_bytes(clips[1].read_bytes()[:-200])
    with pytest.raises(MediaError) as caught:
        joined(tmp_path, clips)
    assert caught.value.reference == 'media-truncated'


def test_time_bases_without_a_common_one_are_rounded_to_the_finest(tmp_path: Path) -> None:
    bases = [Fraction(1, 1000003), Fraction(1, 999983), Fraction(1, 25)]
    clips = [
        make_clip(
            tmp_path / f'{number}.mp4',
            size=SIZE,
            frames=6,
            options=PLAIN,
            time_base=base,
            pts=lambda k, base=base: round(k / base / 25),
        )
        for number, base in enumerate(bases)
    ]
    check_pictures(clips, joined(tmp_path, clips), Fraction(1, 1000003))


def test_a_stop_at_any_packet_leaves_no_file(tmp_path: Path) -> None:
    clips = sounding_clips(tmp_path, '.mp4', 'aac', [1.0, 1.0])
    flag = Countdown(10**6)
    concat_clips(clips, tmp_path / 'o.mp4', '.mp4', flag)
    looks = 10**6 - flag.looks
    assert looks > 400
    (tmp_path / 'o.mp4').unlink()
    for after in (1, looks // 3, looks // 2, looks - 60, looks):
        with pytest.raises(Interrupted):
            concat_clips(clips, tmp_path / 'o.mp4', '.mp4', Countdown(after))
        assert sorted(path.name for path in tmp_path.iterdir()) == ['s0.mp4', 's1.mp4']


def test_a_full_disk_is_reported_and_leaves_no_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import facefusion.media.concat as module

    clips = [make_clip(tmp_path / f'{name}.mp4', size=SIZE, frames=10) for name in 'ab']

    def full(*arguments: object) -> None:
        raise av.error.OSError(28, 'No space left on device')

    monkeypatch.setattr(module, 'mux_in_order', full)
    with pytest.raises(ResourceError) as caught:
        concat_clips(clips, tmp_path / 'o.mp4', '.mp4', StopFlag())
    assert caught.value.reference == 'disk-full'
    assert not (tmp_path / 'o.mp4').exists()
