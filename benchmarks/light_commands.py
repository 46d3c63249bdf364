"""Measure the CPU time of the commands that scripts and cron run every few seconds.

    .venv/bin/python benchmarks/light_commands.py [--rounds 8] [--jobs 1000]

Measures ``--version``, ``--help``, and queries and changes of a store with a thousand jobs. The minimum of the rounds
counts, because other processes on the machine can only add time. Prints JSON with the limits; exits with 1 when a
limit is exceeded.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import resource
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
# Limits in seconds of one core.
SHORTEST, QUERY = 0.12, 0.15
# {n} is the number of the round.
COMMANDS = (
    (('--version',), SHORTEST),
    (('--help',), SHORTEST),
    (('job-create', 'new-{n}', '-t', 'target.mp4', '-o', 'output.mp4'), QUERY),
    (('job-submit', 'drafted-{n}'), QUERY),
    (('job-list', '--format', 'json'), QUERY),
    (('job-show', 'completed-{n}'), QUERY),
)
STATES = ('drafted', 'queued', 'completed', 'failed')


def call(words: list[str], environ: dict[str, str]) -> None:
    """Run the program in a new process. Raises CalledProcessError."""
    command = [sys.executable, str(ROOT / 'facefusion.py'), *words]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True, env=os.environ | environ)


def seconds_of(words: list[str], environ: dict[str, str]) -> float:
    """Return the CPU time of a command: user and system time of all its processes."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    call(words, environ)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def fill(root: Path, jobs: int) -> dict[str, str]:
    """Create a store with ``jobs`` typical jobs in all states; return the environment that selects the store."""
    environ = {'FACEFUSION_JOBS_PATH': str(root)}
    call(['job-create', 'seed', '-t', 'target.mp4', '-o', 'output.mp4', '--notify', 'x' * 1200], environ)
    seed = json.loads((root / 'drafted' / 'seed.json').read_text(encoding='ascii'))
    for number in range(jobs):
        state, job_id = STATES[number % 4], f'{STATES[number % 4]}-{number // 4}'
        (root / state).mkdir(exist_ok=True)
        (root / state / f'{job_id}.json').write_text(json.dumps(seed | {'id': job_id}, indent=1), encoding='ascii')
    return environ


def measure(words: tuple[str, ...], bound: float, rounds: int, environ: dict[str, str]) -> dict[str, Any]:
    """Return the minimum CPU time of a command over the rounds."""
    times = [seconds_of([word.format(n=number) for word in words], environ) for number in range(rounds)]
    return {
        'command': ' '.join(words),
        'cpu_seconds': round(min(times), 3),
        'bound': bound,
        'is_kept': min(times) < bound,
    }


def main() -> int:
    """Print one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--rounds', type=int, default=8)
    parser.add_argument('--jobs', type=int, default=1000)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        environ = fill(Path(name) / 'jobs', given.jobs)
        results = [measure(words, bound, given.rounds, environ) for words, bound in COMMANDS]
    machine = {'cpu': platform.machine(), 'cores': os.cpu_count(), 'python': platform.python_version()}
    print(json.dumps({'machine': machine, **vars(given), 'results': results}, indent=2))
    return int(not all(entry['is_kept'] for entry in results))


if __name__ == '__main__':
    sys.exit(main())
