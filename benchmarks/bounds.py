"""Measure the peak memory and disk space of a swap for clips of different lengths.

    .venv/bin/python benchmarks/bounds.py [--frames 500 10000] [--width 320] [--height 240] [--workers 2]

Each clip has one face, as in pipeline_cost.py. Prints JSON: the peak resident memory of the run, and the maximum total
size of its work files and its output (sampled twenty times a second) as a multiple of the size of the output. The files
of the analysis are not counted.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / 'benchmarks')]

import cv2  # noqa: E402 - after the paths are set
from pipeline_cost import Scene, make_clip  # noqa: E402

from facefusion.events import silent  # noqa: E402
from facefusion.models.catalog import load_catalog  # noqa: E402
from facefusion.models.store import ModelStore  # noqa: E402


def disk(folder: Path) -> tuple[int, int]:
    """Return the size of segments and outputs, and the size of the analysis, under ``folder``, in bytes."""
    encoded = analysed = 0
    for path in folder.rglob('*'):
        try:
            size = path.stat().st_size if path.is_file() else 0
        except OSError:
            continue
        if '.cache' in path.parts or path.suffix in ('.npz', '.json'):
            analysed += 0 if '.cache' in path.parts else size
        else:
            encoded += size
    return encoded, analysed


def measure(folder: Path, source: Path, clip: Path, workers: int) -> dict[str, object]:
    """Run one swap in an empty folder and return its figures."""
    output = folder / 'out.mp4'
    words = ['headless-run', '-s', str(source), '-t', str(clip), '-o', str(output), '--jobs-path', str(folder / 'jobs')]
    words += ['--execution-thread-count', str(workers), '--progress', 'none', '--log-level', 'error']
    started = time.monotonic()
    process = subprocess.Popen([sys.executable, str(ROOT / 'facefusion.py'), *words])
    most = most_analysed = 0
    while True:
        done, status, used = os.wait4(process.pid, os.WNOHANG)
        if done:
            break
        encoded, analysed = disk(folder)
        most, most_analysed = max(most, encoded), max(most_analysed, analysed)
        time.sleep(0.05)
    assert status == 0, status
    size = output.stat().st_size
    return {
        'seconds': round(time.monotonic() - started, 1),
        'peak_mb': round(used.ru_maxrss / 1024, 1),
        'output_mb': round(size / 1e6, 2),
        'disk_over_output': round(most / size, 3),
        'analysis_mb': round(most_analysed / 1e6, 1),
    }


def main() -> None:
    """Print one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--frames', type=int, nargs='+', default=[500, 10000])
    parser.add_argument('--width', type=int, default=320)
    parser.add_argument('--height', type=int, default=240)
    parser.add_argument('--workers', type=int, default=2)
    arguments = parser.parse_args()
    store = ModelStore(load_catalog(ROOT / 'models/catalog'), ROOT / 'models/weights', offline=False, emit=silent)
    store.fetch(('centerface', 'face_mesh', 'open_nsfw'))
    portrait = cv2.imread(str(store.path('example_portrait')))
    results = []
    for frames in arguments.frames:
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name) / 'run'
            folder.mkdir()
            clip = Path(name) / 'clip.mp4'
            make_clip(clip, portrait, Scene(frames, 1, arguments.width, arguments.height, arguments.height // 2))
            found = measure(folder, store.path('example_portrait'), clip, arguments.workers)
            results.append({'frames': frames, **found})
    size = f'{arguments.width}x{arguments.height}'
    print(json.dumps({'cores': os.cpu_count(), 'size': size, 'workers': arguments.workers, 'results': results}))


if __name__ == '__main__':
    main()
