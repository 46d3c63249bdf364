"""All errors of the program, with their exit codes. docs/errors.md lists every reference.

FaceFusionError                exit  raised when
├── UsageError                  2    options, ini values or environment variables are not a valid request
├── InputError                  1    a source or target cannot be used
│   ├── MediaError              1    a media file is missing, empty, damaged or of an unknown kind
│   └── NoFaceError             1    a source image shows no usable face
├── OutputError                 1    the output cannot be written to the requested path
├── ContentRefused              3    the content policy refuses the material
├── ProvenanceError             1    an output cannot be signed as requested, or a certificate cannot be used
├── JobError                    1    a job is unknown, broken or in the wrong state, or the store cannot be used
│   └── ClaimLost               1    another process took over the job
├── Interrupted                 4    a signal or the caller asked to stop; no partial output remains
├── ResourceError               5    memory, threads or disk space are insufficient or ran out
├── ModelError                  6    a model is unknown, missing, unreachable or damaged
├── ProviderError               7    a requested execution provider does not work here
├── SetupError                  1    a required package is not installed
└── InternalError               1    a bug: the program broke one of its own rules

Only ``facefusion.cli.main`` turns errors into exit codes; no other module ends the process, except a worker process.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, ClassVar

_REFERENCE = re.compile(r'^[a-z0-9]+(-[a-z0-9]+)*$')


class FaceFusionError(Exception):
    """A failure with a stable reference.

    ``reference`` is kebab-case and never changes its meaning. ``message`` states the failure, ``cause`` the reason and
    ``hint`` the remedy; cause and hint may be empty. ``facts`` is plain JSON with further details for programs.
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
        """Return the error in the form used in job files and NDJSON; the key ``facts`` is absent without facts."""
        record: dict[str, object] = {
            'reference': self.reference,
            'message': self.message,
            'cause': self.cause,
            'hint': self.hint,
            'exit_code': self.exit_code,
        }
        return record if self.facts is None else record | {'facts': dict(self.facts)}


class UsageError(FaceFusionError):
    """An option, ini key or environment variable is invalid."""

    exit_code = 2


class InputError(FaceFusionError):
    """A source or a target cannot be used."""


class MediaError(InputError):
    """A media file is missing, empty, damaged or of an unknown kind."""


class NoFaceError(InputError):
    """A source image shows no usable face."""


class OutputError(FaceFusionError):
    """The output cannot be written to the requested path."""


class ContentRefused(FaceFusionError):
    """The content policy refuses the material."""

    exit_code = 3


class ProvenanceError(FaceFusionError):
    """An output cannot be signed as requested, or a certificate, key or trusted root cannot be used."""


class JobError(FaceFusionError):
    """A job is unknown, broken or in the wrong state, or its store cannot be used."""


class ClaimLost(JobError):
    """Another process took over the job, so this process must not write to it any more."""


class Interrupted(FaceFusionError):
    """The run stopped at a frame boundary, as requested."""

    exit_code = 4

    def __init__(self, message: str = 'the run was interrupted', **details: Any) -> None:
        super().__init__('interrupted', message, **details)


class ResourceError(FaceFusionError):
    """Memory, threads or disk space are insufficient or ran out."""

    exit_code = 5


class ModelError(FaceFusionError):
    """A model is unknown, missing, unreachable or damaged."""

    exit_code = 6


class ProviderError(FaceFusionError):
    """A requested execution provider does not work on this machine."""

    exit_code = 7


class SetupError(FaceFusionError):
    """A required package is not installed in the Python that runs the program."""


class InternalError(FaceFusionError):
    """A bug: the program broke one of its own rules."""


_BY_EXIT_CODE: dict[int, type[FaceFusionError]] = {
    1: JobError,
    2: UsageError,
    3: ContentRefused,
    5: ResourceError,
    6: ModelError,
    7: ProviderError,
}


def error_from_record(record: Mapping[str, object]) -> FaceFusionError:
    """Return the error written by ``as_record``, as a class with the same exit code."""
    message, reference, facts = record.get('message'), str(record.get('reference')), record.get('facts')
    details: dict[str, Any] = {key: str(record.get(key) or '') for key in ('cause', 'hint')}
    details['facts'] = facts if isinstance(facts, Mapping) else None
    code = record.get('exit_code')
    if code == Interrupted.exit_code:
        return Interrupted(str(message or ''), **details)
    kind = _BY_EXIT_CODE.get(code, JobError) if isinstance(code, int) else JobError
    reference = reference if _REFERENCE.match(reference) else 'job-failed'
    return kind(reference, str(message or 'it failed'), **details)
