"""Voices for tests, made from arrays of samples."""

from __future__ import annotations

import hashlib
import wave
from pathlib import Path

import numpy as np

from facefusion.media.voice import VOICE_RATE, Voice


def make_voice(samples: np.ndarray, folder: Path) -> Voice:
    """Return the voice with these samples at 16 kHz, stored in ``folder``."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / 'voice.npy'
    np.save(path, samples.astype(np.float32))
    return Voice(path, VOICE_RATE, hashlib.sha256(path.read_bytes()).hexdigest())


def resampled(speech, rate: int = VOICE_RATE) -> np.ndarray:
    """Return the samples of a ``spoken.Speech`` at another rate, by linear interpolation."""
    times = np.arange(int(len(speech.samples) * rate / speech.rate)) / rate
    return np.interp(times, np.arange(len(speech.samples)) / speech.rate, speech.samples).astype(np.float32)


def music(count: int, rate: int = VOICE_RATE) -> np.ndarray:
    """Return chords with six harmonics each and a drum beat, two a second: float32 [count], -0.3 .. 0.3."""
    times = np.arange(count) / rate
    beat = times % 0.5
    chord = (times / 0.5).astype(int) % 4
    notes = np.array([[220, 277, 330], [196, 247, 294], [262, 330, 392], [175, 220, 262]])[chord]
    tones = sum(np.sin(2 * np.pi * part * notes * beat[:, None]).sum(axis=1) / part for part in range(1, 7))
    drum = np.random.default_rng(1).standard_normal(count) * np.exp(-40 * beat) / 2
    sound = tones * np.exp(-3 * beat) + drum
    return (0.3 * sound / np.abs(sound).max()).astype(np.float32)


def write_wav(path: Path, samples: np.ndarray, rate: int = VOICE_RATE) -> Path:
    """Write samples -1 .. 1, [n] or [n, channels], as 16-bit wav."""
    with wave.open(str(path), 'wb') as file:
        file.setnchannels(samples.shape[1] if samples.ndim == 2 else 1)
        file.setsampwidth(2)
        file.setframerate(rate)
        file.writeframes((np.clip(samples, -1, 1) * 32767).round().astype('<i2').tobytes())
    return path
