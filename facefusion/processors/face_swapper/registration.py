"""Registration of the face swapper."""

from __future__ import annotations

from facefusion.faces.masks.options import FaceMaskOptions, mask_networks
from facefusion.processors.face_swapper.options import FaceSwapperOptions
from facefusion.processors.registration import Registration, Requirements

FACE_SWAPPER = Registration(
    name='face_swapper',
    options=FaceSwapperOptions,
    package='facefusion.processors.face_swapper',
    requirements=lambda settings: Requirements(measurements=frozenset({'skin'}), source_faces=True),
    models=lambda settings: mask_networks(settings[FaceMaskOptions]),
    effect=lambda settings: 'composite',
    preferences={'face_swapper_model': ('mesh_warp',)},
)
