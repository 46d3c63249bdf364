"""The memory and threads that video encoders need, and how one that got too little of them is told."""

from __future__ import annotations

from typing import Protocol

import av

from facefusion.shortage import raise_shortage, require_available

# Frames of its own format that libx264 takes the memory of, measured at 640x360 and 1920x1080: most of it looks ahead.
_FRAMES_BY_PRESET = {'slow': 170, 'slower': 220, 'veryslow': 270, 'faster': 140, 'fast': 140, 'medium': 140}
_LEAST_FRAMES = 55
# What libx265 takes beyond that, and libvpx-vp9, which has no presets here, beyond the least.
_MORE_FRAMES = {'libx265': 70, 'libvpx-vp9': 90}
# The most that any of them starts is 6 (libx265).
_THREADS = 8


class Encoding(Protocol):
    """What decides how much an encoder takes, as ``encoder.EncoderSettings`` has it."""

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
    """How many frames of its format an encoder takes the memory of, at most."""
    by_preset = codec in ('libx264', 'libx264rgb', 'libx265')
    least = _FRAMES_BY_PRESET.get(preset, _LEAST_FRAMES) if by_preset else _LEAST_FRAMES
    return least + _MORE_FRAMES.get(codec, 0)


def check_survivable(settings: Encoding) -> None:
    """Raises ResourceError memory-out, threads-out before an encoder is opened that would not come back without them.

    libx265 waits without end for a thread that could not be started, inside a call that holds the interpreter's lock,
    so that no signal ends it; without memory it ends the process.
    """
    if settings.codec == 'libx265':
        _prove_room(settings, 1)


def raise_encoder_shortage(settings: Encoding, error: Exception) -> None:
    """Raises ResourceError memory-out, threads-out when an encoder failed for nothing else.

    Most do not say so: libx264 gives a general error, libvpx-vp9 calls data invalid. They have freed what they got when
    this is asked, and address space is taken in larger pieces than memory: so twice as much must be there.
    """
    raise_shortage(error)
    _prove_room(settings, 2)


def _prove_room(settings: Encoding, factor: int) -> None:
    bits = av.VideoFormat(settings.pix_fmt, 16, 16).padded_bits_per_pixel
    frame = settings.width * settings.height * bits // 8
    size = frame * frames_held(settings.codec, dict(settings.options).get('preset', '')) * factor
    require_available(f'{settings.codec} with {settings.width}x{settings.height}', size, _THREADS)
