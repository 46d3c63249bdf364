"""The job store: a folder for each state, a JSON file for each job, the same on one machine and on a shared folder.

Reading changes nothing. Every change goes through a ``Hold`` (see ``facefusion.jobs.claim``), so a process that dies
anywhere leaves a store in which every job is in exactly one state.
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
from facefusion.jobs.claim import WORK_FOLDER, Hold, JobFile, lost, roll_forward
from facefusion.jobs.files import StoreFiles, remove_quietly
from facefusion.jobs.identifier import check_job_id, is_job_id, peer_job_id
from facefusion.jobs.job_files import (
    all_job_files,
    better,
    folder_stamps,
    held_job_files,
    names_in,
    read_file,
    unreadable,
)
from facefusion.jobs.record import JobRecord, RecordError, parse_json, parse_record, record_bytes
from facefusion.jobs.states import STATES, Action, State, check_move
from facefusion.jobs.work_files import remove_work_files, work_names
from facefusion.ownership import Owner, new_owner

NEW_FOLDER = '.new'
# How long a command waits for another one that changes the same job: that takes milliseconds.
EDIT_SECONDS = 10.0
_WAIT = 0.01
_LOOKS = 20


class Found(NamedTuple):
    """A job as it lies in the store: what is in its file, or why that is no record."""

    job_file: JobFile
    data: dict[str, Any] | None
    broken: str


class Opened(NamedTuple):
    """The whole record of a job, with what its attempts have told so far."""

    state: State
    record: JobRecord
    job_file: JobFile


class JobStore:
    """The jobs under ``root``. ``make_owner`` and ``files`` are replaced by tests only."""

    def __init__(
        self, root: Path, make_owner: Callable[[], Owner] = new_owner, files: StoreFiles | None = None
    ) -> None:
        self.root = root
        self.files = files or StoreFiles()
        self._make_owner = make_owner

    # Reading

    def job_files(self) -> dict[str, JobFile]:
        """Every job by its id, once. Raises JobError store-unreadable."""
        # While the folders are listed one after the other a job may move from one that is still to come to one that
        # was: the second look goes the other way, and more follow until one finds nothing gone and nothing moved.
        found: dict[str, JobFile] = {}
        known: dict[tuple[str, str], JobFile | None] = {}
        for look in range(_LOOKS):
            before = folder_stamps(self.root)
            again: dict[str, JobFile] = {}
            for job_file in all_job_files(self.root, backwards=look % 2 == 1, known=known):
                again[job_file.job_id] = better(again.get(job_file.job_id), job_file)
            is_whole = again.keys() >= found.keys()
            found |= again
            if look and is_whole and folder_stamps(self.root) == before:
                break
        return found

    def held(self) -> list[JobFile]:
        """Every file that somebody holds or held, one that is left of a change that was made included."""
        return list(held_job_files(self.root))

    def look(self, job_file: JobFile) -> Found | None:
        """What is in the file of a job; None when the job has gone meanwhile."""
        for _ in range(_LOOKS):
            try:
                return Found(job_file, parse_json(read_file(job_file.path)), '')
            except FileNotFoundError:
                moved = self.find(job_file.job_id)
                if moved is None:
                    return None
                job_file = moved
            except (RecordError, OSError) as error:
                return Found(job_file, None, str(error))
        return None

    def find(self, job_id: str) -> JobFile | None:
        """Where a job lies; None when there is none of that id."""
        for look in range(_LOOKS):
            for state in STATES:
                path = self.root / state / f'{job_id}.json'
                if os.path.lexists(path):
                    return JobFile(job_id, state, path, 'plain', None)
            before = folder_stamps(self.root)
            best: JobFile | None = None
            for job_file in all_job_files(self.root, backwards=look % 2 == 1, job_id=job_id):
                best = better(best, job_file) if job_file.job_id == job_id else best
            if best is not None:
                return best
            # It may have moved while it was looked for; where nothing moves one more look, the other way, is enough.
            if look and not self._work_of(job_id) and folder_stamps(self.root) == before:
                return None
        return None

    def known_id(self, text: str) -> str:
        """The id of an existing job that is called ``text``, here or in FaceFusion 3.8.

        Raises UsageError for what is no id, JobError job-unknown when there is no such job.
        """
        # An id that nobody could choose may be that of a file which somebody has put here: it can be looked at.
        is_name = not text.startswith('.') and not set(text) & {'@', '/', os.sep, '\0'}
        if text and is_name and len(os.fsencode(text)) < 200 and self.find(text) is not None:
            return text
        peer = peer_job_id(text)
        if peer != text or not is_job_id(text):
            is_name = '/' not in peer and os.sep not in peer and len(os.fsencode(peer)) < 200
            if is_name and self.find(peer) is not None:
                return peer
        raise unknown(check_job_id(text))

    def open(self, job_id: str) -> Opened:
        """The whole record of a job. Raises JobError job-unknown, job-broken, store-unreadable."""
        for _ in range(_LOOKS):
            job_file = self.find(job_id)
            if job_file is None:
                raise unknown(job_id)
            with suppress(FileNotFoundError):
                return Opened(job_file.state, self._load(job_file), job_file)
        raise busy(job_id)

    def has_any(self, job_id: str) -> bool:
        """Whether there is a job of that id."""
        return self.find(job_id) is not None

    # Changing

    def create(self, record: JobRecord) -> None:
        """Adds a drafted job. Raises JobError job-exists, store-full, store-unwritable."""
        if self.has_any(record.id):
            raise exists(record.id)
        folder, part = self.root / 'drafted', self._new_part(record.id)
        path = folder / f'{record.id}.json'
        self.files.make_folder(folder)
        self.files.write(part, record_bytes(record), sync=True)
        try:
            self.files.name_new(part, path)
        except FileExistsError:
            remove_quietly(self.files, part)
            raise exists(record.id) from None
        if any(
            job_file.job_id == record.id and job_file.path != path
            for job_file in all_job_files(self.root, job_id=record.id)
        ):
            # Since the first look a job of this id was made, and has left this folder already.
            remove_quietly(self.files, path)
            raise exists(record.id)
        self.files.sync_folder(folder)

    def create_running(self, record: JobRecord) -> Hold:
        """Adds a job that this process works on from its first moment; nobody sees it before."""
        owner = self._make_owner()
        part = self._new_part(record.id)
        path = self.root / 'running' / f'{record.id}@{owner.tag}.json'
        self.files.make_folder(path.parent)
        self.files.write(part, record_bytes(record), sync=True)
        self.files.rename(part, path)
        self.files.sync_folder(path.parent)
        return self._hold(JobFile(record.id, 'running', path, 'claim', owner))

    @contextmanager
    def edit(self, job_id: str, action: Action) -> Iterator[tuple[Hold, JobRecord]]:
        """Holds a job that nobody works on; the block calls ``Hold.finish``, or else it stays as it was.

        Raises JobError job-unknown, job-wrong-state (for the action), job-broken, job-busy.
        """
        hold = self._take_for_edit(job_id, action)
        try:
            yield hold, self._load_held(hold)
        except BaseException:
            # What went wrong first is what is told.
            with suppress(JobError):
                hold.release()
            raise
        if hold.path.exists():
            hold.release()

    def claim(self, job_id: str, action: Action) -> tuple[Hold, JobRecord]:
        """Takes a queued (``run``) or failed (``retry``) job to work on it, with what earlier attempts have told.

        Raises what ``edit`` raises, and ClaimLost when another process was faster.
        """
        job_file = self._wait_until_free(job_id, action)
        self.files.make_folder(self.root / 'running')
        try:
            # A rename keeps the time of change: without this the claim would seem to be as old as the job's last one.
            self.files.touch(job_file.path)
        except FileNotFoundError:
            raise taken(job_id) from None
        hold = self._take(job_file, self.root / 'running', 'json')
        try:
            return hold, self._load_held(hold, job_file.path)
        except JobError:
            hold.release(job_file.state)
            raise

    def take_over(self, job_file: JobFile) -> tuple[Hold, JobRecord]:
        """Takes the claim of a process that is dead. Raises ClaimLost when another process was faster."""
        hold = self._take(job_file, self.root / 'running', 'json')
        try:
            return hold, self._load_held(hold)
        except JobError as error:
            # Not a record any more: whoever looks for the job finds it as a broken one. One that only cannot be read at
            # the moment stays claimed; it is looked at again when this claim has rested, too.
            if error.reference == 'job-broken':
                hold.release('failed')
            raise

    def delete(self, job_id: str) -> None:
        """Removes a job, broken ones and those of dead processes too. Raises JobError job-unknown, job-wrong-state,
        job-busy."""
        held = self.find(job_id)
        if held is not None and held.kind == 'claim' and held.owner is not None and held.owner.is_dead():
            # As a reaper would, where it is not faster. What is in it does not matter any more.
            with suppress(ClaimLost):
                self._take(held, self.root / 'running', 'json').release('failed')
        job_file = self._wait_until_free(job_id, 'delete')
        for left in all_job_files(self.root, job_id=job_id):
            if left.job_id == job_id and left.kind == 'done':
                # Of a change that was made: it would stand for the job when the job is gone.
                self.settle(left)
        try:
            self.files.unlink(job_file.path)
        except FileNotFoundError:
            raise taken(job_id) from None
        self.clean_work(job_id)

    def settle(self, job_file: JobFile) -> State | None:
        """Ends what a dead holder began: makes its change if that was certain, else gives the file back.

        Gives the new state of a change that this call made certain. Claims are left alone: the reaper
        judges those.
        """
        if job_file.kind == 'done':
            return roll_forward(self.files, self.root, job_file)
        if job_file.kind == 'edit':
            try:
                self.files.rename(job_file.path, job_file.path.with_name(f'{job_file.job_id}.json'))
            except FileNotFoundError:
                # Its holder may just have passed the fence: then what it has prepared is the job.
                return None
            assert job_file.owner is not None
            self.clean_work(job_file.job_id, [job_file.owner.nonce])
        return None

    def clean_work(self, job_id: str, nonces: Sequence[str] | None = None) -> None:
        """Removes what attempts have noted: those with these nonces, or all of them and all work files."""
        if nonces is None:
            self.remove_work_files(job_id)
        for path in self._work_of(job_id):
            if nonces is None or path.name.partition('.')[0] in nonces:
                remove_quietly(self.files, path)
        self.files.remove_folder(self.root / WORK_FOLDER / job_id)

    def remove_work_files(self, job_id: str) -> None:
        """Removes the finished chunks and segments of a job, wherever they lie."""
        remove_work_files(self.root / WORK_FOLDER / job_id)

    # Within

    def _take_for_edit(self, job_id: str, action: Action) -> Hold:
        """The job for a change of a moment; several who want that have it one after the other."""
        end = time.monotonic() + 2 * EDIT_SECONDS
        while True:
            job_file = self._wait_until_free(job_id, action)
            try:
                return self._take(job_file, job_file.path.parent, 'edit')
            except ClaimLost:
                if time.monotonic() > end:
                    raise

    def _wait_until_free(self, job_id: str, action: Action) -> JobFile:
        """The place of a job that nobody holds, in a state that the action is for."""
        end = time.monotonic() + 2 * EDIT_SECONDS
        since: tuple[Path, float] | None = None
        while (now := time.monotonic()) < end:
            job_file = self.find(job_id)
            if job_file is None:
                raise unknown(job_id)
            if action == 'delete' and job_file.is_unclaimed:
                # Whatever its state: a file that somebody has put among the running ones belongs to no process.
                return job_file
            if job_file.kind == 'claim' or job_file.is_unclaimed:
                check_move(action, job_id, job_file.state)
                if job_file.kind == 'claim':
                    raise busy(job_id)
                return job_file
            assert job_file.owner is not None
            if since is None or since[0] != job_file.path:
                since = (job_file.path, now)
            # A change takes milliseconds: one that lasts so long is of a process that hangs, and the fence stops it.
            if job_file.owner.is_dead() or now - since[1] > EDIT_SECONDS:
                self.settle(job_file)
            else:
                time.sleep(_WAIT)
        raise busy(job_id)

    def _take(self, job_file: JobFile, folder: Path, ending: str) -> Hold:
        owner = self._make_owner()
        path = folder / f'{job_file.job_id}@{owner.tag}.{ending}'
        try:
            self.files.rename(job_file.path, path)
        except FileNotFoundError:
            # See Hold: over a network a rename that was done may be answered so.
            if not path.exists():
                raise taken(job_file.job_id) from None
        state: State = 'running' if folder.name == 'running' else job_file.state
        return self._hold(JobFile(job_file.job_id, state, path, 'claim', owner))

    def _hold(self, job_file: JobFile) -> Hold:
        return Hold(self.files, self.root, job_file)

    def _load_held(self, hold: Hold, lay_at: Path | None = None) -> JobRecord:
        lay_at = lay_at or hold.path.with_name(f'{hold.job_id}.json')
        try:
            return self._load(JobFile(hold.job_id, hold.state, hold.path, 'claim', hold.owner), lay_at)
        except FileNotFoundError:
            raise lost(hold.job_id) from None

    def _load(self, job_file: JobFile, lay_at: Path | None = None) -> JobRecord:
        """The record in a file. ``lay_at`` is the name that errors tell: the one that it has when it is given back."""
        try:
            record = parse_record(job_file.job_id, read_file(job_file.path))
        except RecordError as error:
            raise broken(job_file.job_id, lay_at or job_file.path, str(error)) from None
        except FileNotFoundError:
            raise
        except OSError as error:
            raise unreadable(error, job_file.path) from None
        nonce = job_file.owner.nonce if job_file.kind == 'claim' and job_file.owner is not None else None
        return merge_attempts(record, read_attempts(self.root / WORK_FOLDER / job_file.job_id), nonce)

    def _new_part(self, job_id: str) -> Path:
        folder = self.root / WORK_FOLDER / NEW_FOLDER
        self.files.make_folder(folder)
        return folder / f'{job_id}@{self._make_owner().tag}'

    def _work_of(self, job_id: str) -> list[Path]:
        folder = self.root / WORK_FOLDER / job_id
        names = names_in(folder)
        works = set(work_names(names))
        return [folder / name for name in names if name not in works]


def unknown(job_id: str) -> JobError:
    """The error for an id that no job has."""
    return JobError(
        'job-unknown', f'there is no job {job_id}', hint='facefusion job-list shows the jobs; --jobs-path names a store'
    )


def exists(job_id: str) -> JobError:
    """The error for an id that a job has already."""
    return JobError('job-exists', f'there is a job {job_id} already', hint='choose another id, or leave the id out')


def busy(job_id: str) -> JobError:
    """The error for a job that another process holds."""
    return JobError('job-busy', f'another process is changing the job {job_id}', hint='try again when it has finished')


def taken(job_id: str) -> ClaimLost:
    """The error of the slower one of two processes that want the same job."""
    return ClaimLost('job-taken', f'another process has just taken the job {job_id}', hint='look at it with job-show')


def broken(job_id: str, path: Path, why: str) -> JobError:
    """The error for a file that is no record of a job."""
    return JobError(
        'job-broken',
        f'the file of the job {job_id} cannot be read',
        cause=f'{path}: {why}',
        hint='mend the file by hand, or remove the job with job-delete',
    )
