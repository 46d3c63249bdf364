"""Options of the background remover."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from facefusion.options import option

MODELS = (
    'auto',
    'ben_2',
    'birefnet_general',
    'birefnet_portrait',
    'corridor_key_1024',
    'corridor_key_2048',
    'isnet_general',
    'modnet',
    'ormbg',
    'rmbg_1.4',
    'rmbg_2.0',
    'selfie_segmentation',
    'silueta',
    'u2net_cloth',
    'u2net_general',
    'u2net_human',
    'u2netp',
)


class Color(NamedTuple):
    """A colour; all values are 0..255, and an ``alpha`` of 0 turns its effect off."""

    red: int
    green: int
    blue: int
    alpha: int


def color_of(values: tuple[int, ...]) -> Color:
    """Return the colour of one to four values, as in FaceFusion 3.8 (peer-cli.md section 3.13).

    One value is a grey; two are red and blue, and green; three have no alpha and are opaque.
    """
    if len(values) == 4:
        return Color(*values)
    if len(values) == 3:
        return Color(*values, 255)
    return Color(values[0], values[-1], values[0], 255) if values else Color(0, 0, 0, 0)


@dataclass(frozen=True, slots=True)
class BackgroundRemoverOptions:
    """Model of the background remover, and the colours behind and on the foreground."""

    background_remover_model: str = option(
        'text',
        'auto',
        'model that separates the foreground; auto: modnet, for persons; selfie_segmentation is the fast one for '
        'persons, u2netp finds objects; these three are embedded',
        section='processors',
        choices=MODELS,
    )
    background_remover_fill_color: tuple[int, ...] = option(
        'int',
        (0, 0, 0, 0),
        'colour of the background: red, green, blue and opacity, each 0 to 255; opacity 0: the background becomes '
        'transparent, for outputs with transparency',
        section='processors',
        metavar='LEVEL',
        is_list=True,
        most_items=4,
        minimum=0,
        maximum=255,
    )
    background_remover_despill_color: tuple[int, ...] = option(
        'int',
        (0, 0, 0, 0),
        'colour of a screen whose light is removed from the picture, such as 0 255 0 for a green screen: red, green, '
        'blue and strength, each 0 to 255',
        section='processors',
        metavar='LEVEL',
        is_list=True,
        most_items=4,
        minimum=0,
        maximum=255,
    )
