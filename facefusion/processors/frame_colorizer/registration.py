"""The entry of the frame colorizer in the registry."""

from __future__ import annotations

from facefusion.processors.frame_colorizer.models import PREFERENCE, frozen_model
from facefusion.processors.frame_colorizer.options import FrameColorizerOptions
from facefusion.processors.registration import Registration, Requirements

FRAME_COLORIZER = Registration(
    name='frame_colorizer',
    options=FrameColorizerOptions,
    package='facefusion.processors.frame_colorizer',
    requirements=lambda settings: Requirements(faces=False, every_frame=True),
    models=lambda settings: (frozen_model(settings[FrameColorizerOptions].frame_colorizer_model),),
    effect=lambda settings: 'enhancement',
    changes=lambda settings, faces: settings[FrameColorizerOptions].frame_colorizer_blend > 0,
    preferences={'frame_colorizer_model': PREFERENCE},
)
