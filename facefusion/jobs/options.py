"""Options of the job store, the queue, batches and workers."""

from __future__ import annotations

from dataclasses import dataclass

from facefusion.options import option


@dataclass(frozen=True, slots=True)
class StoreOptions:
    """The job store."""

    jobs_path: str | None = option(
        'path',
        None,
        'folder of the job store; default: jobs in FACEFUSION_HOME or the program folder',
        section='paths',
        metavar='FOLDER',
        stored='job',
    )


@dataclass(frozen=True, slots=True)
class PatternOptions:
    """Files of a batch."""

    source_pattern: str | None = option(
        'path',
        None,
        'pattern of the source files, such as "faces/*.png" or "people/**/face.png"',
        section='patterns',
        metavar='PATTERN',
        short='-s',
        stored='job',
    )
    target_pattern: str | None = option(
        'path',
        None,
        'pattern of the target files, such as "clips/*.mp4" or "clips/**/*.mp4"',
        section='patterns',
        metavar='PATTERN',
        short='-t',
        stored='job',
    )
    output_pattern: str | None = option(
        'path',
        None,
        'name of each output, with {index}, {source_name}, {target_name} and {target_extension} (includes the dot)',
        section='patterns',
        metavar='PATTERN',
        short='-o',
        stored='job',
    )


@dataclass(frozen=True, slots=True)
class ReportOptions:
    """Report of a batch."""

    report_path: str | None = option(
        'path',
        None,
        'append one line of JSON to this file whenever a step of the batch ends',
        section='paths',
        aliases=('--report',),
        stored='job',
    )


@dataclass(frozen=True, slots=True)
class QueueOptions:
    """Priority and retries of a queued job; stored in its record."""

    priority: int = option(
        'int', 0, 'jobs of a higher priority run first', section='jobs', minimum=-1000, maximum=1000, stored='job'
    )
    retries: int = option(
        'int',
        0,
        'number of automatic retries of a failed job',
        section='jobs',
        minimum=0,
        maximum=100,
        stored='job',
    )
    retry_delay: float = option(
        'float',
        10.0,
        'seconds before the first retry; each further delay is twice as long, up to an hour',
        section='jobs',
        metavar='SECONDS',
        minimum=0.0,
        maximum=86400.0,
        stored='job',
    )


@dataclass(frozen=True, slots=True)
class NotifyOptions:
    """Notification at the end of a job; stored in its record."""

    notify: str | None = option(
        'text',
        None,
        'command to run when the job has completed or failed; it gets the job as JSON on stdin',
        section='jobs',
        metavar='COMMAND',
        stored='job',
    )


@dataclass(frozen=True, slots=True)
class HaltOptions:
    """Whether a failure stops the remaining work."""

    halt_on_error: bool = option(
        'flag', False, 'stop at the first failure instead of continuing', section='misc', stored='job'
    )


@dataclass(frozen=True, slots=True)
class ClaimOptions:
    """Lifetime of the claim of a silent process."""

    claim_timeout: float = option(
        'float',
        60.0,
        'seconds after which a silent worker of another machine counts as dead; use one value for the whole store',
        section='jobs',
        metavar='SECONDS',
        minimum=1.0,
        maximum=86400.0,
        stored='job',
    )
