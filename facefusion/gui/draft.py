"""The draft: the unfinished step of the page, kept on the server for reloads, other tabs and restarts."""

from __future__ import annotations

import json
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from facefusion.errors import JobError
from facefusion.gui.replies import invalid

EMPTY: Mapping[str, Any] = {'version': 0, 'args': {}}


class DraftStore:
    """The draft in a file. Each change has a version, so that a tab cannot undo changes of another unseen."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.Lock()

    def read(self) -> dict[str, Any]:
        """Return version and args; an empty draft where the file is missing or damaged."""
        try:
            draft = json.loads(self._path.read_text(encoding='utf-8'))
        except (OSError, ValueError):
            return dict(EMPTY)
        is_valid = (
            isinstance(draft, dict) and isinstance(draft.get('version'), int) and isinstance(draft.get('args'), dict)
        )
        return {**EMPTY, **draft} if is_valid else dict(EMPTY)

    def write(self, version: int, args: Mapping[str, Any]) -> int:
        """Replace the draft that has this version; return the new version.

        Raises JobError draft-outdated, and UsageError request-argument for an infinite number.
        """
        draft = {'version': version + 1, 'args': dict(args)}
        try:
            text = json.dumps(draft, allow_nan=False)
        except ValueError as error:
            raise invalid(f'the draft cannot be stored: {error}') from None
        with self._lock:
            stored = self.read()
            if version != stored['version']:
                raise JobError(
                    'draft-outdated',
                    'another tab has changed the draft',
                    hint='load the draft again, or save with its version to replace it',
                    facts={'draft': stored},
                )
            self._path.parent.mkdir(parents=True, exist_ok=True)
            part = self._path.with_suffix('.part')
            part.write_text(text, encoding='utf-8')
            part.replace(self._path)
            return version + 1
