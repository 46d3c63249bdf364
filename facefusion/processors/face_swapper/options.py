"""Options of the face swapper."""

from __future__ import annotations

from dataclasses import dataclass

from facefusion.options import option

MODELS = (
    'auto',
    'blendswap_256',
    'ghost_1_256',
    'ghost_2_256',
    'ghost_3_256',
    'hififace_unofficial_256',
    'hyperswap_1a_256',
    'hyperswap_1b_256',
    'hyperswap_1c_256',
    'inswapper_128',
    'inswapper_128_fp16',
    'mesh_warp',
    'simswap_256',
    'simswap_unofficial_512',
    'uniface_256',
)


@dataclass(frozen=True, slots=True)
class FaceSwapperOptions:
    """Model of the face swapper, and its use of the source."""

    face_swapper_model: str = option(
        'text',
        'auto',
        'model that swaps the face; auto: the best one on this machine; mesh_warp needs no weights',
        section='processors',
        choices=MODELS,
    )
    face_swapper_pixel_boost: str | None = option(
        'text',
        None,
        'size of the swapped crop, a multiple of the size of the model; default: the size of the model; mesh_warp has '
        'no limit',
        section='processors',
        choices=('128x128', '256x256', '384x384', '512x512', '768x768', '1024x1024'),
    )
    face_swapper_weight: float = option(
        'float',
        0.5,
        'likeness of the result; below 0.5: closer to the target, above 0.5: further from it; for models that use an '
        'embedding of the source',
        section='processors',
        minimum=0.0,
        maximum=1.0,
        step=0.05,
    )
    face_swapper_color: str = option(
        'text',
        'none',
        'match: give the swapped face the colours of the target; mesh_warp always does',
        section='processors',
        choices=('none', 'match'),
    )
    face_swapper_source_mode: str = option(
        'text',
        'mean',
        'mean: average the embeddings of all source images; best: use the largest face only; mesh_warp combines images',
        section='processors',
        choices=('mean', 'best'),
    )
