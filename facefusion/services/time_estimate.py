"""Estimate how long a step will take, from earlier steps of the job store."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from facefusion.errors import FaceFusionError
from facefusion.jobs.store import JobStore

_MOST_JOBS = 50
# The times of a clip with another number of pixels say little about this one.
_LARGEST_RATIO = 4.0
_Json = Mapping[str, Any]


class EarlierStep(NamedTuple):
    """A completed step: frames, pixels of a frame, seconds at its start and end, and seconds of all its frames."""

    frames: int
    pixels: int
    fixed: float
    working: float


def estimate_seconds(store: JobStore, plan: _Json) -> float | None:
    """Return the seconds that a step will take; ``plan`` is the summary of its plan.

    They are those of an earlier step with the same processors and models, in proportion to frames and pixels. Of
    several such steps the one decides whose frame size is nearest, and of those the one with the most equal options.
    Returns None if there is no such step with frames of a quarter to four times the pixels.
    """
    pixels, frames = math.prod(plan['processed_size']), (plan.get('timeline') or {}).get('frame_count', 1)

    def distance(found: tuple[EarlierStep, _Json]) -> tuple[float, int]:
        step, args = found
        equal = sum(args.get(key) == value for key, value in plan['settings'].items())
        return abs(math.log(step.pixels / pixels)), -equal

    best = min(_earlier_steps(store, plan), key=distance, default=None)
    if best is None or not 1 / _LARGEST_RATIO <= best[0].pixels / pixels <= _LARGEST_RATIO:
        return None
    step = best[0]
    seconds = step.fixed + step.working * frames / step.frames * pixels / step.pixels
    return round(float(seconds), 1)


def _earlier_steps(store: JobStore, plan: _Json) -> Iterator[tuple[EarlierStep, _Json]]:
    """Yield completed steps of the latest jobs with the processors and models of the plan, and their arguments."""
    for data in _completed_jobs(store):
        for step in data.get('steps', ()):
            args, report = step.get('args'), step.get('report')
            if not isinstance(args, dict) or not isinstance(report, dict):
                continue
            same = args.get('processors') == plan['processors'] and report.get('models') == plan['models']
            found = _earlier_step(report) if same else None
            if found is not None:
                yield found, args


def _completed_jobs(store: JobStore) -> Iterator[_Json]:
    """Yield the records of the latest jobs that were completed without an interruption."""
    try:
        files = [each for each in store.job_files().values() if each.state == 'completed']
    except FaceFusionError:
        return
    for job_file in sorted(files, key=_modified, reverse=True)[:_MOST_JOBS]:
        job = store.read(job_file)
        if job is not None and job.data is not None and len(job.data.get('attempts', ())) == 1:
            yield job.data


def _earlier_step(report: _Json) -> EarlierStep | None:
    """Return the figures of a report; None if it lacks one, as those of earlier versions do."""
    try:
        frames, pixels, seconds = int(report['frames']), math.prod(report['frame_size']), float(report['seconds'])
        working = min(sum(report.get('stage_seconds', {}).values()) or seconds, seconds)
    except (KeyError, TypeError, ValueError, AttributeError):
        return None
    return EarlierStep(frames, pixels, seconds - working, working) if frames > 0 and pixels > 0 else None


def _modified(job_file: Any) -> int:
    try:
        return int(job_file.path.stat().st_mtime_ns)
    except OSError:
        return 0
