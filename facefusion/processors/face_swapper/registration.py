"""The face swapper's entry in the registry."""

from __future__ import annotations

from facefusion.faces.masks.options import MASK_PREFERENCES
from facefusion.processors.face_swapper.models import MESH_WARP, PREFERENCE, crop_size, frozen_model, networks_of
from facefusion.processors.face_swapper.options import FaceSwapperOptions
from facefusion.processors.mask_requirements import mask_requirements, networks_of_masks
from facefusion.processors.registration import Registration, Requirements, joined, with_image_sources
from facefusion.settings import Settings


def _requirements(settings: Settings) -> Requirements:
    if _model(settings) == MESH_WARP:
        own = Requirements(measurements=frozenset({'skin'}), source_faces=True, mesh=True)
    else:
        own = Requirements(source_faces=True)
    return joined([own, mask_requirements(settings)])


def _models(settings: Settings) -> tuple[str, ...]:
    name = _model(settings)
    if name != MESH_WARP:
        # A pixel boost that the model does not offer is refused before its weights are fetched.
        crop_size(name, settings[FaceSwapperOptions].face_swapper_pixel_boost)
    return (*networks_of(name), *networks_of_masks(settings))


def _model(settings: Settings) -> str:
    return frozen_model(settings[FaceSwapperOptions].face_swapper_model)


FACE_SWAPPER = Registration(
    name='face_swapper',
    options=FaceSwapperOptions,
    package='facefusion.processors.face_swapper',
    requirements=_requirements,
    models=_models,
    effect=lambda settings: 'composite',
    changes=with_image_sources,
    preferences={'face_swapper_model': PREFERENCE, **MASK_PREFERENCES},
)
