"""The chunks, other than an ICC profile, that define the colours of a PNG (PNG, third edition, 11.3.2)."""

from __future__ import annotations

import struct
from collections.abc import Iterator

Chunks = tuple[tuple[bytes, bytes], ...]
# The values of sRGB, which is the default.
_SRGB_GAMMA = 45455
_SRGB_CHROMATICITIES = (31270, 32900, 64000, 33000, 30000, 60000, 15000, 6000)
_SRGB_CODES = b'\x01\x0d\x00\x01'
_NEAR = 500


def colour_chunks(data: bytes, has_profile: bool) -> Chunks:
    """Return the chunks that define the colours of a PNG, in their order; none if the colours are sRGB.

    Precedence: cICP, a profile, sRGB, then gAMA and cHRM; chunks without effect are dropped.
    """
    found = dict(_chunks(data))
    if b'cICP' in found:
        return () if found[b'cICP'] == _SRGB_CODES else ((b'cICP', found[b'cICP']),)
    if has_profile or b'sRGB' in found:
        return ()
    names = [name for name in (b'gAMA', b'cHRM') if name in found and not _is_srgb(name, found[name])]
    return tuple((name, found[name]) for name in names)


def _is_srgb(name: bytes, value: bytes) -> bool:
    numbers = struct.unpack(f'>{len(value) // 4}I', value[: len(value) // 4 * 4])
    usual = (_SRGB_GAMMA,) if name == b'gAMA' else _SRGB_CHROMATICITIES
    return len(numbers) == len(usual) and all(abs(a - b) <= _NEAR for a, b in zip(numbers, usual, strict=True))


def _chunks(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Yield the name and content of each chunk before the pixels."""
    at = 8
    while at + 8 <= len(data):
        size, name = int.from_bytes(data[at : at + 4], 'big'), data[at + 4 : at + 8]
        if name == b'IDAT':
            return
        yield name, data[at + 8 : at + 8 + size]
        at += 12 + size
