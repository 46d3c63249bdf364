"""Measure the flicker, the errors and the cost of the background remover's embedded networks.

    PYTHONPATH=. .venv/bin/python benchmarks/background_remover.py [--weights models/weights] [--output FILE.json]

The clip shows the person of the example portrait, cut out once, who moves and turns, with new noise in each
frame, in front of a house or of a blurred group, which is hard. So the true matte of each frame is known. ``error`` is
the mean absolute difference from it, and ``flicker`` that of the change of the difference from frame to frame, both in
levels of 255, at all pixels. The costs are those of a 1920x1080 picture of six persons.
"""

from __future__ import annotations

import argparse
import itertools
import json
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

import cv2
import numpy as np

from facefusion.events import silent
from facefusion.inference.pool import SessionPool
from facefusion.media.frame import Frame, PixelFrame
from facefusion.models.catalog import load_catalog
from facefusion.models.store import ModelStore
from facefusion.processors.background_remover.mattes import SteadyMattes
from facefusion.processors.background_remover.networks import (
    Matting,
    MattingNetwork,
    Modnet,
    Selfie,
    Separation,
)
from facefusion.processors.background_remover.options import BackgroundRemoverOptions
from facefusion.processors.background_remover.process import BackgroundRemover
from facefusion.processors.processor import FrameTask

ROOT = Path(__file__).resolve().parent.parent
SIZE, LARGE = (640, 360), (1920, 1080)
FRAMES, NOISE = 16, 6.0
REACHES = (0, 1, 2)
MODELS = ('modnet', 'selfie_segmentation', 'u2netp')
IMAGES = ('portrait', 'conference', 'group')
ROUNDS = 5


def network_of(name: str, sessions: SessionPool) -> MattingNetwork:
    """Return the adapter of an embedded network."""
    if name == 'modnet':
        return Modnet(name, sessions.session(name))
    if name == 'selfie_segmentation':
        return Selfie(name, sessions.session(name))
    return Matting(name, sessions.session(name), sessions.contract(name))


class Remembered:
    """A network that computes the matte of each frame once."""

    has_colors = False
    has_fine_edges = True

    def __init__(self, network: MattingNetwork) -> None:
        self._network = network
        self._found: dict[int, Separation] = {}

    def separate(self, frame: Frame) -> Separation:
        """Return the matte of a frame."""
        if frame.number not in self._found:
            self._found[frame.number] = self._network.separate(frame)
        return self._found[frame.number]


def clip(
    portrait: np.ndarray, behind: np.ndarray, network: MattingNetwork
) -> tuple[list[PixelFrame], list[np.ndarray]]:
    """Return the frames of the clip and their true mattes, float32 [360,640] 0..255."""
    cut = cv2.resize(network.separate(PixelFrame(portrait)).matte, portrait.shape[1::-1]).astype(np.float32)
    random = np.random.default_rng(1)
    behind = behind.astype(np.float32)
    frames, mattes = [], []
    for number in range(FRAMES):
        turn = cv2.getRotationMatrix2D((256, 300), 3 * np.sin(number / 4), 0.7)
        turn[:, 2] += (20 + 5 * number, 20)
        person = cv2.warpAffine(portrait, turn, SIZE, borderMode=cv2.BORDER_REPLICATE).astype(np.float32)
        matte = cv2.warpAffine(cut, turn, SIZE)
        shown = behind + (person - behind) * (matte / 255)[..., None]
        noisy = shown + random.normal(0, NOISE, shown.shape)
        frames.append(PixelFrame(np.clip(noisy, 0, 255).astype(np.uint8), number=number))
        mattes.append(matte)
    return frames, mattes


def flicker(frames: list[PixelFrame], truth: list[np.ndarray], network: MattingNetwork, reach: int) -> dict[str, float]:
    """Return the error and the flicker of the mattes of a clip."""
    steady = SteadyMattes(network)
    errors = []
    for number, frame in enumerate(frames):
        around = [frames[min(max(k, 0), len(frames) - 1)] for k in range(number - reach, number + reach + 1)]
        task = FrameTask(frame.untouched(), neighbours=tuple(around) if reach else ())
        errors.append(cv2.resize(steady.of(task).matte, SIZE).astype(np.float32) - truth[number])
    changes = [np.abs(after - before).mean() for before, after in itertools.pairwise(errors)]
    worst = [np.abs(each).mean() for each in errors]
    return {'error': round(float(np.mean(worst)), 3), 'flicker': round(float(np.mean(changes)), 3)}


def seconds(call: Callable[[], Any]) -> float:
    """Return the median CPU time of a call in seconds."""
    times = []
    for _ in range(ROUNDS):
        started = time.process_time()
        call()
        times.append(time.process_time() - started)
    return round(median(times), 4)


class Recording:
    """A session that records its inputs."""

    def __init__(self, session: Any) -> None:
        self.session = session
        self.fed: list[dict[str, np.ndarray]] = []

    def get_inputs(self) -> Any:
        """Return the inputs of the network."""
        return self.session.get_inputs()

    def run(self, names: None, feeds: dict[str, np.ndarray]) -> Any:
        """Run the network."""
        self.fed.append(feeds)
        return self.session.run(names, feeds)


def cost(network: Any, picture: np.ndarray) -> dict[str, float]:
    """Return the CPU time in seconds of the bare network and of the processor with a fill colour, for one frame."""
    recording = Recording(network._session)
    network._session = recording
    processor = BackgroundRemover(network, BackgroundRemoverOptions(background_remover_fill_color=(0, 200, 0)))
    processor.process([FrameTask(PixelFrame(picture))])
    network._session, fed = recording.session, recording.fed
    return {
        'bare': seconds(lambda: [network._session.run(None, feeds) for feeds in fed]),
        'processor': seconds(lambda: processor.process([FrameTask(PixelFrame(picture))])),
    }


def main() -> None:
    """Print the results, and write them to the output."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--weights', type=Path, default=ROOT / 'models' / 'weights')
    parser.add_argument('--output', type=Path)
    arguments = parser.parse_args()
    store = ModelStore(load_catalog(ROOT / 'models' / 'catalog'), arguments.weights, offline=True, emit=silent)
    sessions = SessionPool(store, ('cpu',), 0)
    portrait, photo, group = (cv2.imread(str(store.path(f'example_{name}'))) for name in IMAGES)
    # This part of the photo shows a house and no person.
    house = cv2.resize(photo[:675, 1200:2400], SIZE, interpolation=cv2.INTER_AREA)
    blurred = cv2.GaussianBlur(cv2.resize(group, SIZE, interpolation=cv2.INTER_AREA), (0, 0), 3)
    large = cv2.resize(group[:720], LARGE)
    cutter = network_of('modnet', sessions)
    clips = {'house': clip(portrait, house, cutter), 'group': clip(portrait, blurred, cutter)}
    results: dict[str, Any] = {'frames': FRAMES, 'size': SIZE, 'noise': NOISE, 'models': {}}
    for name in MODELS:
        network = network_of(name, sessions)
        found: dict[str, Any] = {'seconds': cost(network, large)}
        for place, (frames, truth) in clips.items():
            remembered = Remembered(network)
            found[place] = {f'reach {reach}': flicker(frames, truth, remembered, reach) for reach in REACHES}
        results['models'][name] = found
        print(name, json.dumps(results['models'][name]), flush=True)
    if arguments.output:
        arguments.output.write_text(json.dumps(results, indent=2) + '\n', encoding='utf-8')


if __name__ == '__main__':
    main()
