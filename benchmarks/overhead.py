"""Compare the CPU time of a run without its networks with that of a PyAV loop with the same encoder settings.

    .venv/bin/python benchmarks/overhead.py [--frames 1200] [--rounds 3] [--width 1280] [--height 720] [--face 250]

The swapper and its recogniser are stand-ins of a few operations, with the tensors of inswapper_128. The networks of the
analysis are real, because the run must find the faces; their CPU time is measured alone, with as many calls as the run
made (``--profile`` counts them), and subtracted. Prints JSON with medians in milliseconds of CPU time per frame.
"""

from __future__ import annotations

import json
import statistics
import sys
import tempfile
from collections import Counter
from pathlib import Path

import cv2
import numpy as np
from onnx import helper, numpy_helper
from pipeline_cost import PRESET, QUALITY, ROOT, Scene, clip_arguments, make_clip, measure
from stand_in_networks import Layers, write, write_weights

ANALYSIS = ('centerface', 'face_mesh', 'open_nsfw')
CALLS = """
import json, sys, numpy as np
from pathlib import Path
sys.path.insert(0, {root!r})
from facefusion.events import silent
from facefusion.inference.pool import SessionPool
from facefusion.models.catalog import load_catalog
from facefusion.models.store import ModelStore
store = ModelStore(load_catalog(Path({root!r}) / 'models/catalog'), Path({weights!r}), offline=True, emit=silent)
pool = SessionPool(store, ('cpu',), 0, 1)
for model, (calls, shape) in {calls!r}.items():
    session = pool.session(model)
    feeds = {{session.get_inputs()[0].name: np.full(shape, 0.5, np.float32)}}
    for _ in range(calls):
        session.run(None, feeds)
"""


def write_swapper(path: Path) -> None:
    """Write a swapper that mixes the colours of its target, with the tensors of inswapper_128."""
    layers = Layers()
    layers.conv('target', 3, 3, 1)
    last = layers.nodes[-1].output[0]
    layers.nodes.append(helper.make_node('ReduceMean', ['source'], ['mean'], axes=[1], keepdims=1))
    layers.nodes.append(helper.make_node('Add', [last, 'mean'], ['sum']))
    layers.nodes.append(helper.make_node('Sigmoid', ['sum'], ['output']))
    layers.weights.append(numpy_helper.from_array(np.eye(512, dtype=np.float32), 'emap'))
    inputs = [('target', [1, 3, 128, 128]), ('source', [1, 512])]
    write(path, layers, inputs, ('output', [1, 3, 128, 128]))


def write_recogniser(path: Path) -> None:
    """Write a recogniser with the tensors of arcface_w600k_r50."""
    layers = Layers()
    name = layers.conv('input', 3, 512, 7, stride=16)
    layers.nodes.append(helper.make_node('ReduceMean', [name], ['output'], axes=[2, 3], keepdims=0))
    write(path, layers, [('input', [1, 3, 112, 112])], ('output', [1, 512]))


def main() -> None:
    """Print one JSON object."""
    given = clip_arguments(__doc__, 1200, 3).parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        stand_ins = {'inswapper_128': write_swapper, 'arcface_w600k_r50': write_recogniser}
        source = write_weights(folder, ANALYSIS, stand_ins)
        clip = folder / 'clip.mp4'
        make_clip(clip, cv2.imread(str(source)), Scene(given.frames, 1, given.width, given.height, given.face))
        rounds = [one_round(folder, source, clip, number) for number in range(given.rounds)]
    loop, run, networks = (1000 * statistics.median(each) / given.frames for each in zip(*rounds, strict=True))
    report = {'frames': given.frames, 'size': f'{given.width}x{given.height}', 'loop': loop, 'run': run}
    report |= {'networks': networks, 'ratio': (run - networks) / loop}
    print(json.dumps({key: round(each, 2) if isinstance(each, float) else each for key, each in report.items()}))


def one_round(folder: Path, source: Path, clip: Path, number: int) -> tuple[float, float, float]:
    """Return the CPU seconds of the loop, of the run, and of the analysis networks alone."""
    pipeline_cost = str(Path(__file__).with_name('pipeline_cost.py'))
    loop = measure([sys.executable, pipeline_cost, '--loop', str(clip), str(folder / 'loop.mp4')], folder)[0]
    profile = folder / 'profile.json'
    command = [sys.executable, str(ROOT / 'facefusion.py'), 'headless-run', '-s', str(source), '-t', str(clip)]
    command += ['-o', str(folder / 'run.mp4'), '--face-swapper-model', 'inswapper_128', '--face-mask-types', 'box']
    command += ['--output-video-quality', QUALITY, '--output-video-preset', PRESET, '--progress', 'none', '--offline']
    command += ['--face-recognizer-model', 'none', '--execution-thread-count', '1', '--profile', str(profile)]
    command += ['--models-path', str(folder / 'weights'), '--jobs-path', str(folder / f'jobs-{number}')]
    run = measure(command, folder)[0]
    counted = Counter(event['name'] for event in json.loads(profile.read_text())['traceEvents'])
    height = 640 * cv2.VideoCapture(str(clip)).get(cv2.CAP_PROP_FRAME_HEIGHT) / 1280
    grid = (1, 3, 384 if height <= 384 else 640, 640)
    shapes = {'centerface': grid, 'face_mesh': (1, 192, 192, 3), 'open_nsfw': (1, 224, 224, 3)}
    calls = {model: (counted[f'network {model}'], shape) for model, shape in shapes.items()}
    script = CALLS.format(root=str(ROOT), weights=str(folder / 'weights'), calls=calls)
    none = CALLS.format(root=str(ROOT), weights=str(folder / 'weights'), calls={})
    networks = measure([sys.executable, '-c', script], folder)[0] - measure([sys.executable, '-c', none], folder)[0]
    return loop, run, networks


if __name__ == '__main__':
    main()
