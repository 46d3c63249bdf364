"""The swappers by name, with their networks and crop sizes; loads no array library, because ``--help`` imports it."""

from __future__ import annotations

from dataclasses import dataclass
from types import MappingProxyType

from facefusion.errors import UsageError

MESH_WARP = 'mesh_warp'
RECOGNISER = 'arcface_w600k_r50'


@dataclass(frozen=True, slots=True)
class SwapperModel:
    """A published swapper: the side of its crop in pixels, its converter, and whether it takes an embedding."""

    size: int
    converter: str = ''
    takes_embedding: bool = True

    @property
    def boosts(self) -> tuple[str, ...]:
        """The sizes of ``--face-swapper-pixel-boost``: multiples of the size, up to 1024 pixels."""
        sizes = (side for side in (128, 256, 384, 512, 768, 1024) if side % self.size == 0)
        return tuple(f'{side}x{side}' for side in sizes)


PUBLISHED = MappingProxyType(
    {
        'blendswap_256': SwapperModel(256, takes_embedding=False),
        'ghost_1_256': SwapperModel(256, 'crossface_ghost'),
        'ghost_2_256': SwapperModel(256, 'crossface_ghost'),
        'ghost_3_256': SwapperModel(256, 'crossface_ghost'),
        'hififace_unofficial_256': SwapperModel(256, 'crossface_hififace'),
        'hyperswap_1a_256': SwapperModel(256),
        'hyperswap_1b_256': SwapperModel(256),
        'hyperswap_1c_256': SwapperModel(256),
        'inswapper_128': SwapperModel(128),
        'inswapper_128_fp16': SwapperModel(128),
        'simswap_256': SwapperModel(256, 'crossface_simswap'),
        'simswap_unofficial_512': SwapperModel(512, 'crossface_simswap'),
        'uniface_256': SwapperModel(256, takes_embedding=False),
    }
)
# The models that 'auto' selects from, best first; the last one is embedded.
PREFERENCE = ('hyperswap_1a_256', 'inswapper_128_fp16', 'ghost_2_256', 'simswap_256', MESH_WARP)
BOOSTS = ('128x128', '256x256', '384x384', '512x512', '768x768', '1024x1024')


def frozen_model(name: str) -> str:
    """Return the name unchanged, or the embedded swapper for 'auto', which occurs only before models are frozen."""
    return MESH_WARP if name == 'auto' else name


def networks_of(name: str) -> tuple[str, ...]:
    """Return the catalogue ids of the networks of a swapper; none for the embedded one."""
    model = PUBLISHED.get(name)
    if model is None:
        return ()
    needed = (name, model.converter, RECOGNISER if model.takes_embedding else '')
    return tuple(each for each in needed if each)


def crop_size(name: str, boost: str | None) -> int:
    """Return the side of the crop in pixels. Raises UsageError pixel-boost for a size that the model does not offer."""
    model = PUBLISHED[name]
    if boost is None:
        return model.size
    if boost not in model.boosts:
        raise UsageError(
            'pixel-boost',
            f'the swapper {name} has no pixel boost {boost}',
            cause=f'its sizes are: {", ".join(model.boosts)}',
            hint='change --face-swapper-pixel-boost or --face-swapper-model',
        )
    return int(boost.split('x')[0])
