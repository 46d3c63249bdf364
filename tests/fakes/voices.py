"""Voices for tests, made from arrays of samples."""

from __future__ import annotations

import hashlib
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
