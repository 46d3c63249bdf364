"""The half-written file beside an output, noted in the work folder so that it can be removed after a kill."""

from __future__ import annotations

import json
from contextlib import suppress
from pathlib import Path

_NAME = 'joined.json'


def note_joined_part(folder: Path, part: Path) -> None:
    """Notes in ``folder`` that ``part`` is about to be written. Raises OSError."""
    (folder / _NAME).write_text(json.dumps(str(part.absolute())), encoding='ascii')


def remove_joined_part(folder: Path) -> None:
    """Removes what a killed run has left beside its output, if ``folder`` names it."""
    note = folder / _NAME
    with suppress(OSError, ValueError):
        part = Path(str(json.loads(note.read_bytes())))
        # Only what ``publish`` names so: a note that was changed must not remove anything else.
        if part.name.startswith('.') and part.stem.endswith('.part'):
            part.unlink(missing_ok=True)
    with suppress(OSError):
        note.unlink(missing_ok=True)
