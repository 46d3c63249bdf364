"""Options of the frame enhancer."""

from __future__ import annotations

from dataclasses import dataclass

from facefusion.options import option

MODELS = (
    'auto',
    'clear_reality_x4',
    'face_dat_x4',
    'nomos8k_sc_x4',
    'real_esrgan_x2',
    'real_esrgan_x2_fp16',
    'real_esrgan_x4',
    'real_esrgan_x4_fp16',
    'real_esrgan_x8',
    'real_esrgan_x8_fp16',
    'real_hatgan_x4',
    'real_web_photo_x4',
    'realesr_animevideov3',
    'realesrgan_x4plus',
    'realistic_rescaler_x4',
    'remacri_x4',
    'siax_x4',
    'span_kendata_x4',
    'span_x2',
    'span_x4',
    'swin2_sr_x4',
    'tghq_face_x8',
    'ultra_sharp_2_x4',
    'ultra_sharp_x4',
)


@dataclass(frozen=True, slots=True)
class FrameEnhancerOptions:
    """Model of the frame enhancer, the share of its result, and the damping of flicker."""

    frame_enhancer_model: str = option(
        'text',
        'auto',
        'model that enlarges the frame; auto: span_x4, which stays closest to the frame; span_x2, span_x4, '
        'realesr_animevideov3 and realesrgan_x4plus are embedded, and realesrgan_x4plus is very slow',
        section='processors',
        choices=MODELS,
    )
    frame_enhancer_blend: int = option(
        'int',
        80,
        'percent of the enhanced frame in the result; the rest is the frame enlarged by linear interpolation',
        section='processors',
        minimum=0,
        maximum=100,
    )
    frame_enhancer_stability: int = option(
        'int',
        0,
        'percent of the noise to remove from still parts of a clip before they are enlarged, which damps flicker',
        section='processors',
        minimum=0,
        maximum=100,
    )
