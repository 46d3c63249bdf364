"""Sessions of a run: each model is loaded once, when it is first needed, and shared by all threads."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any, Protocol

from facefusion.errors import ModelError
from facefusion.inference.providers import create_session


class ModelFiles(Protocol):
    """Where the weights of a model lie; fetches or fails with a ModelError."""

    def path(self, model_id: str) -> Path: ...


class SessionPool:
    """Creates sessions on demand from a store of model files.

    onnxruntime sessions may be run from several threads at once. The pool holds at most the models that one run
    names; it ends with the run.
    """

    def __init__(self, files: ModelFiles, providers: tuple[str, ...], device_id: int) -> None:
        self._files = files
        self._providers = providers
        self._device_id = device_id
        self._sessions: dict[str, Any] = {}
        self._lock = threading.Lock()

    def session(self, model_id: str) -> Any:
        """The session of a model; raises ModelError or ProviderError."""
        with self._lock:
            if model_id not in self._sessions:
                path = self._files.path(model_id)
                self._prove_readable(model_id, path)
                self._sessions[model_id] = create_session(path, self._providers, self._device_id)
            return self._sessions[model_id]

    @staticmethod
    def _prove_readable(model_id: str, path: Path) -> None:
        try:
            with path.open('rb'):
                pass
        except OSError as error:
            raise ModelError(
                'model-unreadable',
                f'the weights of {model_id} cannot be read from {path}',
                cause=str(error),
                hint=f'run `facefusion models verify {model_id}`',
            ) from error
