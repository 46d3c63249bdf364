"""Checks of the resources of this machine: encoders, folders, memory and workers."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

from facefusion.doctor.finding import Finding
from facefusion.errors import InternalError
from facefusion.inference.options import ExecutionOptions
from facefusion.pipeline.options import WorkOptions
from facefusion.services.workplace import Workplace

SMALLEST_FREE_BYTES = 2_000_000_000


def check_encoders() -> Finding:
    """Open the video encoders."""
    from facefusion.media.encoder import usable_encoders

    usable = usable_encoders()
    if 'libx264' not in usable:
        raise InternalError('encoder-missing', 'libx264 does not open', hint='reinstall the package av')
    return Finding('video encoders', 'ok', ', '.join(usable))


def check_folders(workplace: Workplace) -> Iterator[Finding]:
    """Check that the folders of work files can be written and have space."""
    from facefusion.pipeline.output import existing_folder, folder_problem

    work = workplace.settings[WorkOptions]
    folders = {
        'jobs folder': workplace.jobs_path(),
        'temp folder': Path(work.temp_path) if work.temp_path else None,
    }
    for check, folder in folders.items():
        if folder is None:
            continue
        free = shutil.disk_usage(existing_folder(folder)).free
        fact = f'{folder}, {free / 1e9:.1f} GB free'
        if problem := folder_problem(folder) or ('' if free else 'no space is free'):
            advice = f'change its permissions, free space, or choose another folder with --{check[:4]}-path'
            yield Finding(check, 'fail', f'{folder} cannot be written: {problem}', advice)
        elif free < SMALLEST_FREE_BYTES:
            other = 'another folder' if check == 'temp folder' else 'a folder for work files'
            yield Finding(check, 'warn', fact, f'long videos need more space; free space, or use {other} (--temp-path)')
        else:
            yield Finding(check, 'ok', fact)


def check_memory() -> Iterator[Finding]:
    """Show the available memory, and the limits of the system."""
    from facefusion.limits import available_memory, memory_limits, usable_cores

    memory = available_memory()
    if memory is not None:
        yield Finding('memory', 'ok', f'{memory / 1e9:.1f} GB available, {usable_cores()} usable CPU cores')
    for limit in memory_limits():
        if limit.kind != 'memory':
            yield Finding(limit.name, 'ok', str(limit))


def check_workers(options: ExecutionOptions) -> Finding:
    """Show the workers and the engine that the options, or otherwise the rule, give a video on the CPU."""
    from facefusion.pipeline.crew import SEGMENTS_A_PROCESS, worker_count
    from facefusion.pipeline.plan import SEGMENT_FRAMES

    workers, engine = worker_count(options), options.execution_engine
    fact = f'{workers} thread{"s" * (workers > 1)} of one process for a video'
    if engine == 'processes' and workers > 1:
        fact = f'{workers} processes for a video'
    elif engine == 'auto' and workers > 1:
        frames = (2 * SEGMENTS_A_PROCESS - 1) * SEGMENT_FRAMES
        fact += f'; with more than {frames} frames in up to {workers} processes, if memory allows'
    return Finding('workers', 'ok', fact)
