"""Options of the benchmark."""

from __future__ import annotations

from dataclasses import dataclass

from facefusion.options import option

RESOLUTIONS = ('240p', '360p', '540p', '720p', '1080p', '1440p', '2160p')
ALL_MODELS = 'all'

# The percentage of change from which a case is worse, unless the user names another.
DEFAULT_THRESHOLD = 10.0


@dataclass(frozen=True, slots=True)
class BenchmarkOptions:
    """The clips and runs of the benchmark."""

    benchmark_mode: str = option(
        'text',
        'warm',
        'warm: one run without timing precedes those of a clip; cold: none does, and models are read from disk again',
        section='benchmark',
        choices=('warm', 'cold'),
        stored='job',
    )
    benchmark_resolutions: tuple[str, ...] = option(
        'text',
        ('240p',),
        'heights of the clips, whose frames are 16:9',
        section='benchmark',
        is_list=True,
        choices=RESOLUTIONS,
        stored='job',
    )
    benchmark_cycle_count: int = option(
        'int', 5, 'number of timed runs of each clip', section='benchmark', minimum=1, maximum=10, stored='job'
    )
    benchmark_models: tuple[str, ...] = option(
        'text',
        (),
        'models to measure one after the other, each alone with its processor of --processors; all: every model that '
        'is present; default: the chain of --processors with its options',
        section='benchmark',
        is_list=True,
        stored='job',
    )
    benchmark_frames: int = option(
        'int', 250, 'number of frames of each clip', section='benchmark', minimum=2, maximum=10000, stored='job'
    )
