"""Estimate how long a clip would take on this machine, from measured cases.

The model of a chain: a run takes fixed seconds, with those that the program needs to start, and each frame the
milliseconds of its stages. The milliseconds of a stage are a linear function of the pixels of the frame; those of a
stage that works on faces are a linear function of the pixels of a face, multiplied by the number of faces. The threads
of a phase overlap its stages as they did in the measured case of the nearest size.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import numpy as np

from facefusion.benchmark.cases import Chain
from facefusion.benchmark.clip_content import Content
from facefusion.benchmark.clips import RATE
from facefusion.benchmark.cycle import ANALYSING, NO_PHASE, PROCESSING, Cycle
from facefusion.benchmark.job import Case
from facefusion.benchmark.stages import OTHER, stages_of
from facefusion.limits import usable_cores
from facefusion.pipeline.plan import CHUNK_FRAMES, Plan
from facefusion.processors.registry import registrations

Kind = Literal['pixels', 'faces', 'constant']
# The stages of the end of a run, which work on all frames but belong to no phase.
END = 'end'
_END_STAGES = ('link', 'join')
_FACE_PARTS = ('mesh', 'measure')
# A model that is fitted to fewer cases meets all of them, so its error is unknown.
_CASES_TO_LEAVE_ONE_OUT = 3


class StageKey(NamedTuple):
    """A stage, or a part of it, in a phase."""

    phase: str
    name: str
    kind: Kind


class Overlap(NamedTuple):
    """How the threads of a phase overlap: wall seconds per second of its stages, and CPU seconds per such second.

    ``parallel`` is that of ``parallel_chunks`` in the measured case.
    """

    wall: float
    cpu: float
    parallel: float


@dataclass(frozen=True, slots=True, eq=False)
class Point:
    """A measured case: milliseconds of its stages per frame, overlap of its phases, fixed and all seconds of a run."""

    content: Content
    stages: Mapping[StageKey, float]
    overlaps: Mapping[str, Overlap]
    fixed: float
    seconds: float
    workers: int


def point_of(case: Case, content: Content) -> Point:
    """Return the measured values of a case, averaged over its runs."""
    cycles = case.cycles
    faces = {each.name for each in registrations(case.chain.processors) if each.requirements(case.chain.settings).faces}
    stages: dict[StageKey, float] = {}
    overlaps: dict[str, Overlap] = {}
    workers = cycles[0].plan.workers if cycles[0].plan is not None else 1
    parallel = parallel_chunks(case.frames, workers)
    for phase in (ANALYSING, PROCESSING):
        found = [cycle.phases.get(phase, NO_PHASE) for cycle in cycles]
        work = _work(phase, stages_of(each.times for each in found), case.frames * len(cycles), faces)
        stages |= work
        busy = sum(work.values()) * case.frames * len(cycles) / 1e3
        if busy > 0:
            wall, cpu = sum(each.seconds for each in found), sum(each.cpu_seconds for each in found)
            overlaps[phase] = Overlap(wall / busy, cpu / busy, parallel)
    ends = stages_of(cycle.times for cycle in cycles)
    stages |= {
        StageKey(END, name, 'faces' if name == 'link' else 'pixels'): ends[name].seconds
        * 1e3
        / case.frames
        / len(cycles)
        for name in _END_STAGES
        if name in ends
    }
    fixed = float(np.mean([_fixed(cycle) for cycle in cycles]))
    seconds = float(np.mean([cycle.seconds for cycle in cycles]))
    return Point(content, stages, overlaps, fixed, seconds, workers)


def parallel_chunks(frames: int, workers: int) -> float:
    """Return how many chunks of a clip are analysed at the same time on average, until the last one is finished."""
    loads = [0] * workers
    for start in range(0, frames, CHUNK_FRAMES):
        loads[loads.index(min(loads))] += min(CHUNK_FRAMES, frames - start)
    return frames / max(loads)


def _fixed(cycle: Cycle) -> float:
    phases = sum(phase.seconds for phase in cycle.phases.values())
    ends = sum(stage.seconds for name, stage in stages_of([cycle.times]).items() if name in _END_STAGES)
    return max(cycle.seconds - phases - ends, 0.0)


def _work(phase: str, stages: Mapping[str, Any], frames: int, faces: set[str]) -> dict[StageKey, float]:
    """Return the milliseconds a frame of the stages of a phase; networks are loaded in other phases, too."""
    work: dict[StageKey, float] = {}
    for name, stage in stages.items():
        if name == 'load':
            continue
        if name != 'analyse':
            kind: Kind = 'faces' if name in faces else 'pixels'
            work[StageKey(phase, name, kind)] = stage.seconds * 1e3 / frames
            continue
        for part, seconds in stage.parts.items():
            kind = 'faces' if part in _FACE_PARTS else 'pixels' if part == OTHER else 'constant'
            work[StageKey(phase, f'analyse {part}', kind)] = seconds * 1e3 / frames
    return work


class ChainModel:
    """The model of a chain, fitted to at least one point; ``start`` are the seconds that the program needs to start."""

    def __init__(self, points: Sequence[Point], start: float = 0.0) -> None:
        self._points = points
        keys = dict.fromkeys(key for point in points for key in point.stages)
        self._lines = {key: _fit(key, points) for key in keys}
        self.fixed_seconds = start + float(np.mean([point.fixed for point in points]))

    def ms_per_frame(self, content: Content) -> float:
        """Return the wall milliseconds of a frame of a clip."""
        nearest = min(self._points, key=lambda point: abs(np.log(point.content.pixels / content.pixels)))
        busy: dict[str, float] = {}
        for key, (constant, slope) in self._lines.items():
            if key.kind == 'faces':
                ms = (constant + slope * content.face_pixels) * content.faces
            else:
                ms = constant + slope * (content.pixels if key.kind == 'pixels' else 0)
            # The content gate looks at one frame per second.
            ms *= RATE / content.rate if key.name == 'content gate' else 1
            busy[key.phase] = busy.get(key.phase, 0.0) + ms
        walls = (ms * self._wall(phase, nearest, content) for phase, ms in busy.items())
        return float(sum(walls))

    def seconds(self, content: Content) -> float:
        """Return the wall seconds of a run."""
        return self.fixed_seconds + content.frames * self.ms_per_frame(content) / 1e3

    def _wall(self, phase: str, nearest: Point, content: Content) -> float:
        """Return the wall seconds for each second of the stages of a phase."""
        overlap = nearest.overlaps.get(phase)
        if overlap is None:
            return 1.0
        if phase == PROCESSING:
            return overlap.wall
        # Chunks are analysed in parallel until they use all cores. A chunk that was alone had more threads, so the CPU
        # time tells more than its wall time.
        parallel = parallel_chunks(content.frames, nearest.workers)
        least = overlap.cpu / min(parallel, usable_cores())
        return max(overlap.wall * overlap.parallel / parallel, min(least, overlap.wall))


def _fit(key: StageKey, points: Sequence[Point]) -> tuple[float, float]:
    """Return constant and slope of a stage over pixels, with the smallest relative errors; neither is negative."""
    found = [point for point in points if key in point.stages]
    ms = np.array([point.stages[key] for point in found])
    if key.kind == 'faces':
        ms = ms / np.maximum([point.content.faces for point in found], 1e-3)
        sizes = np.array([point.content.face_pixels for point in found])
    else:
        sizes = np.array([float(point.content.pixels) for point in found])
    if key.kind == 'constant' or (key.kind == 'faces' and len(set(sizes)) < 2):
        return float(ms.mean()), 0.0
    through_zero = 0.0, float((ms / sizes).mean())
    if len(set(sizes)) < 2:
        return through_zero
    weights = 1 / np.maximum(ms, 1e-6)
    slope, constant = (float(value) for value in np.polyfit(sizes, ms, 1, w=weights))
    if slope < 0:
        return float(ms.mean()), 0.0
    return through_zero if constant < 0 else (constant, slope)


class EstimateError(NamedTuple):
    """The errors of the model, in percent of the measured seconds of each case.

    ``method`` is 'left out': the model of each case was fitted to the other cases. It is 'unknown' with fewer than
    three cases.
    """

    method: Literal['left out', 'unknown']
    percent: list[float]


def errors_of(points: Sequence[Point]) -> EstimateError:
    """Return the errors of the estimate on the cases that ran."""
    if len(points) < _CASES_TO_LEAVE_ONE_OUT:
        return EstimateError('unknown', [])
    percent = []
    for number, point in enumerate(points):
        others = [each for other, each in enumerate(points) if other != number]
        estimated = ChainModel(others).seconds(point.content)
        percent.append(round((estimated - point.seconds) / point.seconds * 100, 2))
    return EstimateError('left out', percent)


def estimate_record(chain: Chain, cases: Sequence[Case], content: Content, plan: Plan, start: float) -> dict[str, Any]:
    """Return the estimate for a clip as plain JSON.

    ``plan`` is that of the clip, ``cases`` are those of the chain, and ``start`` are the seconds until a run begins.
    """
    points = [point_of(case, case.content) for case in cases if case.content is not None]
    model, errors = ChainModel(points, start), errors_of(points)
    sizes = [point.content.pixels for point in points]
    return {
        'processors': list(chain.processors),
        'models': list(chain.models),
        'seconds': round(model.seconds(content), 2),
        'fixed_seconds': round(model.fixed_seconds, 3),
        'ms_per_frame': round(model.ms_per_frame(content), 3),
        'frames': content.frames,
        'faces_per_frame': round(content.faces, 2),
        'pixels_per_face': round(content.face_pixels),
        'memory_bytes': plan.memory,
        'within_measured_sizes': min(sizes) <= content.pixels <= max(sizes),
        'error': {
            'method': errors.method,
            'percent': errors.percent,
            'largest_percent': max((abs(percent) for percent in errors.percent), default=None),
        },
    }
