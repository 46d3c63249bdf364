"""TIFF files of every layout, written without Pillow because it cannot write most of them."""

from __future__ import annotations

import struct

import numpy as np

WHITE_IS_ZERO, BLACK_IS_ZERO, RGB, CMYK, LAB = 0, 1, 2, 5, 8
UNSIGNED, FLOAT = 1, 3


def tiff_bytes(
    samples: np.ndarray,
    photometric: int = RGB,
    *,
    big_endian: bool = False,
    big: bool = False,
    planar: bool = False,
    alpha: int | None = None,
    orientation: int | None = None,
) -> bytes:
    """Return an uncompressed TIFF of ``samples`` [height, width, channels]; with ``big`` it is a BigTIFF."""
    height, width, channels = samples.shape
    order = '>' if big_endian else '<'
    stored = samples.astype(samples.dtype.newbyteorder(order))
    strips = [stored[..., k].tobytes() for k in range(channels)] if planar else [stored.tobytes()]
    offset = 16 if big else 8
    places = [offset + sum(map(len, strips[:k])) for k in range(len(strips))]
    kind = FLOAT if samples.dtype.kind == 'f' else UNSIGNED
    tags = {
        256: ('I', [width]),
        257: ('I', [height]),
        258: ('H', [samples.dtype.itemsize * 8] * channels),
        259: ('H', [1]),
        262: ('H', [photometric]),
        273: ('I', places),
        277: ('H', [channels]),
        278: ('I', [height]),
        279: ('I', [len(strip) for strip in strips]),
        284: ('H', [2 if planar else 1]),
        339: ('H', [kind] * channels),
    }
    if alpha is not None:
        tags[338] = ('H', [alpha])
    if orientation is not None:
        tags[274] = ('H', [orientation])
    directory = offset + sum(map(len, strips))
    word, inline = ('Q', 8) if big else ('I', 4)
    count = struct.pack(order + ('Q' if big else 'H'), len(tags))
    after = directory + len(count) + len(tags) * (4 + 2 * inline) + inline
    entries = extra = b''
    for number in sorted(tags):
        letter, values = tags[number]
        raw = struct.pack(f'{order}{len(values)}{letter}', *values)
        value = raw.ljust(inline, b'\0')
        if len(raw) > inline:
            value = struct.pack(order + word, after + len(extra))
            extra += raw
        entries += struct.pack(f'{order}HH{word}', number, {'H': 3, 'I': 4}[letter], len(values)) + value
    mark = b'MM' if big_endian else b'II'
    head = struct.pack(f'{order}HHHQ', 43, 8, 0, directory) if big else struct.pack(f'{order}HI', 42, directory)
    return mark + head + b''.join(strips) + count + entries + bytes(inline) + extra
