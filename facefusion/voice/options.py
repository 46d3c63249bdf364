"""Options of the voice extractor, which separates a voice from other sounds; loads no array library."""

from __future__ import annotations

from dataclasses import dataclass
from types import MappingProxyType

from facefusion.options import option

BAND = 'band'
DETECTOR = 'silero_vad'
# The models from which 'auto' selects, best first; the last one needs no published weights.
VOICE_PREFERENCES = MappingProxyType({'voice_extractor_model': ('kim_vocal_2', 'kim_vocal_1', 'uvr_mdxnet', BAND)})

# Memory in bytes: blocks of audio and their spectra, measured; and the layers of an MDX network for one chunk,
# estimated from their sizes (48 channels of 3072 x 256 values, several of which are kept).
_BAND_BYTES, _NETWORK_BYTES = 60_000_000, 1_250_000_000


@dataclass(frozen=True, slots=True)
class VoiceExtractorOptions:
    """The model that extracts a voice."""

    voice_extractor_model: str = option(
        'text',
        'auto',
        'model that separates the voice from music and noise, for processors that need a voice; auto: the best one on '
        'this machine; band keeps speech, found by the embedded voice detector, in the band of a voice',
        section='voice_extractor',
        choices=('auto', 'band', 'kim_vocal_1', 'kim_vocal_2', 'uvr_mdxnet'),
    )


def extractor_of(options: VoiceExtractorOptions) -> str:
    """Return the selected extractor; 'auto' occurs only before models are frozen."""
    return BAND if options.voice_extractor_model == 'auto' else options.voice_extractor_model


def extractor_networks(options: VoiceExtractorOptions) -> tuple[str, ...]:
    """Return the catalogue ids of the networks of the selected extractor."""
    name = extractor_of(options)
    return (DETECTOR,) if name == BAND else (name,)


def extraction_memory(options: VoiceExtractorOptions) -> int:
    """Return the memory in bytes that the selected extractor needs, without its weights."""
    return _BAND_BYTES if extractor_of(options) == BAND else _NETWORK_BYTES
