"""Small audio files for the media tests, and an independent audio reader."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from clips import picture


def voice_like(seconds: float, rate: int, seed: int = 1) -> np.ndarray:
    """Return float32 [n]: tones below 4 kHz whose loudness varies so that no two parts are alike."""
    numbers = np.random.default_rng(seed)
    times = np.arange(round(seconds * rate)) / rate
    made = np.zeros(len(times))
    for frequency in numbers.uniform(150, 3500, 12):
        made += np.sin(2 * np.pi * (frequency * times + numbers.uniform())) * (
            1 + np.sin(2 * np.pi * (numbers.uniform(1, 4) * times + numbers.uniform()))
        )
    return (made / 24).astype(np.float32)


def write_sound(
    path: Path,
    parts: Sequence[tuple[float, np.ndarray]],
    rate: int,
    codec: str,
    *,
    layout: str = 'mono',
    pictures: int = 0,
    begin: int = 0,
) -> Path:
    """Write ``parts``; each part has a start time in seconds and samples (float32 [n] or [channels, n]).

    ``pictures`` is the number of video frames, and ``begin`` is the time of the first one in seconds.
    """
    with av.open(str(path), 'w', options={'avoid_negative_ts': 'disabled'}) as output:
        if pictures:
            video = output.add_stream('libx264', rate=25, options={'preset': 'ultrafast'})
            video.width, video.height, video.pix_fmt = 64, 48, 'yuv420p'
        stream = output.add_stream(codec, rate=rate, layout=layout)
        stream.time_base = Fraction(1, rate)
        stream.bit_rate = 128000
        packets = []
        for number in range(pictures):
            frame = av.VideoFrame.from_ndarray(picture(number, 160, 120)[:48, :64].copy(), format='bgr24')
            frame.pts, frame.time_base = begin * 25 + number, Fraction(1, 25)
            packets += video.encode(frame)
        packets += video.encode(None) if pictures else []
        for start, wave in parts:
            packets += _encoded(stream, np.atleast_2d(wave), round(start * rate), rate, layout)
        for packet in (*packets, *stream.encode(None)):
            output.mux(packet)
    return path


def _encoded(stream, wave: np.ndarray, start: int, rate: int, layout: str) -> list:
    size = stream.codec_context.frame_size or 1000
    resampler = av.AudioResampler(stream.format.name, layout, rate, frame_size=size)
    channels = av.AudioLayout(layout).nb_channels
    packed = np.ascontiguousarray(np.broadcast_to(wave, (channels, wave.shape[1])).T, np.float32).reshape(1, -1)
    frame = av.AudioFrame.from_ndarray(packed, format='flt', layout=layout)
    frame.sample_rate, frame.pts, frame.time_base = rate, 0, Fraction(1, rate)
    packets, reached = [], start
    for part in (*resampler.resample(frame), *resampler.resample(None)):
        part.pts, part.time_base = reached, Fraction(1, rate)
        reached += part.samples
        packets += stream.encode(part)
    return packets


def decoded(path: Path) -> np.ndarray:
    """Return all samples of the first audio stream as float64 [channels, n], ignoring their times."""
    with av.open(str(path)) as container:
        frames = list(container.decode(audio=0))
    parts = []
    for frame in frames:
        samples = frame.to_ndarray()
        if not frame.format.is_planar:
            samples = samples.reshape(-1, frame.layout.nb_channels).T
        scale = {'s16': 2.0**15, 's32': 2.0**31}.get(frame.format.packed.name, 1.0)
        parts.append(samples / scale)
    return np.concatenate(parts, axis=1)


def resampled(wave: np.ndarray, rate: int, wanted: int) -> np.ndarray:
    """Return ``wave`` at the lower rate ``wanted``, resampled by a long windowed sinc."""

    count, reach = round(len(wave) * wanted / rate), 300
    padded = np.pad(wave.astype(np.float64), reach)
    made = np.empty(count)
    cutoff = min(wanted / rate, 1)
    for number in range(count):
        place = number * rate / wanted
        nearest = round(place)
        away = np.arange(nearest - reach, nearest + reach + 1) - place
        weights = cutoff * np.sinc(cutoff * away) * np.cos(np.pi * away / (2 * reach + 2)) ** 2
        made[number] = padded[nearest : nearest + 2 * reach + 1] @ weights
    return made
