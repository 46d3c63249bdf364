"""What dead processes have left beside the jobs of a store, and the clock that stamps its files."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

from facefusion.jobs.claim import WORK_FOLDER
from facefusion.jobs.files import StoreFiles, remove_quietly
from facefusion.jobs.job_files import names_in
from facefusion.jobs.store import NEW_FOLDER, JobStore
from facefusion.jobs.work_files import work_names
from facefusion.ownership import new_owner, split_tag

# Notes of a job that is not found are kept for so long: a shared folder may show a new claim to others a minute late,
# and what waits there for the fence is all that there is of a job behind it.
KEPT_SECONDS = 3600.0
_HEX = '0123456789abcdef'


def remove_garbage(store: JobStore) -> None:
    """Removes what dead processes have left beside the jobs: nothing that a job still needs. Raises JobError."""
    work = store.root / WORK_FOLDER
    for name in names_in(work / NEW_FOLDER):
        tagged = split_tag(name)
        if tagged is not None and tagged[1].is_dead():
            remove_quietly(store.files, work / NEW_FOLDER / name)
    for job_id in names_in(work):
        if '@' not in job_id and not job_id.startswith('.'):
            _remove_notes(store, job_id)


def file_clock(files: StoreFiles, root: Path) -> float:
    """The time by the clock that stamps the files of the store, which may be another machine's."""
    folder = root / WORK_FOLDER / NEW_FOLDER
    files.make_folder(folder)
    path = folder / f'clock@{new_owner().tag}'
    files.write(path, b'', sync=False)
    try:
        return path.stat().st_mtime
    finally:
        with suppress(OSError):
            path.unlink()


def _remove_notes(store: JobStore, job_id: str) -> None:
    """Removes what attempts at a free or deleted job have noted, if it is in the record already."""
    folder = store.root / WORK_FOLDER / job_id
    # Listed first: what a process adds that takes the job after the look is not among them.
    names = names_in(folder)
    paths = [folder / name for name in names if not name.partition('.')[0].strip(_HEX)]
    works = [folder / name for name in work_names(names)]
    job_file = store.find(job_id)
    needed: set[str] = set()
    if works and (
        job_file.is_unclaimed and job_file.state == 'completed' if job_file is not None else _are_old(store, works)
    ):
        store.remove_work_files(job_id)
    if job_file is not None:
        found = store.look(job_file)
        if found is None or not found.job_file.is_unclaimed or found.job_file.state == 'running' or found.data is None:
            return
        attempts = [entry for entry in found.data.get('attempts', ()) if isinstance(entry, dict)]
        known = {entry.get('nonce') for entry in attempts if entry.get('result') is not None}
        needed = {path.stem for path in paths if path.suffix == '.json'} - known
    elif paths and not _are_old(store, paths):
        return
    for path in paths:
        if path.name.partition('.')[0] not in needed or path.name.count('.') > 1:
            remove_quietly(store.files, path)
    store.files.remove_folder(folder)


def _are_old(store: JobStore, paths: list[Path]) -> bool:
    try:
        newest = max(path.stat().st_mtime for path in paths)
    except OSError:
        # Somebody works there at this moment.
        return False
    return file_clock(store.files, store.root) - newest > KEPT_SECONDS
