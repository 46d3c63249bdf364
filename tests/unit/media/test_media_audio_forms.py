"""Tests of clips whose audio changes its rate or channels or overlaps itself, as in recordings of broadcasts."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from test_media_video import run, video

from facefusion.media.audio import plan_audio
from facefusion.media.audio_encode import EncodedTrack
from facefusion.media.audio_feed import AudioFeed
from facefusion.media.options import OutputOptions
from facefusion.media.timeline import build_timeline
from facefusion.media.tracks import AudioRange, AudioTrack

TONES = {'FL': 300, 'FR': 500, 'FC': 700, 'BL': 1100, 'BR': 1300, 'SL': 1100, 'SR': 1300}


def broadcast(path: Path, codec: str, *forms: tuple[int, str], overlap: float = 0.0) -> Path:
    """Concatenate MPEG-TS parts of 0.8 seconds, each with its own audio rate and layout."""
    parts = []
    for number, (rate, layout) in enumerate(forms):
        part, begin = path.with_name(f'part-{number}.ts'), number * Fraction(4, 5)
        with av.open(str(part), 'w') as output:
            stream = output.add_stream('libx264', rate=25, options={'preset': 'ultrafast', 'tune': 'zerolatency'})
            stream.width, stream.height, stream.pix_fmt = 64, 64, 'yuv420p'
            sound = output.add_stream(codec, rate=rate, layout=layout)
            for count in range(20):
                picture = av.VideoFrame.from_ndarray(np.full((64, 64, 3), count * 9, np.uint8), format='bgr24')
                picture.pts, picture.time_base = count + number * 20, Fraction(1, 25)
                output.mux(stream.encode(picture))
            output.mux(stream.encode(None))
            frame = av.AudioFrame.from_ndarray(waves(rate, layout), format='flt', layout=layout)
            frame.sample_rate, frame.time_base = rate, Fraction(1, rate)
            frame.pts = round((begin - Fraction(overlap).limit_denominator() * number) * rate)
            resampler = av.AudioResampler(sound.format.name, layout, rate, frame_size=1024)
            for made in (*resampler.resample(frame), *resampler.resample(None)):
                output.mux(sound.encode(made))
            output.mux(sound.encode(None))
        parts.append(part.read_bytes())
    path.write_bytes(b''.join(parts))
    return path


def waves(rate: int, layout: str, seconds: float = 0.8) -> np.ndarray:
    """Return interleaved samples with a different tone in each channel."""
    times = np.arange(round(seconds * rate)) / rate
    names = [channel.name for channel in av.AudioLayout(layout).channels]
    tones = [0.4 * np.sin(2 * np.pi * TONES.get(name, 60) * times) for name in names]
    return np.stack(tones, axis=1).reshape(1, -1).astype(np.float32)


def heard(path: Path, begin: float, end: float) -> tuple[int, list[int]]:
    """Return the audio rate of a file and the frequency of each channel between two times (0 for silence)."""
    with av.open(str(path)) as container:
        resampler = av.AudioResampler('flt')
        parts = [made.to_ndarray() for frame in container.decode(audio=0) for made in resampler.resample(frame)]
        context = container.streams.audio[0].codec_context
        rate, count = context.sample_rate, context.channels
    samples = np.concatenate(parts, axis=1).reshape(-1, count)[round(begin * rate) : round(end * rate)].T
    peaks = [np.abs(np.fft.rfft(row * np.hanning(len(row)))).argmax() * rate / len(row) for row in samples]
    return rate, [
        round(peak / 100) * 100 if np.abs(row).max() > 0.02 else 0 for peak, row in zip(peaks, samples, strict=True)
    ]


def encode(
    source_path: Path, output_path: Path, track: AudioTrack, span: AudioRange, planned: str = ''
) -> EncodedTrack:
    with av.open(str(source_path)) as source, av.open(str(output_path), 'w') as output:
        stream = source.streams.audio[0]
        encoded = EncodedTrack(stream, replace(track, index=stream.index), span, 1, output)
        encoded._planned = planned or encoded._planned
        for packet in source.demux(stream):
            for made in encoded.convert(packet):
                output.mux(made)
        for made in encoded.finish():
            output.mux(made)
    return encoded


def test_channels_that_appear_within_a_clip_keep_their_positions(tmp_path: Path) -> None:
    clip = broadcast(tmp_path / 'a.ts', 'ac3', (48000, 'stereo'), (48000, '5.1'), (48000, 'stereo'))
    track = AudioTrack(0, 'ac3', 'libopus', 48000, '5.1', (), 256000)
    encoded = encode(clip, tmp_path / 'o.mkv', track, AudioRange(Fraction(7, 5), None, None))
    tones = [heard(tmp_path / 'o.mkv', begin + 0.1, begin + 0.6)[1] for begin in (0, 0.8, 1.6)]
    assert tones[0] == tones[2] == [300, 500, 0, 0, 0, 0]
    assert tones[1][:3] == [300, 500, 700] and tones[1][4:] == [1100, 1300]
    assert encoded.remarks == []


def test_channels_that_the_output_lacks_are_reported(tmp_path: Path) -> None:
    clip = broadcast(tmp_path / 'a.ts', 'ac3', (48000, 'stereo'), (48000, '5.1'), (48000, 'mono'))
    track = AudioTrack(0, 'ac3', 'aac', 48000, 'stereo', (), 0)
    encoded = encode(clip, tmp_path / 'o.mkv', track, AudioRange(Fraction(7, 5), None, None), 'stereo')
    assert encoded.remarks == ['changes to 5.1(side) in the clip: these channels are mixed into stereo']


def test_a_change_of_rate_keeps_pitch_and_times(tmp_path: Path) -> None:
    info = video(broadcast(tmp_path / 'a.ts', 'aac', (44100, 'stereo'), (48000, 'stereo')))
    plan = plan_audio(info, build_timeline(info), OutputOptions(), '.mp4')
    assert [track.encoder for track in plan.tracks] == ['aac']
    assert plan.remarks == ('aac audio changes its rate or channels, which mp4 cannot store: it is encoded again',)
    run(info, tmp_path / 'out.mp4')
    assert heard(tmp_path / 'out.mp4', 0.1, 0.7) == heard(tmp_path / 'out.mp4', 0.9, 1.5) == (44100, [300, 500])


def test_unchanging_audio_and_ts_to_ts_are_copied(tmp_path: Path) -> None:
    changing = video(broadcast(tmp_path / 'a.ts', 'aac', (44100, 'stereo'), (48000, 'stereo')))
    steady = video(broadcast(tmp_path / 'b.ts', 'aac', (44100, 'stereo'), (44100, 'stereo')))
    assert plan_audio(changing, build_timeline(changing), OutputOptions(), '.ts').mode == 'copy'
    assert plan_audio(steady, build_timeline(steady), OutputOptions(), '.mp4').mode == 'copy'


def test_overlapping_packets_are_left_out_with_a_remark(tmp_path: Path) -> None:
    info = video(broadcast(tmp_path / 'a.ts', 'ac3', (48000, 'stereo'), (48000, 'stereo'), overlap=0.2))
    plan = plan_audio(info, build_timeline(info), OutputOptions(), '.mkv')
    assert plan.mode == 'copy'
    run(info, tmp_path / 'out.mkv')
    with av.open(str(tmp_path / 'out.mkv'), 'w') as output:
        feed = AudioFeed(info, plan, output)
        times = [packet.dts for packet in feed]
        assert times == sorted({*times})
        assert len(feed.remarks) == 1 and 'audio stream 1 has packets with times that do not ascend' in feed.remarks[0]
        feed.close()


@pytest.mark.parametrize(('rate', 'written'), [(11025, 44100), (96000, 48000), (44100, 44100)])
def test_mp3_in_avi_is_in_sync_at_every_rate(tmp_path: Path, rate: int, written: int) -> None:
    samples = np.zeros((1, rate), np.int16)
    samples[0, rate // 2 : rate // 2 + rate // 400] = 20000
    with av.open(str(tmp_path / 'a.mkv'), 'w') as output:
        stream = output.add_stream('pcm_s16le', rate=rate, layout='mono')
        frame = av.AudioFrame.from_ndarray(samples, format='s16', layout='mono')
        frame.sample_rate, frame.pts, frame.time_base = rate, 0, Fraction(1, rate)
        output.mux(stream.encode(frame))
    track = AudioTrack(0, 'pcm_s16le', 'libmp3lame', written, 'mono', (('reservoir', '0'),), 128000)
    encode(tmp_path / 'a.mkv', tmp_path / 'o.avi', track, AudioRange(Fraction(0), None, None, False))
    with av.open(str(tmp_path / 'o.avi')) as written_file:
        sound = np.concatenate([frame.to_ndarray()[0] for frame in written_file.decode(audio=0)])
    assert np.argmax(np.abs(sound) > 0.3) / written == pytest.approx(0.5, abs=0.002)
