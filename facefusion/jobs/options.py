"""Where the job store lies, how its jobs are queued, and how they are worked on."""

from __future__ import annotations

from dataclasses import dataclass

from facefusion.options import option


@dataclass(frozen=True, slots=True)
class StoreOptions:
    """The job store."""

    jobs_path: str | None = option(
        'path',
        None,
        'folder of the job store; unset: jobs in FACEFUSION_HOME or the program folder',
        section='paths',
        stored='job',
    )


@dataclass(frozen=True, slots=True)
class PatternOptions:
    """The files of a batch."""

    source_pattern: str | None = option(
        'path',
        None,
        'pattern of the source files, such as "faces/*.png" or "people/**/face.png"',
        section='patterns',
        short='-s',
        stored='job',
    )
    target_pattern: str | None = option(
        'path',
        None,
        'pattern of the target files, such as "clips/*.mp4" or "clips/**/*.mp4"',
        section='patterns',
        short='-t',
        stored='job',
    )
    output_pattern: str | None = option(
        'path',
        None,
        'name of each output, with {index}, {source_name}, {target_name} and {target_extension} (with its dot)',
        section='patterns',
        short='-o',
        stored='job',
    )


@dataclass(frozen=True, slots=True)
class ReportOptions:
    """The report of a batch."""

    report_path: str | None = option(
        'path',
        None,
        'file that gets a line of JSON for each step of the batch when it ends',
        section='paths',
        aliases=('--report',),
        stored='job',
    )


@dataclass(frozen=True, slots=True)
class QueueOptions:
    """What is kept with a queued job, beside its steps: when it runs, and how often."""

    priority: int = option(
        'int', 0, 'jobs of a higher priority run first', section='jobs', minimum=-1000, maximum=1000, stored='job'
    )
    retries: int = option(
        'int',
        0,
        'how often a failed job is tried again by itself',
        section='jobs',
        minimum=0,
        maximum=100,
        stored='job',
    )
    retry_delay: float = option(
        'float',
        10.0,
        'seconds before the first of these tries; each further delay is twice as long, up to an hour',
        section='jobs',
        minimum=0.0,
        maximum=86400.0,
        stored='job',
    )


@dataclass(frozen=True, slots=True)
class NotifyOptions:
    """Who is told of the end of a job."""

    notify: str | None = option(
        'text',
        None,
        'command to run when the job has completed or failed, with its JSON on stdin',
        section='jobs',
        stored='job',
    )


@dataclass(frozen=True, slots=True)
class HaltOptions:
    """What a failure means for the rest."""

    halt_on_error: bool = option(
        'flag', False, 'stop at the first failure instead of going on with the rest', section='misc', stored='job'
    )


@dataclass(frozen=True, slots=True)
class ClaimOptions:
    """How long a process that works on a job may be silent."""

    claim_timeout: float = option(
        'float',
        60.0,
        'seconds after which a silent worker of another machine counts as dead; the same for all of a store',
        section='jobs',
        minimum=1.0,
        maximum=86400.0,
        stored='job',
    )
