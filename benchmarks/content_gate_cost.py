"""Measure the cost of the content gate: the CPU time of one thread for a scored frame and for each step of scoring.

    .venv/bin/python benchmarks/content_gate_cost.py [--rounds 12]

Needs the embedded classifier and an example image of the model store. Prints JSON with the minimum and the median of
the rounds in milliseconds. Exits with 1 when the minimum for a 720p frame in a batch of four exceeds the limit.
The preparation of the input of each published classifier is measured without its weights; with weights in the store,
the vote of all classifiers is measured beside their bare networks.
``scripts/measure_gate.py`` prints the same table together with the error rates of the gate.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import numpy.typing as npt

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT)]

from facefusion.events import silent  # noqa: E402 - after the path is set
from facefusion.inference.pool import SessionPool  # noqa: E402
from facefusion.media.color import ColorSpec  # noqa: E402
from facefusion.media.frame import PlaneFrame  # noqa: E402
from facefusion.models.catalog import load_catalog  # noqa: E402
from facefusion.models.store import ModelStore  # noqa: E402
from facefusion.safety.content_gate import ContentGate, prepare_gate  # noqa: E402
from facefusion.safety.open_nsfw import network_input  # noqa: E402
from facefusion.safety.published_classifiers import network_input as published_input  # noqa: E402
from facefusion.safety.voters import EMBEDDED, PUBLISHED, Voters, find_voters  # noqa: E402

Cost = dict[str, float]
# The limit of CPU time for a sampled 720p frame, in milliseconds.
BOUND_MS = 25.0
BOUNDED = '720p, four together'
TOGETHER = 4


def cpu_ms(work: Callable[[], object], frames: int, rounds: int = 12) -> Cost:
    """Return this process's CPU time per frame: the minimum and the median over the rounds."""
    times = []
    for _ in range(rounds):
        before = time.process_time()
        work()
        times.append(1000 * (time.process_time() - before) / frames)
    return {'least': round(min(times), 2), 'median': round(float(np.median(times)), 2)}


def costs(gate: ContentGate, session: Any, photo: npt.NDArray[np.uint8], rounds: int = 12) -> dict[str, Cost]:
    """Return the CPU milliseconds per sampled frame of each step, from the decoder's planes to the score."""
    result = {}
    for name, size in {'720p': (1280, 720), '2160p': (3840, 2160)}.items():
        video = av.VideoFrame.from_ndarray(cv2.resize(photo, size), format='bgr24').reformat(format='yuv420p')
        frame = PlaneFrame(video, 0, 0, ColorSpec.from_frame(video))
        image = frame.read(frame.window)
        result[f'{name} conversion to BGR'] = cpu_ms(lambda frame=frame: frame.read(frame.window), 1, rounds)
        result[f'{name} resize, crop, JPEG'] = cpu_ms(lambda image=image: network_input(image), 1, rounds)
        result[f'{name} all'] = cpu_ms(lambda frame=frame: gate.classify([frame.read(frame.window)]), 1, rounds)
    several = [cv2.resize(photo, (1280, 720))] * TOGETHER
    result[BOUNDED] = cpu_ms(lambda: gate.classify(several), TOGETHER, rounds)
    name = session.get_inputs()[0].name
    for batch in (1, 4):
        feeds = {name: np.zeros((batch, 224, 224, 3), np.float32)}
        result[f'network, batch {batch}'] = cpu_ms(lambda feeds=feeds: session.run(None, feeds), batch, rounds)
    return result


def voter_costs(
    sessions: SessionPool, voters: Voters, photo: npt.NDArray[np.uint8], rounds: int = 12
) -> dict[str, Cost]:
    """Return the CPU milliseconds per 720p image of the published classifiers, by step."""
    image, result = cv2.resize(photo, (1280, 720)), {}
    for name in PUBLISHED:
        contract = sessions.contract(name)
        result[f'input of {name}'] = cpu_ms(lambda contract=contract: published_input(image, contract), 1, rounds)
    if voters.published:
        for name in voters.published:
            session = sessions.session(name)
            feeds = {session.get_inputs()[0].name: published_input(image, sessions.contract(name))}
            result[f'network {name}'] = cpu_ms(lambda session=session, feeds=feeds: session.run(None, feeds), 1, rounds)
        gate = prepare_gate(sessions, voters.models)
        result[f'720p all, {len(voters.models)} voters'] = cpu_ms(lambda: gate.classify([image]), 1, rounds)
    return result


def main() -> int:
    """Print one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--rounds', type=int, default=12)
    rounds = parser.parse_args().rounds
    cv2.setNumThreads(1)
    store = ModelStore(load_catalog(ROOT / 'models/catalog'), ROOT / 'models/weights', offline=False, emit=silent)
    sessions = SessionPool(store, ('cpu',), 0)
    photo = cv2.imread(str(store.path('example_group')))
    found = costs(prepare_gate(sessions, (EMBEDDED,)), sessions.session(EMBEDDED), photo, rounds)
    found |= voter_costs(sessions, find_voters(store), photo, rounds)
    machine = {'cpu': platform.machine(), 'cores': os.cpu_count(), 'python': platform.python_version()}
    print(json.dumps({'machine': machine, 'bound_ms': BOUND_MS, 'bounded': BOUNDED, 'cpu_ms_a_frame': found}, indent=2))
    return int(found[BOUNDED]['least'] >= BOUND_MS)


if __name__ == '__main__':
    sys.exit(main())
