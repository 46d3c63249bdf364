"""The voice of a source for processors, extracted from its audio and stored in the work folder."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import suppress
from fractions import Fraction
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from facefusion.errors import ResourceError
from facefusion.media.sound import Piece, SoundInfo, SoundPieces
from facefusion.media.voice import VOICE_RATE, Voice, remove_voice, resampled, voice_size, write_voice
from facefusion.stopping import StopFlag
from facefusion.voice.activity import VoiceActivity
from facefusion.voice.options import BAND, DETECTOR
from facefusion.voice.separation import SEPARATION_RATE, Separator
from facefusion.voice.voice_band import voice_band

Floats = NDArray[np.float32]

_SILENCE = 1 << 16


class Sessions(Protocol):
    """ONNX sessions by the catalogue id of their model."""

    def session(self, model_id: str) -> Any: ...


def extraction_size(sound: SoundInfo) -> int:
    """Return the disk space in bytes that the extraction needs: 460 MB for an hour."""
    return 2 * voice_size(sound)


def extract_voice(sound: SoundInfo, folder: Path, extractor: str, sessions: Sessions, stop: StopFlag) -> Voice:
    """Return the voice of a source at 16 kHz from ``folder``; extract it unless an earlier run did.

    ``extractor`` is 'band' or the id of a network. The file is named after it, so that voices of different extractors
    are never mixed. Memory does not grow with the length. Raises the errors of ``write_voice``, ModelError,
    ProviderError.
    """
    path = folder / f'voice-{extractor}.npy'
    with suppress(ResourceError):
        if path.exists():
            return Voice.open(path, stop)
    if extractor == BAND:
        return _band(sound, path, VoiceActivity(sessions.session(DETECTOR)), stop)
    separator = Separator(sessions.session(extractor))
    return write_voice(sound, path, stop=stop, blocks=_separated(sound, separator, stop))


def _band(sound: SoundInfo, path: Path, activity: VoiceActivity, stop: StopFlag) -> Voice:
    complete = write_voice(sound, path.with_name('sound.npy'), stop=stop)
    try:
        return write_voice(sound, path, stop=stop, blocks=voice_band(complete, activity, stop))
    finally:
        complete.close()
        remove_voice(complete.path)


def _separated(sound: SoundInfo, separator: Separator, stop: StopFlag) -> Iterator[tuple[int, Floats]]:
    pieces = SoundPieces(sound.path, sound.content, stop, is_stereo=True)
    stereo = _without_gaps(resampled(pieces, SEPARATION_RATE))
    voices = _pieces(separator.separate(stereo, stop))
    # The lengths at both rates may differ by a sample.
    yield from _fitted(resampled(voices, VOICE_RATE), round(sound.duration * VOICE_RATE))


def _without_gaps(blocks: Iterable[tuple[int, Floats]]) -> Iterator[Floats]:
    written = 0
    for start, samples in blocks:
        while written < start:
            silence = np.zeros((min(start - written, _SILENCE), samples.shape[1]), np.float32)
            written += len(silence)
            yield silence
        written += len(samples)
        yield samples


def _pieces(blocks: Iterable[Floats]) -> Iterator[Piece]:
    count = 0
    for stereo in blocks:
        mono: Floats = stereo.mean(axis=1, dtype=np.float64).astype(np.float32)
        yield Piece(Fraction(count, SEPARATION_RATE), SEPARATION_RATE, mono, count > 0)
        count += len(mono)


def _fitted(blocks: Iterable[tuple[int, Floats]], total: int) -> Iterator[tuple[int, Floats]]:
    end = 0
    for start, samples in blocks:
        kept = samples[: max(total - start, 0)]
        end = start + len(kept)
        yield start, kept
    if total - end == 1:
        yield end, np.zeros(1, np.float32)
