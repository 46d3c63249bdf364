"""The entry of the frame enhancer in the registry."""

from __future__ import annotations

from collections.abc import Sequence

from facefusion.processors.frame_enhancer.models import PREFERENCE, frozen_model, scale_of, working_bytes
from facefusion.processors.frame_enhancer.options import FrameEnhancerOptions
from facefusion.processors.registration import Registration, Requirements, Size, SizedFace
from facefusion.settings import Settings

# The frames on each side of a frame with which noise is averaged.
REACH = 2
# Bytes per pixel of the frames and differences that are in memory while noise is averaged.
NOISE_BYTES = 80


def _requirements(settings: Settings) -> Requirements:
    is_steady = settings[FrameEnhancerOptions].frame_enhancer_stability > 0
    return Requirements(faces=False, every_frame=True, neighbours=REACH if is_steady else 0)


def _output_size(settings: Settings, size: Size) -> Size:
    scale = scale_of(settings[FrameEnhancerOptions].frame_enhancer_model)
    return size[0] * scale, size[1] * scale


def _working_bytes(settings: Settings, size: Size) -> int:
    options = settings[FrameEnhancerOptions]
    steadying = NOISE_BYTES * size[0] * size[1] if options.frame_enhancer_stability > 0 else 0
    return working_bytes(options.frame_enhancer_model, size[0]) + steadying


def _changes(settings: Settings, faces: Sequence[SizedFace]) -> bool:
    return settings[FrameEnhancerOptions].frame_enhancer_blend > 0


FRAME_ENHANCER = Registration(
    name='frame_enhancer',
    options=FrameEnhancerOptions,
    package='facefusion.processors.frame_enhancer',
    requirements=_requirements,
    models=lambda settings: (frozen_model(settings[FrameEnhancerOptions].frame_enhancer_model),),
    effect=lambda settings: 'enhancement',
    changes=_changes,
    output_size=_output_size,
    working_bytes=_working_bytes,
    preferences={'frame_enhancer_model': PREFERENCE},
)
