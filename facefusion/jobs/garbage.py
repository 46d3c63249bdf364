"""Removal of files that dead processes left beside the jobs of a store, and the clock of its file system."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

from facefusion.jobs.claim import WORK_FOLDER, WORK_PREFIX
from facefusion.jobs.files import StoreFiles, remove_quietly
from facefusion.jobs.job_files import names_in
from facefusion.jobs.job_log import LOGS_FOLDER
from facefusion.jobs.store import NEW_FOLDER, JobStore
from facefusion.ownership import new_owner, split_tag

# How long the notes of a missing job are preserved: a shared folder may show a new claim a minute late, and after the
# fence the notes contain the only record of a job.
NOTES_SECONDS = 3600.0
_HEX = '0123456789abcdef'


def remove_garbage(store: JobStore) -> None:
    """Remove the files of dead processes beside the jobs, except those that a job still needs. Raises JobError."""
    work = store.root / WORK_FOLDER
    remove_dead(store.files, work / NEW_FOLDER)
    for job_id in names_in(work):
        if '@' not in job_id and not job_id.startswith('.'):
            _remove_notes(store, job_id)
    _remove_logs(store)


def remove_dead(files: StoreFiles, folder: Path) -> None:
    """Remove the files in a folder whose tag names a dead process. Raises JobError."""
    for name in names_in(folder):
        tagged = split_tag(name)
        if tagged is not None and tagged[1].is_dead():
            remove_quietly(files, folder / name)


def file_clock(files: StoreFiles, root: Path) -> float:
    """Return the time of the clock that stamps the files of the store, which may be that of another machine."""
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
    """Remove those notes of an unclaimed job that are already in its record, and the old notes of a deleted job."""
    folder = store.root / WORK_FOLDER / job_id
    # The names are listed before the job is read, so that they exclude files of a process that claims the job later.
    names = names_in(folder)
    notes = [folder / name for name in names if not name.partition('.')[0].strip(_HEX)]
    work_folders = [folder / name for name in names if name.startswith(WORK_PREFIX)]
    job_file = store.find(job_id)
    needed: set[str] = set()
    is_completed = job_file is not None and job_file.is_unclaimed and job_file.state == 'completed'
    if work_folders and (is_completed or (job_file is None and _are_old(store, work_folders))):
        store.remove_work_files(job_id)
    if job_file is not None:
        job = store.read(job_file)
        if job is None or not job.job_file.is_unclaimed or job.job_file.state == 'running' or job.data is None:
            return
        attempts = [entry for entry in job.data.get('attempts', ()) if isinstance(entry, dict)]
        merged = {entry.get('nonce') for entry in attempts if entry.get('result') is not None}
        needed = {path.stem for path in notes if path.suffix == '.json'} - merged
    elif notes and not _are_old(store, notes):
        return
    for path in notes:
        if path.name.partition('.')[0] not in needed or path.name.count('.') > 1:
            remove_quietly(store.files, path)
    store.files.remove_folder(folder)


def _remove_logs(store: JobStore) -> None:
    """Remove old logs of jobs that no longer exist, because a process died while it deleted them."""
    folder = store.root / LOGS_FOLDER
    names = names_in(folder)
    known = store.job_files() if names else {}
    for name in names:
        if name.removesuffix('.jsonl').partition('@')[0] not in known and _are_old(store, [folder / name]):
            remove_quietly(store.files, folder / name)


def _are_old(store: JobStore, paths: list[Path]) -> bool:
    try:
        newest = max(path.stat().st_mtime for path in paths)
    except OSError:
        # Another process is using the folder.
        return False
    return file_clock(store.files, store.root) - newest > NOTES_SECONDS
