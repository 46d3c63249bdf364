"""The face enhancers by name; loads no array library, because ``--help`` imports it."""

from __future__ import annotations

# Upscalers, which every machine has. They know nothing about faces.
EMBEDDED = ('realesr_animevideov3', 'realesrgan_x4plus')
# The models that 'auto' selects from, best first; the last one is embedded.
PREFERENCE = ('gfpgan_1.4', 'codeformer', 'gpen_bfr_512', EMBEDDED[0])
# The default of FaceFusion 3.8.
_BLEND = 80
# By eye and by SSIM, half of an upscaled face is better than all of it (embedded-models-2.md).
_EMBEDDED_BLEND = 50


def frozen_model(name: str) -> str:
    """Return the name unchanged, or the embedded enhancer for 'auto', which occurs only before models are frozen."""
    return EMBEDDED[0] if name == 'auto' else name


def is_embedded(name: str) -> bool:
    """Whether a model is an embedded upscaler; the published models generate faces."""
    return frozen_model(name) in EMBEDDED


def blend_percent(name: str, blend: int | None) -> int:
    """Return the percent of the enhanced face in the result: ``blend``, or the default of the model for None."""
    if blend is not None:
        return blend
    return _EMBEDDED_BLEND if is_embedded(name) else _BLEND
