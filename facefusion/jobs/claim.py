"""Exclusive claims on job files by rename, without locks, on one machine and on a shared folder.

An unclaimed job file is ``<state>/<id>.json``. A process that wants to change it renames it first: to
``<state>/<id>@<tag>.edit`` for a short change, or to ``running/<id>@<tag>.json`` to process the job. Only
one of several processes succeeds; the others find no file to rename. The new record is written completely as
``.work/<id>/<nonce>.<state>.json``, and then the claimed file is renamed to ``...@<tag>.done``. This rename is the
fence: it fails if the claim was lost meanwhile. After the fence the change is certain: only one more rename is missing,
and if the process dies before that rename, any other process completes it.
"""

from __future__ import annotations

import threading
from pathlib import Path

from facefusion.errors import ClaimLost, JobError
from facefusion.jobs.files import StoreFiles, remove_quietly
from facefusion.jobs.job_files import JobFile
from facefusion.jobs.record import JobRecord, record_bytes
from facefusion.jobs.states import STATES, State
from facefusion.ownership import Owner
from facefusion.stopping import StopFlag

WORK_FOLDER = '.work'
# The prefix of the names of folders with work files.
WORK_PREFIX = 'work-'
# The default folder for the certificate of this machine if its usual folder is not writable.
CERTIFICATE_FOLDER = '.certificate'


class Claim:
    """A job file that only this process may change, until ``finish`` or ``release``.

    Both raise ClaimLost and change nothing when another process has taken the file over.
    """

    def __init__(self, files: StoreFiles, root: Path, job_file: JobFile) -> None:
        assert job_file.owner is not None
        self._files = files
        self._root = root
        self.job_id = job_file.job_id
        self.state: State = job_file.state
        self.owner: Owner = job_file.owner
        self.path = job_file.path

    @property
    def folder(self) -> Path:
        """The folder with the notes of attempts at this job."""
        return self._root / WORK_FOLDER / self.job_id

    def finish(self, state: State, record: JobRecord) -> None:
        """Move the job to ``state`` with a new record."""
        prepared = _prepared_path(self.folder, self.owner, state)
        self._files.write_in_folder(prepared, record_bytes(record), sync=True)
        done = self.path.with_suffix('.done')
        try:
            self._files.sync_folder(self.folder)
            self._rename(self.path, done)
        except (JobError, OSError) as error:
            # A rename that reported an error may have succeeded: then the prepared file is the only file of the job.
            if isinstance(error, ClaimLost) or (self.path.exists() and not done.exists()):
                remove_quietly(self._files, prepared)
                self._files.remove_folder(self.folder)
            if isinstance(error, FileNotFoundError):
                # Only a process that took the job over removes the prepared file.
                raise lost(self.job_id) from None
            raise
        roll_forward(self._files, self._root, JobFile(self.job_id, self.state, done, 'done', self.owner))

    def release(self, state: State | None = None) -> None:
        """Move the unchanged file back without the claim, into the folder of ``state`` (default: its present state)."""
        folder = self._root / (state or self.state)
        self._files.make_folder(folder)
        self._rename(self.path, folder / f'{self.job_id}.json')
        self._files.sync_folder(folder)
        self._files.remove_folder(self.folder)

    def check(self) -> None:
        """Renew the lease. Raises ClaimLost when another process took the file over."""
        try:
            self._files.touch(self.path)
        except FileNotFoundError:
            raise lost(self.job_id) from None

    def _rename(self, old: Path, new: Path) -> None:
        try:
            self._files.rename(old, new)
        except FileNotFoundError:
            # A network file system may report this error for a repeated request whose first answer was lost.
            if not new.exists() or old.exists() or '@' not in new.name:
                raise lost(self.job_id) from None


def lost(job_id: str) -> ClaimLost:
    """Return the error of a process that lost its claim."""
    return ClaimLost(
        'job-claim-lost',
        f'another process took over the job {job_id}',
        cause='this process did not renew its claim in time, or the job was deleted',
        hint='no action is needed: if the job still exists, the other process continues it',
    )


def _prepared_path(folder: Path, owner: Owner, state: State) -> Path:
    """Return the path where a new record is prepared before the claim file is renamed to ``.done``."""
    return folder / f'{owner.nonce}.{state}.json'


def roll_forward(files: StoreFiles, root: Path, job_file: JobFile) -> State | None:
    """Complete a change whose claim file is named ``.done``; return the new state if this call completed it.

    Any process may call this at any time and repeatedly: the prepared record is renamed only once.
    """
    assert job_file.owner is not None
    folder = root / WORK_FOLDER / job_file.job_id
    new_state: State | None = None
    for state in STATES:
        prepared = _prepared_path(folder, job_file.owner, state)
        if not prepared.exists():
            continue
        files.make_folder(root / state)
        try:
            files.rename(prepared, root / state / f'{job_file.job_id}.json')
        except FileNotFoundError:
            continue
        files.sync_folder(root / state)
        new_state = state
    remove_quietly(files, job_file.path)
    files.remove_folder(folder)
    return new_state


class ClaimFlag(StopFlag):
    """The stop flag of a claimed job; ``confirm`` also checks the claim."""

    def __init__(self, claim: Claim, parent: StopFlag) -> None:
        super().__init__(parent)
        self._claim = claim

    def confirm(self) -> None:
        """Raise Interrupted when a stop was requested, and ClaimLost when the claim was lost."""
        self.check()
        self._claim.check()


class Heartbeat:
    """Renews a claim every ``seconds``, and sets ``flag`` when the claim is lost or its cancellation is requested.

    A context manager. ``cancelled`` is True after a request to cancel the job.
    """

    def __init__(self, claim: Claim, seconds: float, flag: StopFlag) -> None:
        self._claim = claim
        self._seconds = seconds
        self._flag = flag
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._beat, name='heartbeat', daemon=True)
        self.cancelled = False

    def __enter__(self) -> Heartbeat:
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._stop.set()
        self._thread.join(timeout=5.0)

    def _beat(self) -> None:
        request = cancel_path(self._claim.folder, self._claim.owner)
        while not self._stop.wait(self._seconds):
            try:
                if request.exists():
                    self.cancelled = True
                    self._flag.set('the job was cancelled')
                self._claim.check()
            except ClaimLost:
                self._flag.set('another process took over the job')
                return
            except (JobError, OSError):
                # The store is temporarily unreachable. If that lasts, the claim is lost, and a later beat detects it.
                continue


def cancel_path(folder: Path, owner: Owner) -> Path:
    """Return the path of the file that asks the holder of a claim to stop."""
    return folder / f'{owner.nonce}.cancel'
