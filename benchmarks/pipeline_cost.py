"""Compare the CPU time and memory of a complete run with those of a PyAV loop with the same encoder settings.

    .venv/bin/python benchmarks/pipeline_cost.py [--frames 300 ...] [--faces 1 ...] [--rounds 5] [--width 1280]
        [--height 720] [--face 250]

Creates clips with one or more faces side by side, each ``--face`` pixels high (the example portrait, slowly zoomed and
rotated). Then runs the loop, which decodes and encodes every frame, and ``headless-run`` alternately, each in a
separate process. Prints JSON: medians of the CPU seconds (user and system, with all children) and of the peak resident
memory. The figures of the run include its start, the loading of the models and the analysis of the source. Python's
bytecode is cached by a first, unmeasured run, as on a machine that has run the program before.
"""

from __future__ import annotations

import argparse
import itertools
import json
import math
import os
import platform
import resource
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import NamedTuple

import av
import cv2
import numpy as np

ROOT = Path(__file__).resolve().parent.parent

RATE = 25
# The height of the face in the portrait; its centre is at 226, 125.
PORTRAIT_FACE = 108
# Quality 65 of --output-video-quality is crf 18 with the preset veryfast.
QUALITY, CRF, PRESET = '65', '18', 'veryfast'


class Scene(NamedTuple):
    """The number of frames and faces of a clip, its size, and the height of its faces in pixels."""

    frames: int
    faces: int
    width: int
    height: int
    face: int


def clip_arguments(about: str | None, frames: int, rounds: int) -> argparse.ArgumentParser:
    """Return a parser with the frames, rounds, size and face of a benchmark of one clip, and these defaults."""
    parser = argparse.ArgumentParser(description=about)
    parser.add_argument('--frames', type=int, default=frames)
    parser.add_argument('--rounds', type=int, default=rounds)
    parser.add_argument('--width', type=int, default=1280)
    parser.add_argument('--height', type=int, default=720)
    parser.add_argument('--face', type=int, default=250)
    return parser


def make_clip(path: Path, portrait: np.ndarray, scene: Scene) -> None:
    """Write a clip with one column per face, in which the portrait moves, scales and rotates slightly."""
    frames, width, height = scene.frames, scene.width, scene.height
    column = width // scene.faces
    with av.open(str(path), 'w') as container:
        stream = container.add_stream('libx264', rate=RATE)
        stream.width, stream.height, stream.pix_fmt = width, height, 'yuv420p'
        stream.options = {'crf': '16', 'preset': 'veryfast'}
        for number in range(frames):
            phase = 2 * math.pi * number / 150
            scale = scene.face / PORTRAIT_FACE * (1 + 0.03 * math.sin(phase))
            turn = cv2.getRotationMatrix2D((226, 125), 4 * math.sin(phase / 2), scale)
            turn[:, 2] += [column / 2 - 226 + column / 32 * math.sin(phase * 0.7), height * 0.45 - 125]
            one = cv2.warpAffine(portrait, turn, (column, height), borderMode=cv2.BORDER_REFLECT_101)
            picture = np.zeros((height, width, 3), np.uint8)
            for k in range(scene.faces):
                picture[:, k * column : (k + 1) * column] = one
            noise = np.random.default_rng(number).normal(0, 2, picture.shape[:2])[..., None]
            video = av.VideoFrame.from_ndarray(np.clip(picture + noise, 0, 255).astype(np.uint8), format='bgr24')
            container.mux(stream.encode(video))
        container.mux(stream.encode(None))


def bare_loop(source: str, output: str) -> None:
    """Decode and encode every frame without any other processing."""
    with av.open(source) as reader, av.open(output, 'w') as writer:
        source_stream = reader.streams.video[0]
        source_stream.thread_type = 'AUTO'
        stream = writer.add_stream('libx264', rate=RATE)
        stream.width, stream.height, stream.pix_fmt = source_stream.width, source_stream.height, 'yuv420p'
        stream.options = {'crf': CRF, 'preset': PRESET, 'threads': '2'}
        for frame in reader.decode(source_stream):
            frame.pict_type = 0
            writer.mux(stream.encode(frame))
        writer.mux(stream.encode(None))


def measure(command: list[str], folder: Path) -> tuple[float, float]:
    """Return CPU seconds and peak megabytes of a process and its children, with a bytecode cache in ``folder``."""
    environment = {name: value for name, value in os.environ.items() if name != 'PYTHONDONTWRITEBYTECODE'}
    environment['PYTHONPYCACHEPREFIX'] = str(folder / 'bytecode')
    code = (
        'import resource, subprocess, sys; subprocess.run(sys.argv[1:], check=True, stderr=subprocess.DEVNULL);'
        'u = resource.getrusage(resource.RUSAGE_CHILDREN); print(u.ru_utime + u.ru_stime, u.ru_maxrss / 1024)'
    )
    process = [sys.executable, '-c', code, *command]
    shown = subprocess.run(process, check=True, capture_output=True, text=True, env=environment)
    seconds, megabytes = shown.stdout.split()[-2:]
    return float(seconds), float(megabytes)


def compare(folder: Path, source: Path, clip: Path, frames: int, rounds: int) -> dict[str, object]:
    """Return the medians of the loop and of the run over all rounds."""
    loops, runs = [], []
    for number in range(rounds):
        loops.append(measure([sys.executable, __file__, '--loop', str(clip), str(folder / 'loop.mp4')], folder))
        command = [sys.executable, str(ROOT / 'facefusion.py'), 'headless-run', '-s', str(source), '-t', str(clip)]
        command += ['-o', str(folder / 'run.mp4'), '--output-video-quality', QUALITY, '--progress', 'none']
        command += ['--output-video-preset', PRESET, '--jobs-path', str(folder / f'{clip.stem}-{number}')]
        runs.append(measure(command, folder))
    loop, run = ([statistics.median(column) for column in zip(*rows, strict=True)] for rows in (loops, runs))
    return {
        'frames': frames,
        'swap_cpu_ms_a_frame': round(1000 * (run[0] - loop[0]) / frames, 2),
        'loop_cpu_ms_a_frame': round(1000 * loop[0] / frames, 2),
        'run_cpu_ms_a_frame': round(1000 * run[0] / frames, 2),
        'ratio': round(run[0] / loop[0], 2),
        'loop_peak_mb': round(loop[1]),
        'run_peak_mb': round(run[1]),
    }


def main() -> None:
    """Print one JSON object."""
    if sys.argv[1:2] == ['--loop']:
        bare_loop(*sys.argv[2:4])
        return
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--frames', type=int, nargs='+', default=[300])
    parser.add_argument('--rounds', type=int, default=5)
    parser.add_argument('--faces', type=int, nargs='+', default=[1])
    parser.add_argument('--face', type=int, default=250)
    parser.add_argument('--width', type=int, default=1280)
    parser.add_argument('--height', type=int, default=720)
    arguments = parser.parse_args()
    from facefusion.events import silent
    from facefusion.models.catalog import load_catalog
    from facefusion.models.store import ModelStore

    store = ModelStore(load_catalog(ROOT / 'models/catalog'), ROOT / 'models/weights', offline=False, emit=silent)
    portrait = cv2.imread(str(store.path('example_portrait')))
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        results = []
        first = folder / 'first.mp4'
        make_clip(first, portrait, Scene(2, 1, arguments.width, arguments.height, arguments.face))
        compare(folder, store.path('example_group'), first, 2, 1)
        for frames, faces in itertools.product(arguments.frames, arguments.faces):
            clip = folder / f'clip-{frames}-{faces}.mp4'
            make_clip(clip, portrait, Scene(frames, faces, arguments.width, arguments.height, arguments.face))
            costs = compare(folder, store.path('example_group'), clip, frames, arguments.rounds)
            results.append({'faces': faces, 'face': arguments.face, **costs})
    machine = {'cpu': platform.processor() or platform.machine(), 'cores': os.cpu_count()}
    machine['python'] = platform.python_version()
    size = f'{arguments.width}x{arguments.height}'
    print(json.dumps({'machine': machine, 'size': size, 'rounds': arguments.rounds, 'results': results}, indent=2))


if __name__ == '__main__':
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    main()
