"""Measure the CPU time of a batch of pictures: of each picture beyond the first, and of the first one with the start.

    .venv/bin/python benchmarks/picture_batch.py [--pictures 100] [--rounds 3] [--width 1152]
        [--height 896] [--face 250] [--trace FOLDER]

Creates JPEG pictures with one face each (the example portrait, shifted and turned). Then runs ``batch-run`` with the
embedded face swapper on the first picture and on all of them, alternately, each in a separate process and with a new
job store, so that no result of an earlier run is used. Content gate, invisible mark and signature are included. Prints
JSON: medians of the CPU seconds (user and system) and wall seconds. ``--trace FOLDER`` also writes there the profile of
one batch (``batch.json``, for Perfetto and speedscope) and its time by Python function (``batch.pstats``).
"""

from __future__ import annotations

import argparse
import json
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
from pipeline_cost import PORTRAIT_FACE, ROOT, measure

JPEG_QUALITY = 92


class Pictures(NamedTuple):
    """A folder of pictures, their number, and the image of the source face."""

    folder: Path
    count: int
    source: Path


def make_pictures(folder: Path, portrait: np.ndarray, count: int, size: tuple[int, int], face: int) -> None:
    """Write ``count`` different JPEG pictures of ``size`` (width, height) with a face ``face`` pixels high."""
    width, height = size
    for number in range(count):
        random = np.random.default_rng(number)
        scale = face / PORTRAIT_FACE * random.uniform(0.9, 1.1)
        turn = cv2.getRotationMatrix2D((226, 125), random.uniform(-8, 8), scale)
        turn[:, 2] += [width / 2 - 226 + random.uniform(-60, 60), height * 0.45 - 125 + random.uniform(-40, 40)]
        picture = cv2.warpAffine(portrait, turn, size, borderMode=cv2.BORDER_REFLECT_101)
        noisy = np.clip(picture + random.normal(0, 2, (height, width, 1)), 0, 255).astype(np.uint8)
        cv2.imwrite(str(folder / f'{number:04}.jpg'), noisy, [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])


def batch_command(pictures: Pictures, pattern: str, work: Path) -> list[str]:
    """Return the arguments of ``batch-run`` for the pictures that match ``pattern``, with everything in ``work``."""
    (work / 'out').mkdir(parents=True)
    command = ['batch-run', '-s', str(pictures.source), '-t', str(pictures.folder / pattern)]
    command += ['-o', str(work / 'out' / '{target_name}.jpg'), '--processors', 'face_swapper']
    return [*command, '--face-swapper-model', 'mesh_warp', '--progress', 'none', '--jobs-path', str(work / 'jobs')]


def run_batch(pictures: Pictures, pattern: str, folder: Path) -> tuple[float, float]:
    """Return CPU seconds and wall seconds of one batch."""
    work = folder / 'work'
    command = [sys.executable, str(ROOT / 'facefusion.py'), *batch_command(pictures, pattern, work)]
    started = time.perf_counter()
    seconds, _ = measure(command, folder)
    wall = time.perf_counter() - started
    written = len(list((work / 'out').iterdir()))
    expected = len(list(pictures.folder.glob(pattern)))
    if written != expected:
        raise SystemExit(f'{written} of {expected} pictures were written')
    shutil.rmtree(work)
    return seconds, wall


def trace(pictures: Pictures, folder: Path, results: Path) -> None:
    """Write the stages and the functions of one batch."""
    results.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, '-m', 'cProfile', '-o', str(results / 'batch.pstats'), str(ROOT / 'facefusion.py')]
    subprocess.run([*command, *batch_command(pictures, '*.jpg', folder / 'functions')], check=True)
    command = [sys.executable, str(ROOT / 'facefusion.py'), *batch_command(pictures, '*.jpg', folder / 'stages')]
    subprocess.run([*command, '--profile', str(results / 'batch.json')], check=True)


def main() -> None:
    """Print one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--pictures', type=int, default=100)
    parser.add_argument('--rounds', type=int, default=3)
    parser.add_argument('--width', type=int, default=1152)
    parser.add_argument('--height', type=int, default=896)
    parser.add_argument('--face', type=int, default=250)
    parser.add_argument('--trace', type=Path)
    arguments = parser.parse_args()
    from facefusion.events import silent
    from facefusion.models.catalog import load_catalog
    from facefusion.models.store import ModelStore

    store = ModelStore(load_catalog(ROOT / 'models/catalog'), ROOT / 'models/weights', offline=False, emit=silent)
    portrait = cv2.imread(str(store.path('example_portrait')))
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        pictures = Pictures(folder / 'pictures', arguments.pictures, store.path('example_group'))
        pictures.folder.mkdir()
        size = arguments.width, arguments.height
        make_pictures(pictures.folder, portrait, pictures.count, size, arguments.face)
        if arguments.trace is not None:
            trace(pictures, folder, arguments.trace)
            return
        # The first run compiles the bytecode.
        run_batch(pictures, '0000.jpg', folder)
        first, whole = [], []
        for _ in range(arguments.rounds):
            first.append(run_batch(pictures, '0000.jpg', folder))
            whole.append(run_batch(pictures, '*.jpg', folder))
    (cpu_1, wall_1), (cpu_n, wall_n) = (map(statistics.median, zip(*rows, strict=True)) for rows in (first, whole))
    further = pictures.count - 1
    result = {
        'machine': {'cpu': platform.processor() or platform.machine(), 'python': platform.python_version()},
        'size': f'{arguments.width}x{arguments.height}',
        'pictures': pictures.count,
        'rounds': arguments.rounds,
        'first_cpu_seconds': round(cpu_1, 2),
        'first_wall_seconds': round(wall_1, 2),
        'cpu_ms_a_further_picture': round(1000 * (cpu_n - cpu_1) / further, 1),
        'wall_ms_a_further_picture': round(1000 * (wall_n - wall_1) / further, 1),
    }
    print(json.dumps(result, indent=2))


if __name__ == '__main__':
    main()
