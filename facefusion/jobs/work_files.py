"""Where the work files of steps lie, and their removal.

In the store that is ``.work/<job>/work-<step>-<plan>/``. With a folder for work files it is
``<temp>/facefusion/<store>/<job>/work-<step>-<plan>/``, and ``.work/<job>/work-elsewhere`` names the folder of the job
there, for commands that do not know of it.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from facefusion.jobs.claim import WORK_FOLDER
from facefusion.media.files import write_failure
from facefusion.work_lease import is_at_work

WORK_PREFIX = 'work-'
_ELSEWHERE = 'work-elsewhere'
_TEMP_FOLDER = 'facefusion'
_SIGNS = 8
_PLAN_SIGNS = 16


@dataclass(frozen=True, slots=True)
class JobWork:
    """The work files of one job of the store ``jobs``, in the folder ``temp`` instead when one is given."""

    jobs: Path
    temp: Path | None
    job_id: str

    @property
    def root(self) -> Path:
        """The folder that was named for work files: the one for them, or else the store."""
        return self.jobs if self.temp is None else self.temp

    @property
    def named_by(self) -> str:
        """The option that names ``root``."""
        return '--jobs-path' if self.temp is None else '--temp-path'

    @property
    def noted(self) -> Path:
        """The folder of the job in the store."""
        return self.jobs / WORK_FOLDER / self.job_id

    @property
    def folder(self) -> Path:
        """The folder that holds one for each step."""
        if self.temp is None:
            return self.noted
        return self.temp / _TEMP_FOLDER / _signs(str(self.jobs.resolve())) / self.job_id

    def step_folder(self, step_id: str, plan_digest: str) -> Path:
        """The folder of a step that is done by this plan."""
        return self.folder / f'{self._step_prefix(step_id)}{plan_digest[:_PLAN_SIGNS]}'

    def begin(self, step_id: str, plan_digest: str) -> Path:
        """The folder of a step; what other plans have made of the step is removed, where nobody works in it.

        The folder itself is not made, but where it is to be found is noted. Raises OutputError, ResourceError.
        """
        wanted = self.step_folder(step_id, plan_digest)
        # Those of a run with another folder for work files would never be found again.
        _remove_others(self.noted, self.folder.absolute())
        for folder in self._of_step(step_id):
            if folder != wanted and not is_at_work(folder):
                shutil.rmtree(folder, ignore_errors=True)
        if self.temp is not None:
            note = self.noted / _ELSEWHERE
            try:
                self.noted.mkdir(parents=True, exist_ok=True)
                note.write_text(json.dumps(str(self.folder.absolute())), encoding='utf-8')
            except OSError as error:
                raise write_failure(error, note) from None
        return wanted

    def folders_of(self, step_id: str) -> list[Path]:
        """The folders of a step that are there, one for each plan."""
        return self._of_step(step_id)

    def kept_bytes(self, step_id: str) -> int:
        """How much of the disk the work files of a step take already."""
        total = 0
        for folder in self._of_step(step_id):
            with suppress(OSError):
                total += sum(path.stat().st_size for path in folder.iterdir())
        return total

    def discard(self, folder: Path) -> None:
        """Removes one folder of a step, unless somebody works in it."""
        if not is_at_work(folder):
            shutil.rmtree(folder, ignore_errors=True)
            self.tidy()

    def forget(self, step_id: str | None = None) -> None:
        """Removes the work files of a step, or of all; folders that are empty then go, too."""
        for folder in list(_work_folders(self.folder)) if step_id is None else self._of_step(step_id):
            shutil.rmtree(folder, ignore_errors=True)
        self.tidy()

    def tidy(self) -> None:
        """Removes the folders of the job that are empty."""
        if self.temp is None or any(True for _ in _work_folders(self.folder)):
            return
        with suppress(OSError):
            (self.noted / _ELSEWHERE).unlink(missing_ok=True)
            self.noted.rmdir()
        _remove_empty(self.folder, 3)

    def _step_prefix(self, step_id: str) -> str:
        return f'{WORK_PREFIX}{_signs(step_id)}-'

    def _of_step(self, step_id: str) -> list[Path]:
        return [path for path in _work_folders(self.folder) if path.name.startswith(self._step_prefix(step_id))]


def remove_work_files(noted: Path) -> None:
    """Removes all work files of the job whose folder in the store is ``noted``, wherever they lie."""
    _remove_others(noted, None)


def _remove_others(noted: Path, kept: Path | None) -> None:
    """Removes the work files of a job in all places but the folder ``kept``."""
    elsewhere = _noted_elsewhere(noted)
    for job_file in (noted.absolute(), elsewhere):
        if job_file is not None and job_file != kept:
            for folder in _work_folders(job_file):
                shutil.rmtree(folder, ignore_errors=True)
    if elsewhere is not None and elsewhere != kept:
        _remove_empty(elsewhere, 3)
        with suppress(OSError):
            (noted / _ELSEWHERE).unlink(missing_ok=True)


def _noted_elsewhere(noted: Path) -> Path | None:
    note = noted / _ELSEWHERE
    with suppress(OSError, ValueError):
        if not note.is_file():
            return None
        elsewhere = Path(str(json.loads(note.read_text(encoding='utf-8'))))
        # Only what this module makes: a note that was changed must not remove anything else.
        if elsewhere.name == noted.name and elsewhere.parent.parent.name == _TEMP_FOLDER:
            return elsewhere
    return None


def _work_folders(folder: Path) -> Iterator[Path]:
    with suppress(OSError):
        for path in list(folder.iterdir()):
            if path.name.startswith(WORK_PREFIX) and path.is_dir() and not path.is_symlink():
                yield path


def _remove_empty(folder: Path, levels: int) -> None:
    """Removes a folder and those above it, as far as they are empty."""
    with suppress(OSError):
        for _ in range(levels):
            folder.rmdir()
            folder = folder.parent


def _signs(text: str) -> str:
    return hashlib.sha256(text.encode('utf-8', 'surrogateescape')).hexdigest()[:_SIGNS]
