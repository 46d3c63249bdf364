"""The frame enhancers by name; loads no array library, because ``--help`` imports it."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

# The models from which 'auto' selects. The published models invent more, and most of them need minutes per frame on a
# CPU, so they run only when they are named.
PREFERENCE = ('span_x4',)
EMBEDDED = ('realesr_animevideov3', 'realesrgan_x4plus', 'span_x2', 'span_x4')
# Models whose name does not end with their scale.
_SCALES = MappingProxyType({'real_esrgan_x2_fp16': 2, 'real_esrgan_x8_fp16': 8})
_USUAL_SCALE = 4
# The peak memory of a network during a call, in bytes per pixel of its tile. Measured for the embedded models, in one
# thread. Models with the network of realesrgan_x4plus need 1.75 KB per pixel of the enlarged tile; other published
# networks are taken to need the same.
_TILE_BYTES: Mapping[str, int] = MappingProxyType(
    {
        'clear_reality_x4': 4_000,
        'realesr_animevideov3': 3_000,
        'span_kendata_x4': 4_000,
        'span_x2': 4_000,
        'span_x4': 4_000,
        # Not measured: with tiles of this size, a network must enlarge its features at its end.
        'ultra_sharp_2_x4': 4_000,
    }
)
_ENLARGED_BYTES = 1_750
# The side of the tile of each model in pixels, by the catalogue; 128 unless named here.
_TILES = MappingProxyType({'real_web_photo_x4': 64, 'realesrgan_x4plus': 160, 'ultra_sharp_2_x4': 1024})
_LARGE_TILES = ('real_esrgan_', 'real_hatgan_', 'realesr_animevideov3', 'span_x')
# Bytes per value of a strip of enlarged tiles, and the number of strips in memory at once.
_STRIP_BYTES, _STRIPS = 3 * 4, 3


def frozen_model(name: str) -> str:
    """Return the name unchanged, or the embedded upscaler for 'auto', which occurs only before models are frozen."""
    return PREFERENCE[-1] if name == 'auto' else name


def scale_of(name: str) -> int:
    """Return the factor by which a model enlarges width and height: 2, 4 or 8."""
    name = frozen_model(name)
    for scale in (2, 8):
        if name.endswith(f'_x{scale}'):
            return scale
    return _SCALES.get(name, _USUAL_SCALE)


def tile_side(name: str) -> int:
    """Return the side of the tiles that a model gets, in pixels."""
    name = frozen_model(name)
    return _TILES.get(name, 256 if name.startswith(_LARGE_TILES) else 128)


def working_bytes(name: str, width: int) -> int:
    """Return the peak memory to enlarge a frame of this width: the network during a call, and the strips of tiles."""
    side, scale = tile_side(name), scale_of(name)
    network = side**2 * _TILE_BYTES.get(frozen_model(name), _ENLARGED_BYTES * scale**2)
    return network + _STRIPS * _STRIP_BYTES * side * width * scale**2
