"""Options of the frame colorizer."""

from __future__ import annotations

from dataclasses import dataclass

from facefusion.options import option

MODELS = ('auto', 'ddcolor', 'ddcolor_artistic', 'deoldify', 'deoldify_artistic', 'deoldify_stable')
SIZES = ('192x192', '256x256', '384x384', '512x512')


@dataclass(frozen=True, slots=True)
class FrameColorizerOptions:
    """Model of the frame colorizer, its size, and the share of its result."""

    frame_colorizer_model: str = option(
        'text',
        'auto',
        'model that colours the frame; auto: the best one on this machine; none is embedded',
        section='processors',
        choices=MODELS,
    )
    frame_colorizer_size: str = option(
        'text',
        '256x256',
        'size at which the network sees the frame; the frame keeps its own size and detail',
        section='processors',
        choices=SIZES,
    )
    frame_colorizer_blend: int = option(
        'int',
        100,
        'percent of the coloured frame in the result; 0: the frame stays unchanged',
        section='processors',
        minimum=0,
        maximum=100,
    )
