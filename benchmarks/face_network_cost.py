"""Measure the CPU time that the face enhancer and the masks of networks add to a run, beside the bare networks.

    .venv/bin/python benchmarks/face_network_cost.py [--frames 48] [--rounds 3] [--width 1280] [--height 720]

Each case is a complete run of the embedded face swapper on a clip of one face 250 pixels high, with one network more
than in the base run. "added" is the difference to the base run, "bare" the network alone on crops of its size. The
weights of realesr_animevideov3 are the real ones; stand-ins with random weights replace the published networks, so only
the difference between "added" and "bare" says something about them. Prints JSON: CPU milliseconds per frame, medians.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
import time
from pathlib import Path

import cv2
import numpy as np
from onnx import helper
from pipeline_cost import ROOT, Scene, make_clip, measure
from stand_in_networks import Layers, write, write_weights

EMBEDDED = ('centerface', 'face_mesh', 'open_nsfw', 'realesr_animevideov3')
ENHANCER = ('face_enhancer', '--face-enhancer-model')
# The options that each case adds, the network, and the shape of its input.
CASES = {
    'face_enhancer realesr_animevideov3': ((*ENHANCER, 'realesr_animevideov3'), 'realesr_animevideov3', (3, 256, 256)),
    'face_enhancer gfpgan_1.4': ((*ENHANCER, 'gfpgan_1.4'), 'gfpgan_1.4', (3, 512, 512)),
    'occlusion mask xseg_1': (
        ('--face-mask-types', 'box', 'occlusion', '--face-occluder-model', 'xseg_1'),
        'xseg_1',
        (256, 256, 3),
    ),
    'region mask bisenet_resnet_34': (
        ('--face-mask-types', 'box', 'region', '--face-parser-model', 'bisenet_resnet_34'),
        'bisenet_resnet_34',
        (3, 512, 512),
    ),
}


def write_enhancer(path: Path) -> None:
    """Write a network with the inputs and outputs of gfpgan_1.4."""
    layers = Layers()
    name = layers.conv('input', 3, 16, stride=2)
    name = layers.conv(layers.enlarge(name), 16, 8)
    layers.conv(name, 8, 3)
    finish(layers, 'Tanh')
    write(path, layers, [('input', [1, 3, 512, 512])], ('output', [1, 3, 512, 512]))


def write_occluder(path: Path) -> None:
    """Write a network with the inputs and outputs of xseg_1."""
    layers = Layers()
    layers.nodes.append(helper.make_node('Transpose', ['input'], ['planes'], perm=[0, 3, 1, 2]))
    name = layers.conv('planes', 3, 16, stride=2)
    layers.conv(layers.enlarge(name), 16, 1)
    last = layers.nodes[-1].output[0]
    layers.nodes.append(helper.make_node('Sigmoid', [last], ['mask']))
    layers.nodes.append(helper.make_node('Transpose', ['mask'], ['output'], perm=[0, 2, 3, 1]))
    write(path, layers, [('input', [1, 256, 256, 3])], ('output', [1, 256, 256, 1]))


def write_parser(path: Path) -> None:
    """Write a network with the inputs and outputs of bisenet_resnet_34."""
    layers = Layers()
    name = layers.conv('input', 3, 16, stride=2)
    layers.conv(layers.enlarge(name), 16, 19)
    finish(layers, 'Sigmoid')
    write(path, layers, [('input', [1, 3, 512, 512])], ('output', [1, 19, 512, 512]))


def finish(layers: Layers, kind: str) -> None:
    """Append the activation whose result is the output."""
    layers.nodes.append(helper.make_node(kind, [layers.nodes[-1].output[0]], ['output']))


STAND_INS = {'gfpgan_1.4': write_enhancer, 'xseg_1': write_occluder, 'bisenet_resnet_34': write_parser}


def main() -> None:
    """Print one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--frames', type=int, default=48)
    parser.add_argument('--rounds', type=int, default=3)
    parser.add_argument('--width', type=int, default=1280)
    parser.add_argument('--height', type=int, default=720)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        source = write_weights(folder, EMBEDDED, STAND_INS)
        scene = Scene(arguments.frames, 1, arguments.width, arguments.height, 250 * arguments.height // 720)
        make_clip(folder / 'clip.mp4', cv2.imread(str(source)), scene)
        print(json.dumps(compare(folder, source, arguments.frames, arguments.rounds), indent=2))


def compare(folder: Path, source: Path, frames: int, rounds: int) -> dict[str, object]:
    """Return CPU milliseconds per frame of the base run, and of each case what it adds and its bare network."""
    times: dict[str, list[float]] = {name: [] for name in ('base', *CASES)}
    for _ in range(rounds):
        for name, found in times.items():
            options = CASES[name][0] if name in CASES else ('--face-mask-types', 'box')
            found.append(1000 * run(folder, source, options) / frames)
    base = statistics.median(times['base'])
    report: dict[str, object] = {'frames': frames, 'rounds': rounds, 'base': round(base, 1)}
    for name, (_, model, shape) in CASES.items():
        added, bare = statistics.median(times[name]) - base, bare_cost(folder / 'weights' / f'{model}.onnx', shape)
        report[name] = {'added': round(added, 1), 'bare': round(bare, 1), 'difference': round(added - bare, 1)}
    return report


def run(folder: Path, source: Path, options: tuple[str, ...]) -> float:
    """Return the CPU seconds of a complete run."""
    command = [sys.executable, str(ROOT / 'facefusion.py'), 'headless-run', '-s', str(source)]
    command += ['-t', str(folder / 'clip.mp4'), '-o', str(folder / 'run.mp4')]
    command += ['--models-path', str(folder / 'weights'), '--jobs-path', str(folder / 'jobs'), '--progress', 'none']
    command += ['--offline', '--execution-thread-count', '1', '--face-swapper-model', 'mesh_warp']
    masks = () if '--face-mask-types' in options else ('--face-mask-types', 'box')
    return measure([*command, '--processors', 'face_swapper', *options, *masks], folder)[0]


def bare_cost(path: Path, shape: tuple[int, ...]) -> float:
    """Return the median CPU milliseconds of one call of a network."""
    from facefusion.inference.runtime import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(str(path), options, providers=['CPUExecutionProvider'])
    crop = np.random.default_rng(1).random((1, *shape), np.float32)
    times = []
    for _ in range(8):
        start = time.process_time()
        session.run(None, {session.get_inputs()[0].name: crop})
        times.append(time.process_time() - start)
    return 1000 * statistics.median(times[1:])


if __name__ == '__main__':
    main()
