"""The time of the stages of runs: milliseconds a frame, and milliseconds a run for stages that run once."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from facefusion.pipeline.render import RENDER
from facefusion.profiling import LOAD, NETWORK, StageTime, StageTimes

# Stages that run once, however long the clip is; all others work on every frame.
FIXED = ('plan', 'fetch models', 'prepare', 'load', 'sign')
_ORDER = (
    'decode',
    'analyse',
    'content gate',
    'link',
    'processors',
    'convert',
    'label',
    'mark',
    RENDER,
    'encode',
    'join',
)
# The part of a stage that is spent in networks, and the part in none of its named parts.
NETWORKS, OTHER = 'network', 'other'


@dataclass(slots=True)
class Stage:
    """A stage with the stages inside it; ``parts`` maps their names to seconds, ``network`` is that of all networks."""

    name: str
    seconds: float = 0.0
    cpu_seconds: float = 0.0
    network: float = 0.0
    parts: dict[str, float] = field(default_factory=dict)

    def as_record(self, divisor: float, is_processor: bool) -> dict[str, Any]:
        """Return the milliseconds of the stage, its CPU and its parts, divided by a number of frames or runs."""

        def ms(seconds: float) -> float:
            return round(seconds * 1e3 / divisor, 4)

        record: dict[str, Any] = {'name': self.name, 'kind': 'processor' if is_processor else 'stage'}
        record |= {'ms': ms(self.seconds), 'cpu_ms': ms(self.cpu_seconds), 'network_ms': ms(self.network)}
        if is_processor:
            parts = {part: self.parts.get(part, 0.0) for part in ('pre', NETWORKS, 'post')}
        else:
            parts = self.parts if set(self.parts) != {OTHER} else {}
        return record | {'parts': {part: ms(seconds) for part, seconds in parts.items()}}


def stages_of(all_times: Iterable[StageTimes], processors: Sequence[str] = ()) -> dict[str, Stage]:
    """Return the stages with their seconds over all runs, in the order of a run.

    The time to load a network belongs to the stage 'load', wherever it happens. The stages of a batch of frames
    (``render``) are stages of their own; RENDER has the rest of its time.
    """
    stages: dict[str, Stage] = {}
    for times in all_times:
        for path, time in times.items():
            _add(stages, path[1:] if path[0] == RENDER and len(path) > 1 else path, time)
    return dict(sorted(stages.items(), key=lambda item: _rank(item[0], processors)))


def _add(stages: dict[str, Stage], path: tuple[str, ...], time: StageTime) -> None:
    is_loading = any(name.startswith(LOAD) for name in path)
    name = 'load' if is_loading else path[0]
    stage = stages.setdefault(name, Stage(name))
    stage.seconds += time.seconds
    stage.cpu_seconds += time.cpu_seconds
    is_network = any(name.startswith(NETWORK) for name in path)
    stage.network += time.seconds if is_network else 0.0
    part = OTHER if is_loading or len(path) == 1 else path[1]
    part = NETWORKS if part.startswith(NETWORK) else part
    stage.parts[part] = stage.parts.get(part, 0.0) + time.seconds


def _rank(name: str, processors: Sequence[str]) -> tuple[int, int]:
    if name in processors:
        return _ORDER.index('processors'), processors.index(name)
    order = (*_ORDER, *FIXED)
    return order.index(name) if name in order else len(order), 0
