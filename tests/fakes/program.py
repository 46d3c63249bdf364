"""The program as a user runs it, in this process or a new one, and a snapshot of the files in a folder."""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any, NamedTuple

import pytest

_STORE_FOLDER = re.compile(
    r'jobs(/drafted|/queued|/running|/completed|/failed|/\.logs|/\.cache|/\.certificate|/\.work(/\.new|/\.content)?)?'
)
# Work files of a failed run, which the next run reuses.
_WORK_FILES = re.compile(
    r'(.*/)?(facefusion(/[0-9a-f]{8})?|jobs/\.work)(/[^./@][^/@]*)?(/work-(elsewhere|[^/@]+(/[^/@]+)?))?'
)
_ENDED_JOB = re.compile(
    r'jobs/((completed|failed|\.work/\.content)/[^/@]+\.json|\.logs/[^/]+\.jsonl|\.cache/[0-9a-f]+\.(npz|json)|\.certificate/[a-z-]+\.(pem|lock))'
)
ROOT = Path(__file__).resolve().parent.parent.parent
# Every job has a different invisible mark, so two equal commands write the same pixels only without the mark.
UNMARKED = ('--config-path', Path(__file__).with_name('unmarked.ini'))


class Result(NamedTuple):
    code: int
    out: str
    err: str

    @property
    def events(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.out.splitlines()]

    @property
    def report(self) -> dict[str, Any]:
        (finished,) = [event for event in self.events if event['event'] == 'run_finished']
        return finished['report']


def snapshot(folder: Path) -> dict[str, str]:
    """Return every file with its digest, and every folder.

    The folders of the job store, records of finished jobs, scores of the content gate, cached analysis, and work files
    of interrupted runs are left out.
    """
    found = {}
    for path in sorted(folder.rglob('*')):
        name = str(path.relative_to(folder))
        if path.is_symlink():
            found[name] = f'link to {path.readlink()}'
        elif _ENDED_JOB.fullmatch(name) or _WORK_FILES.fullmatch(name):
            continue
        elif path.is_file():
            found[name] = hashlib.sha256(path.read_bytes()).hexdigest()
        elif not _STORE_FOLDER.fullmatch(name):
            found[name] = 'special'
    return found


class Program:
    """The program with a job store in ``folder``; it uses no network unless a call is ``online``."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def environment(self, online: bool = False) -> dict[str, str]:
        settings = {'FACEFUSION_HOME': str(ROOT), 'FACEFUSION_JOBS_PATH': str(self.folder / 'jobs')}
        settings['FACEFUSION_PROVENANCE_PATH'] = os.environ['FACEFUSION_PROVENANCE_PATH']
        return settings if online else {**settings, 'FACEFUSION_OFFLINE': 'yes'}

    def __call__(self, *words: object, online: bool = False, environ: dict[str, str] | None = None) -> Result:
        from facefusion.cli.main import main

        out, err = io.StringIO(), io.StringIO()
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            code = main([str(word) for word in words], self.environment(online) | (environ or {}))
        return Result(code, out.getvalue(), err.getvalue())

    def start(self, *words: object, script: str = '') -> subprocess.Popen[str]:
        """Start a new process; ``script`` runs before the program, in the same interpreter."""
        code = f'import sys\nsys.path.insert(0, {str(ROOT)!r})\n{script}\nfrom facefusion.cli.main import run\nrun()'
        return subprocess.Popen(
            [sys.executable, '-c', code, *map(str, words)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, **self.environment()},
        )

    def run(self, *words: object, **settings: Any) -> Result:
        """Run ``headless-run``, which must succeed, with events on stdout."""
        result = self('headless-run', *words, '--progress', 'json', **settings)
        assert result.code == 0, result.err
        return result

    def fails(self, code: int, reference: str, *words: object, **settings: Any) -> str:
        """Run a command that must fail with this code and reference and leave no files; return its stderr."""
        before = snapshot(self.folder)
        result = self(*words, **settings)
        assert f'[{reference}]' in result.err, result.err
        assert result.code == code, result.err
        assert '\n  hint: ' in result.err
        assert 'Traceback' not in result.err
        assert snapshot(self.folder) == before
        return result.err


@pytest.fixture
def program(tmp_path: Path, request: pytest.FixtureRequest) -> Program:
    """The program with its job store in tmp_path. Tests marked ``network`` also get the models of a swap."""
    if request.node.get_closest_marker('network'):
        request.getfixturevalue('store')
    return Program(tmp_path)
