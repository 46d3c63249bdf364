"""An independent FFmpeg (the binary of ``imageio-ffmpeg``) that creates and reads clips for tests."""

from __future__ import annotations

import re
import struct
import subprocess
from fractions import Fraction
from functools import cache
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest


class Unit(NamedTuple):
    """A decoded frame or a packet: presentation time and duration in seconds, and a hash of its data."""

    time: Fraction
    duration: Fraction
    data: str


@cache
def program() -> str:
    """Return the path of the binary; skip the test if there is none for this system."""
    try:
        from imageio_ffmpeg import get_ffmpeg_exe

        return str(get_ffmpeg_exe())
    except (ImportError, RuntimeError) as error:
        pytest.skip(f'there is no FFmpeg binary for this system: {error}')


def ffmpeg(*words: object, ok: bool = True) -> tuple[bytes, str]:
    """Run the binary with these arguments, and return its stdout and stderr."""
    command = [program(), '-nostdin', '-hide_banner', '-y', *(str(word) for word in words)]
    done = subprocess.run(command, capture_output=True, check=False)
    said = done.stderr.decode('utf-8', 'replace')
    assert done.returncode == 0 or not ok, said
    return done.stdout, said


def _units(text: str) -> list[Unit]:
    base = Fraction(re.search(r'#tb 0: (\d+/\d+)', text)[1])
    rows = [line.split(',') for line in text.splitlines() if line and line[0] != '#']
    return [Unit(int(row[2]) * base, int(row[3]) * base, row[5].strip()) for row in rows]


def frames(path: Path, *filters: object) -> list[Unit]:
    """Return every frame as displayed (upright), with the times stored in the file."""
    words = ('-copyts', '-i', path, '-map', '0:V:0', *filters, '-fps_mode', 'passthrough', '-enc_time_base', 'demux')
    return _units(ffmpeg('-v', 'error', *words, '-f', 'framehash', '-hash', 'md5', '-')[0].decode())


def packets(path: Path, stream: str = 'a:0') -> list[Unit]:
    """Return every packet of a stream as stored."""
    words = ('-copyts', '-i', path, '-map', f'0:{stream}', '-c', 'copy', '-f', 'framehash', '-hash', 'md5', '-')
    return _units(ffmpeg('-v', 'error', *words)[0].decode())


def pixels(path: Path, pix_fmt: str = 'gbrp') -> np.ndarray:
    """Return all frames in ``pix_fmt`` (three full-size planes): uint8 [frames,3,height,width]."""
    words = ('-i', path, '-map', '0:V:0', '-fps_mode', 'passthrough', '-pix_fmt', pix_fmt, '-f', 'rawvideo', '-')
    width, height = size(path)
    return np.frombuffer(ffmpeg('-v', 'error', *words)[0], np.uint8).reshape(-1, 3, height, width)


def samples(path: Path, track: int = 0, channels: int = 1) -> np.ndarray:
    """Return the audio as played from time 0 on: int16 [samples,channels] at 48000 Hz; gaps are silence."""
    late = '-af', 'aresample=48000:async=1:first_pts=0:min_hard_comp=0.000001'
    words = ('-copyts', '-i', path, '-map', f'0:a:{track}', *late, '-ac', channels, '-f', 's16le', '-')
    return np.frombuffer(ffmpeg('-v', 'error', *words)[0], np.int16).reshape(-1, channels)


def size(path: Path) -> tuple[int, int]:
    """Return width and height of the displayed frames."""
    words = ('-i', path, '-map', '0:V:0', '-frames:v', '1', '-f', 'framehash', '-')
    found = re.search(r'#dimensions 0: (\d+)x(\d+)', ffmpeg('-v', 'error', *words)[0].decode())
    return int(found[1]), int(found[2])


def description(path: Path) -> str:
    """Return the program's description of a file: streams, tags, chapters."""
    said = ffmpeg('-i', path, ok=False)[1]
    return said[said.index('Input #0') :]


def streams(path: Path, kind: str) -> list[str]:
    """Return the lines that describe the streams of a kind ('Video', 'Audio', 'Subtitle')."""
    return re.findall(rf'Stream #0:\d+.*?: ({kind}: .*)', description(path))


def colours(path: Path) -> str:
    """Return pixel format and tags of the video, as in 'yuv420p(tv, bt709, progressive)'."""
    return re.search(r'Video: \w+[^,]*, (\w+(?:\([^)]*\))?)', streams(path, 'Video')[0])[1]


def container_seconds(path: Path) -> float:
    """Return the duration stated by the container."""
    hours, minutes, seconds = re.search(r'Duration: (\d+):(\d+):([\d.]+)', description(path)).groups()
    return int(hours) * 3600 + int(minutes) * 60 + float(seconds)


def movie_seconds(path: Path) -> Fraction:
    """Return the duration in the header of an mp4 or mov (ISO/IEC 14496-12, 8.2.2)."""
    data = path.read_bytes()
    at = data.index(b'mvhd') + 4
    ticks, duration = struct.unpack(
        '>II' if not data[at] else '>IQ', data[at + 12 + 8 * data[at] :][: 8 + 4 * data[at]]
    )
    return Fraction(duration, ticks)
