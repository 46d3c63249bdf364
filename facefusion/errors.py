"""Every way in which FaceFusion can fail, and what the user can do about it.

FaceFusionError                exit  raised when
├── UsageError                  2    options, ini values or environment make no valid request
├── InputError                  1    a source or target cannot be used
│   ├── MediaError              1    a media file is damaged, empty or of an unknown kind
│   └── NoFaceError             1    a source picture shows no usable face
├── OutputError                 1    the output cannot be written where it was asked for
├── ContentRefused              3    the content policy refuses the material
├── ProvenanceError             1    an output cannot be signed as it was asked for, or a certificate cannot be used
├── JobError                    1    a job is unknown, broken or in the wrong state, or the store cannot be used
│   └── ClaimLost               1    a job was taken away from the process that worked on it
├── Interrupted                 4    a signal or a caller asked to stop; nothing half-written stays
├── ResourceError               5    memory, threads or disk would not suffice, or ran out
├── ModelError                  6    a model is unknown, missing, unreachable or damaged
├── ProviderError               7    an execution provider that was asked for does not work here
├── SetupError                  1    a package that the program needs is not installed
└── InternalError               1    a promise of the program itself broke (a bug)

Only ``facefusion.cli.main`` turns these into exit codes; no other module ends the process.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, ClassVar

_REFERENCE = re.compile(r'^[a-z0-9]+(-[a-z0-9]+)*$')


class FaceFusionError(Exception):
    """A failure with a stable reference, a cause and an advice.

    ``reference`` is kebab-case and never changes its meaning; ``message`` says what failed, ``cause`` why (may be
    empty), ``hint`` what the user can do (may be empty). ``facts`` is plain JSON for programs, where there is more to
    know than the words say.
    """

    exit_code: ClassVar[int] = 1

    def __init__(
        self, reference: str, message: str, *, cause: str = '', hint: str = '', facts: Mapping[str, Any] | None = None
    ) -> None:
        if not _REFERENCE.match(reference):
            raise ValueError(f'error reference is not kebab-case: {reference!r}')
        super().__init__(message)
        self.reference = reference
        self.message = message
        self.cause = cause
        self.hint = hint
        self.facts = facts

    def as_record(self) -> dict[str, object]:
        """The error as it is written to job files and NDJSON; ``facts`` stands there only when there are any."""
        record: dict[str, object] = {
            'reference': self.reference,
            'message': self.message,
            'cause': self.cause,
            'hint': self.hint,
            'exit_code': self.exit_code,
        }
        return record if self.facts is None else record | {'facts': dict(self.facts)}


class UsageError(FaceFusionError):
    """The request itself is wrong: an option, an ini key or an environment variable."""

    exit_code = 2


class InputError(FaceFusionError):
    """A source or a target cannot be used."""


class MediaError(InputError):
    """A media file is missing, empty, damaged, or of a kind that is not read."""


class NoFaceError(InputError):
    """A source picture shows no usable face."""


class OutputError(FaceFusionError):
    """The output cannot be written where it was asked for."""


class ContentRefused(FaceFusionError):
    """The content policy refuses the material."""

    exit_code = 3


class ProvenanceError(FaceFusionError):
    """An output cannot be signed as it was asked for, or a certificate, a key or a trusted root cannot be used."""


class JobError(FaceFusionError):
    """A job is unknown, broken or in a state that does not allow what was asked, or its store cannot be used."""


class ClaimLost(JobError):
    """A job was taken away from the process that worked on it: nothing more of it may be written."""


class Interrupted(FaceFusionError):
    """The run was asked to stop, and did so at a frame boundary."""

    exit_code = 4

    def __init__(
        self,
        message: str = 'the run was interrupted',
        *,
        cause: str = '',
        hint: str = '',
        facts: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__('interrupted', message, cause=cause, hint=hint, facts=facts)


class ResourceError(FaceFusionError):
    """Memory, threads or disk would not suffice, or ran out."""

    exit_code = 5


class ModelError(FaceFusionError):
    """A model is unknown, missing, unreachable or damaged."""

    exit_code = 6


class ProviderError(FaceFusionError):
    """An execution provider that was asked for does not work on this machine."""

    exit_code = 7


class SetupError(FaceFusionError):
    """A package that the program needs is not installed in the Python that runs it."""


class InternalError(FaceFusionError):
    """A promise of the program itself broke: please report it."""


_BY_EXIT_CODE: dict[int, type[FaceFusionError]] = {
    1: JobError,
    2: UsageError,
    3: ContentRefused,
    5: ResourceError,
    6: ModelError,
    7: ProviderError,
}


def error_from_record(record: Mapping[str, object]) -> FaceFusionError:
    """The error that ``as_record`` has written, as one of the same exit code."""
    words = {key: str(record.get(key) or '') for key in ('reference', 'message', 'cause', 'hint')}
    told = record.get('facts')
    facts = told if isinstance(told, Mapping) else None
    code = record.get('exit_code')
    if code == Interrupted.exit_code:
        return Interrupted(words['message'], cause=words['cause'], hint=words['hint'], facts=facts)
    kind = _BY_EXIT_CODE.get(code, JobError) if isinstance(code, int) else JobError
    reference = words['reference'] if _REFERENCE.match(words['reference']) else 'job-failed'
    return kind(reference, words['message'] or 'it failed', cause=words['cause'], hint=words['hint'], facts=facts)
