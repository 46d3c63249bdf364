"""The face enhancers by name; loads no array library, because ``--help`` imports it."""

from __future__ import annotations

from types import MappingProxyType
from typing import NamedTuple


class UpscalerLimits(NamedTuple):
    """The largest side of a crop that an upscaler gets, and the strongest change that it may add, in levels of 255."""

    side: int
    strongest: float


# Upscalers, which every machine has. They know nothing about faces. realesrgan_x4plus is slow and invents more.
EMBEDDED = MappingProxyType(
    {'realesr_animevideov3': UpscalerLimits(256, 6.0), 'realesrgan_x4plus': UpscalerLimits(128, 2.0)}
)
# The models from which 'auto' selects, best first; the last one is embedded.
PREFERENCE = ('gfpgan_1.4', 'codeformer', 'gpen_bfr_512', 'realesr_animevideov3')
# The mask types that the face enhancer applies, as in FaceFusion 3.8 (peer-models.md section 8).
MASK_TYPES = ('box', 'occlusion')


def frozen_model(name: str) -> str:
    """Return the name unchanged, or the embedded enhancer for 'auto', which occurs only before models are frozen."""
    return PREFERENCE[-1] if name == 'auto' else name


def is_embedded(name: str) -> bool:
    """Whether a model is an embedded upscaler; the published models generate faces."""
    return frozen_model(name) in EMBEDDED
