"""Options of where and with how many threads models run."""

from __future__ import annotations

from dataclasses import dataclass

from facefusion.options import option


@dataclass(frozen=True, slots=True)
class ExecutionOptions:
    """Execution providers in order of preference, the device, and how many frames are worked on at once."""

    execution_providers: tuple[str, ...] = option(
        'text',
        ('auto',),
        'execution providers in order of preference; auto takes what works on this machine',
        section='execution',
        is_list=True,
        choices=('auto', 'cpu', 'cuda', 'tensorrt'),
        stored='job',
    )
    execution_device_ids: tuple[int, ...] = option(
        'int',
        (0,),
        'number of the device to run on',
        section='execution',
        is_list=True,
        most_items=1,
        minimum=0,
        stored='job',
    )
    execution_thread_count: int | None = option(
        'int',
        None,
        'how many chunks or frames are worked on at once; unset: one a CPU core, at most 8',
        section='execution',
        minimum=1,
        maximum=32,
        stored='job',
    )
    video_memory_strategy: str = option(
        'text',
        'strict',
        'how long models stay in the memory of the device',
        section='memory',
        choices=('strict', 'moderate', 'tolerant'),
        stored='job',
        no_effect='models are loaded once for each run and freed with it',
    )
