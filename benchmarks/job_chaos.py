"""Kill and freeze the workers of a queue at random, and check that no job is lost or finished twice.

    .venv/bin/python benchmarks/job_chaos.py [--seeds 1 2 3] [--jobs 100] [--workers 8] [--kills 15] [--freezes 6]
    .venv/bin/python benchmarks/job_chaos.py --real

The workers are processes with the real store, claims, reaper and runner; their steps sleep and write a small file
(tests/fakes/job_chaos.py, which also checks the result). With ``--real`` each worker is a ``job-run-all --watch``
command, and its steps process a small image with the embedded models, which must be installed
(``facefusion models fetch``). Prints JSON. Exits with 1 (AssertionError) if a job is lost or finished twice.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / 'tests')]

from fakes.job_chaos import CLAIM_TIMEOUT, Chaos, Storm, check_records  # noqa: E402

from facefusion.cli.main import main as facefusion  # noqa: E402

# Approximate duration of a step with --real when eight workers share two cores; used to spread the kills over the run.
REAL_SECONDS = 0.1


class RealStorm(Storm):
    """A storm whose workers are started from the command line."""

    def make_jobs(self) -> list[str]:
        """Create and submit jobs that have one step with a small image."""
        import cv2
        import numpy as np

        picture = self.folder / 'in.png'
        cv2.imwrite(str(picture), np.full((64, 64, 3), 90, np.uint8))
        names = []
        for number in range(self.chaos.jobs):
            output = self.outputs / f'{number}.png'
            step = ('--processors', 'face_debugger', '--target', str(picture), '--output', str(output))
            names.append(self._call('job-create', *step).strip())
            self._call('job-submit', names[-1])
        return names

    def start(self) -> subprocess.Popen[bytes]:
        """Start ``job-run-all --watch``."""
        command = [sys.executable, str(ROOT / 'facefusion.py'), 'job-run-all', '--watch', '--log-level', 'error']
        command += ['--claim-timeout', str(CLAIM_TIMEOUT), '--execution-thread-count', '1']
        return subprocess.Popen(command, env={**os.environ, **self._environment()})

    def check(self) -> dict[str, Any]:
        """Check the records; these steps write no log."""
        return check_records(self.store.root, self.jobs)[1]

    def _environment(self) -> dict[str, str]:
        return {'FACEFUSION_JOBS_PATH': str(self.store.root), 'FACEFUSION_OFFLINE': 'yes'}

    def _call(self, *words: str) -> str:
        out = io.StringIO()
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(io.StringIO()) as said:
            code = facefusion(list(words), self._environment())
        assert code == 0, said.getvalue()
        return out.getvalue()


def main() -> None:
    """Run one storm for each seed."""
    parser = argparse.ArgumentParser(description='Kill and freeze workers at random; print JSON.')
    parser.add_argument('--real', action='store_true', help='start the workers as commands, and process images')
    parser.add_argument('--seeds', type=int, nargs='+', default=[1, 2, 3])
    parser.add_argument('--jobs', type=int, default=100)
    parser.add_argument('--workers', type=int, default=8)
    parser.add_argument('--kills', type=int, default=15)
    parser.add_argument('--freezes', type=int, default=6)
    parser.add_argument('--step-seconds', type=float, help='duration of a step in seconds (approximate with --real)')
    given = parser.parse_args()
    given.step_seconds = given.step_seconds or (REAL_SECONDS if given.real else 0.3)
    storm = RealStorm if given.real else Storm
    rounds = []
    for seed in given.seeds:
        chaos = Chaos(given.jobs, given.workers, given.kills, given.freezes, seed, given.step_seconds)
        with tempfile.TemporaryDirectory() as folder:
            rounds.append(storm(Path(folder), chaos._replace(limit_seconds=300.0)).run())
        print(f'seed {seed}: {rounds[-1]}', file=sys.stderr)
    setting = {key: getattr(given, key) for key in ('real', 'jobs', 'workers', 'kills', 'freezes', 'step_seconds')}
    setting |= {'claim_timeout': CLAIM_TIMEOUT, 'cores': os.cpu_count(), 'python': platform.python_version()}
    print(json.dumps({'date': time.strftime('%Y-%m-%d'), 'setting': setting, 'rounds': rounds}, indent=1))


if __name__ == '__main__':
    main()
