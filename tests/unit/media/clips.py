"""Small clips for the media tests, made with PyAV."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

SIZE = (320, 180)


def picture(number: int, width: int = SIZE[0], height: int = SIZE[1]) -> np.ndarray:
    """Return a BGR image with a gradient, a moving box and a yellow patch (16, 180, 180) at x 20..60, y 20..60."""
    x = np.linspace(30, 220, width)[None, :]
    y = np.linspace(30, 220, height)[:, None]
    pixels = np.empty((height, width, 3), np.uint8)
    pixels[..., 0], pixels[..., 1], pixels[..., 2] = x, y, (x + y) / 2
    left = 80 + number * 4 % (width - 140)
    pixels[90:130, left : left + 40] = (200, 40, 40)
    pixels[20:60, 20:60] = (16, 180, 180)
    return pixels


def make_clip(
    path: Path,
    *,
    frames: int = 40,
    size: tuple[int, int] = SIZE,
    pix_fmt: str = 'yuv420p',
    codec: str = 'libx264',
    time_base: Fraction = Fraction(1, 12800),
    pts: Callable[[int], int] = lambda k: k * 512,
    options: dict[str, str] | None = None,
    audio: str = '',
    rotation: int = 0,
    mirrored: bool = False,
    full_range: bool = False,
    transfer: int = 1,
    container_format: str | None = None,
    seconds: float = 1.6,
) -> Path:
    chosen = {'libx264': {'crf': '10', 'preset': 'veryfast', 'g': '12'}, 'libx265': {'x265-params': 'log-level=none'}}
    settings = {'avoid_negative_ts': 'disabled'}
    with av.open(str(path), 'w', format=container_format, options=settings) as output:
        stream = output.add_stream(codec, rate=25, options=options or chosen.get(codec, {}))
        stream.width, stream.height = size
        stream.pix_fmt = pix_fmt
        stream.codec_context.time_base = time_base
        stream.time_base = time_base
        context = stream.codec_context
        context.color_range = 2 if full_range else 1
        context.colorspace = context.color_primaries = 1
        context.color_trc = transfer
        if rotation or mirrored:
            stream.set_display_rotation(rotation, hflip=mirrored)
        sound = None
        if audio:
            sound = output.add_stream(audio, rate=48000)
            sound.codec_context.layout = 'stereo'
        for number in range(frames):
            video = av.VideoFrame.from_ndarray(picture(number, *size), format='bgr24').reformat(
                format=pix_fmt, dst_colorspace=5 if codec == 'mjpeg' else 1, dst_color_range=2 if full_range else 1
            )
            video.pts, video.time_base = pts(number), time_base
            output.mux(stream.encode(video))
        output.mux(stream.encode(None))
        if sound is not None:
            for packet in tone(sound, seconds):
                output.mux(packet)
    return path


def tone(stream: av.AudioStream, seconds: float):
    count = int(48000 * seconds)
    wave = (np.sin(np.arange(count) * 2 * np.pi * 440 / 48000) * 12000).astype(np.int16)
    for at in range(0, count, 960):
        part = wave[at : at + 960]
        frame = av.AudioFrame.from_ndarray(np.repeat(part, 2)[None, :], format='s16', layout='stereo')
        frame.sample_rate, frame.pts, frame.time_base = 48000, at, Fraction(1, 48000)
        yield from stream.encode(frame)
    yield from stream.encode(None)


def times(path: Path) -> list[Fraction]:
    with av.open(str(path)) as container:
        return [frame.pts * frame.time_base for frame in container.decode(video=0)]


def audio_packets(path: Path, track: int = 0) -> list[tuple[Fraction, bytes]]:
    with av.open(str(path)) as container:
        stream = container.streams.audio[track]
        return [(packet.pts * packet.time_base, bytes(packet)) for packet in container.demux(stream) if packet.size]
