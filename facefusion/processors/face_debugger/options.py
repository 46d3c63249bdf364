"""Options of the face debugger."""

from __future__ import annotations

from dataclasses import dataclass

from facefusion.options import option

SHAPES = (
    'bounding-box',
    'face-landmark-5',
    'face-landmark-5/68',
    'face-landmark-68',
    'face-landmark-68/5',
    'face-mask',
)
TEXTS = ('person', 'reference-distance', 'gender', 'age', 'face-detector-score', 'face-landmarker-score')
ITEMS = SHAPES + TEXTS


@dataclass(frozen=True, slots=True)
class FaceDebuggerOptions:
    """Items drawn on each selected face."""

    face_debugger_items: tuple[str, ...] = option(
        'text',
        ('face-landmark-5/68', 'face-mask'),
        'shapes to draw on each face, and facts to write beside it; unknown facts are left out',
        section='processors',
        is_list=True,
        choices=ITEMS,
    )
