"""Tests of planning and encoding audio, and of the errors of both."""

from __future__ import annotations

import os
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import av
import av.error
import numpy as np
import pytest
from clips import make_clip
from test_media_video import loudness, run, video

import facefusion.media.audio_encode as audio_module
import facefusion.media.audio_settle as settle_module
from facefusion.errors import MediaError, OutputError, UsageError
from facefusion.media.audio import plan_audio
from facefusion.media.audio_feed import AudioFeed
from facefusion.media.options import OutputOptions
from facefusion.media.timeline import build_timeline


@pytest.mark.parametrize(
    ('codec', 'extension', 'expected'),
    [
        ('pcm_mulaw', '.mkv', 'pcm_s16le'),
        ('pcm_alaw', '.mkv', 'pcm_s16le'),
        ('adpcm_ima_qt', '.mkv', 'aac'),
        ('pcm_mulaw', '.mp4', 'aac'),
        ('pcm_s24le', '.mp4', 'pcm_s24le'),
        ('alac', '.mkv', 'alac'),
    ],
)
def test_audio_unsupported_by_the_container_is_encoded(
    tmp_path: Path, codec: str, extension: str, expected: str
) -> None:
    info = video(make_clip(tmp_path / 'a.mov', frames=10, audio='pcm_s16le'))
    if codec != 'pcm_s16le':
        info = video(with_audio(tmp_path / 'b.mov', codec))
    plan = plan_audio(info, build_timeline(info), OutputOptions(), extension)
    copied = codec == expected
    assert plan.mode == ('copy' if copied else 'encode')
    assert bool(plan.remarks) != copied
    output = tmp_path / f'out{extension}'
    run(info, output)
    assert [track.codec for track in video(output).audio] == [expected]
    assert loudness(output)[0] == pytest.approx(loudness(info.path)[0], rel=0.15)


def with_audio(path: Path, codec: str, rate: int = 48000, layout: str = 'mono') -> Path:
    """Write half a second of video and 1.5 seconds of a tone."""
    with av.open(str(path), 'w') as output:
        stream = output.add_stream('libx264', rate=25, options={'preset': 'ultrafast'})
        stream.width, stream.height, stream.pix_fmt = 64, 64, 'yuv420p'
        sound = output.add_stream(codec, rate=rate, layout=layout)
        for number in range(12):
            picture = av.VideoFrame.from_ndarray(np.full((64, 64, 3), number * 9, np.uint8), format='bgr24')
            picture.pts, picture.time_base = number, Fraction(1, 25)
            output.mux(stream.encode(picture))
        output.mux(stream.encode(None))
        wave = (np.sin(np.arange(rate * 3 // 2) * 2 * np.pi * 440 / rate) * 12000).astype(np.int16)
        channels = av.AudioLayout(layout).nb_channels
        resampler = av.AudioResampler(
            sound.format.name, layout, rate, frame_size=sound.codec_context.frame_size or 1024
        )
        frame = av.AudioFrame.from_ndarray(np.repeat(wave, channels)[None], format='s16', layout=layout)
        frame.sample_rate, frame.pts, frame.time_base = rate, 0, Fraction(1, rate)
        for part in (*resampler.resample(frame), *resampler.resample(None)):
            output.mux(sound.encode(part))
        output.mux(sound.encode(None))
    return path


def test_a_change_of_an_unsupported_rate_is_reported(tmp_path: Path) -> None:
    info = video(with_audio(tmp_path / 'a.mkv', 'pcm_s16le', 192000))
    options = OutputOptions(output_audio_encoder='aac')
    plan = plan_audio(info, build_timeline(info), options, '.mp4')
    assert [track.rate for track in plan.tracks] == [96000]
    assert '192000' in plan.remarks[0]
    run(info, tmp_path / 'out.mp4', options)
    after = video(tmp_path / 'out.mp4')
    assert [(track.codec, track.rate) for track in after.audio] == [('aac', 96000)]
    assert loudness(tmp_path / 'out.mp4')[1] == pytest.approx(1.5, abs=0.05)


def test_channels_are_mixed_down_when_the_encoder_lacks_the_layout(tmp_path: Path) -> None:
    info = video(with_audio(tmp_path / 'a.mkv', 'pcm_s16le', layout='7.1'))
    for name in ('libopus', 'libmp3lame', 'aac'):
        options = OutputOptions(output_audio_encoder=name)
        plan = plan_audio(info, build_timeline(info), options, '.mkv')
        run(info, tmp_path / f'{name}.mkv', options)
        assert [track.layout for track in video(tmp_path / f'{name}.mkv').audio] == [plan.tracks[0].layout]


def test_an_encoder_that_never_opens_is_refused_by_the_plan(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    info = video(make_clip(tmp_path / 'a.mp4', frames=5, audio='aac'))
    monkeypatch.setattr(settle_module, 'why_not_encoded', lambda track, extension: 'it is broken')
    with pytest.raises(UsageError) as caught:
        plan_audio(info, build_timeline(info), OutputOptions(output_audio_encoder='flac'), '.mp4')
    assert (caught.value.reference, caught.value.cause) == ('audio-encoder-unusable', 'it is broken')


def test_a_failing_encoder_is_not_reported_as_source_damage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    info = video(make_clip(tmp_path / 'a.mp4', frames=5, audio='aac'))
    options = OutputOptions(output_audio_encoder='flac')

    class Broken:
        def __init__(self, stream) -> None:
            self.stream = stream

        def encode(self, frame):
            raise av.error.ArgumentError(22, 'Invalid argument')

        def __getattr__(self, name: str):
            return getattr(self.stream, name)

    real = audio_module.add_encoded
    monkeypatch.setattr(audio_module, 'add_encoded', lambda output, track: Broken(real(output, track)))
    monkeypatch.setattr(audio_module, 'describe_stream', lambda source, target: None)
    with pytest.raises(OutputError) as caught:
        run(info, tmp_path / 'out.mp4', options)
    assert caught.value.reference == 'audio-encoder-failed'


def test_a_track_that_cannot_be_set_up_leaves_no_open_file(tmp_path: Path) -> None:
    folder = Path('/proc/self/fd')
    if not folder.exists():
        pytest.skip('this system has no list of open files')
    info = video(make_clip(tmp_path / 'a.mov', frames=5, audio='pcm_mulaw'))
    plan = plan_audio(info, build_timeline(info), OutputOptions(), '.mkv')
    plan = replace(plan, tracks=tuple(replace(track, encoder='') for track in plan.tracks))
    caught = []
    with av.open(str(tmp_path / 'out.mkv'), 'w') as output:
        try:
            AudioFeed(info, plan, output)
        except ValueError as error:
            caught.append(error)
        held = [os.path.realpath(entry) for entry in folder.iterdir()]
    assert caught
    assert str(info.path.resolve()) not in held


def test_missing_audio_is_an_error_of_the_source(tmp_path: Path) -> None:
    info = video(make_clip(tmp_path / 'a.mp4', frames=5, audio='aac'))
    plan = plan_audio(info, build_timeline(info), OutputOptions(), '.mp4')
    info.path.unlink()
    with av.open(str(tmp_path / 'out.mp4'), 'w') as output, pytest.raises(MediaError) as caught:
        AudioFeed(info, plan, output)
    assert caught.value.reference == 'audio-damaged'
