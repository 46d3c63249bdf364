from __future__ import annotations

import os
from fractions import Fraction
from pathlib import Path

import av
import pytest
from clips import make_clip, tone

from facefusion.errors import MediaError
from facefusion.media.info import ImageInfo, VideoInfo
from facefusion.media.probe import probe


def reference(path: Path) -> str:
    with pytest.raises(MediaError) as caught:
        probe(path)
    assert caught.value.message
    return caught.value.reference


def test_unreadable_files_have_different_errors(tmp_path: Path) -> None:
    assert reference(tmp_path / 'none.mp4') == 'media-missing'
    (tmp_path / 'folder.mp4').mkdir()
    assert reference(tmp_path / 'folder.mp4') == 'media-directory'
    (tmp_path / 'empty.mp4').touch()
    assert reference(tmp_path / 'empty.mp4') == 'media-empty'
    (tmp_path / 'text.mp4').write_text('not a film at all\n' * 20)
    assert reference(tmp_path / 'text.mp4') == 'media-content-unknown'
    (tmp_path / 'a.gif').write_bytes(b'GIF89a' + bytes(60))
    assert reference(tmp_path / 'a.gif') == 'media-kind-unsupported'


@pytest.mark.skipif(not hasattr(os, 'geteuid') or os.geteuid() == 0, reason='root may read everything')
def test_a_file_without_read_permission(tmp_path: Path) -> None:
    clip = make_clip(tmp_path / 'a.mp4', frames=3)
    clip.chmod(0)
    assert reference(clip) == 'media-unreadable'


def test_an_mp4_cut_before_its_index_is_truncated(tmp_path: Path) -> None:
    clip = make_clip(tmp_path / 'a.mp4')
    clip.write_bytes(clip.read_bytes()[:6000])
    with pytest.raises(MediaError, match='moov') as caught:
        probe(clip)
    assert caught.value.reference == 'media-truncated'


def test_the_error_of_a_damaged_mkv_has_the_librarys_reason(tmp_path: Path) -> None:
    path = tmp_path / 'a.mkv'
    path.write_bytes(b'\x1aE\xdf\xa3' + bytes(500))
    with pytest.raises(MediaError) as caught:
        probe(path)
    assert caught.value.reference in ('media-damaged', 'media-no-video')
    assert caught.value.cause


def test_audio_without_video_and_video_without_frames(tmp_path: Path) -> None:
    path = tmp_path / 'a.mp4'
    with av.open(str(path), 'w') as output:
        stream = output.add_stream('aac', rate=48000)
        for packet in tone(stream, 0.5):
            output.mux(packet)
    assert reference(path) == 'media-no-video'
    clip = make_clip(tmp_path / 'b.mkv', frames=5)
    with av.open(str(clip)) as container:
        first = next(packet.pos for packet in container.demux(video=0) if packet.size)
    clip.write_bytes(clip.read_bytes()[: first + 20])
    assert reference(clip) == 'media-no-frames'


def test_a_clip_is_measured(tmp_path: Path) -> None:
    info = probe(make_clip(tmp_path / 'Clip.MP4', audio='aac', container_format='mp4'))
    assert isinstance(info, VideoInfo)
    assert (info.width, info.height, info.frame_count, info.bits) == (320, 180, 40, 8)
    assert (info.average_rate, info.last_duration, info.duration) == (25, 512, Fraction(8, 5))
    assert (info.color.matrix, info.color.full_range, info.color.primaries) == ('bt709', False, 1)
    assert [(audio.codec, audio.rate, audio.channels) for audio in info.audio] == [('aac', 48000, 2)]


def test_the_colours_of_an_untagged_clip_depend_on_its_height(tmp_path: Path) -> None:
    from facefusion.media.color import ColorSpec

    def assumed(height: int) -> ColorSpec:
        return ColorSpec.from_codes(matrix=2, color_range=0, primaries=2, transfer=2, height=height, pix_fmt='yuv420p')

    assert (assumed(720).matrix, assumed(720).matrix_code) == ('bt709', 1)
    assert (assumed(576).matrix, assumed(576).matrix_code) == ('bt601', 5)
    assert (assumed(480).matrix, assumed(480).matrix_code) == ('bt601', 6)


def test_the_probe_of_an_image(tmp_path: Path) -> None:
    from PIL import Image

    Image.new('RGBA', (30, 20)).save(tmp_path / 'a.png')
    info = probe(tmp_path / 'a.png')
    assert isinstance(info, ImageInfo)
    assert (info.width, info.height, info.format, info.has_alpha) == (30, 20, 'png', True)


@pytest.mark.parametrize('share', [0.4, 0.99])
def test_an_mp4_cut_after_its_index_is_truncated(tmp_path: Path, share: float) -> None:
    whole = make_clip(tmp_path / 'a.mp4')
    front = tmp_path / 'front.mp4'
    with av.open(str(whole)) as source, av.open(str(front), 'w', options={'movflags': '+faststart'}) as output:
        stream = output.add_stream_from_template(source.streams.video[0])
        for packet in source.demux(video=0):
            if packet.dts is not None:
                packet.stream = stream
                output.mux(packet)
    data = front.read_bytes()
    front.write_bytes(data + bytes(5))
    assert probe(front).frame_count == 40
    front.write_bytes(data[: int(len(data) * share)])
    with pytest.raises(MediaError, match='missing at its end') as caught:
        probe(front)
    assert caught.value.reference == 'media-truncated'


@pytest.mark.skipif(not hasattr(os, 'mkfifo'), reason='this system has no named pipes')
def test_a_pipe_is_refused_at_once(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / 'a.mp4')
    assert reference(tmp_path / 'a.mp4') == 'media-not-a-file'
