"""Verify the origin of a file by its Content Credentials and its invisible mark."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from facefusion.media.kinds import IMAGE_EXTENSIONS, sniff
from facefusion.media.truncation import why_truncated
from facefusion.provenance import media_types
from facefusion.provenance.chain import Claim
from facefusion.provenance.credentials_reader import CredentialFinding, read_credentials
from facefusion.provenance.mark.detect import MarkFinding
from facefusion.provenance.mark.file import MarkReading, is_mark_of, read_marks
from facefusion.provenance.mark.payload import mark_payload
from facefusion.provenance.sidecar import SIDECAR_SUFFIX, sidecar_of
from facefusion.provenance.trust import Root
from facefusion.stopping import StopFlag

Word = Literal['intact', 'unknown-signer', 'expired', 'tampered', 'unreadable', 'mark-only', 'nothing-found']
_RECORD_VERSION = 1
# Five packets of a transport stream, as in media/kinds.py.
_HEAD = 960


@dataclass(frozen=True, slots=True)
class Verdict:
    """The result of verifying a file, as one word and with all details.

    'intact': the credentials match the file, and a trusted root certifies the signer. 'unknown-signer', 'expired',
    'tampered' and 'unreadable' are other states of existing credentials (see ``CredentialFinding``); a file so damaged
    that its credentials may be lost is 'unreadable', too. 'mark-only': the file has no credentials, but contains the
    invisible mark of this program. 'nothing-found': the file has neither.

    ``sidecar`` is the path that the user named. ``known_jobs`` are the known jobs whose mark is in the file, regardless
    of the statements in its credentials.
    """

    path: Path
    word: Word
    credentials: CredentialFinding
    marks: MarkReading
    sidecar: Path | None = None
    known_jobs: tuple[str, ...] = ()

    @property
    def is_good(self) -> bool:
        """Whether the credentials are reliable."""
        return self.word == 'intact'

    @property
    def jobs(self) -> tuple[str, ...]:
        """The jobs in the claims of the file itself and of trusted signers, oldest first."""
        chain = self.credentials.chain
        claims = [claim for claim in chain if claim is chain[-1] or claim.trust == 'trusted']
        jobs = [str((claim.processing or {}).get('job_id', '')) for claim in claims]
        return tuple(dict.fromkeys(job for job in jobs if job))

    def remarks(self) -> Iterator[str]:
        """Yield further facts and hints, in plain words."""
        yield from self._hints()
        for claim in self.credentials.chain[:-1]:
            name = _name_of(claim)
            if claim.trust == 'unknown-signer':
                yield f'the statements of {name} have no signer certified by a trusted root'
            elif claim.trust != 'trusted':
                yield f'the statements of {name} are not confirmed: its credentials are {claim.trust}'
            if claim.problems:
                yield f'{name} did not match its credentials when it was processed: {"; ".join(claim.problems)}'
        for claim in self.credentials.chain:
            if claim.left_out:
                yield f'the processing record of {_name_of(claim)} is omitted, at least in part: {claim.left_out}'
        unknown = {finding.payload for finding in self.marks.findings} - {None, *map(mark_payload, self.jobs)}
        if unknown and self.jobs:
            yield 'it contains the mark of a job that its credentials do not name'
        is_stated = any((claim.processing or {}).get('mark_payload') for claim in self.credentials.chain[-1:])
        if is_stated and not self.marks.findings and not self.marks.problem:
            yield 'its credentials state that it has an invisible mark, but none was found'

    def job_of(self, finding: MarkFinding) -> str | None:
        """Return the job of a mark, from the credentials or the known jobs; None if it is unknown."""
        return next((job for job in (*self.jobs, *self.known_jobs) if is_mark_of(finding, job)), None)

    def _hints(self) -> Iterator[str]:
        """Yield the next steps for the user."""
        place = self.credentials.place
        if self.path.suffix.lower() == SIDECAR_SUFFIX:
            yield 'this is a sidecar: verify the media file that it belongs to'
        if self.sidecar is not None and place == 'embedded':
            yield f'{self.sidecar.name} was not read, because credentials are embedded in the file'
        if self.word == 'mark-only' and self.sidecar is None and not media_types.may_hold_credentials(self.path):
            missing = sidecar_of(self.path).name
            yield f'there is no sidecar {missing} next to it; if it was renamed or moved, specify it with --sidecar'
        if self.word == 'tampered' and place == 'sidecar':
            yield 'the file was changed, or the sidecar belongs to another file'
        if self.word == 'unknown-signer':
            yield 'if you trust the signer, specify its root certificate with --trusted-roots'

    def as_record(self) -> dict[str, Any]:
        """Return plain JSON."""
        marks = self.marks.as_record()
        for entry, finding in zip(marks['found'], self.marks.findings, strict=True):
            entry['job_id'] = self.job_of(finding)
        return {
            'version': _RECORD_VERSION,
            'file': str(self.path),
            'verdict': self.word,
            'credentials': self.credentials.as_record(),
            'mark': marks,
            'remarks': list(self.remarks()),
        }


def verify(
    path: Path,
    roots: Sequence[Root],
    sidecar: Path | None = None,
    flag: StopFlag | None = None,
    job_ids: Iterable[str] = (),
) -> Verdict:
    """Verify any file with embedded credentials, or with credentials in ``sidecar`` or ``<path>.c2pa``.

    ``job_ids`` are jobs whose mark the file may contain; they are iterated only if a mark is found. Raises MediaError
    for a missing, empty, irregular or unreadable file or named sidecar, and Interrupted.
    """
    credentials = read_credentials(path, roots, sidecar, flag)
    marks = read_marks(path, flag)
    known: tuple[str, ...] = ()
    if marks.findings:
        known = tuple(job for job in job_ids if any(is_mark_of(finding, job) for finding in marks.findings))
    return Verdict(path, _word(path, credentials, marks), credentials, marks, sidecar, known)


def _name_of(claim: Claim) -> str:
    # The name in the next claim is preferred, because the file may have been renamed since it got its title.
    return claim.name or claim.title or claim.manifest


def _word(path: Path, credentials: CredentialFinding, marks: MarkReading) -> Word:
    if credentials.state == 'trusted':
        return 'intact'
    if credentials.state != 'none' and credentials.state != 'unreadable':
        return credentials.state
    if credentials.state == 'unreadable' and (credentials.place != 'none' or _is_media(path)):
        return 'unreadable'
    if marks.findings:
        return 'mark-only'
    return 'unreadable' if _is_damaged(path, marks) else 'nothing-found'


def _is_media(path: Path) -> bool:
    """Whether the name or the first bytes of a file are those of media; a text file is not media, whatever its name."""
    head = _head(path)
    try:
        is_text = all(letter.isprintable() or letter in '\r\n\t' for letter in head[:64].decode('utf-8'))
    except UnicodeDecodeError:
        is_text = False
    return bool(sniff(head)) or (media_types.media_type(path) != media_types.PLAIN and not is_text)


def _is_damaged(path: Path, marks: MarkReading) -> bool:
    """Whether the file is truncated or damaged, so that embedded credentials may be lost."""
    if not media_types.may_hold_credentials(path):
        return False
    content = sniff(_head(path))
    if content == 'mp4':
        return bool(why_truncated(path))
    return content in IMAGE_EXTENSIONS.values() and bool(marks.problem)


def _head(path: Path) -> bytes:
    with path.open('rb') as file:
        return file.read(_HEAD)
