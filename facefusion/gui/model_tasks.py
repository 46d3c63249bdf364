"""Fetch and verify models in the background, one task after the other."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from facefusion.events import Event, StageProgress
from facefusion.failures import as_failure
from facefusion.gui.broadcast import Broadcast
from facefusion.models.catalog import HttpsSource, ModelEntry, host_label
from facefusion.models.choice import needed_entries, require_allowed
from facefusion.services.workplace import Workplace
from facefusion.stopping import StopFlag

Work = Callable[[str], str]


class ModelTasks:
    """The models of this machine for the page; results and progress are events named 'model'."""

    def __init__(self, workplace: Workplace, broadcast: Broadcast) -> None:
        self._workplace, self._broadcast = workplace, broadcast
        self._flag = StopFlag()
        # One store keeps the digests of small files, which are read again only after a change.
        self._store = workplace.model_store(self._progress, self._flag)
        self._pool = ThreadPoolExecutor(1, 'models')
        self._current = ''
        self._fetching: set[str] = set()
        self._verifying: set[str] = set()
        self._lock = threading.Lock()

    def listed(self) -> list[dict[str, Any]]:
        """Return every model of the catalogue, except example material, with its state."""
        return [self._record(entry) for entry in self._store.catalog if not entry.is_example]

    def fetch(self, model_id: str) -> None:
        """Fetch a model, and those that it needs, in the background.

        Raises ModelError model-unknown, model-licence, and model-missing-offline if the machine is offline.
        """
        catalog = self._store.catalog
        require_allowed(catalog, catalog.entry(model_id).id, self._workplace.local_models().licences)
        if self._store.offline:
            # This fetches nothing, and raises the error of a missing model.
            self._store.fetch([model_id])
        for entry in needed_entries(catalog, model_id):
            with self._lock:
                if entry.id in self._fetching:
                    continue
                self._fetching.add(entry.id)
            self._publish(entry.id, 'fetching', 0, None)
            self._pool.submit(self._run, entry.id, self._fetch)

    def verify(self, model_ids: list[str]) -> None:
        """Verify models in the background, by default all that are present. Raises ModelError model-unknown."""
        catalog = self._store.catalog
        for model_id in model_ids:
            catalog.entry(model_id)
        for model_id in model_ids or [entry.id for entry in catalog if not entry.is_example]:
            if model_ids or self._store.file_size(model_id) is not None:
                with self._lock:
                    if model_id in self._verifying:
                        continue
                    self._verifying.add(model_id)
                self._pool.submit(self._run, model_id, self._verify)

    def close(self) -> None:
        """Stop the task that runs, and drop the others."""
        self._flag.set('the server ends')
        self._pool.shutdown(wait=False, cancel_futures=True)

    def _run(self, model_id: str, work: Work) -> None:
        self._current = model_id
        try:
            state, error = work(model_id), None
        except Exception as failure:  # noqa: BLE001 - the page shows any failure
            state, error = self._store.state(model_id), as_failure(failure).as_record()
        with self._lock:
            self._fetching.discard(model_id)
        self._publish(model_id, state, 0, None, error)

    def _fetch(self, model_id: str) -> str:
        self._store.fetch([model_id])
        return self._store.state(model_id)

    def _verify(self, model_id: str) -> str:
        with self._lock:
            self._verifying.discard(model_id)
        (check,) = self._store.verify([model_id])
        return check.state

    def _progress(self, event: Event) -> None:
        if isinstance(event, StageProgress):
            self._publish(self._current, 'fetching', event.done, event.total)

    def _publish(
        self, model_id: str, state: str, done: int, total: int | None, error: dict[str, Any] | None = None
    ) -> None:
        self._broadcast.publish('model', {'id': model_id, 'state': state, 'done': done, 'total': total, 'error': error})

    def _record(self, entry: ModelEntry) -> dict[str, Any]:
        first = entry.sources[0]
        return {
            'id': entry.id,
            'task': entry.task,
            'summary': entry.licence.note or '',
            'licence': entry.licence.id,
            'commercial': entry.licence.commercial,
            'size': self._store.file_size(entry.id) or entry.size,
            'state': 'fetching' if entry.id in self._fetching else self._store.state(entry.id),
            'vendor': entry.vendor,
            'year': entry.year,
            'source': host_label(first.urls[0]) if isinstance(first, HttpsSource) else first.package,
        }
