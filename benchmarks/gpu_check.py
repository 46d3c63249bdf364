"""Prove that networks run on an accelerator, and measure them, the batches, and complete runs there.

    .venv/bin/python benchmarks/gpu_check.py --device cuda --output gpu_check.json [--reduced]

``gpu_check.sh`` prepares a machine without a network and calls this script. Stand-ins have the layers and the cost of
published networks, and random weights: inswapper_128 (554 MB), its recogniser, and a face enhancer as large as
gfpgan_1.4. ``--reduced`` makes them small, for a test of the script itself on a CPU; its figures mean nothing. A part
that fails states its error in the result; the others run. The exit code is 1 if a part failed.

The share of a run is its frames per second divided by those of the smaller of two bounds: the bare network, and a PyAV
loop that decodes and encodes each frame. A run's frames per second are those beyond the first frames of the clip: the
difference of a long and a short run, without start and loading.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np
from neural_swap_cost import write_arcface, write_inswapper
from onnx import helper
from pipeline_cost import ROOT, Scene, bare_loop, make_clip
from stand_in_networks import Layers, write, write_weights

from facefusion.inference.batch_sizes import cached_sizes
from facefusion.inference.batches import run_batched
from facefusion.inference.pool import SessionPool
from facefusion.inference.providers import RUNTIME_NAMES, create_session, one_node_model
from facefusion.inference.runtime import onnxruntime

# No part begins after this many seconds; ``gpu_check.sh`` ends the script at 475.
LAST_START = 330
BATCHES = (1, 2, 4, 8, 16)
SWAPPER, ENHANCER, RECOGNISER = 'inswapper_128', 'gfpgan_1.4', 'arcface_w600k_r50'


class Size(NamedTuple):
    """The frames of a short and a long clip, their height, the calls of a measurement, and the networks' channels."""

    short: int = 50
    long: int = 450
    height: int = 720
    calls: int = 30
    swapper_width: int = 1024
    enhancer_width: int = 512


REDUCED = Size(short=4, long=12, height=240, calls=2, swapper_width=32, enhancer_width=16)


def write_enhancer(path: Path, width: int = 512) -> None:
    """Write a network about as large as gfpgan_1.4: an encoder to 16x16, 36 wide layers, and a decoder."""
    layers = Layers()
    name = layers.conv('input', 3, width // 16)
    channels = width // 16
    for _ in range(5):
        name = layers.conv(name, channels, min(channels * 2, width), stride=2)
        channels = min(channels * 2, width)
    for _ in range(36):
        name = layers.conv(name, channels, channels)
    for _ in range(5):
        smaller = max(channels // 2, width // 16)
        name = layers.conv(layers.enlarge(name), channels, smaller)
        channels = smaller
    layers.conv(name, channels, 3)
    layers.nodes.append(helper.make_node('Tanh', [layers.nodes[-1].output[0]], ['output']))
    write(path, layers, [('input', [1, 3, 512, 512])], ('output', [1, 3, 512, 512]))


class Check:
    """The parts of the check, and their results."""

    def __init__(self, device: str, folder: Path, size: Size) -> None:
        self.device, self.folder, self.size = device, folder, size
        self.providers = (device,) if device == 'cpu' else (device, 'cpu')
        self.weights = folder / 'weights'
        stand_ins: dict[str, Callable[[Path], None]] = {
            SWAPPER: lambda path: write_inswapper(path, size.swapper_width),
            RECOGNISER: write_arcface,
            ENHANCER: lambda path: write_enhancer(path, size.enhancer_width),
        }
        self.source = write_weights(folder, ('centerface', 'face_mesh', 'open_nsfw', 'example_portrait'), stand_ins)
        self.clips = {}
        for frames in (size.short, size.long):
            clip = self.clips[frames] = folder / f'clip-{frames}.mp4'
            scene = Scene(frames, 1, size.height * 16 // 9 // 2 * 2, size.height, 250 * size.height // 720)
            make_clip(clip, cv2.imread(str(self.source)), scene)
        self.results: dict[str, Any] = {}

    def machine(self) -> dict[str, Any]:
        """Return facts of the machine and its software."""
        facts = {
            'python': platform.python_version(),
            'cores': os.cpu_count(),
            'onnxruntime': onnxruntime.__version__,
            'build': onnxruntime.get_device(),
            'listed': onnxruntime.get_available_providers(),
        }
        if shutil.which('nvidia-smi'):
            query = ['nvidia-smi', '--query-gpu=name,driver_version,memory.total', '--format=csv,noheader']
            facts['gpu'] = subprocess.run(query, capture_output=True, text=True, check=False).stdout.strip()
        return facts

    def provider(self) -> dict[str, Any]:
        """Prove that sessions run on the provider: a one-node network, and the swapper."""
        used = {}
        for name, model in (('one node', one_node_model()), (SWAPPER, self._path(SWAPPER))):
            started = time.perf_counter()
            session = create_session(model, self.providers, 0)
            used[name] = {'providers': session.get_providers(), 'loading_s': round(time.perf_counter() - started, 3)}
            if session.get_providers()[0] != RUNTIME_NAMES[self.device]:
                raise RuntimeError(f'{name} runs on {session.get_providers()}')
        return used

    def network(self, model: str) -> dict[str, Any]:
        """Measure the bare network one by one, and the program's calls for each batch size."""
        pool = self._pool()
        raw = create_session(self._path(model), self.providers, 0)
        inputs = {each.name: np.zeros([1, *each.shape[1:]], np.float32) for each in raw.get_inputs()}
        bare = self._speed(lambda: raw.run(None, inputs), 1)
        session, speeds, reference = pool.batched(model), {}, None
        random = np.random.default_rng(1)
        crops = {name: random.random((max(BATCHES), *v.shape[1:])).astype(np.float32) for name, v in inputs.items()}
        differences = {}
        for batch in BATCHES if self.device != 'cpu' else (1,):
            part = {name: value[:batch] for name, value in crops.items()}
            speed = self._speed(lambda part=part, batch=batch: run_batched(session, part, batch), batch)
            speeds[batch] = round(speed, 2)
            output = run_batched(session, crops, batch)[0]
            reference = output if reference is None else reference
            differences[batch] = float(np.abs(output - reference).max())
        return {
            'bare_per_second': round(bare, 2),
            'program_per_second': speeds,
            'largest_difference_to_batch_1': differences,
            'steps_down': pool.ladder.steps(),
        }

    def loop(self) -> dict[str, Any]:
        """Measure a PyAV loop that decodes and encodes the clips."""
        seconds = {}
        for frames, clip in self.clips.items():
            started = time.perf_counter()
            bare_loop(str(clip), str(self.folder / 'loop.mp4'))
            seconds[frames] = time.perf_counter() - started
        return {'frames_per_second': self._rate(seconds)}

    def run(self, processors: tuple[str, ...], provider: str = '') -> dict[str, Any]:
        """Measure complete runs, and how busy the device was during the long one."""
        seconds: dict[int, float] = {}
        with Busy() as busy:
            for frames in self.clips:
                busy.clear()
                seconds[frames] = self._headless_run(frames, processors, provider or self.device)
        result = {
            'seconds': {str(k): round(v, 2) for k, v in seconds.items()},
            'frames_per_second': self._rate(seconds),
        }
        result['gpu_busy'] = busy.share()
        result |= self._bounds(processors)
        known = [result[name] for name in ('loop_bound', 'network_bound') if result[name]]
        result['share_of_smaller_bound'] = round(result['frames_per_second'] / min(known), 3) if known else None
        return result

    def _bounds(self, processors: tuple[str, ...]) -> dict[str, float | None]:
        """Return the frames per second of the PyAV loop, and of the networks of the processors one after the other."""
        seconds = 0.0
        for model, processor in ((SWAPPER, 'face_swapper'), (ENHANCER, 'face_enhancer')):
            found = self.results.get(f'network {model}', {}).get('program_per_second')
            if processor in processors:
                seconds += 1 / max(found.values()) if found else float('nan')
        loop = self.results.get('loop', {}).get('frames_per_second')
        return {'loop_bound': loop, 'network_bound': round(1 / seconds, 2) if seconds > 0 else None}

    def tensorrt(self) -> dict[str, Any]:
        """Measure a short run without stored engines and one with them."""
        if self.device == 'cpu' or RUNTIME_NAMES['tensorrt'] not in onnxruntime.get_available_providers():
            return {'skipped': 'the installed onnxruntime has no TensorRT'}
        seconds = [self._headless_run(self.size.short, ('face_swapper',), 'tensorrt') for _ in range(2)]
        return {'cold_s': round(seconds[0], 2), 'warm_s': round(seconds[1], 2)}

    def benchmark(self) -> dict[str, Any]:
        """Run ``facefusion benchmark`` once."""
        words = ['benchmark', '--benchmark-resolutions', f'{self.size.height}p', '--benchmark-cycle-count', '1']
        words += ['--benchmark-frames', str(self.size.short), '--execution-providers', self.device]
        done = self._program(words, timeout=90)
        return dict(json.loads(done.stdout))

    def sizes(self) -> list[Any]:
        """Return the batch sizes that the runs measured and stored."""
        return [each._asdict() | {'key': each.key._asdict()} for each in cached_sizes(self.weights)]

    def _pool(self) -> SessionPool:
        from facefusion.events import silent
        from facefusion.models.catalog import load_catalog
        from facefusion.models.store import ModelStore

        store = ModelStore(load_catalog(ROOT / 'models/catalog'), self.weights, offline=True, emit=silent)
        return SessionPool(store, self.providers, 0)

    def _path(self, model: str) -> Path:
        return self._pool().path(model)

    def _speed(self, call: Callable[[], Any], crops: int) -> float:
        """Return crops per second, from the median time of a call after two calls without timing."""
        times = []
        for number in range(self.size.calls + 2):
            started = time.perf_counter()
            call()
            if number >= 2:
                times.append(time.perf_counter() - started)
        return crops / statistics.median(times)

    def _rate(self, seconds: dict[int, float]) -> float:
        """Return the frames per second beyond those of the short clip."""
        size = self.size
        spent = max(seconds[size.long] - seconds[size.short], 1e-3)
        return round((size.long - size.short) / spent, 2)

    def _headless_run(self, frames: int, processors: tuple[str, ...], provider: str) -> float:
        words = ['headless-run', '-s', str(self.source), '-t', str(self.clips[frames])]
        words += ['-o', str(self.folder / 'out.mp4'), '--processors', *processors, '--face-swapper-model', SWAPPER]
        words += ['--face-enhancer-model', ENHANCER, '--face-mask-types', 'box', '--execution-providers', provider]
        words += ['--progress', 'none', '--cache-size', '0']
        started = time.perf_counter()
        self._program(words, timeout=200)
        return time.perf_counter() - started

    def _program(self, words: list[str], timeout: float) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, str(ROOT / 'facefusion.py'), *words, '--models-path', str(self.weights)]
        command += ['--jobs-path', str(self.folder / 'jobs'), '--offline']
        done = subprocess.run(command, capture_output=True, text=True, timeout=timeout, check=False)
        if done.returncode:
            raise RuntimeError(f'{" ".join(words[:1])} ended with {done.returncode}: {done.stderr[-2000:]}')
        return done


class Busy:
    """The share of time in which the GPU computed, sampled by nvidia-smi; None without it."""

    def __init__(self) -> None:
        self._samples: list[float] = []
        self._process: subprocess.Popen[str] | None = None

    def __enter__(self) -> Busy:
        if shutil.which('nvidia-smi'):
            query = ['nvidia-smi', '--query-gpu=utilization.gpu', '--format=csv,noheader,nounits', '-lms', '200']
            self._process = subprocess.Popen(query, stdout=subprocess.PIPE, text=True)
            threading.Thread(target=self._read, args=(self._process,), daemon=True).start()
        return self

    def __exit__(self, *ignored: object) -> None:
        if self._process is not None:
            self._process.terminate()
            self._process.wait()

    def clear(self) -> None:
        """Begin a new measurement."""
        self._samples.clear()

    def share(self) -> float | None:
        """Return the mean of all samples, 0..1."""
        return round(statistics.fmean(self._samples) / 100, 3) if self._samples else None

    def _read(self, process: subprocess.Popen[str]) -> None:
        for line in process.stdout or ():
            if line.strip().isdigit():
                self._samples.append(float(line))


def main() -> None:
    """Run the parts, and write the JSON object after each."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--device', choices=('cuda', 'cpu'), default='cuda')
    parser.add_argument('--output', type=Path, default=Path('gpu_check.json'))
    parser.add_argument('--reduced', action='store_true')
    arguments = parser.parse_args()
    started, failed = time.monotonic(), False
    with tempfile.TemporaryDirectory() as name:
        check = Check(arguments.device, Path(name), REDUCED if arguments.reduced else Size())
        parts: dict[str, Callable[[], Any]] = {
            'machine': check.machine,
            'provider': check.provider,
            f'network {SWAPPER}': lambda: check.network(SWAPPER),
            f'network {ENHANCER}': lambda: check.network(ENHANCER),
            'loop': check.loop,
            'run swapper': lambda: check.run(('face_swapper',)),
            'run enhancer': lambda: check.run(('face_enhancer',)),
            'run both': lambda: check.run(('face_swapper', 'face_enhancer')),
            'batch sizes': check.sizes,
            'benchmark': check.benchmark,
            'tensorrt': check.tensorrt,
        }
        record: dict[str, Any] = {'device': arguments.device, 'is_reduced': arguments.reduced, 'seconds': {}}
        record['parts'] = check.results
        for title, part in parts.items():
            began = time.monotonic()
            if began - started > LAST_START:
                check.results[title] = {'skipped': f'{LAST_START} seconds had passed'}
                continue
            try:
                check.results[title] = part()
            except Exception as error:  # noqa: BLE001
                failed = True
                check.results[title] = {'failed': f'{type(error).__name__}: {error}'}
            record['seconds'][title] = round(time.monotonic() - began, 1)
            arguments.output.write_text(json.dumps(record, indent=2) + '\n', encoding='utf-8')
            print(f'{title}: {json.dumps(check.results[title])[:400]}', file=sys.stderr, flush=True)
    sys.exit(failed)


if __name__ == '__main__':
    main()
