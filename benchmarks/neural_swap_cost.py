"""Compare the CPU time and memory of a complete run with inswapper with those of the bare networks.

    .venv/bin/python benchmarks/neural_swap_cost.py [--frames 24] [--width 1280] [--height 720] [--threads 1]

The published weights are not needed. Stand-ins with the layers, the size (554 MB and 174 MB) and the cost of the
published inswapper_128 and its recogniser replace them; their output is noise. Prints JSON. Exits with 1 when the run
needs more than 1.04 times the CPU time of the bare networks, or more than 400 MB in addition to the memory of the
sessions at 720p (550 MB at 1080p).
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from pathlib import Path

import cv2
import numpy as np
from onnx import helper, numpy_helper
from pipeline_cost import ROOT, Scene, make_clip, measure
from stand_in_networks import Layers, write, write_weights

CPU_LIMIT = 1.04
MEMORY_LIMITS = {720: 400, 1080: 550}


def write_inswapper(path: Path, width: int = 1024) -> None:
    """Write a network with the layers of inswapper_128, whose last initializer is the embedding matrix.

    ``width`` is the largest number of channels, that of the published network by default.
    """
    layers = Layers()
    name = layers.conv('target', 3, width // 8, 7)
    name = layers.conv(name, width // 8, width // 4)
    name = layers.conv(name, width // 4, width // 2, stride=2)
    name = layers.conv(name, width // 2, width, stride=2)
    for _ in range(12):
        name = layers.conv(name, width, width)
    name = layers.conv(layers.enlarge(name), width, width // 2)
    name = layers.conv(layers.enlarge(name), width // 2, width // 4)
    name = layers.conv(name, width // 4, width // 8)
    layers.conv(name, width // 8, 3, 7)
    last = layers.nodes[-1].output[0]
    layers.nodes.append(helper.make_node('ReduceMean', ['source'], ['mean'], axes=[1], keepdims=1))
    layers.weights.append(numpy_helper.from_array(np.array([-1, 1, 1, 1], np.int64), 'corner'))
    layers.nodes.append(helper.make_node('Reshape', ['mean', 'corner'], ['offset']))
    layers.nodes.append(helper.make_node('Add', [last, 'offset'], ['sum']))
    layers.nodes.append(helper.make_node('Sigmoid', ['sum'], ['output']))
    layers.weights.append(numpy_helper.from_array(np.eye(512, dtype=np.float32), 'emap'))
    inputs = [('target', [1, 3, 128, 128]), ('source', [1, 512])]
    write(path, layers, inputs, ('output', [1, 3, 128, 128]))


def write_arcface(path: Path) -> None:
    """Write a network that is as large as arcface_w600k_r50."""
    layers = Layers()
    name = layers.conv('input', 3, 64, stride=2)
    for before, after in ((64, 128), (128, 256), (256, 512)):
        name = layers.conv(name, before, after, stride=2)
        for _ in range(4 if after < 512 else 16):
            name = layers.conv(name, after, after)
    layers.nodes.append(helper.make_node('ReduceMean', [name], ['output'], axes=[2, 3], keepdims=0))
    write(path, layers, [('input', [1, 3, 112, 112])], ('output', [1, 512]))


BARE = """
import sys, numpy as np, cv2, av
sys.path.insert(0, {root!r})
from facefusion.inference.pool import SessionPool
from facefusion.faces.networks import make_detector
from facefusion.faces.options import FaceDetectorOptions
from facefusion.media.frame import PixelFrame
from facefusion.models.catalog import load_catalog
from facefusion.models.store import ModelStore
from facefusion.events import silent
from pathlib import Path
store = ModelStore(load_catalog(Path({root!r}) / 'models/catalog'), Path({weights!r}), offline=True, emit=silent)
pool = SessionPool(store, ('cpu',), 0, 1)
swapper, detector = pool.session('inswapper_128'), make_detector(FaceDetectorOptions(), pool)
pool.session('arcface_w600k_r50')
frame = PixelFrame(np.zeros(({height}, {width}, 3), np.uint8))
feeds = {{'source': np.zeros((1, 512), np.float32), 'target': np.zeros((1, 3, 128, 128), np.float32)}}
for number in range({frames}):
    if number % 10 == 0:
        detector.detect(frame)
    swapper.run(None, feeds)
"""


def main() -> None:
    """Print one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--frames', type=int, default=24)
    parser.add_argument('--width', type=int, default=1280)
    parser.add_argument('--height', type=int, default=720)
    parser.add_argument('--threads', type=int, default=1)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        stand_ins = {'inswapper_128': write_inswapper, 'arcface_w600k_r50': write_arcface}
        source = write_weights(folder, ('centerface', 'face_mesh', 'open_nsfw'), stand_ins)
        clip = folder / 'clip.mp4'
        scene = Scene(arguments.frames, 1, arguments.width, arguments.height, 250 * arguments.height // 720)
        make_clip(clip, cv2.imread(str(source)), scene)
        report = compare(folder, source, clip, arguments)
    print(json.dumps(report, indent=2))
    limit = MEMORY_LIMITS.get(arguments.height, MEMORY_LIMITS[1080])
    sys.exit(report['ratio'] > CPU_LIMIT or report['memory_beyond_sessions_mb'] > limit)


def compare(folder: Path, source: Path, clip: Path, arguments: argparse.Namespace) -> dict[str, float]:
    """Return CPU milliseconds per frame and peak memory of the bare networks and of the run."""
    weights = folder / 'weights'
    sizes = {'root': str(ROOT), 'weights': str(weights), 'frames': arguments.frames}
    sizes |= {'width': arguments.width, 'height': arguments.height}
    bare = measure([sys.executable, '-c', BARE.format(**sizes)], folder)
    sessions = measure([sys.executable, '-c', BARE.format(**sizes | {'frames': 1})], folder)
    command = [sys.executable, str(ROOT / 'facefusion.py'), 'headless-run', '-s', str(source), '-t', str(clip)]
    command += ['-o', str(folder / 'run.mp4'), '--face-swapper-model', 'inswapper_128', '--face-mask-types', 'box']
    command += ['--models-path', str(weights), '--jobs-path', str(folder / 'jobs'), '--progress', 'none', '--offline']
    run = measure([*command, '--execution-thread-count', str(arguments.threads)], folder)
    frames = arguments.frames
    return {
        'frames': frames,
        'threads': arguments.threads,
        'bare_cpu_ms_a_frame': round(1000 * bare[0] / frames, 1),
        'run_cpu_ms_a_frame': round(1000 * run[0] / frames, 1),
        'ratio': round(run[0] / bare[0], 3),
        'sessions_peak_mb': round(sessions[1]),
        'run_peak_mb': round(run[1]),
        'memory_beyond_sessions_mb': round(run[1] - sessions[1]),
    }


if __name__ == '__main__':
    main()
