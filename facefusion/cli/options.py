"""Options of how a command shows what it does."""

from __future__ import annotations

from dataclasses import dataclass

from facefusion.options import option


@dataclass(frozen=True, slots=True)
class ConsoleOptions:
    """Progress and messages. People read stderr, programs read stdout."""

    progress: str = option(
        'text',
        'bar',
        'bar draws bars on stderr, json writes events as JSON lines on stdout, none draws nothing',
        section='misc',
        choices=('bar', 'json', 'none'),
        stored='job',
    )
    log_level: str = option(
        'text',
        'info',
        'lowest level of the messages on stderr',
        section='misc',
        choices=('error', 'warn', 'info', 'debug'),
        stored='job',
    )
