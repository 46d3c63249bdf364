"""Measure the frames a second of every engine and number of workers, to check the rule of ``pipeline/crew.py``.

    .venv/bin/python benchmarks/engine_grid.py [--frames 1200] [--rounds 3] [--width 1280] [--height 720] [--face 250]

Creates a clip as ``pipeline_cost.py`` does, and runs ``headless-run`` with each combination, alternately. Prints JSON:
for each combination the best frames a second of all rounds (other programs only make a run slower), the CPU seconds,
and the quotient with one worker on one core. Run it on an idle machine: the share ``busy`` of the cores shows whether
the run got them.
"""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

import cv2
from pipeline_cost import PRESET, QUALITY, ROOT, Scene, clip_arguments, make_clip

from facefusion.events import silent
from facefusion.models.catalog import load_catalog
from facefusion.models.store import ModelStore


class Combination(NamedTuple):
    """The engine, the number of workers and the number of cores of a run; 0 cores are all cores."""

    engine: str
    workers: int
    cores: int = 0


def run(folder: Path, source: Path, clip: Path, combination: Combination) -> tuple[float, float]:
    """Return the wall seconds and the CPU seconds of a run."""
    words = [sys.executable, str(ROOT / 'facefusion.py'), 'headless-run', '-s', str(source), '-t', str(clip)]
    words += ['-o', str(folder / 'out.mp4'), '--output-video-quality', QUALITY, '--output-video-preset', PRESET]
    words += ['--progress', 'none', '--cache-size', '0', '--jobs-path', str(folder / 'jobs')]
    words += ['--execution-engine', combination.engine, '--execution-thread-count', str(combination.workers)]
    usual = os.sched_getaffinity(0)
    before, started = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
    try:
        if combination.cores:
            os.sched_setaffinity(0, sorted(usual)[: combination.cores])
        subprocess.run(words, check=True, stderr=subprocess.DEVNULL)
    finally:
        os.sched_setaffinity(0, usual)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return time.monotonic() - started, cpu


def main() -> None:
    """Print one JSON object."""
    arguments = clip_arguments(__doc__, 1200, 3).parse_args()
    store = ModelStore(load_catalog(ROOT / 'models/catalog'), ROOT / 'models/weights', offline=False, emit=silent)
    cores = len(os.sched_getaffinity(0))
    counts = sorted({1, 2, cores // 2, cores} - {0})
    grid = [Combination('threads', 1, 1), *(Combination('threads', count) for count in counts)]
    grid += [Combination('processes', count) for count in counts if count > 1]
    measured: dict[Combination, list[tuple[float, float]]] = {each: [] for each in grid}
    with tempfile.TemporaryDirectory() as name:
        clip, scene = (
            Path(name) / 'clip.mp4',
            Scene(arguments.frames, 1, arguments.width, arguments.height, arguments.face),
        )
        make_clip(clip, cv2.imread(str(store.path('example_portrait'))), scene)
        for _ in range(arguments.rounds):
            for each in grid:
                measured[each].append(run(Path(name), store.path('example_group'), clip, each))
    base = min(measured[grid[0]])[0]
    results = []
    for each, runs in measured.items():
        seconds, cpu = min(runs)
        speed = {'frames_a_second': round(arguments.frames / seconds, 2), 'times_one_core': round(base / seconds, 2)}
        busy = round(cpu / seconds / (each.cores or cores), 2)
        results.append({**each._asdict(), **speed, 'cpu_seconds': round(cpu, 1), 'busy': busy})
    print(json.dumps({'cores': cores, **vars(arguments), 'results': results}, indent=1))


if __name__ == '__main__':
    main()
