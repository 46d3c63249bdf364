"""Verify: what a file tells of its origin, by its Content Credentials and by the invisible mark."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from facefusion.media.kinds import IMAGE_EXTENSIONS, sniff
from facefusion.media.truncation import why_truncated
from facefusion.provenance import media_types
from facefusion.provenance.credentials_reader import CredentialFinding, read_credentials
from facefusion.provenance.mark.detect import MarkFinding
from facefusion.provenance.mark.file import MarkReading, is_mark_of, read_marks
from facefusion.provenance.sidecar import SIDECAR_SUFFIX, sidecar_of
from facefusion.provenance.trust import Root
from facefusion.stopping import StopFlag

Word = Literal['intact', 'unknown-signer', 'expired', 'tampered', 'unreadable', 'mark-only', 'nothing-found']
RECORD_VERSION = 1
# Five packets of a transport stream, as in media/kinds.py.
_HEAD = 960


@dataclass(frozen=True, slots=True)
class Verdict:
    """What was found in a file, in one word and in full.

    'intact': credentials that fit the file, signed by a trusted root. 'unknown-signer', 'expired', 'tampered' and
    'unreadable' are the states of credentials that are there and are not that (see ``CredentialFinding``).
    'unreadable' is also a file that is damaged, so that nobody can tell whether it has credentials.
    'mark-only': no credentials, but the invisible mark of this program. 'nothing-found': neither.

    ``sidecar`` is the one that was named, and ``known_jobs`` are jobs of which the file carries the mark, whatever
    its credentials say.
    """

    path: Path
    word: Word
    credentials: CredentialFinding
    marks: MarkReading
    sidecar: Path | None = None
    known_jobs: tuple[str, ...] = ()

    @property
    def is_good(self) -> bool:
        """Whether the credentials can be relied upon."""
        return self.word == 'intact'

    @property
    def jobs(self) -> tuple[str, ...]:
        """The jobs that the credentials tell of, oldest first: those of the file itself, and of trusted signers."""
        chain = self.credentials.chain
        told = [claim for claim in chain if claim is chain[-1] or claim.trust == 'trusted']
        named = [str((claim.processing or {}).get('job_id', '')) for claim in told]
        return tuple(dict.fromkeys(name for name in named if name))

    def remarks(self) -> Iterator[str]:
        """What else there is to know, in plain words."""
        yield from self._hints()
        for claim in self.credentials.chain[:-1]:
            # Whoever worked on it knew it by this name; its own may be an older one.
            name = claim.name or claim.title or claim.manifest
            if claim.trust == 'unknown-signer':
                yield f'what {name} states is vouched for by nobody who is trusted'
            elif claim.trust != 'trusted':
                yield f'what {name} states is not confirmed: its credentials are {claim.trust}'
            if claim.problems:
                yield f'{name} did not fit its credentials when it was worked on: {"; ".join(claim.problems)}'
        for claim in self.credentials.chain:
            if claim.left_out:
                name = claim.name or claim.title or claim.manifest
                yield f'what {name} states of how it was made is left out, or a part of it: {claim.left_out}'
        known = [job for finding in self.marks.findings for job in self.jobs if is_mark_of(finding, job)]
        unknown = len({finding.payload for finding in self.marks.findings if finding.payload is not None}) - len(known)
        if unknown > 0 and self.jobs:
            yield 'it carries the mark of a job that its credentials do not name'
        stated = [claim for claim in self.credentials.chain[-1:] if (claim.processing or {}).get('mark_payload')]
        if stated and not self.marks.findings and not self.marks.problem:
            yield 'its credentials state an invisible mark, which is not found any more'

    def job_of(self, finding: MarkFinding) -> str | None:
        """The job whose mark this is, by the credentials or by the jobs that are known; None when nobody can tell."""
        return next((job for job in (*self.jobs, *self.known_jobs) if is_mark_of(finding, job)), None)

    def _hints(self) -> Iterator[str]:
        """What can be done about it."""
        place = self.credentials.place
        if self.path.suffix.lower() == SIDECAR_SUFFIX:
            yield 'this is a side-car: verify the media file that it belongs to'
        if self.sidecar is not None and place == 'embedded':
            yield f'{self.sidecar.name} was not looked at: the file has its credentials in itself'
        if self.word == 'mark-only' and self.sidecar is None and not media_types.may_hold_credentials(self.path):
            beside = sidecar_of(self.path).name
            yield f'no side-car {beside} lies beside it; if it was renamed or moved, name it with --sidecar'
        if self.word == 'tampered' and place == 'sidecar':
            yield 'the file was changed, or the side-car belongs to another file'
        if self.word == 'unknown-signer':
            yield 'if you trust the signer, name its root with --trusted-roots'

    def as_record(self) -> dict[str, Any]:
        """Plain JSON."""
        marks = self.marks.as_record()
        for entry, finding in zip(marks['found'], self.marks.findings, strict=True):
            entry['job_id'] = self.job_of(finding)
        return {
            'version': RECORD_VERSION,
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
    """Examines any file; its credentials lie in it, in ``sidecar``, or in ``<path>.c2pa``.

    ``job_ids`` are jobs whose mark it may carry; they are only asked for when it carries one. Raises MediaError for a
    file, or a side-car that is named, that is missing, empty, no regular file or not readable, and Interrupted.
    """
    credentials = read_credentials(path, roots, sidecar, flag)
    marks = read_marks(path, flag)
    known: tuple[str, ...] = ()
    if marks.findings:
        known = tuple(job for job in job_ids if any(is_mark_of(finding, job) for finding in marks.findings))
    return Verdict(path, _word(path, credentials, marks), credentials, marks, sidecar, known)


def _word(path: Path, credentials: CredentialFinding, marks: MarkReading) -> Word:
    if credentials.state == 'trusted':
        return 'intact'
    if credentials.state == 'unreadable' and (credentials.place != 'none' or _is_media(path)):
        return 'unreadable'
    if credentials.state == 'none' or credentials.state == 'unreadable':
        if marks.findings:
            return 'mark-only'
        return 'unreadable' if _is_damaged(path, marks) else 'nothing-found'
    return credentials.state


def _is_media(path: Path) -> bool:
    """Whether a file is named like media or begins like it; text is none, whatever its name."""
    head = _head(path)
    try:
        is_text = all(letter.isprintable() or letter in '\r\n\t' for letter in head[:64].decode('utf-8'))
    except UnicodeDecodeError:
        is_text = False
    return bool(sniff(head)) or (media_types.is_known(path) and not is_text)


def _is_damaged(path: Path, marks: MarkReading) -> bool:
    """Whether credentials that a file may have held in itself can have been lost with a part of it."""
    content = sniff(_head(path))
    if not media_types.may_hold_credentials(path):
        return False
    if content == 'mp4':
        return bool(why_truncated(path))
    return content in IMAGE_EXTENSIONS.values() and bool(marks.problem)


def _head(path: Path) -> bytes:
    with path.open('rb') as file:
        return file.read(_HEAD)
