"""Tests that subtitles, chapters, tags and tracks are copied if the container supports them, and losses reported."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import pytest
from fakes import ffmpeg_program as reader
from fakes.fidelity_clips import AAC, pictures, sound, tagged
from fakes.pass_through import pass_through

from facefusion.events import Event
from facefusion.media.concat import concat_clips
from facefusion.stopping import StopFlag

TEXTS = '1\n00:00:00,200 --> 00:00:00,700\nFirst <i>line</i>\n\n2\n00:00:01,100 --> 00:00:01,900\nSecond\n'
ABOUT = """;FFMETADATA1
title=A title
artist=Somebody
note=an odd one
[CHAPTER]
TIMEBASE=1/1000
START=0
END=800
title=Opening
[CHAPTER]
TIMEBASE=1/1000
START=800
END=2000
title=Ending
"""


STYLED = """[Script Info]
ScriptType: v4.00+

[V4+ Styles]
Format: Name, Fontname, Fontsize, PrimaryColour
Style: Default,Arial,20,&H00FFFFFF

[Events]
Format: Layer, Start, End, Style, Name, MarginL, MarginR, MarginV, Effect, Text
Dialogue: 0,0:00:00.10,0:00:00.60,Default,,0,0,0,,Styled
"""


@pytest.fixture(scope='module')
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of clips with all kinds of metadata and tracks in two languages, as mkv and as mp4."""
    folder = tmp_path_factory.mktemp('extras')
    (folder / 'texts.srt').write_text(TEXTS, encoding='utf-8')
    (folder / 'about.txt').write_text(ABOUT, encoding='utf-8')
    inputs = (*pictures(), *sound(layout='mono'), *sound(layout='5.1', pitch=300))
    inputs += ('-i', folder / 'texts.srt', '-i', folder / 'about.txt')
    words = ('-map', 0, '-map', 1, '-map', 2, '-map', 3, '-map_metadata', 4, '-map_chapters', 4, *tagged(), *AAC)
    words += ('-metadata:s:a:0', 'language=eng', '-metadata:s:a:1', 'language=fra', '-disposition:a:1', 'default')
    words += ('-disposition:a:0', 0, '-metadata:s:s:0', 'language=eng', '-disposition:s:0', 'forced')
    reader.ffmpeg('-v', 'error', *inputs, *words, '-c:s', 'srt', folder / 'in.mkv')
    reader.ffmpeg('-v', 'error', *inputs, *words, '-c:s', 'mov_text', folder / 'in.mp4')
    return folder


def texts(path: Path) -> list[tuple[Fraction, Fraction, str]]:
    """Return the subtitles of a file with their start and end times."""

    def seconds(stamp: str) -> Fraction:
        hours, minutes, rest = stamp.strip().replace(',', '.').split(':')
        return int(hours) * 3600 + int(minutes) * 60 + Fraction(rest)

    written = reader.ffmpeg('-v', 'error', '-copyts', '-i', path, '-map', '0:s:0', '-f', 'srt', '-')[0].decode()
    found = []
    for block in written.strip().split('\n\n'):
        _, span, *lines = block.splitlines()
        found.append((*map(seconds, span.split('-->')), ' '.join(lines)))
    return found


WHOLE = [
    (Fraction(1, 5), Fraction(7, 10), 'First <i>line</i>'),
    (Fraction(11, 10), Fraction(19, 10), 'Second'),
]


@pytest.mark.parametrize('source', ['in.mkv', 'in.mp4'])
@pytest.mark.parametrize('extension', ['.mkv', '.mp4', '.mov', '.webm'])
def test_subtitles_chapters_and_tags_are_copied(folder: Path, source: str, extension: str) -> None:
    out = folder / f'out-{source}{extension}'
    plan = pass_through(folder / source, out)
    said = reader.description(out)
    assert texts(out) == WHOLE
    assert 'start 0.000000, end 0.800000' in said and 'start 0.800000, end 2.000000' in said
    assert 'Opening' in said and 'Ending' in said and 'A title' in said and 'Somebody' in said
    (line,) = reader.streams(out, 'Subtitle')
    # The first track of its kind is always enabled in mp4 and mov; mov cannot store forced subtitles.
    assert ('default' in line) == (source == 'in.mp4' or extension in ('.mp4', '.mov'))
    assert ('forced' in line) == (extension != '.mov')
    remarks = ' '.join(plan.target.remarks)
    assert ('an odd one' in said) == (source == 'in.mkv' and extension in ('.mkv', '.webm'))
    assert ('tags that' in remarks and 'note' in remarks.lower()) == (
        source == 'in.mkv' and extension in ('.mp4', '.mov')
    )
    assert 'not kept' not in remarks


@pytest.mark.parametrize('extension', ['.mkv', '.mp4', '.mov'])
def test_every_track_keeps_its_packets_language_and_order(folder: Path, extension: str) -> None:
    source = folder / ('in.mkv' if extension == '.mkv' else 'in.mp4')
    pass_through(source, folder / f'tracks{extension}')
    for number in range(2):
        old, new = (reader.packets(path, f'a:{number}') for path in (source, folder / f'tracks{extension}'))
        assert [unit.data for unit in old] == [unit.data for unit in new]
        assert [unit.time for unit in old] == [unit.time for unit in new]
    said = reader.description(folder / f'tracks{extension}')
    first, second = (line for line in said.splitlines() if 'Audio: ' in line)
    assert '(eng)' in first and 'mono' in first and 'default' not in first
    assert '(fra)' in second and '5.1' in second and 'default' in second


@pytest.mark.parametrize('source', ['in.mkv', 'in.mp4'])
@pytest.mark.parametrize('extension', ['.mkv', '.mp4'])
def test_a_trim_cuts_subtitles_and_chapters_with_the_frames(folder: Path, source: str, extension: str) -> None:
    out = folder / f'trim-{source}{extension}'
    pass_through(folder / source, out, trim_frame_start=10, trim_frame_end=40)
    (start, end, first), (again, last, second) = texts(out)
    assert (start, end, again, last) == tuple(Fraction(k, 10) for k in (0, 3, 7, 12))
    assert (first, second) == ('First <i>line</i>', 'Second')
    said = reader.description(out)
    assert 'start 0.000000, end 0.400000' in said and 'start 0.400000, end 1.200000' in said


@pytest.mark.parametrize('extension', ['.avi', '.ts', '.mpg', '.mxf', '.wmv'])
def test_losses_are_reported_once(folder: Path, extension: str) -> None:
    plan = pass_through(folder / 'in.mkv', folder / f'lost{extension}')
    remarks, name = plan.target.remarks, extension[1:]
    assert len(set(remarks)) == len(remarks)
    assert f'subtitle stream 1 is not kept: {name} does not support srt' in remarks
    assert (f'2 chapters are not kept: {name} supports none' in remarks) == (extension != '.wmv')
    lost = [remark for remark in remarks if remark.startswith('tags that')]
    said = reader.description(folder / f'lost{extension}')
    for tag, value in (('note', 'an odd one'), ('title', '    title           : A title')):
        assert (value in said) != any(tag in remark.lower() for remark in lost)


def test_attachments_stay_in_mkv(folder: Path) -> None:
    (folder / 'font.ttf').write_bytes(b'not really a font' * 50)
    words = ('-i', folder / 'in.mkv', '-map', 0, '-c', 'copy', '-attach', folder / 'font.ttf')
    reader.ffmpeg('-v', 'error', *words, '-metadata:s:t', 'mimetype=font/ttf', folder / 'font.mkv')
    pass_through(folder / 'font.mkv', folder / 'with-font.mkv')
    reader.ffmpeg('-v', 'error', '-dump_attachment:t:0', folder / 'back.ttf', '-i', folder / 'with-font.mkv', ok=False)
    assert (folder / 'back.ttf').read_bytes() == (folder / 'font.ttf').read_bytes()
    plan = pass_through(folder / 'font.mkv', folder / 'no-font.mp4')
    assert '1 attachment is not kept: mp4 supports none' in plan.target.remarks


def test_quicktime_tags_are_copied(folder: Path) -> None:
    words = (
        '-i',
        folder / 'in.mp4',
        '-map',
        '0:v',
        '-map_metadata',
        -1,
        '-c',
        'copy',
        '-movflags',
        'use_metadata_tags',
    )
    tags = {'com.apple.quicktime.make': 'Maker', 'com.apple.quicktime.location.ISO6709': '+48.8584+002.2945/'}
    named = [word for key, value in tags.items() for word in ('-metadata', f'{key}={value}')]
    reader.ffmpeg('-v', 'error', *words, *named, folder / 'phone.mov')
    plan = pass_through(folder / 'phone.mov', folder / 'phone-out.mov')
    assert plan.target.remarks == ()
    said = reader.description(folder / 'phone-out.mov')
    assert all(f'{key}: {value}' in said.replace(' : ', ': ') for key, value in tags.items())


@pytest.mark.parametrize('extension', ['.mkv', '.mp4', '.mov', '.webm'])
def test_joined_clips_have_the_subtitles_and_chapters_of_each_at_its_time(folder: Path, extension: str) -> None:
    one, two, bare = (folder / f'join-{name}{extension}' for name in ('one', 'two', 'bare'))
    pass_through(folder / 'in.mkv', one, trim_frame_start=0, trim_frame_end=25)
    # The clip in the middle has no subtitles and no chapters.
    reader.ffmpeg('-v', 'error', '-i', one, '-map', '0:v', '-map', '0:a', '-map_chapters', -1, '-c', 'copy', bare)
    pass_through(folder / 'in.mkv', two, trim_frame_start=10, trim_frame_end=40)
    said: list[Event] = []
    out = folder / f'joined{extension}'
    concat_clips([one, bare, two], out, extension, StopFlag(), said.append)
    assert texts(out) == [
        (Fraction(1, 5), Fraction(7, 10), 'First <i>line</i>'),
        (Fraction(2), Fraction(23, 10), 'First <i>line</i>'),
        (Fraction(27, 10), Fraction(32, 10), 'Second'),
    ]
    described = reader.description(out)
    times = [line.split(': ')[1] for line in described.splitlines() if 'Chapter #' in line]
    # In mp4 and mov, a chapter lasts until the next one starts.
    ends = (0.8, 2 if extension in ('.mp4', '.mov') else 1, 2.4, 3.2)
    assert times == [f'start {start:.6f}, end {end:.6f}' for start, end in zip((0, 0.8, 2, 2.4), ends, strict=True)]
    assert described.count('Opening') == described.count('Ending') == 2 and 'A title' in described
    (line,) = [line for line in described.splitlines() if 'Subtitle: ' in line]
    assert '(eng)' in line
    assert len(reader.frames(out)) == 25 + 25 + 30
    assert said == []


def test_joined_subtitles_of_another_language_or_style_stay_separate(folder: Path) -> None:
    (folder / 'styled.ass').write_text(STYLED, encoding='utf-8')
    (folder / 'font.bin').write_bytes(b'not really a font' * 9)
    video = (*pictures(1), '-i', folder / 'texts.srt', '-i', folder / 'styled.ass', *tagged(), '-map', 0, '-t', 1)
    more = ('-attach', folder / 'font.bin', '-metadata:s:t', 'mimetype=font/ttf', '-c:s', 'copy')
    clips = [folder / f'apart-{number}.mkv' for number in (0, 1)]
    english, german = (('-metadata:s:s:0', f'language={code}') for code in ('eng', 'ger'))
    reader.ffmpeg('-v', 'error', *video, '-map', 1, '-map', 2, *english, '-metadata', 'title=One', *more, clips[0])
    reader.ffmpeg('-v', 'error', *video, '-map', 2, '-map', 1, '-metadata', 'title=Two', *more, clips[1])
    reader.ffmpeg('-v', 'error', '-i', clips[1], '-map', 0, '-c', 'copy', *german, folder / 'apart-2.mkv')
    said: list[Event] = []
    out = folder / 'apart.mkv'
    concat_clips([*clips, folder / 'apart-2.mkv'], out, '.mkv', StopFlag(), said.append)
    lines = [line for line in reader.description(out).splitlines() if 'Subtitle: ' in line]
    assert [line.split('Subtitle: ')[1].split()[0] for line in lines] == ['subrip', 'ass', 'subrip', 'ass']
    assert '(eng)' in lines[0] and '(ger)' in lines[3]
    # A player skips a line whose number it has already read.
    numbers = [bytes(packet).split(b',')[0] for packet in subtitle_packets(out) if bytes(packet).count(b',') > 6]
    assert len(numbers) == len(set(numbers)) == 3
    assert [message.text for message in said] == [
        f'tags of apart-{number}.mkv are lost in the joined output: title' for number in (1, 2)
    ]
    with av.open(str(out)) as container:
        assert [stream.type for stream in container.streams].count('attachment') == 1


def subtitle_packets(path: Path) -> list[av.Packet]:
    with av.open(str(path)) as container:
        return [packet for packet in container.demux(container.streams.subtitles) if packet.size]
