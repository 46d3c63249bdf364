"""Options of the face masks: the parts of a face that are replaced."""

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
    """Parts of a face to replace, and the softness of their edges."""

    face_occluder_model: str = option(
        'text',
        'mesh',
        'model that detects objects in front of a face for the mask type occlusion; mesh compares the skin with its '
        'surroundings',
        section='face_masker',
        choices=('mesh',),
    )
    face_parser_model: str = option(
        'text',
        'mesh',
        'model that finds the parts of a face for the mask type region; mesh derives them from the landmarks',
        section='face_masker',
        choices=('mesh',),
    )
    face_mask_types: tuple[str, ...] = option(
        'text',
        ('box', 'occlusion'),
        'masks that limit the replaced part of a face; all of them apply: box (blur and padding), occlusion (keeps '
        'objects in front of the face), area and region (only the selected ones)',
        section='face_masker',
        is_list=True,
        choices=TYPES,
    )
    face_mask_areas: tuple[str, ...] = option(
        'text',
        AREAS,
        'areas to replace with the mask type area; none of them includes the forehead above the eyebrows',
        section='face_masker',
        is_list=True,
        choices=AREAS,
    )
    face_mask_regions: tuple[str, ...] = option(
        'text',
        REGIONS,
        'parts to replace with the mask type region; left and right as seen in the image; glasses has no effect, '
        'because the mesh does not include them',
        section='face_masker',
        is_list=True,
        choices=REGIONS,
    )
    face_mask_blur: float = option(
        'float',
        0.3,
        'softness of the edge of the replaced face with the mask type box; 0: a sharp edge',
        section='face_masker',
        minimum=0.0,
        maximum=1.0,
        step=0.05,
    )
    face_mask_padding: tuple[int, ...] = option(
        'int',
        (0, 0, 0, 0),
        'percent of the face to leave unchanged at its top, right, bottom and left with the mask type box; one value: '
        'all sides; two values: top and bottom, right and left',
        section='face_masker',
        metavar='PERCENT',
        is_list=True,
        most_items=4,
        minimum=0,
        maximum=100,
    )


def idle_options(options: FaceMaskOptions) -> tuple[str, ...]:
    """Return sentences for the user about options that were set without their mask type."""
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


# Catalogue ids of the networks behind each choice of occluder and parser; the mesh needs no network of its own.
_NETWORKS: Mapping[str, tuple[str, ...]] = MappingProxyType({'mesh': ()})


def mask_networks(options: FaceMaskOptions) -> tuple[str, ...]:
    """Return the catalogue ids of the networks that the selected mask types need."""
    chosen = []
    if 'occlusion' in options.face_mask_types:
        chosen.append(options.face_occluder_model)
    if 'region' in options.face_mask_types:
        chosen.append(options.face_parser_model)
    return tuple(dict.fromkeys(name for model in chosen for name in _NETWORKS[model]))
