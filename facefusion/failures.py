"""What an exception means to a user: every failure has a reference, a cause and a hint."""

from __future__ import annotations

import errno
import sys

from facefusion.errors import FaceFusionError, InternalError, Interrupted, JobError, ResourceError, SetupError


def as_failure(error: BaseException) -> FaceFusionError:
    """The error itself when it is typed, else the typed one that says the same.

    A shortage of memory or threads that was taken for a damaged file, model or encoder is told as the shortage it is.
    """
    # A command that does not fail does without it.
    from facefusion.shortage import as_shortage

    short = as_shortage(error)
    if short is not None:
        return short
    if isinstance(error, FaceFusionError):
        return error
    if isinstance(error, KeyboardInterrupt):
        return Interrupted(cause='the keyboard interrupted it', hint='run the same command again')
    if isinstance(error, OSError):
        return _from_os_error(error)
    if isinstance(error, ModuleNotFoundError):
        return SetupError(
            'package-not-installed',
            f'the package {error.name} is not installed in this Python',
            cause=f'it runs from {sys.prefix}',
            hint='run `python3 install.py` once, then .venv/bin/facefusion (on Windows .venv\\Scripts\\facefusion)',
        )
    return InternalError(
        'unexpected',
        'the program met a case that it does not know',
        cause=f'{type(error).__name__}: {error}',
        hint='run again with FACEFUSION_DEBUG=1 in the environment and report the traceback',
    )


def as_job_failure(error: FaceFusionError) -> JobError:
    """What a job or one of its steps failed with, where that is not what the whole command failed with: exit code 1."""
    if isinstance(error, JobError):
        return error
    return JobError(error.reference, error.message, cause=error.cause, hint=error.hint, facts=error.facts)


def _from_os_error(error: OSError) -> FaceFusionError:
    where = f' ({error.filename})' if error.filename else ''
    cause = str(error.strerror or error)
    if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
        hint = 'free space and run the same command again'
        return ResourceError('disk-full', f'the disk is full{where}', cause=cause, hint=hint)
    hint = 'check that the path exists and may be used'
    return InternalError('system-call', f'the system refused an operation{where}', cause=cause, hint=hint)
