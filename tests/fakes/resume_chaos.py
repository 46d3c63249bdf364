"""``headless-run`` killed at random moments and started again, and what must hold of what it makes in the end.

Used by tests/faults/test_faults_resume.py and benchmarks/resume_chaos.py. The program is the real one, with the real
models; only chunks and segments are short, so that a short clip has several of them.
"""

from __future__ import annotations

import hashlib
import json
import os
import random
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any, NamedTuple

import av
from fakes.media_files import audio_packets
from fakes.program import UNMARKED

ROOT = Path(__file__).resolve().parent.parent.parent
CHUNK, SEGMENT = 12, 8
# The length of chunks before anything is imported that takes it over.
SHORT_UNITS = f"""
import functools
import facefusion.pipeline.plan as plan
plan.CHUNK_FRAMES = {CHUNK}
import facefusion.steps.step_run as step_run
step_run.make_plan = functools.partial(plan.make_plan, segment_frames={SEGMENT})
"""
CALL = 'from facefusion.cli.main import run\nrun()'
LONGEST_SECONDS = 120


class Ended(NamedTuple):
    """One process: its exit code (negative: the signal), what it told, and how long it lived."""

    code: int
    events: list[dict[str, Any]]
    said: str
    seconds: float

    def units(self, event: str, origin: str) -> list[int]:
        """The first frames of the chunks or segments that came from there."""
        return [each['start'] for each in self.events if each['event'] == event and each['origin'] == origin]


def content_of(path: Path) -> tuple[list[str], list[Any]]:
    """Time and digest of every decoded frame, and every audio packet: what is the same under any signature."""
    with av.open(str(path)) as container:
        frames, has_sound = [], bool(container.streams.audio)
        for frame in container.decode(video=0):
            digest = hashlib.sha256(frame.to_ndarray().tobytes()).hexdigest()
            frames.append(f'{frame.pts * frame.time_base} {digest}')
    return frames, audio_packets(path) if has_sound else []


class ResumeChaos:
    """Runs one command in ``folder`` again and again; ``workers`` chunks or frames at once."""

    def __init__(self, folder: Path, clip: Path, source: Path, workers: int = 2) -> None:
        self.folder = folder
        self.workers = workers
        self._words = ['headless-run', '-s', str(source), '-t', str(clip), '--progress', 'json', '--log-level', 'error']
        self._words += ['--execution-thread-count', str(workers), '--cache-size', '0', *map(str, UNMARKED)]
        self.counts: Counter[str] = Counter()

    def run(self, name: str, kill_after: float | None = None, temp: bool = False) -> Ended:
        """One process whose files lie in the folder ``name``; killed after so many seconds, if it is not faster."""
        place = self.folder / name
        place.mkdir(exist_ok=True)
        words = [*self._words, '-o', str(place / 'out.mp4'), '--jobs-path', str(place / 'jobs')]
        words += ['--temp-path', str(place / 'temp')] if temp else []
        code = (
            f'import sys\nsys.path.insert(0, {str(ROOT)!r})\n{SHORT_UNITS}\nfrom facefusion.cli.main import run\nrun()'
        )
        environment = {**os.environ, 'FACEFUSION_HOME': str(ROOT), 'FACEFUSION_OFFLINE': 'yes'}
        told, said = place / 'told', place / 'said'
        began = time.monotonic()
        with told.open('wb') as out, said.open('wb') as error:
            process = subprocess.Popen([sys.executable, '-c', code, *words], stdout=out, stderr=error, env=environment)
            try:
                process.wait(LONGEST_SECONDS if kill_after is None else kill_after)
            except subprocess.TimeoutExpired:
                assert kill_after is not None, 'it hangs'
            finally:
                process.kill()
                process.wait()
        # The last line may be cut short.
        lines = told.read_bytes().split(b'\n')[:-1]
        return Ended(
            process.returncode, [json.loads(line) for line in lines], said.read_text(), time.monotonic() - began
        )

    def reference(self) -> tuple[Any, float]:
        """What an uninterrupted run makes, and the seconds that it takes."""
        ended = self.run('reference')
        assert ended.code == 0, ended.said
        assert (
            len(ended.units('chunk_analysed', 'analysed')) > 3 and len(ended.units('segment_rendered', 'rendered')) > 3
        )
        return content_of(self.folder / 'reference' / 'out.mp4'), ended.seconds

    def round(self, name: str, kills: list[float], wanted: Any, temp: bool = False) -> dict[str, Any]:
        """Kills so many runs of one command, lets a last one end, and checks all; gives what was repeated."""
        runs: list[Ended] = []
        place, is_done = self.folder / name, False
        for seconds in kills:
            runs.append(self.run(name, seconds, temp))
            # Killed when its job had ended, too: the same call would begin another one.
            is_done = bool(list((place / 'jobs' / 'completed').glob('*.json')))
            if runs[-1].code == 0:
                break
            assert runs[-1].code == -9, runs[-1].said
            self.counts['killed'] += 1
            if is_done:
                break
        self.counts['killed_after_the_end'] += is_done and runs[-1].code != 0
        if not is_done:
            runs.append(self.run(name, temp=temp))
            assert runs[-1].code == 0, runs[-1].said
        self._check(place, runs, wanted, temp)
        return {event: self._check_units(event, origin, runs) for event, origin in UNITS.items()}

    def _check(self, place: Path, runs: list[Ended], wanted: Any, temp: bool) -> None:
        assert content_of(place / 'out.mp4') == wanted, f'{place} is not what an uninterrupted run makes'
        assert len(list((place / 'jobs' / 'completed').glob('*.json'))) == 1
        assert list((place / 'jobs' / 'failed').glob('*.json')) == []
        # Killed after its end, a job may leave its work files for the next process that looks.
        if runs[-1].code == 0:
            left = [path for path in place.rglob('*') if '.part' in path.name or 'work-' in path.name]
            assert left == [], left
            assert not temp or not list((place / 'temp').rglob('*'))

    def _check_units(self, event: str, done: str, runs: list[Ended]) -> int:
        """That nothing that was told to be finished was done again; gives how many were found finished."""
        finished: set[int] = set()
        found = 0
        for run in runs:
            again = finished & set(run.units(event, done))
            assert not again, f'{event}: done again: {again}'
            kept = set(run.units(event, 'work'))
            if run is runs[-1] and run.code == 0:
                # What was finished, but for the last moment before each kill told so.
                assert finished <= kept, f'{event}: {finished - kept} were lost'
                assert len(kept - finished) <= self.workers * (len(runs) - 1)
                found = len(kept)
            finished |= kept | set(run.units(event, done))
        self.counts[f'{event}_kept'] += found
        return found


UNITS = {'chunk_analysed': 'analysed', 'segment_rendered': 'rendered'}


def moments(chance: random.Random, seconds: float, count: int) -> list[float]:
    """Random moments of a run that takes ``seconds``."""
    return [chance.uniform(0.0, seconds) for _ in range(count)]
