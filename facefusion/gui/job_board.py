"""The jobs of the store as the page shows them; every change that is found is published to all pages."""

from __future__ import annotations

import threading
from typing import Any

from facefusion.gui.broadcast import Broadcast
from facefusion.jobs.board import Board, board_live
from facefusion.jobs.store import JobStore
from facefusion.jobs.summary import job_view


class JobBoard:
    """Summaries of all jobs; callable from any thread."""

    def __init__(self, store: JobStore, broadcast: Broadcast) -> None:
        self._store = store
        self._board = Board(store)
        self._broadcast = broadcast
        # Changes are published in the order in which they are found.
        self._lock = threading.Lock()

    def jobs(self) -> list[dict[str, Any]]:
        """Return the summaries of all jobs, up to date. Raises JobError store-unreadable."""
        self.refresh()
        return self._board.summaries()

    def refresh(self) -> bool:
        """Read changed jobs and publish their summaries; return whether there were any.

        Raises JobError store-unreadable.
        """
        with self._lock:
            changes = self._board.refresh()
            for summary in changes.changed:
                self._broadcast.publish('job', summary)
            for job_id in changes.gone:
                self._broadcast.publish('gone', {'id': job_id})
        return bool(changes.changed or changes.gone)

    @property
    def has_moved(self) -> bool:
        """Whether a job was created, moved or deleted in the last seconds before a refresh."""
        return self._board.has_moved

    def job(self, job_id: str) -> dict[str, Any]:
        """Return all facts of one job. Raises the errors of ``JobStore.open``."""
        view = job_view(self._store, job_id)
        return {**view, **board_live({key: view.get(key) for key in ('worker', 'progress')})}
