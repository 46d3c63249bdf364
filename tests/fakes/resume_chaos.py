"""Runs of ``headless-run`` that are killed at random moments and started again, with checks of the output.

tests/faults/test_faults_resume.py and benchmarks/resume_chaos.py use this module. The program and the models are real.
Chunks and segments are short, so that a short clip has several of them.
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
# This code sets the length of chunks before other modules import it.
SHORT_UNITS = f"""
import functools
import facefusion.pipeline.plan as plan
plan.CHUNK_FRAMES = {CHUNK}
import facefusion.pipeline.planning as planning
import facefusion.steps.step_run as step_run
step_run.make_plan = functools.partial(planning.make_plan, segment_frames={SEGMENT})
# Worker processes would not have the short chunks.
import facefusion.pipeline.crew as crew
crew.SEGMENTS_A_PROCESS = 1000000
"""
MAXIMUM_SECONDS = 120


class Finished(NamedTuple):
    """The exit code (a signal as a negative number), events, error output and duration of a finished process."""

    code: int
    events: list[dict[str, Any]]
    errors: str
    seconds: float

    def units(self, event: str, origin: str) -> list[int]:
        """Return the numbers of the first frames of the chunks or segments with this origin."""
        return [each['start'] for each in self.events if each['event'] == event and each['origin'] == origin]


def content_of(path: Path) -> tuple[list[str], list[Any]]:
    """Return time and digest of every decoded frame, and every audio packet; the signature does not change these."""
    with av.open(str(path)) as container:
        frames, has_sound = [], bool(container.streams.audio)
        for frame in container.decode(video=0):
            digest = hashlib.sha256(frame.to_ndarray().tobytes()).hexdigest()
            frames.append(f'{frame.pts * frame.time_base} {digest}')
    return frames, audio_packets(path) if has_sound else []


class ResumeChaos:
    """Repeated runs of one command in ``folder``, with ``workers`` chunks or frames at once."""

    def __init__(self, folder: Path, clip: Path, source: Path, workers: int = 2) -> None:
        self.folder = folder
        self.workers = workers
        self._words = ['headless-run', '-s', str(source), '-t', str(clip), '--progress', 'json', '--log-level', 'error']
        self._words += ['--execution-thread-count', str(workers), '--cache-size', '0', *map(str, UNMARKED)]
        self.counts: Counter[str] = Counter()

    def run(self, name: str, kill_after: float | None = None, temp: bool = False) -> Finished:
        """Run a process with its files in folder ``name``; kill it if it still runs after ``kill_after`` seconds."""
        folder = self.folder / name
        folder.mkdir(exist_ok=True)
        words = [*self._words, '-o', str(folder / 'out.mp4'), '--jobs-path', str(folder / 'jobs')]
        words += ['--temp-path', str(folder / 'temp')] if temp else []
        code = (
            f'import sys\nsys.path.insert(0, {str(ROOT)!r})\n{SHORT_UNITS}\nfrom facefusion.cli.main import run\nrun()'
        )
        environment = {**os.environ, 'FACEFUSION_HOME': str(ROOT), 'FACEFUSION_OFFLINE': 'yes'}
        events, errors = folder / 'events', folder / 'errors'
        started = time.monotonic()
        with events.open('wb') as out, errors.open('wb') as error:
            process = subprocess.Popen([sys.executable, '-c', code, *words], stdout=out, stderr=error, env=environment)
            try:
                process.wait(MAXIMUM_SECONDS if kill_after is None else kill_after)
            except subprocess.TimeoutExpired:
                assert kill_after is not None, 'the process hangs'
            finally:
                process.kill()
                process.wait()
        # The last line may be incomplete.
        lines = events.read_bytes().split(b'\n')[:-1]
        seconds = time.monotonic() - started
        return Finished(process.returncode, [json.loads(line) for line in lines], errors.read_text(), seconds)

    def reference(self) -> tuple[Any, float]:
        """Return the content and the duration of an uninterrupted run."""
        run = self.run('reference')
        assert run.code == 0, run.errors
        assert len(run.units('chunk_analysed', 'analysed')) > 3 and len(run.units('segment_rendered', 'rendered')) > 3
        return content_of(self.folder / 'reference' / 'out.mp4'), run.seconds

    def round(self, name: str, kills: list[float], wanted: Any, temp: bool = False) -> dict[str, Any]:
        """Kill a run of one command after each time in ``kills``, complete a last run and check all runs.

        Return the numbers of reused units.
        """
        runs: list[Finished] = []
        folder, is_done = self.folder / name, False
        for seconds in kills:
            runs.append(self.run(name, seconds, temp))
            # After a kill at the end of the job, the same command would start another job.
            is_done = bool(list((folder / 'jobs' / 'completed').glob('*.json')))
            if runs[-1].code == 0:
                break
            assert runs[-1].code == -9, runs[-1].errors
            self.counts['killed'] += 1
            if is_done:
                break
        self.counts['killed_after_the_end'] += is_done and runs[-1].code != 0
        if not is_done:
            runs.append(self.run(name, temp=temp))
            assert runs[-1].code == 0, runs[-1].errors
        self._check(folder, runs, wanted, temp)
        return {event: self._check_units(event, origin, runs) for event, origin in UNITS.items()}

    def _check(self, folder: Path, runs: list[Finished], wanted: Any, temp: bool) -> None:
        assert content_of(folder / 'out.mp4') == wanted, f'{folder} differs from an uninterrupted run'
        assert len(list((folder / 'jobs' / 'completed').glob('*.json'))) == 1
        assert list((folder / 'jobs' / 'failed').glob('*.json')) == []
        # If a job is killed at its end, its work files may be left, and the next process removes them.
        if runs[-1].code == 0:
            left = [path for path in folder.rglob('*') if '.part' in path.name or 'work-' in path.name]
            assert left == [], left
            assert not temp or not list((folder / 'temp').rglob('*'))

    def _check_units(self, event: str, done: str, runs: list[Finished]) -> int:
        """Check that no finished unit was processed again; return the number of reused units."""
        finished: set[int] = set()
        found = 0
        for run in runs:
            again = finished & set(run.units(event, done))
            assert not again, f'{event}: processed again: {again}'
            reused = set(run.units(event, 'work'))
            if run is runs[-1] and run.code == 0:
                # A unit that was finished just before a kill may have no event.
                assert finished <= reused, f'{event}: {finished - reused} were lost'
                assert len(reused - finished) <= self.workers * (len(runs) - 1)
                found = len(reused)
            finished |= reused | set(run.units(event, done))
        self.counts[f'{event}_kept'] += found
        return found


UNITS = {'chunk_analysed': 'analysed', 'segment_rendered': 'rendered'}


def moments(chance: random.Random, seconds: float, count: int) -> list[float]:
    """Return random moments of a run of this duration."""
    return [chance.uniform(0.0, seconds) for _ in range(count)]
