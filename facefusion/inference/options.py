"""Options of the devices and threads that run models."""

from __future__ import annotations

from dataclasses import dataclass

from facefusion.options import option


@dataclass(frozen=True, slots=True)
class ExecutionOptions:
    """Execution providers in order of preference, devices, the number of worker threads, and the engine."""

    execution_providers: tuple[str, ...] = option(
        'text',
        ('auto',),
        'execution providers in order of preference; auto selects those that work on this machine',
        section='execution',
        is_list=True,
        choices=('auto', 'cpu', 'cuda', 'tensorrt', 'openvino', 'coreml', 'directml', 'rocm', 'migraphx', 'qnn'),
        stored='job',
    )
    execution_device_ids: tuple[int, ...] = option(
        'int',
        (0,),
        'numbers of the devices; each has a process of its own',
        section='execution',
        is_list=True,
        most_items=16,
        minimum=0,
        stored='job',
    )
    allow_cpu_fallback: bool = option(
        'flag',
        False,
        'use the CPU, with a warning, if an execution provider does not work',
        section='execution',
        stored='job',
    )
    execution_thread_count: int | None = option(
        'int',
        None,
        'number of chunks or frames processed at the same time; default: one per CPU core, at most 8',
        section='execution',
        minimum=1,
        maximum=32,
        stored='job',
    )
    execution_engine: str = option(
        'text',
        'auto',
        'how videos use several cores: threads need less memory, processes are faster; auto takes processes for long '
        'videos if memory allows',
        section='execution',
        choices=('auto', 'threads', 'processes'),
        stored='job',
    )
    execution_batch_size: int | None = option(
        'int',
        None,
        'number of crops per call of a network on an accelerator; default: measured once for each model and device',
        section='execution',
        minimum=1,
        maximum=64,
        stored='job',
    )
    video_memory_strategy: str = option(
        'text',
        'strict',
        'how long models remain in the memory of an accelerator: strict until their stage has ended, moderate until '
        'their step has ended, tolerant for all steps of the process',
        section='memory',
        choices=('strict', 'moderate', 'tolerant'),
        stored='job',
    )
    video_memory_limit: float = option(
        'float',
        0.0,
        'GB of memory for the models on an accelerator; 0 means no limit',
        section='memory',
        minimum=0.0,
        maximum=1024.0,
        stored='job',
    )
