"""Options of which parts of a face are replaced."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from facefusion.options import option

TYPES = ('box', 'occlusion', 'area', 'region')
AREAS = ('upper-face', 'lower-face', 'mouth')
REGIONS = (
    'skin',
    'left-eyebrow',
    'right-eyebrow',
    'left-eye',
    'right-eye',
    'glasses',
    'nose',
    'mouth',
    'upper-lip',
    'lower-lip',
)


@dataclass(frozen=True, slots=True)
class FaceMaskOptions:
    """Which parts of a face are replaced, and how softly they end."""

    face_occluder_model: str = option(
        'text',
        'mesh',
        'what sees things in front of a face for the mask type occlusion: mesh compares the skin with its surroundings',
        section='face_masker',
        choices=('mesh',),
    )
    face_parser_model: str = option(
        'text',
        'mesh',
        'what tells the parts of a face for the mask type region: mesh takes them from the landmarks',
        section='face_masker',
        choices=('mesh',),
    )
    face_mask_types: tuple[str, ...] = option(
        'text',
        ('box', 'occlusion'),
        'masks that limit what is replaced, only what all of them leave: box (blur and padding), occlusion (keeps what'
        ' covers the face), area and region (only those chosen)',
        section='face_masker',
        is_list=True,
        choices=TYPES,
    )
    face_mask_areas: tuple[str, ...] = option(
        'text',
        AREAS,
        'areas that are replaced, with the mask type area; none of them has the forehead above the brows',
        section='face_masker',
        is_list=True,
        choices=AREAS,
    )
    face_mask_regions: tuple[str, ...] = option(
        'text',
        REGIONS,
        'parts that are replaced, with the mask type region; left and right are those of the picture; the mesh cannot'
        ' see glasses, so that one changes nothing',
        section='face_masker',
        is_list=True,
        choices=REGIONS,
    )
    face_mask_blur: float = option(
        'float',
        0.3,
        'how soft the edge of the replaced face is, with the mask type box; 0 is a sharp edge',
        section='face_masker',
        minimum=0.0,
        maximum=1.0,
        step=0.05,
    )
    face_mask_padding: tuple[int, ...] = option(
        'int',
        (0, 0, 0, 0),
        'percent of the face that is left alone at its top right bottom left, with the mask type box; one value is for'
        ' all sides, two for top and bottom, right and left',
        section='face_masker',
        is_list=True,
        most_items=4,
        minimum=0,
        maximum=100,
    )


def idle_options(options: FaceMaskOptions) -> tuple[str, ...]:
    """What was chosen without the mask type that it belongs to, as sentences for the user."""
    belonging = {
        'face_mask_areas': 'area',
        'face_mask_regions': 'region',
        'face_mask_padding': 'box',
        'face_mask_blur': 'box',
    }
    usual = FaceMaskOptions()
    return tuple(
        f'--{name.replace("_", "-")} has no effect without --face-mask-types {kind}'
        for name, kind in belonging.items()
        if kind not in options.face_mask_types and getattr(options, name) != getattr(usual, name)
    )


# The catalogue ids of the networks behind the choices of occluder and parser: the mesh needs none of its own.
_NETWORKS: Mapping[str, tuple[str, ...]] = MappingProxyType({'mesh': ()})


def mask_networks(options: FaceMaskOptions) -> tuple[str, ...]:
    """The catalogue ids of the networks that the chosen mask types need."""
    chosen = []
    if 'occlusion' in options.face_mask_types:
        chosen.append(options.face_occluder_model)
    if 'region' in options.face_mask_types:
        chosen.append(options.face_parser_model)
    return tuple(dict.fromkeys(name for model in chosen for name in _NETWORKS[model]))
