"""Options of the face debugger."""

from __future__ import annotations

from dataclasses import dataclass

from facefusion.options import option

ITEMS = ('bounding-box', 'face-landmark-5', 'face-landmark-5/68', 'face-landmark-68', 'face-landmark-68/5', 'face-mask')


@dataclass(frozen=True, slots=True)
class FaceDebuggerOptions:
    """Items drawn on each selected face."""

    face_debugger_items: tuple[str, ...] = option(
        'text',
        ('face-landmark-5/68', 'face-mask'),
        'items to draw on each face',
        section='processors',
        is_list=True,
        choices=ITEMS,
    )
