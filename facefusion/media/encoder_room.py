"""Memory and threads of video encoders, and the shortages that make them fail."""

from __future__ import annotations

from typing import Protocol

import av

from facefusion.shortage import raise_shortage, require_available

# The number of frames that libx264 keeps in memory, mostly for look-ahead, measured at 640x360 and 1920x1080.
_FRAMES_BY_PRESET = {'slow': 170, 'slower': 220, 'veryslow': 270, 'faster': 140, 'fast': 140, 'medium': 140}
_MINIMUM_FRAMES = 55
# Additional frames of libx265, and of libvpx-vp9, which has no presets here.
_MORE_FRAMES = {'libx265': 70, 'libvpx-vp9': 90}
# More than any encoder starts: libx265 starts the most, 6.
_THREADS = 8


class Encoding(Protocol):
    """The settings that decide an encoder's memory, as in ``encoder.EncoderSettings``."""

    @property
    def codec(self) -> str: ...

    @property
    def pix_fmt(self) -> str: ...

    @property
    def width(self) -> int: ...

    @property
    def height(self) -> int: ...

    @property
    def options(self) -> tuple[tuple[str, str], ...]: ...


def frames_held(codec: str, preset: str) -> int:
    """Return the maximum number of frames, in its own pixel format, that an encoder keeps in memory."""
    by_preset = codec in ('libx264', 'libx264rgb', 'libx265')
    frames = _FRAMES_BY_PRESET.get(preset, _MINIMUM_FRAMES) if by_preset else _MINIMUM_FRAMES
    return frames + _MORE_FRAMES.get(codec, 0)


def check_survivable(settings: Encoding) -> None:
    """Raise ResourceError memory-out, threads-out before opening an encoder that would hang or crash in a shortage.

    libx265 waits forever for a thread that could not be started, inside a call that holds the interpreter's lock, so
    that no signal ends it; if memory runs out, it ends the process.
    """
    if settings.codec == 'libx265':
        _require_memory(settings, 1)


def raise_encoder_shortage(settings: Encoding, error: Exception) -> None:
    """Raise ResourceError memory-out, threads-out when a shortage made an encoder fail.

    Most encoders report a different error in a shortage: libx264 a general one, libvpx-vp9 invalid data. The encoder
    has already freed its memory, and address space is allocated in larger pieces than memory. Therefore an error counts
    as a shortage unless twice the memory is available.
    """
    raise_shortage(error)
    _require_memory(settings, 2)


def _require_memory(settings: Encoding, factor: int) -> None:
    bits = av.VideoFormat(settings.pix_fmt, 16, 16).padded_bits_per_pixel
    frame = settings.width * settings.height * bits // 8
    size = frame * frames_held(settings.codec, dict(settings.options).get('preset', '')) * factor
    require_available(f'{settings.codec} with {settings.width}x{settings.height}', size, _THREADS)
