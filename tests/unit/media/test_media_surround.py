"""Tests of audio channels: they are kept where possible, otherwise mixed without clipping, and losses are reported."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from test_media_video import run, video

from facefusion.media.audio import AudioPlan, plan_audio
from facefusion.media.audio_settle import _keeping
from facefusion.media.languages import language_for, same_language
from facefusion.media.layouts import channels_of, nearest_layouts
from facefusion.media.options import OutputOptions
from facefusion.media.side_streams import plan_extras
from facefusion.media.timeline import build_timeline
from facefusion.media.tracks import AudioTrack

_D = av.stream.Disposition


def make_surround(
    path: Path, layouts: tuple[str, ...], codec: str = 'pcm_s16le', rate: int = 48000, levels: tuple[float, ...] = ()
) -> Path:
    """Write 0.4 seconds with a 500 Hz tone in each channel at these levels (default: 0.1, 0.2 and so on)."""
    with av.open(str(path), 'w') as output:
        picture = output.add_stream('libx264', rate=25, options={'preset': 'ultrafast'})
        picture.width, picture.height, picture.pix_fmt = 64, 64, 'yuv420p'
        sounds = [output.add_stream(codec, rate=rate, layout=layout) for layout in layouts]
        for number in range(10):
            frame = av.VideoFrame(64, 64, 'yuv420p')
            for plane in frame.planes:
                plane.update(bytes(plane.buffer_size))
            frame.pts = number
            output.mux(picture.encode(frame))
        output.mux(picture.encode(None))
        for sound, layout in zip(sounds, layouts, strict=True):
            count = len(channels_of(layout))
            heard = np.array(levels or [0.1 * (channel + 1) for channel in range(count)])
            wave = np.sin(np.arange(rate * 2 // 5) * 2 * np.pi * 500 / rate)[:, None] * heard
            samples = (wave * 32767).astype(np.int16).reshape(1, -1)
            frame = av.AudioFrame.from_ndarray(samples, format='s16', layout=layout)
            frame.sample_rate, frame.pts, frame.time_base = rate, 0, Fraction(1, rate)
            resampler = av.AudioResampler(sound.format.name, layout, rate)
            for part in resampler.resample(frame):
                output.mux(sound.encode(part))
            output.mux(sound.encode(None))
    return path


def samples_of(path: Path) -> tuple[str, np.ndarray]:
    """Return the layout of the first track and its samples, with one column per channel."""
    with av.open(str(path)) as clip:
        frames = list(clip.decode(audio=0))
    layout = frames[0].layout.name
    resampler = av.AudioResampler('flt', layout, frames[0].sample_rate)
    count = frames[0].layout.nb_channels
    parts = [part.to_ndarray().reshape(-1, count) for frame in frames for part in resampler.resample(frame)]
    return layout, np.concatenate(parts)


def levels_of(path: Path) -> tuple[str, list[float]]:
    layout, samples = samples_of(path)
    heard = np.sqrt((samples[3000:14000] ** 2).mean(0) * 2)
    return layout, [round(float(level), 1) for level in heard]


def planned(path: Path, extension: str, **options: object) -> AudioPlan:
    info = video(path)
    return plan_audio(info, build_timeline(info), OutputOptions(**options), extension)


@pytest.mark.parametrize(
    ('layout', 'extension', 'encoder', 'expected', 'levels'),
    [
        ('5.1(side)', '.webm', 'auto', '5.1', [0.1, 0.2, 0.3, 0.4, 0.5, 0.6]),
        ('quad(side)', '.webm', 'auto', 'quad', [0.1, 0.2, 0.3, 0.4]),
        ('6.1(back)', '.mp4', 'flac', '6.1', [0.1, 0.2, 0.3, 0.4, 0.7, 0.5, 0.6]),
        # FFmpeg's libopus swaps channels of 5.0.
        ('5.0', '.webm', 'auto', '5.1', [0.1, 0.2, 0.3, 0, 0.4, 0.5]),
        # AAC has a number for 5.1, but 5.1(side) needs a description that few players read.
        ('5.1(side)', '.mp4', 'aac', '5.1', None),
        # The channels that the encoder's nearest layout adds are silent.
        ('2.1', '.webm', 'auto', '5.1', [0.1, 0.2, 0, 0.3, 0, 0]),
        # MP4 does not store the layout of FLAC, so only FLAC's own layouts are read correctly.
        ('2.1', '.mp4', 'flac', '5.1(side)', [0.1, 0.2, 0, 0.3, 0, 0]),
        ('5.1(side)', '.mkv', 'flac', '5.1(side)', [0.1, 0.2, 0.3, 0.4, 0.5, 0.6]),
        ('7.1', '.webm', 'auto', '7.1', [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8]),
    ],
)
def test_every_channel_keeps_its_position(
    tmp_path: Path, layout: str, extension: str, encoder: str, expected: str, levels: list[float] | None
) -> None:
    clip = make_surround(tmp_path / 'a.mov', (layout,))
    options = OutputOptions(output_audio_encoder=encoder)
    run(video(clip), tmp_path / f'out{extension}', options)
    found = levels_of(tmp_path / f'out{extension}')
    assert found[0] == expected
    assert levels is None or found[1] == pytest.approx(levels, abs=0.05)
    remarks = planned(clip, extension, output_audio_encoder=encoder).remarks
    assert not any('mixed' in remark for remark in remarks)
    assert any('are silent' in remark for remark in remarks) == (len(channels_of(layout)) != len(found[1]))


@pytest.mark.parametrize('rate', [48000, 22050])
def test_a_downmix_never_clips_and_is_as_loud_everywhere(tmp_path: Path, rate: int) -> None:
    clip = make_surround(tmp_path / 'a.mkv', ('5.1',), 'flac', rate, (0.7,) * 6)
    found = {}
    for extension, encoder in (('.wmv', 'wmav2'), ('.mpg', 'mp2'), ('.avi', 'libmp3lame')):
        plan = planned(clip, extension)
        (said,) = [remark for remark in plan.remarks if 'mixed' in remark]
        assert said.startswith('audio stream 1 is mixed from 6 channels (5.1) to 2 channels (stereo), the LFE channel')
        assert f'{encoder} supports at most 2 channels' in said
        assert ('pcm_s16le keeps all' if extension == '.avi' else '.mkv keeps all') in said
        run(video(clip), tmp_path / f'out{extension}')
        _, samples = samples_of(tmp_path / f'out{extension}')
        assert np.abs(samples).max() < 0.95
        found[extension] = float(np.sqrt((samples[3000:14000] ** 2).mean()))
    assert found['.wmv'] == pytest.approx(found['.mpg'], rel=0.05)
    assert found['.avi'] == pytest.approx(found['.mpg'], rel=0.05)


def test_mono_and_stereo_are_unchanged(tmp_path: Path) -> None:
    clip = make_surround(tmp_path / 'a.mov', ('mono', 'stereo'))
    for extension, encoder in (('.wmv', 'wmav2'), ('.webm', 'libopus'), ('.mp4', 'flac')):
        plan = planned(clip, extension, output_audio_encoder=encoder)
        assert [track.layout for track in plan.tracks] == ['mono', 'stereo']
        assert plan.remarks == ()


def test_the_mixed_track_is_named(tmp_path: Path) -> None:
    clip = make_surround(tmp_path / 'a.mkv', ('stereo', '5.1'), 'flac')
    (said,) = planned(clip, '.mkv', output_audio_encoder='libmp3lame').remarks
    assert said.startswith('audio stream 2 is mixed from 6 channels (5.1)')
    assert said.endswith('without --output-audio-encoder all are kept')


def test_the_next_layout_keeps_most_channels() -> None:
    assert nearest_layouts('5.1(side)')[:2] == ['5.1(side)', '5.1']
    assert nearest_layouts('7.1(wide)')[1] == '5.1'
    assert nearest_layouts('3.0(back)')[1] == '6.1'
    assert nearest_layouts('FL')[1] == 'mono'


def test_samples_of_24_bits_stay_exact(tmp_path: Path) -> None:
    clip = make_surround(tmp_path / 'a.mov', ('stereo',), 'pcm_s24le')
    assert planned(clip, '.mkv', output_audio_encoder='flac').tracks[0].format == 's32'
    quieter = planned(clip, '.mp4', output_audio_volume=50)
    assert (quieter.tracks[0].encoder, quieter.remarks) == ('pcm_s32le', ())
    (said,) = planned(clip, '.mkv', output_audio_encoder='pcm_s16le').remarks
    assert said == 'audio stream 1 is written with 16 of its 24 bits a sample: pcm_s16le supports no more'
    run(video(clip), tmp_path / 'out.mkv', OutputOptions(output_audio_encoder='flac'))
    with av.open(str(tmp_path / 'out.mkv')) as made:
        assert made.streams.audio[0].format.name == 's32'


def test_a_lower_rate_is_reported(tmp_path: Path) -> None:
    clip = make_surround(tmp_path / 'a.mov', ('stereo',), rate=96000)
    for encoder, taken in (('libopus', 48000), ('libmp3lame', 48000), ('aac', 96000)):
        plan = planned(clip, '.mp4', output_audio_encoder=encoder)
        assert plan.tracks[0].rate == taken
        assert any(f'{taken} Hz' in remark for remark in plan.remarks) == (taken < 96000)


def test_pcm_without_positions_is_copied_to_mp4(tmp_path: Path) -> None:
    clip = make_surround(tmp_path / 'a.mkv', ('stereo',))
    assert video(clip).audio[0].layout == '2 channels'
    run(video(clip), tmp_path / 'out.mp4')
    assert planned(clip, '.mp4').mode == 'copy'
    assert levels_of(tmp_path / 'out.mp4') == ('stereo', [0.1, 0.2])


def described(path: Path, language: str, title: str = '', disposition: int = 0) -> Path:
    """Write a clip whose second audio track has this language, title and disposition."""
    whole = make_surround(path.with_name('whole.mkv'), ('mono', 'stereo'), 'flac')
    with av.open(str(whole)) as source, av.open(str(path), 'w') as output:
        copies = {stream.index: output.add_stream_from_template(stream) for stream in source.streams}
        copies[2].metadata.update({'language': language, 'title': title})
        copies[2].disposition = _D(disposition)
        for packet in source.demux():
            if packet.size:
                packet.stream = copies[packet.stream.index]
                output.mux(packet)
    return path


@pytest.mark.parametrize(
    ('language', 'held', 'is_lost'),
    [('deu', 'ger', False), ('fre', 'fra', False), ('swe', 'sve', False), ('eng', 'eng', False), ('sme', 'und', True)],
)
def test_a_lost_language_of_a_track_in_mov_is_reported(tmp_path: Path, language: str, held: str, is_lost: bool) -> None:
    clip = described(tmp_path / 'a.mkv', language)
    said = [remark for remark in planned(clip, '.mov').remarks if 'language' in remark]
    assert said == ([f'audio stream 2 loses in mov: its language ({language})'] if is_lost else [])
    run(video(clip), tmp_path / 'out.mov')
    with av.open(str(tmp_path / 'out.mov')) as made:
        assert made.streams.audio[1].metadata.get('language', 'und') == held


def test_lost_descriptions_of_a_track_are_reported(tmp_path: Path) -> None:
    clip = described(tmp_path / 'a.mkv', 'deu', 'Notes', _D.comment | _D.default)
    lost = {
        '.mkv': [],
        '.mp4': [],
        '.wmv': ['its title (Notes)', 'its purpose (comment)', 'its default flag'],
        '.mpg': ['its language (deu)', 'its title (Notes)', 'its purpose (comment)', 'its default flag'],
        '.mov': ['its purpose (comment)'],
    }
    for extension, parts in lost.items():
        said = [remark for remark in planned(clip, extension).remarks if ' loses in ' in remark]
        expected = [f'audio stream 2 loses in {extension[1:]}: {", ".join(parts)}'] if parts else []
        assert said == expected


def test_a_title_survives_in_mp4(tmp_path: Path) -> None:
    clip = described(tmp_path / 'a.mkv', 'deu', 'Notes')
    run(video(clip), tmp_path / 'b.mp4')
    run(video(tmp_path / 'b.mp4'), tmp_path / 'c.mkv')
    with av.open(str(tmp_path / 'c.mkv')) as made:
        assert made.streams.audio[1].metadata['title'] == 'Notes'


def test_lost_descriptions_of_the_video_are_reported(tmp_path: Path) -> None:
    clip = make_surround(tmp_path / 'whole.mkv', ('mono',))
    with av.open(str(clip)) as source, av.open(str(tmp_path / 'a.mkv'), 'w') as output:
        copy = output.add_stream_from_template(source.streams.video[0])
        copy.metadata.update({'language': 'jpn', 'title': 'Angle 1'})
        for packet in source.demux(video=0):
            if packet.size:
                packet.stream = copy
                output.mux(packet)
    info = video(tmp_path / 'a.mkv')
    assert plan_extras(info, build_timeline(info), '.mkv').remarks == ()
    (said,) = plan_extras(info, build_timeline(info), '.wmv').remarks
    assert said == 'the video loses in wmv: its title (Angle 1)'


def test_codes_of_one_language_are_equal() -> None:
    assert same_language('deu', 'ger') and same_language('swe', 'sve') and not same_language('deu', 'eng')
    assert (language_for('mov', 'nld'), language_for('mp4', 'nld'), language_for('mp4', 'hr ')) == ('dut', 'nld', 'hrv')


@pytest.mark.parametrize(('codec', 'named'), [('pcm_s16le', '.mov'), ('vorbis', '.mkv')])
def test_the_advised_container_keeps_all_channels(codec: str, named: str) -> None:
    track = AudioTrack(1, codec, 'libopus', 48000, '7.1', (), 0)
    assert f'an output named {named} keeps all' in _keeping('hexadecagonal', track, '.webm', 'auto')
