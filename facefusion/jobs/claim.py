"""Having a job file to oneself: by its name, without locks, on one machine and on a shared folder.

A job file that nobody uses is ``<state>/<id>.json``. Whoever wants to change it renames it first: to
``<state>/<id>@<tag>.edit`` for a moment, or to ``running/<id>@<tag>.json`` to work on it. Of several that try one
succeeds; the others find nothing to rename. The new record is written whole under ``.work/<id>/<nonce>.<state>.json``,
then comes the fence: the held file is renamed to ``...@<tag>.done``, which fails if it was taken away meanwhile. After
the fence the change is certain: it is one more rename, and if the process dies before that, anybody else makes it.
"""

from __future__ import annotations

import os
import threading
from pathlib import Path
from typing import Literal, NamedTuple

from facefusion.errors import ClaimLost, JobError
from facefusion.jobs.files import StoreFiles, remove_quietly
from facefusion.jobs.naming import LONGEST_NAME
from facefusion.jobs.record import JobRecord, record_bytes
from facefusion.jobs.states import STATES, State
from facefusion.ownership import Owner, new_owner, parse_tag
from facefusion.stopping import StopFlag

WORK_FOLDER = '.work'
# Where the certificate of this machine lies when no other folder takes it.
CERTIFICATE_FOLDER = '.certificate'
Kind = Literal['plain', 'edit', 'claim', 'done']


class JobFile(NamedTuple):
    """Where a job file lies, in the folder of which state, and who holds it."""

    job_id: str
    state: State
    path: Path
    kind: Kind
    owner: Owner | None

    @property
    def is_unclaimed(self) -> bool:
        """Whether nobody holds it."""
        return self.kind == 'plain'


def parse_job_file(folder: Path, state: State, name: str) -> JobFile | None:
    """The place that a file name in the folder of a state stands for; None for foreign files."""
    stem, dot, ending = name.rpartition('.')
    job_id, sign, tag = stem.partition('@')
    if not dot or not job_id or job_id.startswith('.'):
        return None
    path = folder / name
    if not sign:
        return JobFile(job_id, state, path, 'plain', None) if ending == 'json' else None
    owner = parse_tag(tag)
    if owner is None:
        return None
    kinds: dict[str, Kind] = {'edit': 'edit', 'done': 'done'}
    if state == 'running':
        kinds['json'] = 'claim'
    kind = kinds.get(ending)
    return None if kind is None else JobFile(job_id, state, path, kind, owner)


def is_claimable(job_id: str) -> bool:
    """Whether a file system takes the name of a claim of the job; it does for all ids that may be chosen."""
    return len(os.fsencode(f'{job_id}@{new_owner().tag}.json')) <= LONGEST_NAME


class Hold:
    """A job file that only this process may change, until ``finish`` or ``release``.

    Both raise ClaimLost when the file was taken away meanwhile; then nothing was changed.
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
        """Where the attempts at this job are noted."""
        return self._root / WORK_FOLDER / self.job_id

    def finish(self, state: State, record: JobRecord) -> None:
        """Puts the job into ``state`` with a new record."""
        prepared = prepared_path(self.folder, self.owner, state)
        self._files.write_in_folder(prepared, record_bytes(record), sync=True)
        done = self.path.with_suffix('.done')
        try:
            self._files.sync_folder(self.folder)
            self._rename(self.path, done)
        except (JobError, OSError) as error:
            # A rename that failed may have been done: then what was prepared is all that there is of the job.
            if isinstance(error, ClaimLost) or (self.path.exists() and not done.exists()):
                remove_quietly(self._files, prepared)
                self._files.remove_folder(self.folder)
            if isinstance(error, FileNotFoundError):
                # What was prepared is gone: only who has taken the file over removes that.
                raise lost(self.job_id) from None
            raise
        roll_forward(self._files, self._root, JobFile(self.job_id, self.state, done, 'done', self.owner))

    def release(self, state: State | None = None) -> None:
        """Gives the file back as it is, to the folder of ``state``, or else to the one that it lies in."""
        folder = self._root / (state or self.state)
        self._files.make_folder(folder)
        self._rename(self.path, folder / f'{self.job_id}.json')
        self._files.sync_folder(folder)
        self._files.remove_folder(self.folder)

    def check(self) -> None:
        """Raises ClaimLost when the file was taken away; whoever waits for the holder learns that it lives."""
        try:
            self._files.touch(self.path)
        except FileNotFoundError:
            raise lost(self.job_id) from None

    def _rename(self, old: Path, new: Path) -> None:
        try:
            self._files.rename(old, new)
        except FileNotFoundError:
            # A network file system may answer so to a rename that it was asked for twice and has done.
            if not new.exists() or old.exists() or '@' not in new.name:
                raise lost(self.job_id) from None


def lost(job_id: str) -> ClaimLost:
    """The error of a process whose job was taken away."""
    return ClaimLost(
        'job-claim-lost',
        f'the job {job_id} was given to another process',
        cause='this one did not show that it lives for too long, or the job was deleted',
        hint='nothing is to be done: the other process goes on with it',
    )


def prepared_path(folder: Path, owner: Owner, state: State) -> Path:
    """Where a record waits for the fence."""
    return folder / f'{owner.nonce}.{state}.json'


def roll_forward(files: StoreFiles, root: Path, job_file: JobFile) -> State | None:
    """Makes the change of a holder that has passed the fence; gives the new state when this call made it.

    Any process may do so at any time, once or more often: the rename of the prepared record happens once.
    """
    assert job_file.owner is not None
    folder = root / WORK_FOLDER / job_file.job_id
    made: State | None = None
    for state in STATES:
        prepared = prepared_path(folder, job_file.owner, state)
        if not prepared.exists():
            continue
        files.make_folder(root / state)
        try:
            files.rename(prepared, root / state / f'{job_file.job_id}.json')
        except FileNotFoundError:
            continue
        files.sync_folder(root / state)
        made = state
    remove_quietly(files, job_file.path)
    files.remove_folder(folder)
    return made


class ClaimFlag(StopFlag):
    """The stop flag of work on a claim: right before something is named for good the claim is made sure of."""

    def __init__(self, hold: Hold, parent: StopFlag) -> None:
        super().__init__(parent)
        self._hold = hold

    def confirm(self) -> None:
        """Raises Interrupted, or ClaimLost."""
        self.check()
        self._hold.check()


class Heartbeat:
    """Shows every ``seconds`` that a claim is alive, and sets ``flag`` when it was taken away or is to be cancelled.

    A context manager. ``cancelled`` says that somebody has asked for the end of the job.
    """

    def __init__(self, hold: Hold, seconds: float, flag: StopFlag) -> None:
        self._hold = hold
        self._seconds = seconds
        self._flag = flag
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._beat, name='heartbeat', daemon=True)
        self.cancelled = False

    def __enter__(self) -> Heartbeat:
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._ended.set()
        self._thread.join(timeout=5.0)

    def _beat(self) -> None:
        request = cancel_path(self._hold.folder, self._hold.owner)
        while not self._ended.wait(self._seconds):
            try:
                if request.exists():
                    self.cancelled = True
                    self._flag.set('the job was cancelled')
                self._hold.check()
            except ClaimLost:
                self._flag.set('the job was given to another process')
                return
            except (JobError, OSError):
                # The store cannot be reached at the moment; if that lasts, the claim is lost, and the next beat tells.
                continue


def cancel_path(folder: Path, owner: Owner) -> Path:
    """The file by which one claim is asked to give up."""
    return folder / f'{owner.nonce}.cancel'
