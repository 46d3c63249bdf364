"""Options of progress, messages and the web page."""

from __future__ import annotations

from dataclasses import dataclass

from facefusion.options import option


@dataclass(frozen=True, slots=True)
class ConsoleOptions:
    """Progress and messages: stderr is for people, stdout for programs."""

    progress: str = option(
        'text',
        'bar',
        'bar: progress bars on stderr; json: events as JSON lines on stdout; none: no progress',
        section='misc',
        metavar='FORMAT',
        choices=('bar', 'json', 'none'),
        stored='job',
    )
    log_level: str = option(
        'text',
        'info',
        'lowest level of messages on stderr',
        section='misc',
        choices=('error', 'warn', 'info', 'debug'),
        stored='job',
    )


_ONE_PAGE = 'the page shows all of its parts'


@dataclass(frozen=True, slots=True)
class PageOptions:
    """Options of the web page of FaceFusion 3.8 that this page does not need."""

    ui_layouts: tuple[str, ...] = option(
        'text',
        ('default',),
        'pages to show',
        section='uis',
        is_list=True,
        choices=('benchmark', 'default', 'jobs'),
        stored='job',
        no_effect=_ONE_PAGE,
    )
    ui_workflow: str = option(
        'text',
        'instant_runner',
        'how the page runs a step',
        section='uis',
        choices=('instant_runner', 'job_runner', 'job_manager'),
        stored='job',
        no_effect=_ONE_PAGE,
    )
