"""Tests of the remarks about data that a file lacks or that its output loses."""

from __future__ import annotations

import threading
from fractions import Fraction
from pathlib import Path

import av
import av.logging
import pytest
from clips import make_clip

from facefusion.errors import MediaError
from facefusion.media.info import VideoInfo
from facefusion.media.probe import probe
from facefusion.media.side_streams import plan_extras
from facefusion.media.timeline import build_timeline
from facefusion.media.truncation import missing_at_end


def video(path: Path) -> VideoInfo:
    info = probe(path)
    assert isinstance(info, VideoInfo)
    return info


def test_a_complete_clip_has_no_remarks(tmp_path: Path) -> None:
    for name in ('a.mp4', 'a.mov', 'a.mkv'):
        assert video(make_clip(tmp_path / name, audio='aac', frames=5)).remarks == ()


@pytest.mark.parametrize('share', [0.5, 0.99])
def test_a_truncated_mkv_is_reported(tmp_path: Path, share: float) -> None:
    whole = make_clip(tmp_path / 'a.mkv')
    assert not missing_at_end(whole, 'matroska')
    data = whole.read_bytes()
    cut = tmp_path / 'cut.mkv'
    cut.write_bytes(data[: int(len(data) * share)])
    assert missing_at_end(cut, 'matroska') == f'{len(data) - int(len(data) * share)} bytes are missing'
    info = video(cut)
    (remark,) = info.remarks
    assert remark.startswith('the file ends early')
    assert f'{info.frame_count} frames can be read' in remark


def test_an_mkv_of_unknown_length_has_no_remark(tmp_path: Path) -> None:
    data = bytearray(make_clip(tmp_path / 'a.mkv', frames=5).read_bytes())
    at = data.index(b'\x18\x53\x80\x67') + 4
    assert data[at] == 1
    data[at + 1 : at + 8] = b'\xff' * 7
    (tmp_path / 'live.mkv').write_bytes(data)
    assert not missing_at_end(tmp_path / 'live.mkv', 'matroska')
    assert video(tmp_path / 'live.mkv').remarks == ()


def test_an_empty_audio_stream_is_left_out_with_a_remark(tmp_path: Path) -> None:
    info = video(make_clip(tmp_path / 'a.mkv', audio='aac', seconds=0))
    assert info.audio == ()
    assert info.remarks == ('audio stream 1 is left out: it is empty',)


def test_streams_lost_in_every_output_are_counted(tmp_path: Path) -> None:
    whole = make_clip(tmp_path / 'a.mkv', frames=5)
    subtitles = tmp_path / 'a.srt'
    subtitles.write_text('1\n00:00:00,000 --> 00:00:00,100\nhello\n\n')
    with av.open(str(whole)) as source, av.open(str(subtitles)) as words, av.open(str(tmp_path / 'b.mkv'), 'w') as out:
        copies = [out.add_stream_from_template(source.streams.video[0])]
        copies += [out.add_stream_from_template(words.streams.subtitles[0]) for _ in range(2)]
        out.set_chapters(
            [{'id': 1, 'start': 0, 'end': 100, 'time_base': Fraction(1, 1000), 'metadata': {'title': 'one'}}]
        )
        for packet in source.demux(video=0):
            if packet.size:
                packet.stream = copies[0]
                out.mux(packet)
    info = video(tmp_path / 'b.mkv')
    assert info.remarks == ()
    said = plan_extras(info, build_timeline(info), '.avi').remarks
    lost = [f'subtitle stream {number} is not kept: avi does not support srt' for number in (1, 2)]
    assert said == (*lost, '1 chapter is not kept: avi supports none')
    assert plan_extras(info, build_timeline(info), '.mkv').remarks == ()


def test_keyframes_are_frame_numbers(tmp_path: Path) -> None:
    assert list(video(make_clip(tmp_path / 'a.mp4')).keyframes) == [0, 12, 24, 36]
    one = video(make_clip(tmp_path / 'b.mkv', options={'g': '900', 'x264-params': 'scenecut=0'}))
    assert list(one.keyframes) == [0]


def test_concurrent_probes_restore_the_log_level(tmp_path: Path) -> None:
    path = tmp_path / 'a.mkv'
    path.write_bytes(b'\x1aE\xdf\xa3' + bytes(500))
    causes = []

    def ask() -> None:
        for _ in range(40):
            with pytest.raises(MediaError) as caught:
                probe(path)
            causes.append(caught.value.cause)

    before = av.logging.get_level()
    threads = [threading.Thread(target=ask) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert av.logging.get_level() == before
    assert len(causes) == 160
    # Newer PyAV may return either of the two lines that FFmpeg logs about this file, but never one of another thread.
    assert all('EBML' in cause for cause in causes)
