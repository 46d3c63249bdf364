"""The report of a benchmark as plain JSON, described by docs/benchmark.schema.json."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from facefusion.benchmark.bench import Results
from facefusion.benchmark.cycle import ANALYSING, NO_PHASE, PROCESSING, Cycle
from facefusion.benchmark.job import Case
from facefusion.benchmark.options import BenchmarkOptions
from facefusion.benchmark.stages import FIXED, stages_of
from facefusion.jobs.record import now_text
from facefusion.settings import Settings

REPORT_VERSION = 1


def make_report(settings: Settings, machine: dict[str, Any], results: Results) -> dict[str, Any]:
    """Return the report; without comparison and estimate, which are None."""
    options = settings[BenchmarkOptions]
    return {
        'version': REPORT_VERSION,
        'date': now_text(),
        'complete': results.stopped is None,
        'settings': {
            'mode': options.benchmark_mode,
            'cycle_count': options.benchmark_cycle_count,
            'frames': options.benchmark_frames,
        },
        'machine': machine,
        'cases': [case_record(case) for case in results.cases],
        'left_out': [left.as_record() for left in results.left_out],
        'comparison': None,
        'estimate': None,
    }


def case_record(case: Case) -> dict[str, Any]:
    """Return a case; milliseconds of stages are per frame, and per run for fixed stages."""
    cycles, width, height = case.cycles, *case.size
    frames = case.frames * len(cycles)
    seconds = [cycle.seconds for cycle in cycles]
    processors = case.chain.processors
    stages = stages_of((cycle.times for cycle in cycles), processors)
    every, fixed = [each for each in stages if each not in FIXED], [each for each in stages if each in FIXED]
    return {
        'processors': list(processors),
        'models': list(case.chain.models),
        'networks': {name: list(providers) for name, providers in sorted(case.networks.items())},
        'resolution': case.resolution,
        'width': width,
        'height': height,
        'frames': case.frames,
        'faces': round(sum(cycle.faces for cycle in cycles) / frames, 3),
        'cycles': len(cycles),
        'workers': cycles[0].plan.workers if cycles[0].plan is not None else None,
        'frames_per_second': round(frames / sum(seconds), 4),
        'ms_per_frame': round(sum(seconds) / frames * 1e3, 4),
        'seconds': {
            'mean': _mean(seconds),
            'fastest': round(min(seconds), 4),
            'slowest': round(max(seconds), 4),
            'analysing': _mean([cycle.phases.get(ANALYSING, NO_PHASE).seconds for cycle in cycles]),
            'processing': _mean([cycle.phases.get(PROCESSING, NO_PHASE).seconds for cycle in cycles]),
        },
        'frame_ms': _frame_times(cycles),
        'stages': [stages[name].as_record(frames, name in processors) for name in every],
        'fixed_stages': [stages[name].as_record(len(cycles), False) for name in fixed],
        'cpu_seconds': _mean([cycle.cpu_seconds for cycle in cycles]),
        'peak_memory_bytes': max(cycle.readings.peak_memory_bytes for cycle in cycles),
        'device_memory_bytes': _largest([cycle.readings.device_memory_bytes for cycle in cycles]),
        'energy_joules': {
            'cpu': _mean_known([cycle.readings.cpu_joules for cycle in cycles]),
            'gpu': _mean_known([cycle.readings.gpu_joules for cycle in cycles]),
        },
        'job_id': case.job_id,
        'peer': {
            'target_path': f'target-{case.resolution}.mp4',
            'cycle_count': len(cycles),
            'average_run': round(sum(seconds) / len(seconds), 2),
            'fastest_run': round(min(seconds), 2),
            'slowest_run': round(max(seconds), 2),
            'relative_fps': round(frames / sum(seconds), 2),
        },
    }


def providers_used(results: Results) -> list[str]:
    """Return the first execution provider of each session of the cases, each once."""
    networks = (providers for case in results.cases for providers in case.networks.values())
    return list(dict.fromkeys(providers[0] for providers in networks if providers))


def _frame_times(cycles: Sequence[Cycle]) -> dict[str, float | None]:
    """Return percentiles of the milliseconds that a frame spends in the chain."""
    times = [seconds * 1e3 for cycle in cycles for seconds in cycle.frame_seconds]
    if not times:
        return {'p50': None, 'p95': None}
    middle, high = np.percentile(times, [50, 95])
    return {'p50': round(float(middle), 4), 'p95': round(float(high), 4)}


def _mean(values: Sequence[float]) -> float:
    return round(sum(values) / len(values), 4)


def _mean_known(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return _mean(known) if known else None


def _largest(values: Sequence[int | None]) -> int | None:
    return max((value for value in values if value is not None), default=None)
