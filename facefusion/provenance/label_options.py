"""Options of the label that people see."""

from __future__ import annotations

from dataclasses import dataclass

from facefusion.options import option

LONGEST_TEXT = 80


@dataclass(frozen=True, slots=True)
class DisclosureOptions:
    """Whether and how a picture tells its viewers that it was altered."""

    disclosure_label: str = option(
        'text',
        'none',
        'write on every picture that it was altered: small in a corner, or in a bar along the bottom',
        section='provenance',
        choices=('none', 'corner', 'bar'),
    )
    disclosure_text: str = option(
        'text', 'Altered with AI', f'what the label says, up to {LONGEST_TEXT} letters', section='provenance'
    )
    disclosure_font: str | None = option(
        'path', None, 'a font file (ttf, otf) for scripts that the built-in one does not have', section='provenance'
    )
