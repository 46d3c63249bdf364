"""The parts of the server that its routes share."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from anyio import to_thread

from facefusion.gui.media_roots import MediaRoots
from facefusion.services.workplace import Workplace
from facefusion.settings import Settings

T = TypeVar('T')


@dataclass(frozen=True, slots=True)
class GuiContext:
    """Settings, folders and access of a running server. A group of routes gets it when the server starts.

    ``workplace`` has the settings in force of all step and process options; ``state_path`` is a folder for files of the
    page, such as the draft and uploads.
    """

    workplace: Workplace
    roots: MediaRoots
    state_path: Path

    @property
    def settings(self) -> Settings:
        """Return the settings in force, from the ini file, the environment and the flags of the command."""
        return self.workplace.settings


async def in_thread(work: Callable[[], T]) -> T:
    """Run blocking work in a thread, so that the event loop stays free for other requests."""
    return await to_thread.run_sync(work)
