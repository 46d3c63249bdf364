"""Verify: what a file tells of its origin, by its Content Credentials and by the invisible mark."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from facefusion.provenance.mark.file import MarkReading, is_mark_of, read_marks
from facefusion.provenance.reading import CredentialFinding, read_credentials
from facefusion.provenance.trust import Root
from facefusion.stopping import StopFlag

Word = Literal['intact', 'unknown-signer', 'expired', 'tampered', 'unreadable', 'mark-only', 'nothing-found']
RECORD_VERSION = 1


@dataclass(frozen=True, slots=True)
class Verdict:
    """What was found in a file, in one word and in full.

    'intact': credentials that fit the file, signed by a trusted root. 'unknown-signer', 'expired', 'tampered' and
    'unreadable' are the states of credentials that are there and are not that (see ``CredentialFinding``).
    'mark-only': no credentials, but the invisible mark of this program. 'nothing-found': neither.
    """

    path: Path
    word: Word
    credentials: CredentialFinding
    marks: MarkReading

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
        for claim in self.credentials.chain[:-1]:
            # Whoever worked on it knew it by this name; its own may be an older one.
            name = claim.name or claim.title or claim.manifest
            if claim.trust == 'unknown-signer':
                yield f'what {name} states is vouched for by nobody who is trusted'
            elif claim.trust != 'trusted':
                yield f'what {name} states is not confirmed: its credentials are {claim.trust}'
            if claim.problems:
                yield f'{name} did not fit its credentials when it was worked on: {"; ".join(claim.problems)}'
        known = [job for finding in self.marks.findings for job in self.jobs if is_mark_of(finding, job)]
        unknown = len({finding.payload for finding in self.marks.findings if finding.payload is not None}) - len(known)
        if unknown > 0 and self.jobs:
            yield 'it carries the mark of a job that its credentials do not name'
        stated = [claim for claim in self.credentials.chain[-1:] if (claim.processing or {}).get('mark_payload')]
        if stated and not self.marks.findings and not self.marks.problem:
            yield 'its credentials state an invisible mark, which is not found any more'

    def as_record(self) -> dict[str, Any]:
        """Plain JSON."""
        marks = self.marks.as_record()
        for entry, finding in zip(marks['found'], self.marks.findings, strict=True):
            entry['job_id'] = next((job for job in self.jobs if is_mark_of(finding, job)), None)
        return {
            'version': RECORD_VERSION,
            'file': str(self.path),
            'verdict': self.word,
            'credentials': self.credentials.as_record(),
            'mark': marks,
            'remarks': list(self.remarks()),
        }


def verify(path: Path, roots: Sequence[Root], sidecar: Path | None = None, flag: StopFlag | None = None) -> Verdict:
    """Examines any file; its credentials lie in it, in ``sidecar``, or in ``<path>.c2pa``.

    Raises MediaError for a file that is missing, empty, no regular file or not readable, and Interrupted.
    """
    credentials = read_credentials(path, roots, sidecar, flag)
    marks = read_marks(path, flag)
    return Verdict(path, _word(credentials, marks), credentials, marks)


def _word(credentials: CredentialFinding, marks: MarkReading) -> Word:
    if credentials.state == 'trusted':
        return 'intact'
    if credentials.state == 'none' or (credentials.state == 'unreadable' and credentials.place == 'none'):
        return 'mark-only' if marks.findings else 'nothing-found'
    return credentials.state
