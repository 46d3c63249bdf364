"""Fetch and verify models in the background, one task after the other."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from facefusion.events import Event, StageProgress, silent
from facefusion.failures import as_failure
from facefusion.gui.broadcast import Broadcast
from facefusion.models.catalog import HttpsSource, ModelEntry
from facefusion.models.store import ModelStore
from facefusion.services.workplace import Workplace
from facefusion.stopping import StopFlag


class ModelTasks:
    """The models of this machine for the page; results and progress are events named 'model'."""

    def __init__(self, workplace: Workplace, broadcast: Broadcast) -> None:
        self._workplace, self._broadcast = workplace, broadcast
        self._pool = ThreadPoolExecutor(1, 'models')
        self._fetching: set[str] = set()
        self._lock = threading.Lock()
        self._flag = StopFlag()

    def listed(self) -> list[dict[str, Any]]:
        """Return every model of the catalogue with its state."""
        store = self._workplace.model_store(silent)
        return [self._record(store, entry) for entry in store.catalog if not entry.is_example]

    def fetch(self, model_id: str) -> None:
        """Fetch a model in the background. Raises ModelError for an unknown one."""
        self._workplace.catalog().entry(model_id)
        with self._lock:
            if model_id in self._fetching:
                return
            self._fetching.add(model_id)
        self._publish(model_id, 'fetching', 0, None)
        self._pool.submit(self._run, model_id, self._fetch)

    def verify(self, model_ids: list[str]) -> None:
        """Verify models in the background, by default all that are present. Raises ModelError for an unknown one."""
        catalog, store = self._workplace.catalog(), self._workplace.model_store(silent)
        for model_id in model_ids:
            catalog.entry(model_id)
        for model_id in model_ids or [entry.id for entry in catalog if store.state(entry.id) != 'missing']:
            self._pool.submit(self._run, model_id, self._verify)

    def close(self) -> None:
        """Stop the task that runs, and drop the others."""
        self._flag.set('the server ends')
        self._pool.shutdown(wait=False, cancel_futures=True)

    def _run(self, model_id: str, work: Callable[[str], str]) -> None:
        try:
            state, error = work(model_id), None
        except Exception as failure:  # noqa: BLE001 - the page shows any failure
            state, error = self._workplace.model_store(silent).state(model_id), as_failure(failure).as_record()
        with self._lock:
            self._fetching.discard(model_id)
        self._publish(model_id, state, 0, None, error)

    def _fetch(self, model_id: str) -> str:
        def emit(event: Event) -> None:
            if isinstance(event, StageProgress):
                self._publish(model_id, 'fetching', event.done, event.total)

        store = self._workplace.model_store(emit, self._flag)
        store.fetch([model_id])
        return store.state(model_id)

    def _verify(self, model_id: str) -> str:
        (check,) = self._workplace.model_store(silent, self._flag).verify([model_id])
        return check.state

    def _publish(
        self, model_id: str, state: str, done: int, total: int | None, error: dict[str, Any] | None = None
    ) -> None:
        self._broadcast.publish('model', {'id': model_id, 'state': state, 'done': done, 'total': total, 'error': error})

    def _record(self, store: ModelStore, entry: ModelEntry) -> dict[str, Any]:
        first = entry.sources[0]
        return {
            'id': entry.id,
            'task': entry.task,
            'summary': '',
            'licence': entry.licence.id,
            'commercial': entry.licence.commercial,
            'size': store.file_size(entry.id) or entry.size,
            'state': 'fetching' if entry.id in self._fetching else store.state(entry.id),
            'vendor': entry.vendor,
            'year': entry.year,
            'source': 'https' if isinstance(first, HttpsSource) else 'package',
        }
