"""Turn any exception into an error with a reference, a cause and a hint."""

from __future__ import annotations

import errno
import sys

from facefusion.errors import FaceFusionError, InternalError, Interrupted, JobError, ResourceError, SetupError


def as_failure(error: BaseException) -> FaceFusionError:
    """Return the error itself when it is a FaceFusionError, otherwise a FaceFusionError with the same meaning.

    An error about a file, model or encoder that was caused by a shortage of memory or threads becomes a ResourceError,
    an error of an accelerator a ProviderError.
    """
    # Commands that succeed do not need these imports.
    from facefusion.device_failure import as_device_failure
    from facefusion.shortage import as_shortage

    short = as_shortage(error)
    if short is not None:
        return short
    failed = as_device_failure(error)
    if failed is not None:
        return failed
    if isinstance(error, FaceFusionError):
        return error
    if isinstance(error, KeyboardInterrupt):
        return Interrupted(cause='it was interrupted from the keyboard', hint='run the same command again')
    if isinstance(error, OSError):
        return _from_os_error(error)
    if isinstance(error, ModuleNotFoundError):
        return SetupError(
            'package-not-installed',
            f'the package {error.name} is not installed in this Python',
            cause=f'this Python is {sys.prefix}',
            hint='run `python3 install.py` once, then .venv/bin/facefusion (on Windows .venv\\Scripts\\facefusion)',
        )
    return InternalError(
        'unexpected',
        'the program failed unexpectedly',
        cause=f'{type(error).__name__}: {error}',
        hint='run again with FACEFUSION_DEBUG=1 in the environment and report the traceback',
    )


def as_job_failure(error: FaceFusionError) -> JobError:
    """Return an error of one job or step as a JobError with exit code 1, for a command that is not its cause."""
    if isinstance(error, JobError):
        return error
    return JobError(error.reference, error.message, cause=error.cause, hint=error.hint, facts=error.facts)


def is_disk_full(error: OSError) -> bool:
    """Whether a write failed because the disk is full, or a quota or the maximum file size is exceeded."""
    return error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


def _from_os_error(error: OSError) -> FaceFusionError:
    where = f' ({error.filename})' if error.filename else ''
    cause = str(error.strerror or error)
    if is_disk_full(error):
        hint = 'free space and run the same command again'
        return ResourceError('disk-full', f'the disk is full{where}', cause=cause, hint=hint)
    hint = 'check that the path exists and that you have permission to use it'
    return InternalError('system-call', f'the system refused an operation{where}', cause=cause, hint=hint)
