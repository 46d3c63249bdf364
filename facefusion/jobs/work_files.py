"""The folders for work files of steps, and their removal.

By default, the folder of a step is ``.work/<job>/work-<step>-<plan>/`` in the store. With --temp-path, it is
``<temp>/facefusion/<store>/<job>/work-<step>-<plan>/``. Then the file ``.work/<job>/work-elsewhere`` in the store
contains the path of ``<job>`` in ``<temp>``, for commands without this option.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from facefusion.jobs.claim import WORK_FOLDER, WORK_PREFIX
from facefusion.media.files import write_failure
from facefusion.work_lease import is_at_work

_ELSEWHERE = 'work-elsewhere'
_TEMP_FOLDER = 'facefusion'
_DIGEST_LENGTH = 8
_PLAN_LENGTH = 16


@dataclass(frozen=True, slots=True)
class JobWork:
    """The work files of one job: in the store ``jobs``, or in the folder ``temp`` if it is not None."""

    jobs: Path
    temp: Path | None
    job_id: str

    @property
    def root(self) -> Path:
        """The root folder of the work files."""
        return self.jobs if self.temp is None else self.temp

    @property
    def named_by(self) -> str:
        """The option that sets ``root``."""
        return '--jobs-path' if self.temp is None else '--temp-path'

    @property
    def noted(self) -> Path:
        """The folder of the job in the store."""
        return self.jobs / WORK_FOLDER / self.job_id

    @property
    def folder(self) -> Path:
        """The parent folder of the step folders."""
        if self.temp is None:
            return self.noted
        return self.temp / _TEMP_FOLDER / _digest(str(self.jobs.resolve())) / self.job_id

    def step_folder(self, step_id: str, plan_digest: str) -> Path:
        """Return the folder of a step for this plan."""
        return self.folder / f'{_step_prefix(step_id)}{plan_digest[:_PLAN_LENGTH]}'

    def begin(self, step_id: str, plan_digest: str) -> Path:
        """Return the folder of a step without creating it, and remove unused folders of the step for other plans.

        The location of a folder outside the store is noted in the store. Raises OutputError, ResourceError.
        """
        step_folder = self.step_folder(step_id, plan_digest)
        # Otherwise the work files of a run with another --temp-path would never be found again.
        _remove_others(self.noted, self.folder.absolute())
        for folder in self.folders_of(step_id):
            if folder != step_folder and not is_at_work(folder):
                shutil.rmtree(folder, ignore_errors=True)
        if self.temp is not None:
            note = self.noted / _ELSEWHERE
            try:
                self.noted.mkdir(parents=True, exist_ok=True)
                note.write_text(json.dumps(str(self.folder.absolute())), encoding='utf-8')
            except OSError as error:
                raise write_failure(error, note) from None
        return step_folder

    def folders_of(self, step_id: str) -> list[Path]:
        """Return the existing folders of a step, one for each plan."""
        return [path for path in _work_folders(self.folder) if path.name.startswith(_step_prefix(step_id))]

    def stored_bytes(self, step_id: str) -> int:
        """Return the disk space of the existing work files of a step."""
        total = 0
        for folder in self.folders_of(step_id):
            with suppress(OSError):
                total += sum(path.stat().st_size for path in folder.iterdir())
        return total

    def discard(self, folder: Path) -> None:
        """Remove one folder of a step, unless a process uses it."""
        if not is_at_work(folder):
            shutil.rmtree(folder, ignore_errors=True)
            self._remove_empty_folders()

    def forget(self, step_id: str) -> None:
        """Remove the work files of a step, and the folders that are then empty."""
        for folder in self.folders_of(step_id):
            shutil.rmtree(folder, ignore_errors=True)
        self._remove_empty_folders()

    def _remove_empty_folders(self) -> None:
        if self.temp is None or any(True for _ in _work_folders(self.folder)):
            return
        with suppress(OSError):
            (self.noted / _ELSEWHERE).unlink(missing_ok=True)
            self.noted.rmdir()
        _remove_empty(self.folder)


def remove_work_files(noted: Path) -> None:
    """Remove all work files of the job whose folder in the store is ``noted``, also those outside the store."""
    _remove_others(noted, None)


def _remove_others(noted: Path, current: Path | None) -> None:
    """Remove the work files of a job in all folders except ``current``."""
    elsewhere = _noted_elsewhere(noted)
    for parent in (noted.absolute(), elsewhere):
        if parent is not None and parent != current:
            for folder in _work_folders(parent):
                shutil.rmtree(folder, ignore_errors=True)
    if elsewhere is not None and elsewhere != current:
        _remove_empty(elsewhere)
        with suppress(OSError):
            (noted / _ELSEWHERE).unlink(missing_ok=True)


def _noted_elsewhere(noted: Path) -> Path | None:
    note = noted / _ELSEWHERE
    with suppress(OSError, ValueError):
        if not note.is_file():
            return None
        elsewhere = Path(str(json.loads(note.read_text(encoding='utf-8'))))
        # If a user has edited the note, folders that this module did not create must not be removed.
        if elsewhere.name == noted.name and elsewhere.parent.parent.name == _TEMP_FOLDER:
            return elsewhere
    return None


def _work_folders(folder: Path) -> Iterator[Path]:
    with suppress(OSError):
        for path in list(folder.iterdir()):
            if path.name.startswith(WORK_PREFIX) and path.is_dir() and not path.is_symlink():
                yield path


def _remove_empty(folder: Path) -> None:
    """Remove ``<temp>/facefusion/<store>/<job>`` and its parents below ``<temp>`` if they are empty."""
    with suppress(OSError):
        for empty in (folder, *folder.parents[:2]):
            # A process that was killed here has removed only some of them.
            with suppress(FileNotFoundError):
                empty.rmdir()


def _step_prefix(step_id: str) -> str:
    return f'{WORK_PREFIX}{_digest(step_id)}-'


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode('utf-8', 'surrogateescape')).hexdigest()[:_DIGEST_LENGTH]
