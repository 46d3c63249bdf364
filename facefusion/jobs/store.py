"""The job store: a folder for each state and a JSON file for each job, on one machine or a shared folder.

Reading changes nothing. Every change goes through a ``Claim`` (see ``facefusion.jobs.claim``), so a process that dies
at any point leaves every job in exactly one state.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, NamedTuple

from facefusion.errors import ClaimLost, JobError
from facefusion.jobs.attempt import merge_attempts, read_attempts
from facefusion.jobs.claim import WORK_FOLDER, WORK_PREFIX, Claim, lost, roll_forward
from facefusion.jobs.files import StoreFiles, remove_quietly, store_failure
from facefusion.jobs.identifier import check_job_id, peer_job_id
from facefusion.jobs.job_files import JobFile, folder_stamps, list_job_files, names_in, preferred, read_file
from facefusion.jobs.job_log import remove_log
from facefusion.jobs.record import JobRecord, RecordError, parse_json, parse_record, record_bytes
from facefusion.jobs.states import STATES, Action, State, check_move
from facefusion.ownership import Owner, new_owner

NEW_FOLDER = '.new'
# How long a command waits for another command that changes the same job; a change takes milliseconds.
EDIT_SECONDS = 10.0
_WAIT = 0.01
_SCANS = 20


class JobData(NamedTuple):
    """The JSON object in a job file, or None and the reason why the file is broken."""

    job_file: JobFile
    data: dict[str, Any] | None
    broken: str


class OpenedJob(NamedTuple):
    """The record of a job, merged with the notes of its attempts."""

    state: State
    record: JobRecord
    job_file: JobFile


class JobStore:
    """The jobs under ``root``. Only tests replace ``make_owner`` and ``files``."""

    def __init__(
        self, root: Path, make_owner: Callable[[], Owner] = new_owner, files: StoreFiles | None = None
    ) -> None:
        self.root = root
        self.files = files or StoreFiles()
        self._make_owner = make_owner

    # Reading

    def job_files(self) -> dict[str, JobFile]:
        """Return the file of each job, by job id. Raises JobError store-unreadable."""
        # During a scan a job may move from a folder not scanned yet to a scanned one. Therefore the second scan goes
        # backwards, and scans are repeated until one finds every known job and no folder has changed meanwhile.
        job_files: dict[str, JobFile] = {}
        for number in range(_SCANS):
            before = folder_stamps(self.root)
            scan: dict[str, JobFile] = {}
            for job_file in list_job_files(self.root, backwards=number % 2 == 1):
                scan[job_file.job_id] = preferred(scan.get(job_file.job_id), job_file)
            is_complete = scan.keys() >= job_files.keys()
            job_files |= scan
            if number and is_complete and folder_stamps(self.root) == before:
                break
        return job_files

    def claimed_files(self) -> list[JobFile]:
        """Return every claimed file, every running one, and those left over from completed changes."""
        return list(list_job_files(self.root, claimed=True))

    def read(self, job_file: JobFile) -> JobData | None:
        """Return the content of a job file; None when the job was deleted meanwhile."""
        for _ in range(_SCANS):
            try:
                return JobData(job_file, parse_json(read_file(job_file.path)), '')
            except FileNotFoundError:
                moved = self.find(job_file.job_id)
                if moved is None:
                    return None
                job_file = moved
            except (RecordError, OSError) as error:
                return JobData(job_file, None, str(error))
        return None

    def find(self, job_id: str) -> JobFile | None:
        """Return the file of a job; None when no job has that id."""
        for number in range(_SCANS):
            for state in STATES:
                path = self.root / state / f'{job_id}.json'
                if os.path.lexists(path):
                    return JobFile(job_id, state, path, 'plain', None)
            before = folder_stamps(self.root)
            found: JobFile | None = None
            for job_file in list_job_files(self.root, backwards=number % 2 == 1, job_id=job_id):
                found = preferred(found, job_file) if job_file.job_id == job_id else found
            if found is not None:
                return found
            # The job may have moved during the scan; if no folder has changed, one more scan, backwards, is enough.
            if number and not self._notes_of(job_id) and folder_stamps(self.root) == before:
                return None
        return None

    def resolve_id(self, text: str) -> str:
        """Return the id of an existing job, given as its id or as its name in FaceFusion 3.8.

        Raises UsageError for an invalid id, JobError job-unknown when no job matches.
        """
        # A file added by hand may have an id that commands do not accept for a new job.
        for job_id in dict.fromkeys((text, peer_job_id(text))):
            is_name = job_id and not job_id.startswith('.') and not set(job_id) & {'@', '/', os.sep, '\0'}
            if is_name and len(os.fsencode(job_id)) < 200 and self.find(job_id) is not None:
                return job_id
        raise unknown(check_job_id(text))

    def open(self, job_id: str) -> OpenedJob:
        """Return the record of a job. Raises JobError job-unknown, job-broken, store-unreadable."""
        for _ in range(_SCANS):
            job_file = self.find(job_id)
            if job_file is None:
                raise unknown(job_id)
            with suppress(FileNotFoundError):
                return OpenedJob(job_file.state, self._load(job_file), job_file)
        raise busy(job_id)

    # Changing

    def create(self, record: JobRecord) -> None:
        """Add a drafted job. Raises JobError job-exists, store-full, store-unwritable."""
        if self.find(record.id) is not None:
            raise exists(record.id)
        path = self.root / 'drafted' / f'{record.id}.json'
        part = self._write_new(record, path.parent)
        try:
            self.files.name_new(part, path)
        except FileExistsError:
            remove_quietly(self.files, part)
            raise exists(record.id) from None
        others = list_job_files(self.root, job_id=record.id)
        if any(job_file.job_id == record.id and job_file.path != path for job_file in others):
            # After the first check, another process created a job with this id, which has already left this folder.
            remove_quietly(self.files, path)
            raise exists(record.id)
        self.files.sync_folder(path.parent)

    def create_running(self, record: JobRecord) -> Claim:
        """Add a job that this process has claimed before any other process can see it."""
        owner = self._make_owner()
        path = self.root / 'running' / f'{record.id}@{owner.tag}.json'
        self.files.rename(self._write_new(record, path.parent), path)
        self.files.sync_folder(path.parent)
        return Claim(self.files, self.root, JobFile(record.id, 'running', path, 'claim', owner))

    @contextmanager
    def edit(self, job_id: str, action: Action) -> Iterator[tuple[Claim, JobRecord]]:
        """Claim an unclaimed job; unless the block calls ``Claim.finish``, it stays unchanged.

        Raises JobError job-unknown, job-wrong-state (for the action), job-broken, job-busy.
        """
        claim = self._claim_for_edit(job_id, action)
        try:
            yield claim, self._load_claimed(claim)
        except BaseException:
            # An error of the release must not replace the first error.
            with suppress(JobError):
                claim.release()
            raise
        if claim.path.exists():
            claim.release()

    def claim(self, job_id: str, action: Action) -> tuple[Claim, JobRecord]:
        """Claim a queued (``run``) or failed (``retry``) job to process it; the record includes earlier attempts.

        Raises the same errors as ``edit``, and ClaimLost when another process was faster.
        """
        job_file = self._wait_until_unclaimed(job_id, action)
        self.files.make_folder(self.root / 'running')
        try:
            # A rename preserves the modification time, so the claim would look as old as the last change of the job.
            self.files.touch(job_file.path)
        except FileNotFoundError:
            raise taken(job_id) from None
        claim = self._claim_file(job_file, self.root / 'running', 'json')
        try:
            return claim, self._load_claimed(claim, job_file.path)
        except JobError:
            claim.release(job_file.state)
            raise

    def take_over(self, job_file: JobFile) -> tuple[Claim, JobRecord]:
        """Take over the claim of a dead process. Raises ClaimLost when another process was faster."""
        claim = self._claim_file(job_file, self.root / 'running', 'json')
        try:
            return claim, self._load_claimed(claim)
        except JobError as error:
            # A broken record becomes a broken failed job. A file that is only temporarily unreadable stays claimed,
            # and is checked again when this claim expires.
            if error.reference == 'job-broken':
                claim.release('failed')
            raise

    def delete(self, job_id: str) -> None:
        """Delete a job, including a broken one and the job of a dead process.

        Raises JobError job-unknown, job-wrong-state, job-busy.
        """
        found = self.find(job_id)
        if found is not None and found.kind == 'claim' and found.owner is not None and found.owner.is_dead():
            # The record is no longer needed. A reaper may be faster.
            with suppress(ClaimLost):
                self._claim_file(found, self.root / 'running', 'json').release('failed')
        job_file = self._wait_until_unclaimed(job_id, 'delete')
        for other in list_job_files(self.root, job_id=job_id):
            if other.job_id == job_id and other.kind == 'done':
                # A file left over from a completed change would count as the job after the deletion.
                self.settle(other)
        try:
            self.files.unlink(job_file.path)
        except FileNotFoundError:
            raise taken(job_id) from None
        self.clean_work(job_id)
        remove_log(self.root, job_id)

    def settle(self, job_file: JobFile) -> State | None:
        """Complete the change of a dead process that passed the fence; otherwise release its file unchanged.

        Returns the new state of a change that this call completed. Ignores claims: the reaper handles those.
        """
        if job_file.kind == 'done':
            return roll_forward(self.files, self.root, job_file)
        if job_file.kind == 'edit':
            try:
                self.files.rename(job_file.path, job_file.path.with_name(f'{job_file.job_id}.json'))
            except FileNotFoundError:
                # The holder may just have passed the fence: then its prepared record is the valid one.
                return None
            assert job_file.owner is not None
            self.clean_work(job_file.job_id, [job_file.owner.nonce])
        return None

    def clean_work(self, job_id: str, nonces: Sequence[str] | None = None) -> None:
        """Delete the notes of the attempts with these nonces, by default all notes and all work files."""
        if nonces is None:
            self.remove_work_files(job_id)
        for path in self._notes_of(job_id):
            if nonces is None or path.name.partition('.')[0] in nonces:
                remove_quietly(self.files, path)
        self.files.remove_folder(self.root / WORK_FOLDER / job_id)

    def remove_work_files(self, job_id: str) -> None:
        """Delete the finished chunks and segments of a job in all folders for work files."""
        # Loading this module takes 3 ms, and queries do not need it.
        from facefusion.jobs.work_files import remove_work_files

        remove_work_files(self.root / WORK_FOLDER / job_id)

    def _claim_for_edit(self, job_id: str, action: Action) -> Claim:
        """Claim a job for a short change; commands that do so at the same time wait for each other."""
        end = time.monotonic() + 2 * EDIT_SECONDS
        while True:
            job_file = self._wait_until_unclaimed(job_id, action)
            try:
                return self._claim_file(job_file, job_file.path.parent, 'edit')
            except ClaimLost:
                if time.monotonic() > end:
                    raise

    def _wait_until_unclaimed(self, job_id: str, action: Action) -> JobFile:
        """Return the unclaimed file of a job in a state that allows the action."""
        end = time.monotonic() + 2 * EDIT_SECONDS
        since: tuple[Path, float] | None = None
        while (now := time.monotonic()) < end:
            job_file = self.find(job_id)
            if job_file is None:
                raise unknown(job_id)
            if action == 'delete' and job_file.is_unclaimed:
                # This is allowed in any state: a file that a user moved into ``running`` belongs to no process.
                return job_file
            if job_file.kind == 'claim' or job_file.is_unclaimed:
                check_move(action, job_id, job_file.state)
                if job_file.kind == 'claim':
                    raise busy(job_id)
                return job_file
            assert job_file.owner is not None
            if since is None or since[0] != job_file.path:
                since = (job_file.path, now)
            # A change takes milliseconds: a process that needs longer hangs, and the fence stops it.
            if job_file.owner.is_dead() or now - since[1] > EDIT_SECONDS:
                self.settle(job_file)
            else:
                time.sleep(_WAIT)
        raise busy(job_id)

    def _claim_file(self, job_file: JobFile, folder: Path, ending: str) -> Claim:
        owner = self._make_owner()
        path = folder / f'{job_file.job_id}@{owner.tag}.{ending}'
        try:
            self.files.rename(job_file.path, path)
        except FileNotFoundError:
            # A network file system may report this error for a rename that succeeded, see Claim.
            if not path.exists():
                raise taken(job_file.job_id) from None
        state: State = 'running' if folder.name == 'running' else job_file.state
        return Claim(self.files, self.root, JobFile(job_file.job_id, state, path, 'claim', owner))

    def _load_claimed(self, claim: Claim, shown_path: Path | None = None) -> JobRecord:
        shown_path = shown_path or claim.path.with_name(f'{claim.job_id}.json')
        try:
            return self._load(JobFile(claim.job_id, claim.state, claim.path, 'claim', claim.owner), shown_path)
        except FileNotFoundError:
            raise lost(claim.job_id) from None

    def _load(self, job_file: JobFile, shown_path: Path | None = None) -> JobRecord:
        """Return the record in a file. Errors name ``shown_path``: the path of the file after its release."""
        try:
            record = parse_record(job_file.job_id, read_file(job_file.path))
        except RecordError as error:
            raise JobError(
                'job-broken',
                f'the file of the job {job_file.job_id} cannot be read',
                cause=f'{shown_path or job_file.path}: {error}',
                hint='fix the file by hand, or delete the job with job-delete',
            ) from None
        except FileNotFoundError:
            raise
        except OSError as error:
            raise store_failure(error, job_file.path, is_read=True) from None
        nonce = job_file.owner.nonce if job_file.kind == 'claim' and job_file.owner is not None else None
        return merge_attempts(record, read_attempts(self.root / WORK_FOLDER / job_file.job_id), nonce)

    def _write_new(self, record: JobRecord, folder: Path) -> Path:
        """Write a record to a temporary path, create the folder for its final name, and return the temporary path."""
        part = self.root / WORK_FOLDER / NEW_FOLDER / f'{record.id}@{self._make_owner().tag}'
        self.files.make_folder(part.parent)
        self.files.make_folder(folder)
        self.files.write(part, record_bytes(record), sync=True)
        return part

    def _notes_of(self, job_id: str) -> list[Path]:
        folder = self.root / WORK_FOLDER / job_id
        return [folder / name for name in names_in(folder) if not name.startswith(WORK_PREFIX)]


def unknown(job_id: str) -> JobError:
    """Return the error for an id that no job has."""
    hint = 'list the jobs with facefusion job-list, or select another store with --jobs-path'
    return JobError('job-unknown', f'there is no job {job_id}', hint=hint)


def exists(job_id: str) -> JobError:
    """Return the error for an id that another job already has."""
    return JobError('job-exists', f'the job {job_id} already exists', hint='choose another id, or omit it')


def busy(job_id: str) -> JobError:
    """Return the error for a job that another process has claimed."""
    return JobError('job-busy', f'another process is changing the job {job_id}', hint='try again when it has finished')


def taken(job_id: str) -> ClaimLost:
    """Return the error of a process that was slower than another one at claiming a job."""
    return ClaimLost(
        'job-taken', f'another process has just claimed the job {job_id}', hint='see its state with job-show'
    )
