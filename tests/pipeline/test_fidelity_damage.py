"""Tests that a run writes the readable frames of a damaged clip and reports the rest, or refuses it with a reason."""

from __future__ import annotations

import random
import struct
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from fakes import ffmpeg_program as reader
from fakes.fidelity_clips import AAC, BT709, X264, pictures, sound, tagged
from fakes.pass_through import pass_through, plan_pass

from facefusion.errors import FaceFusionError
from facefusion.media.probe import probe
from facefusion.media.reader import ReaderPool, VideoReader


@pytest.fixture(scope='module')
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp('damage')
    reader.ffmpeg('-v', 'error', *pictures(3), *sound(3), *tagged('-g', 25), *AAC, folder / 'whole.mp4')
    return folder


def refusal(target: Path, output: Path, **flags: object) -> FaceFusionError:
    with pytest.raises(FaceFusionError) as caught:
        pass_through(target, output, **flags)
    assert not output.exists()
    return caught.value


def spoil(path: Path, numbers: list[int], how: str) -> list[int]:
    """Damage some packets of a clip, in decoding order; return the numbers of their frames."""
    with av.open(str(path)) as container:
        packets = [packet for packet in container.demux(video=0) if packet.size]
    shown = sorted(packet.pts for packet in packets)
    noise = random.Random(1)
    with path.open('r+b') as file:
        for packet in (packets[number] for number in numbers):
            data = bytearray(bytes(packet))
            begin = 0 if how == 'all' else len(data) // 2
            data[begin:] = noise.randbytes(len(data) - begin) if how == 'half' else bytes(len(data) - begin)
            file.seek(packet.pos)
            file.write(data)
    return sorted(shown.index(packets[number].pts) for number in numbers)


@pytest.mark.parametrize('how', ['all', 'half'])
def test_damage_in_the_middle_stays_there(folder: Path, how: str) -> None:
    path = folder / f'spoilt-{how}.mp4'
    path.write_bytes((folder / 'whole.mp4').read_bytes())
    spoilt = spoil(path, [30, 31, 50], how)
    info = probe(path)
    found = list(VideoReader(info).frames(0, 75))
    damaged = [frame.number for frame in found if frame.is_damaged]
    assert damaged and set(damaged) <= set(spoilt)
    assert damaged == spoilt or how == 'half'
    out = folder / f'out-spoilt-{how}.mp4'
    pass_through(path, out)
    before, after = reader.frames(folder / 'whole.mp4'), reader.frames(out)
    assert [unit.time for unit in before] == [unit.time for unit in after]
    whole, mended = (reader.pixels(each).astype(np.int16) for each in (folder / 'whole.mp4', out))
    sound_before, sound_after = (reader.packets(each) for each in (folder / 'whole.mp4', out))
    assert [unit.data for unit in sound_before] == [unit.data for unit in sound_after]
    errors = np.abs(whole - mended).mean(axis=(1, 2, 3))
    # After the next keyframe, the damage is no longer visible.
    assert errors[[*range(25), *range(75 - 25 + 25, 75)]].max(initial=0) < 1
    assert errors.max() < 12


def test_damage_looks_the_same_after_any_earlier_reads(folder: Path) -> None:
    path = folder / 'spoilt-again.mp4'
    path.write_bytes((folder / 'whole.mp4').read_bytes())
    spoil(path, [25, 30, 31, 50], 'all')
    info = probe(path)
    whole = [(frame.luma(), frame.is_damaged) for frame in VideoReader(info).frames(0, 75)]
    pool = ReaderPool(info, 1)
    for start, stop in ((50, 55), (24, 40), (27, 28), (29, 33), (33, 34), (60, 75), (49, 52)):
        for source in (VideoReader(info), pool):
            for frame in source.frames(start, stop):
                luma, is_damaged = whole[frame.number]
                assert frame.is_damaged == is_damaged and np.array_equal(frame.luma(), luma), frame.number
    pool.close()


def test_a_truncated_file_is_reported_and_its_frames_are_used(folder: Path) -> None:
    reader.ffmpeg('-v', 'error', '-i', folder / 'whole.mp4', '-c', 'copy', folder / 'whole.mkv')
    data = (folder / 'whole.mkv').read_bytes()
    (folder / 'cut.mkv').write_bytes(data[: len(data) // 2])
    plan = pass_through(folder / 'cut.mkv', folder / 'cut-out.mkv')
    assert any('the file ends early' in remark and 'bytes are missing' in remark for remark in plan.target.remarks)
    before, after = reader.frames(folder / 'cut.mkv'), reader.frames(folder / 'cut-out.mkv')
    assert 0 < len(before) < 75 and len(after) - len(before) in (0, 1)
    assert [unit.time for unit in before] == [unit.time for unit in after[: len(before)]]
    data = (folder / 'whole.mp4').read_bytes()
    (folder / 'cut.mp4').write_bytes(data[: len(data) // 2])
    assert refusal(folder / 'cut.mp4', folder / 'never.mp4').reference == 'media-truncated'


def test_removed_packets_leave_a_reported_gap(folder: Path) -> None:
    reader.ffmpeg('-v', 'error', '-i', folder / 'whole.mp4', '-c', 'copy', folder / 'stream.ts')
    data = (folder / 'stream.ts').read_bytes()
    # Only complete packets of 188 bytes are removed.
    first, last = (len(data) // 188 * share // 10 * 188 for share in (4, 6))
    (folder / 'holed.ts').write_bytes(data[:first] + data[last:])
    drop = ('-bsf:v', r"noise=drop='between(n\,30\,41)'")
    reader.ffmpeg('-v', 'error', '-i', folder / 'whole.mp4', '-c', 'copy', *drop, folder / 'holed.mkv')
    for name in ('holed.ts', 'holed.mkv'):
        plan = pass_through(folder / name, folder / f'out-{name}')
        info = plan.target
        assert info.frame_count + sum(gap.missing for gap in info.gaps) == 75
        assert any('frames are missing from its constant rate, at 1.' in remark for remark in info.remarks)
        assert all(1 < gap.begin < gap.end < 2.2 for gap in info.gaps)
        after = [unit.time for unit in reader.frames(folder / f'out-{name}')]
        shown = [time * info.time_base for time in info.pts]
        assert len(after) == info.frame_count
        assert all(abs(a - after[0] - (b - shown[0])) < Fraction(1, 500) for a, b in zip(after, shown, strict=True))
    assert probe(folder / 'stream.ts').gaps == ()


def stream(folder: Path, name: str, begin: float, *words: object, size: str = '320x180') -> bytes:
    """Return one second of a transport stream."""
    path = folder / name
    made = (*pictures(1, size=size), '-vf', BT709, '-c:v', 'mpeg2video', '-q:v', 3, *words)
    reader.ffmpeg('-v', 'error', *made, '-output_ts_offset', begin, path)
    return path.read_bytes()


def test_a_change_of_size_is_reported_with_its_frame(folder: Path) -> None:
    mixed = folder / 'mixed.ts'
    mixed.write_bytes(stream(folder, 'a.ts', 0) + stream(folder, 'b.ts', 1.04, size='160x96'))
    error = refusal(mixed, folder / 'never.mp4')
    assert error.reference == 'frame-size-changes' and 'at frame 25' in error.message
    assert '160x96' in error.cause and '320x180' in error.cause


def test_a_clip_with_interlaced_frames_is_refused(folder: Path) -> None:
    fields = ('-flags', '+ilme+ildct', '-field_order', 'tt', '-alternate_scan', 1, '-top', 1)
    words = (*pictures(1), '-vf', f'{BT709},setfield=tff', *X264, '-x264-params', 'tff=1')
    reader.ffmpeg('-v', 'error', *words, folder / 'fields.mp4')
    error = refusal(folder / 'fields.mp4', folder / 'never.mp4')
    assert error.reference == 'frame-interlaced' and 'bwdif' in error.hint
    later = stream(folder, 'd.ts', 1.04, '-vf', f'{BT709},setfield=tff', *fields[:2])
    (folder / 'later.ts').write_bytes(stream(folder, 'c.ts', 0) + later)
    error = refusal(folder / 'later.ts', folder / 'never.mp4')
    assert error.reference == 'frame-interlaced' and 'from frame 25 on' in error.message


def test_frames_without_times_are_shown_in_their_order(folder: Path) -> None:
    reader.ffmpeg('-v', 'error', '-i', folder / 'whole.mp4', '-c', 'copy', '-an', folder / 'untimed.avi')
    pass_through(folder / 'untimed.avi', folder / 'timed.mp4')
    times = [unit.time for unit in reader.frames(folder / 'timed.mp4')]
    assert [time - times[0] for time in times] == [Fraction(k, 25) for k in range(75)]
    whole, out = (reader.pixels(folder / name).astype(np.int16) for name in ('whole.mp4', 'timed.mp4'))
    assert np.abs(whole - out).mean(axis=(1, 2, 3)).max() < 1


@pytest.mark.parametrize('factor', [0, 0.5, 40])
def test_a_wrong_duration_in_the_header_is_ignored(folder: Path, factor: float) -> None:
    data = bytearray((folder / 'whole.mp4').read_bytes())
    # The offsets of the duration in version 0 of mvhd, mdhd (ISO/IEC 14496-12, 8.2.2 and 8.4.2) and tkhd (8.3.2).
    for name, offset in ((b'mvhd', 20), (b'mdhd', 20), (b'tkhd', 24)):
        at = data.find(name)
        while at >= 0:
            (true,) = struct.unpack_from('>I', data, at + offset)
            struct.pack_into('>I', data, at + offset, int(true * factor))
            at = data.find(name, at + 4)
    (folder / 'liar.mp4').write_bytes(data)
    out = folder / f'honest-{factor}.mp4'
    plan = pass_through(folder / 'liar.mp4', out)
    assert plan.target.frame_count == 75 and plan.target.duration == 3
    before, after = reader.frames(folder / 'whole.mp4'), reader.frames(out)
    assert [unit.time for unit in before] == [unit.time for unit in after]
    assert reader.container_seconds(out) == reader.container_seconds(folder / 'whole.mp4')


def test_audio_without_duration_is_skipped_with_a_warning(folder: Path) -> None:
    whole = folder / 'whole.mp4'
    with av.open(str(whole)) as source, av.open(str(folder / 'mute.mkv'), 'w') as output:
        copies = {stream.index: output.add_stream_from_template(stream) for stream in source.streams}
        for packet in source.demux(video=0):
            if packet.size:
                packet.stream = copies[packet.stream.index]
                output.mux(packet)
    plan = pass_through(folder / 'mute.mkv', folder / 'mute-out.mp4')
    assert 'audio stream 1 is left out: it is empty' in plan.target.remarks
    assert reader.streams(folder / 'mute-out.mp4', 'Audio') == []
    assert len(reader.frames(folder / 'mute-out.mp4')) == 75


def uneven(folder: Path, times: str) -> Path:
    """Write a clip of 30 frames; ``times`` is a formula for the time in 1/100 s of frame number N."""
    path = folder / f'{abs(hash(times))}.mp4'
    words = ('-vf', f"settb=1/100,setpts='{times}',{BT709}", '-fps_mode', 'passthrough', '-enc_time_base', '1/100')
    reader.ffmpeg('-v', 'error', *pictures(1.2), *words, *X264, '-bf', 0, '-video_track_timescale', 100, path)
    return path


def retimed(folder: Path, name: str, times: Callable[[int], int]) -> Path:
    """Write the clip with other frame times, in ticks."""
    with av.open(str(folder / 'whole.mp4')) as source, av.open(str(folder / name), 'w') as output:
        copy = output.add_stream_from_template(source.streams.video[0])
        for packet in source.demux(video=0):
            if packet.size:
                packet.pts = times(packet.pts)
                packet.stream = copy
                output.mux(packet)
    return folder / name


def test_frames_are_shown_at_their_own_times_in_any_order(folder: Path) -> None:
    # In some pairs the first frame in decoder order has the later time.
    swapped = {number: number + 1 for number in (10, 31, 32, 60)} | {number + 1: number for number in (10, 60)}
    swapped |= {32: 33, 33: 31}
    path = retimed(folder, 'disorder.mp4', lambda pts: swapped.get(pts // 512, pts // 512) * 512)
    out = folder / 'ascending.mp4'
    plan = pass_through(path, out)
    assert not any(frame.is_damaged for frame in VideoReader(plan.target).frames(0, 75))
    order = sorted(range(75), key=lambda number: swapped.get(number, number))
    before, after = reader.pixels(folder / 'whole.mp4').astype(np.int16), reader.pixels(out)
    assert np.abs(before[order] - after).mean(axis=(1, 2, 3)).max() < 1
    whole = [frame.luma() for frame in VideoReader(plan.target).frames(0, 75)]
    for start in range(0, 75, 4):
        assert np.array_equal(next(VideoReader(plan.target).frames(start, 75)).luma(), whole[start])


def test_frames_with_duplicate_times_are_reported(folder: Path) -> None:
    info = probe(retimed(folder, 'doubled.mkv', lambda pts: pts + pts % 1024))
    assert info.frame_count == 38
    assert info.remarks == ('frames with the time of another frame are not shown: 37',)


@pytest.mark.parametrize('extension', ['.avi', '.mpg', '.mxf'])
def test_times_that_a_container_cannot_store_are_refused(folder: Path, extension: str) -> None:
    path = uneven(folder, 'N*4+mod(N\\,2)')
    error = refusal(path, folder / f'never{extension}')
    assert error.reference == 'variable-rate' and '--output-video-fps' in error.hint
    plan = plan_pass(path, folder / f'steady{extension}', output_video_fps=25)
    assert plan.video.encoder.is_counted


def test_avi_has_empty_slots_where_frames_are_missing(folder: Path) -> None:
    path = uneven(folder, 'N*4+12*gt(N\\,9)+4*gt(N\\,20)')
    plan = pass_through(path, folder / 'gaps.avi')
    assert plan.video.encoder.rate == 25
    before, after = reader.frames(path), reader.frames(folder / 'gaps.avi')
    assert [unit.time for unit in before] == [unit.time for unit in after]
    assert refusal(path, folder / 'never.mxf').reference == 'variable-rate'
    pass_through(folder / 'gaps.avi', folder / 'gaps-again.avi')
    assert [unit.time for unit in reader.frames(folder / 'gaps-again.avi')] == [unit.time for unit in after]
