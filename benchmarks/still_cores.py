"""Compare the wall time of a picture on all cores with that on one core.

    .venv/bin/python benchmarks/still_cores.py [--rounds 3] [--boost 256x256]

The picture is swapped with a stand-in that has the layers and the size of inswapper_128 (554 MB), because the published
weights are not needed. Runs alternately on one core and on all. Prints JSON: the fastest wall seconds, the CPU seconds
of these runs, and the ratio of the wall seconds. Cores that other programs use make the ratio worse.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable
from pathlib import Path

import cv2
from neural_swap_cost import write_arcface, write_inswapper
from picture_batch import make_pictures
from pipeline_cost import ROOT
from stand_in_networks import write_weights

EMBEDDED = ('centerface', 'face_mesh', 'open_nsfw')
STAND_INS = {'inswapper_128': write_inswapper, 'arcface_w600k_r50': write_arcface}


def run_on(cores: Iterable[int], command: list[str]) -> tuple[float, float]:
    """Return the wall seconds and the CPU seconds of a command on these cores."""
    before, started = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    subprocess.run(
        command, check=True, stderr=subprocess.DEVNULL, preexec_fn=lambda: os.sched_setaffinity(0, set(cores))
    )
    wall, after = time.perf_counter() - started, resource.getrusage(resource.RUSAGE_CHILDREN)
    return wall, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def main() -> None:
    """Print one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--rounds', type=int, default=3)
    parser.add_argument('--boost', default='256x256')
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        portrait = write_weights(folder, EMBEDDED, STAND_INS)
        make_pictures(folder, cv2.imread(str(portrait)), 1, (1152, 896), 250)
        command = [sys.executable, str(ROOT / 'facefusion.py'), 'headless-run', '-s', str(portrait)]
        command += ['-t', str(folder / '0000.jpg'), '-o', str(folder / 'out.jpg'), '--progress', 'none']
        command += ['--face-swapper-model', 'inswapper_128', '--face-swapper-pixel-boost', arguments.boost]
        command += ['--models-path', str(folder / 'weights'), '--jobs-path', str(folder / 'jobs')]
        every = os.sched_getaffinity(0)
        one, many = [], []
        for _ in range(arguments.rounds):
            one.append(run_on([min(every)], command))
            many.append(run_on(every, command))
    (one_wall, one_cpu), (many_wall, many_cpu) = min(one), min(many)
    shown = {'cores': len(every), 'boost': arguments.boost, 'rounds': arguments.rounds}
    shown |= {
        'one_core': [round(one_wall, 2), round(one_cpu, 2)],
        'all_cores': [round(many_wall, 2), round(many_cpu, 2)],
    }
    print(json.dumps({**shown, 'wall_ratio': round(one_wall and many_wall / one_wall, 3)}, indent=2))


if __name__ == '__main__':
    main()
