"""Kill ``headless-run`` at random moments, run it again, and compare the output with that of an uninterrupted run.

    .venv/bin/python benchmarks/resume_chaos.py [--kills 50] [--workers 2] [--seed 0] [--frames 60]

Each run is killed once, at a random moment after the first tenth of its duration. Odd runs write their work files to a
separate folder (--temp-path). Prints JSON. Fails with an AssertionError if a resumed output differs.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import random
import shutil
import sys
import tempfile
import time
from fractions import Fraction
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / 'tests')]

import av  # noqa: E402 - after the paths are set
import cv2  # noqa: E402
import numpy as np  # noqa: E402
from fakes.media_files import photo_view, write_views  # noqa: E402
from fakes.resume_chaos import ResumeChaos  # noqa: E402

from facefusion.events import silent  # noqa: E402
from facefusion.models.catalog import load_catalog  # noqa: E402
from facefusion.models.store import ModelStore  # noqa: E402

SIZE = (320, 180)


def add_tone(silent_clip: Path, clip: Path, seconds: float) -> None:
    """Write a copy of the clip with a tone as AAC audio."""
    wave = 0.3 * np.sin(np.arange(int(48000 * seconds)) * 2 * np.pi * 440 / 48000).astype(np.float32)
    with av.open(str(silent_clip)) as source, av.open(str(clip), 'w') as output:
        video = output.add_stream_from_template(source.streams.video[0])
        sound = output.add_stream('aac', rate=48000, layout='mono')
        for packet in source.demux(video=0):
            if packet.dts is not None:
                packet.stream = video
                output.mux(packet)
        for at in range(0, len(wave), 1024):
            frame = av.AudioFrame.from_ndarray(wave[None, at : at + 1024], format='fltp', layout='mono')
            frame.sample_rate, frame.pts, frame.time_base = 48000, at, Fraction(1, 48000)
            output.mux(sound.encode(frame))
        output.mux(sound.encode(None))


def main() -> None:
    """Print one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--kills', type=int, default=50)
    parser.add_argument('--workers', type=int, default=2)
    parser.add_argument('--seed', type=int, default=0)
    parser.add_argument('--frames', type=int, default=60)
    arguments = parser.parse_args()
    store = ModelStore(load_catalog(ROOT / 'models/catalog'), ROOT / 'models/weights', offline=False, emit=silent)
    store.fetch(('centerface', 'face_mesh', 'open_nsfw'))
    photo, source = cv2.imread(str(store.path('example_group'))), store.path('example_portrait')
    chance = random.Random(arguments.seed)
    started = time.monotonic()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        silent_clip, clip = folder / 'silent.mp4', folder / 'clip.mp4'
        write_views(silent_clip, lambda k: photo_view(photo, 330 + 2 * k, 290, 500, SIZE), arguments.frames, size=SIZE)
        add_tone(silent_clip, clip, arguments.frames / 25)
        chaos = ResumeChaos(folder, clip, source, arguments.workers)
        wanted, seconds = chaos.reference()
        kept = []
        while chaos.counts['killed'] < arguments.kills:
            # A run that finishes before the moment of its kill does not count as killed.
            number, after = len(kept), chance.uniform(0.1, 1.0) * seconds
            found = chaos.round(f'round-{number}', [after], wanted, temp=number % 2 == 1)
            kept.append([round(after, 2), found['chunk_analysed'], found['segment_rendered']])
            shutil.rmtree(folder / f'round-{number}')
            assert len(kept) < 4 * arguments.kills, 'most runs finished before they were killed'
    machine = {'cpu': platform.processor() or platform.machine(), 'cores': os.cpu_count()}
    result = {'machine': machine, **vars(arguments), 'seconds': round(time.monotonic() - started, 1)}
    result |= {'run_seconds': round(seconds, 2), **chaos.counts}
    # Each entry of kills_seen: seconds until the kill, and the numbers of chunks and segments that the next run reused.
    print(json.dumps({**result, 'kills_seen': kept}))


if __name__ == '__main__':
    main()
