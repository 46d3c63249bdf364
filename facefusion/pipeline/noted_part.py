"""Notes in a work folder: who works there, and what is half written beside the output, to remove after a kill."""

from __future__ import annotations

import json
from contextlib import suppress
from pathlib import Path

from facefusion.ownership import split_tag
from facefusion.provenance.assets import sidecar_of

# Before the tag of each process that works in the folder.
AT_WORK = 'at-work@'
_NAME = 'beside-output'


def is_at_work(folder: Path) -> bool:
    """Whether a process that is not known to be dead works in ``folder``."""
    with suppress(OSError):
        for path in list(folder.glob(f'{AT_WORK}*')):
            tagged = split_tag(path.name)
            if tagged is not None and not tagged[1].is_dead():
                return True
    return False


def note_part(folder: Path, part: Path) -> None:
    """Notes in ``folder`` that ``part`` is about to be written. Raises OSError."""
    (folder / _NAME).write_text(json.dumps(str(part.absolute())), encoding='ascii')


def remove_part(folder: Path) -> None:
    """Removes what a killed run has left beside its output, if ``folder`` names it."""
    note = folder / _NAME
    with suppress(OSError, ValueError):
        part = Path(str(json.loads(note.read_bytes())))
        # Only what ``publish`` names so: a note that was changed must not remove anything else.
        if part.name.startswith('.') and part.stem.endswith('.part'):
            part.unlink(missing_ok=True)
            sidecar_of(part).unlink(missing_ok=True)
    with suppress(OSError):
        note.unlink(missing_ok=True)
