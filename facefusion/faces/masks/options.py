"""Options of the face masks: the parts of a face that are replaced."""

from __future__ import annotations

from dataclasses import dataclass
from types import MappingProxyType

from facefusion.options import option

MESH = 'mesh'
# The models from which 'auto' selects, best first; the mesh is embedded.
MASK_PREFERENCES = MappingProxyType(
    {'face_occluder_model': ('xseg_1', MESH), 'face_parser_model': ('bisenet_resnet_34', MESH)}
)
# The mask type that uses each of these options.
MASK_MODEL_TYPES = MappingProxyType({'face_occluder_model': 'occlusion', 'face_parser_model': 'region'})
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
        'auto',
        'model that detects objects in front of a face for the mask type occlusion; mesh compares the skin with its '
        'surroundings and needs no weights; many: all xseg models together',
        section='face_masker',
        choices=('auto', 'many', 'mesh', 'xseg_1', 'xseg_2', 'xseg_3'),
    )
    face_parser_model: str = option(
        'text',
        'auto',
        'model that finds the parts of a face for the mask type region; mesh derives them from the landmarks and needs '
        'no weights',
        section='face_masker',
        choices=('auto', 'bisenet_resnet_18', 'bisenet_resnet_34', 'mesh'),
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
        'parts to replace with the mask type region; left and right as seen in the image; the mesh does not find '
        'glasses',
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


def occluders(options: FaceMaskOptions) -> tuple[str, ...]:
    """Return the catalogue ids of the selected occluders; none for the mesh, or without the mask type occlusion."""
    return _networks('occlusion', options.face_occluder_model, options)


def parsers(options: FaceMaskOptions) -> tuple[str, ...]:
    """Return the catalogue ids of the selected parser; none for the mesh, or without the mask type region."""
    return _networks('region', options.face_parser_model, options)


def mask_networks(options: FaceMaskOptions) -> tuple[str, ...]:
    """Return the catalogue ids of the networks that the selected mask types need."""
    return occluders(options) + parsers(options)


def mesh_types(options: FaceMaskOptions) -> tuple[str, ...]:
    """Return the selected mask types that are derived from the mesh."""
    networks = {'occlusion': occluders(options), 'region': parsers(options)}
    return tuple(kind for kind in options.face_mask_types if networks.get(kind) == ())


def _networks(kind: str, model: str, options: FaceMaskOptions) -> tuple[str, ...]:
    if kind not in options.face_mask_types or model in ('auto', MESH):
        return ()
    return ('xseg_1', 'xseg_2', 'xseg_3') if model == 'many' else (model,)
