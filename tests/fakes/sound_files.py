"""Sound files of any format that PyAV can write, and the samples of a file."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import numpy as np


def bursts(seconds: float, rate: int, channels: int = 1, period: float = 0.4) -> np.ndarray:
    """Return noise that is loud in the first half of each period and silent in the second, float32 [channels, n]."""
    times = np.arange(round(seconds * rate)) / rate
    # The noise is the same at all rates: a sum of tones.
    numbers = np.random.default_rng(7)
    tones = [np.sin(2 * np.pi * (each * times + numbers.uniform())) for each in numbers.uniform(150, 3500, 40)]
    wave = 0.9 * np.sum(tones, 0) / np.abs(np.sum(tones, 0)).max(initial=1) * (times % period < period / 2)
    return np.repeat(wave[None], channels, 0).astype(np.float32)


def write_sound_file(path: Path, wave: np.ndarray, rate: int, codec: str, layout: str = 'mono') -> Path:
    """Write samples float32 [channels, n] with the encoder ``codec``."""
    # The vorbis encoder of FFmpeg is experimental.
    options = {'strict': '-2'} if codec == 'vorbis' else {}
    with av.open(str(path), 'w') as output:
        stream = output.add_stream(codec, rate=rate, layout=layout, options=options)
        size = stream.codec_context.frame_size or 1000
        resampler = av.AudioResampler(stream.format.name, layout, rate, frame_size=size)
        frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(wave.T).reshape(1, -1), format='flt', layout=layout)
        frame.sample_rate, frame.pts, frame.time_base = rate, 0, Fraction(1, rate)
        for part in (*resampler.resample(frame), *resampler.resample(None)):
            output.mux(stream.encode(part))
        output.mux(stream.encode(None))
    return path


def sound_of(path: Path, rate: int = 16000) -> np.ndarray:
    """Return the samples of the first audio stream, averaged over its channels, float64 [n]."""
    with av.open(str(path)) as container:
        resampler = av.AudioResampler('flt', 'mono', rate)
        parts = [part for frame in container.decode(audio=0) for part in resampler.resample(frame)]
        parts += resampler.resample(None)
    return np.concatenate([part.to_ndarray()[0] for part in parts]).astype(np.float64)


def loudness(wave: np.ndarray, rate: float, samples: int = 16000) -> np.ndarray:
    """Return the effective value of each 1 / ``rate`` seconds of samples at 16 kHz."""
    step = round(samples / rate)
    whole = wave[: len(wave) // step * step].reshape(-1, step)
    return np.sqrt((whole**2).mean(1))
