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
from facefusion.media.voice import VOICE_RATE, Voice, remove_voice, resampled, voice_size, without_gaps, write_voice
from facefusion.stopping import StopFlag
from facefusion.voice.activity import VoiceActivity
from facefusion.voice.loudness import chunk_levels, chunks_of, usual_gain
from facefusion.voice.options import BAND, DETECTOR
from facefusion.voice.separation import SEPARATION_RATE, Separator
from facefusion.voice.voice_band import voice_band

Floats = NDArray[np.float32]

_SILENT_DB = -80.0


class Sessions(Protocol):
    """ONNX sessions by the catalogue id of their model."""

    def session(self, model_id: str) -> Any: ...


def extraction_size(sound: SoundInfo) -> int:
    """Return the disk space in bytes that the extraction needs: 460 MB for an hour."""
    return 2 * voice_size(sound)


def extract_voice(
    sound: SoundInfo, folder: Path, extractor: str, sessions: Sessions, stop: StopFlag, number: int = 0
) -> Voice:
    """Return the voice of a source at 16 kHz from ``folder``; extract it unless an earlier run did.

    ``extractor`` is 'band' or the id of a network. The file is named after it, so that voices of different extractors
    are never mixed, and after ``number``, the index of the voice in the run. Speech gets the usual level. Memory does
    not grow with the length. Raises the errors of ``write_voice``, ModelError, ProviderError.
    """
    name = f'{extractor}-{number}' if number else extractor
    path = folder / f'voice-{name}.npy'
    with suppress(ResourceError):
        if path.exists():
            return Voice.open(path, stop)
    session = sessions.session(DETECTOR if extractor == BAND else extractor)
    separated = None if extractor == BAND else _separated(sound, Separator(session), stop)
    # The level of the voice is known only at its end, so it is written twice.
    first = write_voice(sound, folder / f'sound-{name}.npy', stop=stop, blocks=separated)
    try:
        blocks = voice_band(first, VoiceActivity(session), stop) if extractor == BAND else _levelled(first)
        return write_voice(sound, path, stop=stop, blocks=blocks)
    finally:
        first.close()
        remove_voice(first.path)


def is_silent(voice: Voice) -> bool:
    """Whether a voice has no sound: the extractor found no speech."""
    return bool((chunk_levels(voice) < _SILENT_DB).all())


def _levelled(voice: Voice) -> Iterator[tuple[int, Floats]]:
    """Yield the samples at the usual level of speech, which the networks of lip synchronisers expect."""
    gain, position = usual_gain(chunk_levels(voice)), 0
    for chunks in chunks_of(voice):
        samples = (chunks.reshape(-1) * gain)[: voice.sample_count - position]
        yield position, samples
        position += len(samples)


def _separated(sound: SoundInfo, separator: Separator, stop: StopFlag) -> Iterator[tuple[int, Floats]]:
    pieces = SoundPieces(sound.path, sound.content, stop, is_stereo=True)
    stereo = without_gaps(resampled(pieces, SEPARATION_RATE))
    voices = _pieces(separator.separate(stereo, stop))
    # The lengths at both rates may differ by a sample.
    yield from _fitted(resampled(voices, VOICE_RATE), round(sound.duration * VOICE_RATE))


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
