"""The requirements and networks of the face masks of a processor; loads no array library."""

from __future__ import annotations

from dataclasses import replace

from facefusion.faces.masks.options import TYPES, FaceMaskOptions, mask_networks, mesh_types, occluders
from facefusion.faces.options import FaceLandmarkerOptions
from facefusion.processors.registration import Requirements
from facefusion.settings import Settings

# A mask of an occluder is the median over this many frames on each side.
OCCLUSION_REACH = 2


def mask_requirements(settings: Settings, types: tuple[str, ...] = TYPES) -> Requirements:
    """Return the requirements of the selected masks, of those ``types`` that the processor applies."""
    options = masks_of_types(settings[FaceMaskOptions], types)
    from_mesh = mesh_types(options) if has_mesh(settings) else ()
    return Requirements(
        measurements=frozenset({'skin'} if 'occlusion' in from_mesh else ()),
        mesh=bool({'occlusion', 'region'} & set(from_mesh)),
        neighbours=OCCLUSION_REACH if occluders(options) else 0,
    )


def networks_of_masks(settings: Settings, types: tuple[str, ...] = TYPES) -> tuple[str, ...]:
    """Return the catalogue ids of the networks of the selected masks, of those ``types`` that the processor applies."""
    return mask_networks(masks_of_types(settings[FaceMaskOptions], types))


def masks_of_types(options: FaceMaskOptions, types: tuple[str, ...]) -> FaceMaskOptions:
    """Return the options without the mask types that a processor does not apply."""
    return replace(options, face_mask_types=tuple(kind for kind in options.face_mask_types if kind in types))


def has_mesh(settings: Settings) -> bool:
    """Whether the landmarks are those of the mesh, from which masks can be derived."""
    return settings[FaceLandmarkerOptions].face_landmarker_model in ('auto', 'face_mesh')
