"""The entry of the background remover in the registry."""

from __future__ import annotations

from facefusion.processors.background_remover.models import PREFERENCE, frozen_model, working_bytes
from facefusion.processors.background_remover.options import BackgroundRemoverOptions, color_of
from facefusion.processors.registration import Registration, Requirements
from facefusion.settings import Settings

# The number of frames on each side whose mattes steady the matte of a frame.
REACH = 1


def _model(settings: Settings) -> str:
    return frozen_model(settings[BackgroundRemoverOptions].background_remover_model)


def _writes_alpha(settings: Settings) -> bool:
    return color_of(settings[BackgroundRemoverOptions].background_remover_fill_color).alpha == 0


BACKGROUND_REMOVER = Registration(
    name='background_remover',
    options=BackgroundRemoverOptions,
    package='facefusion.processors.background_remover',
    requirements=lambda settings: Requirements(faces=False, neighbours=REACH, every_frame=True),
    models=lambda settings: (_model(settings),),
    effect=lambda settings: 'enhancement',
    changes=lambda settings, faces: True,
    writes_alpha=_writes_alpha,
    opaque_hint='add --background-remover-fill-color RED GREEN BLUE for an opaque background',
    working_bytes=lambda settings, size: working_bytes(_model(settings)),
    preferences={'background_remover_model': PREFERENCE},
)
