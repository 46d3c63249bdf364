"""Which processors run, in which order."""

from __future__ import annotations

from dataclasses import dataclass

from facefusion.options import option


@dataclass(frozen=True, slots=True)
class ProcessorsOptions:
    """The chain."""

    processors: tuple[str, ...] = option(
        'text',
        ('face_swapper',),
        'processors to run, in this order',
        section='processors',
        is_list=True,
        choices=('face_debugger', 'face_swapper'),
    )
