"""Measure how well the mouths that ``mesh_lips`` renders follow a command, with the face mesh on the result.

    .venv/bin/python benchmarks/lip_sync_quality.py [--frames 150] [--height 720] [--face 250] [--picture FILE ...]
        [--show FOLDER]

Each picture becomes three clips: a still face, a moving face, and a moving face whose own mouth moves (rendered by
``mesh_lips`` with another command). The command opens and closes the mouth. The clips are analysed and rendered by the
program's own code, without encoding. Prints JSON for each clip:

correlation: of the commanded and the found gap between the lips. closed_gap: its 90th percentile where the lips are
commanded to meet, in eye distances, and own_gap, the same for the target. wide_gap: the median found gap over the
commanded one above half opening. above_nose: mean difference of the pixels above the nose between target and result, in
code values; the largest of all frames. cpu_ms: the median CPU time of a frame, in one thread.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import cv2
import numpy as np

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from facefusion.events import silent  # noqa: E402 - after the path is set
from facefusion.faces.analyser import FaceAnalyser  # noqa: E402
from facefusion.faces.face import Face, LinkedFace  # noqa: E402
from facefusion.faces.measurement_table import measurements_named  # noqa: E402
from facefusion.faces.measurement_types import MeterTools  # noqa: E402
from facefusion.faces.mouth_shape import head_pose, in_head, lip_gap  # noqa: E402
from facefusion.faces.options import FaceSelectorOptions  # noqa: E402
from facefusion.faces.topology import load_topology  # noqa: E402
from facefusion.faces.track import ChunkTracker, still_chunk  # noqa: E402
from facefusion.inference.pool import SessionPool  # noqa: E402
from facefusion.media.frame import PixelFrame  # noqa: E402
from facefusion.models.catalog import load_catalog  # noqa: E402
from facefusion.models.store import ModelStore  # noqa: E402
from facefusion.pipeline.render import faces_of  # noqa: E402
from facefusion.pipeline.selection import Selector, Wanted  # noqa: E402
from facefusion.pipeline.tracking import Tracker  # noqa: E402
from facefusion.processors.lip_syncer.mesh_lips.articulation import LARGEST_GAP  # noqa: E402
from facefusion.processors.lip_syncer.mesh_lips.render import MouthRenderer  # noqa: E402
from facefusion.voice.mouth_curves import MouthShape  # noqa: E402

RATE = 25
MEASUREMENTS = ('skin', 'mouth_rest', 'mouth_skin', 'mouth_teeth')
Maker = Callable[[int], PixelFrame]
Command = Callable[[int], MouthShape]


@dataclass(frozen=True, slots=True, eq=False)
class Clip:
    """Frames by number, and the linked faces of each."""

    frame: Maker
    count: int
    faces: Sequence[Sequence[LinkedFace]]


class Bench:
    """The models and the renderer."""

    def __init__(self) -> None:
        store = ModelStore(load_catalog(ROOT / 'models/catalog'), ROOT / 'models/weights', offline=False, emit=silent)
        self.sessions = sessions = SessionPool(store, ('cpu',), 0)
        self.topology = load_topology()
        self.analyser = FaceAnalyser(sessions)
        self._measurements = measurements_named(MEASUREMENTS)
        self._meters = self._measurements.prepare(MeterTools(self.topology, sessions))
        self.renderer = MouthRenderer(self.topology)

    def analyse(self, frame: Maker, count: int) -> Clip:
        """Return a clip with its faces, as the stages analyse and link find them."""
        if count == 1:
            chunk = still_chunk(frame(0), self.analyser, self._meters)
        else:
            tracker = ChunkTracker(self.analyser, self._meters)
            for number in range(count):
                tracker.add(frame(number))
            chunk = tracker.finish(None)
        clip = Tracker(self._measurements)
        (linked,) = list(clip.track([chunk]))
        selected = linked.select(Selector(Wanted(FaceSelectorOptions()), clip.tracks()).select(linked))
        return Clip(frame, count, [faces_of(selected, number) for number in range(count)])

    def clips(self, picture: Path, count: int, size: tuple[int, int], height: int) -> dict[str, Clip]:
        """Return three clips of a picture: a still face, a moving face, and one whose own mouth moves."""
        pixels = cv2.imread(str(picture))
        face = max(self.analyser.find(PixelFrame(pixels)), key=lambda found: found.size)
        frames = moving(pixels, face, size, height)
        plain = self.analyse(frames, count)

        def speaking(number: int) -> PixelFrame:
            frame = plain.frame(number)
            if plain.faces[number]:
                self.renderer.render(frame, plain.faces[number][0], speech(7)(number))
            return frame

        return {'still': self.analyse(frames, 1), 'moving': plain, 'own mouth': self.analyse(speaking, count)}

    def measure(self, clip: Clip, command: Command, count: int, show: Path | None = None) -> dict[str, float]:
        """Render and measure a command."""
        said, found, own, above, costs = [], [], [], [], []
        for number in range(count):
            source = number % clip.count
            if not clip.faces[source]:
                continue
            (face, *_), frame = clip.faces[source], clip.frame(source)
            mouth = command(number)
            before = frame.pixels.copy()
            start = time.process_time()
            self.renderer.render(frame, face, mouth)
            costs.append(time.process_time() - start)
            above.append(self.above_nose(before, frame.pixels, face))
            said.append(0.0 if mouth.is_closed else LARGEST_GAP * mouth.opening)
            own.append(self.gap(PixelFrame(before), face))
            found.append(self.gap(frame, face))
            if show is not None and number % 10 == 0:
                cv2.imwrite(str(show / f'{number:04d}.png'), frame.pixels)
        # The mesh may lose a face for a frame.
        kept = np.isfinite(found) & np.isfinite(own)
        said, found, own = (np.array(each)[kept] for each in (said, found, own))
        closed, wide = said == 0, said > LARGEST_GAP / 2
        return {
            'frames': len(said),
            'correlation': round(float(np.corrcoef(said, found)[0, 1]), 3),
            'own_correlation': round(float(np.corrcoef(said, own)[0, 1]), 3) if np.ptp(own) > 0 else 0.0,
            'closed_gap': round(float(np.percentile(found[closed], 90)), 4),
            'own_gap': round(float(np.percentile(own, 90)), 4),
            'wide_gap': round(float(np.median(found[wide] / said[wide])), 3),
            'above_nose': round(max(above), 3),
            'cpu_ms': round(1000 * float(np.median(costs)), 1),
        }

    def gap(self, frame: PixelFrame, face: LinkedFace) -> float:
        found = self.analyser.follow(frame, face.landmarks, face.score)
        if found is None:
            return float('nan')
        # The mesh of the result may differ a little from that of the target, so it is run on its own result again.
        found = self.analyser.follow(frame, found.landmarks, face.score) or found
        return lip_gap(in_head(head_pose(self.topology, found.landmarks), found.landmarks))

    def above_nose(self, before: np.ndarray, after: np.ndarray, face: LinkedFace) -> float:
        points = face.landmarks[self.topology.mean_shape[:, 1] < 0, :2]
        mask = np.zeros(before.shape[:2], np.uint8)
        cv2.fillConvexPoly(mask, cv2.convexHull(points).astype(np.int32), 1)
        return float(np.abs(before[mask > 0].astype(np.float32) - after[mask > 0]).mean())


def speech(seed: int) -> Command:
    """Return a command that opens, rounds and spreads the mouth, and closes it for 120 ms about twice a second."""
    random = np.random.default_rng(seed)
    phases = random.uniform(0, 2 * math.pi, 4)

    def command(number: int) -> MouthShape:
        t = number / RATE
        opening = (
            0.45
            + 0.4 * math.sin(2 * math.pi * 1.9 * t + phases[0])
            + 0.25 * math.sin(2 * math.pi * 0.7 * t + phases[1])
        )
        width = 0.7 * math.sin(2 * math.pi * 1.1 * t + phases[2])
        is_closed = math.sin(2 * math.pi * 2.1 * t + phases[3]) > 0.8
        return MouthShape(min(max(opening, 0.0), 1.1), width, is_closed or opening < 0.05)

    return command


def moving(picture: np.ndarray, face: Face, size: tuple[int, int], height: int) -> Maker:
    """Return frames in which the face, ``height`` pixels high, moves, scales and rotates."""
    x, y = face.landmarks[:, :2].mean(0).tolist()

    @lru_cache(maxsize=1)
    def pixels(number: int) -> np.ndarray:
        phase = 2 * math.pi * number / 150
        scale = height / face.size * (1 + 0.04 * math.sin(phase))
        turn = cv2.getRotationMatrix2D((x, y), 6 * math.sin(phase * 2), scale)
        turn[:, 2] += [size[0] / 2 - x + 0.06 * size[0] * math.sin(phase * 1.4), size[1] * 0.45 - y]
        moved = cv2.warpAffine(picture, turn, size, flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE)
        noise = np.random.default_rng(number).normal(0, 2, moved.shape[:2])[..., None]
        return np.clip(moved + noise, 0, 255).astype(np.uint8)

    return lambda number: PixelFrame(pixels(number).copy(), number=number)


def main() -> None:
    """Print JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--frames', type=int, default=150)
    parser.add_argument('--height', type=int, default=720)
    parser.add_argument('--face', type=int, default=250)
    parser.add_argument('--picture', type=Path, nargs='+', default=[ROOT / 'models/weights/example_portrait.png'])
    parser.add_argument('--show', type=Path)
    arguments = parser.parse_args()
    cv2.setNumThreads(1)
    bench, size = Bench(), (arguments.height * 16 // 9, arguments.height)
    results = []
    for path in arguments.picture:
        clips = bench.clips(path, arguments.frames, size, arguments.face)
        for name, clip in clips.items():
            show = arguments.show / f'{path.stem}-{name.replace(" ", "-")}' if arguments.show else None
            if show is not None:
                show.mkdir(parents=True, exist_ok=True)
            measured = bench.measure(clip, speech(1), arguments.frames, show)
            results.append({'picture': path.name, 'clip': name, **measured})
            print(json.dumps(results[-1]), flush=True)


if __name__ == '__main__':
    main()
