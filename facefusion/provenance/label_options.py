"""Options of the visible label."""

from __future__ import annotations

from dataclasses import dataclass

from facefusion.options import option

LONGEST_TEXT = 80


@dataclass(frozen=True, slots=True)
class DisclosureOptions:
    """Visible label on altered images and videos."""

    disclosure_label: str = option(
        'text',
        'none',
        'label every altered image or frame: small in a corner, or in a bar along the bottom',
        section='provenance',
        choices=('none', 'corner', 'bar'),
    )
    disclosure_text: str = option(
        'text', 'Altered with AI', f'text of the label, at most {LONGEST_TEXT} characters', section='provenance'
    )
    disclosure_font: str | None = option(
        'path', None, 'font file (ttf, otf) for scripts that the built-in font lacks', section='provenance'
    )
