"""Sessions of a run: each model is loaded once, at its first use, and shared by all threads."""

from __future__ import annotations

import threading
from contextlib import suppress
from pathlib import Path
from typing import Any, Protocol

from facefusion.errors import ModelError, ProviderError
from facefusion.inference.options import ExecutionOptions
from facefusion.inference.providers import create_session, resolve_providers
from facefusion.models.catalog import Contract
from facefusion.models.onnx_tensors import read_tensors
from facefusion.profiling import LOAD, NO_PROFILE, Profile


class ModelFiles(Protocol):
    """The paths of model files; a missing file is fetched, or a ModelError is raised."""

    def path(self, model_id: str) -> Path: ...

    def contract(self, model_id: str) -> Contract: ...


class SessionPool:
    """Sessions, created on demand from a store of model files.

    Several threads may run an onnxruntime session at once. Sessions are cached by model, device and number of threads
    within the network, for one run. All use the execution providers ``providers``; ``profile`` times their calls.
    """

    def __init__(
        self,
        files: ModelFiles,
        providers: tuple[str, ...],
        device_id: int,
        threads: int = 1,
        profile: Profile = NO_PROFILE,
    ) -> None:
        self._files = files
        self.providers = providers
        self._device_id = device_id
        self._threads = threads
        self._profile = profile
        self._sessions: dict[tuple[str, int, int], Any] = {}
        self._lock = threading.Lock()

    def at(self, threads: int) -> SessionPool:
        """Return the same pool with ``threads`` threads for each network, for callers that would leave cores idle."""
        pool = SessionPool(self._files, self.providers, self._device_id, threads, self._profile)
        pool._sessions, pool._lock = self._sessions, self._lock
        return pool

    def path(self, model_id: str) -> Path:
        """Return the file of a model; raises ModelError."""
        return self._files.path(model_id)

    def contract(self, model_id: str) -> Contract:
        """Return the contract of a model's network: how to prepare its input and read its output. Raises ModelError."""
        return self._files.contract(model_id)

    def session(self, model_id: str) -> Any:
        """Return the session of a model; raises ProviderError, or ModelError such as model-not-onnx."""
        key = model_id, self._device_id, self._threads
        with self._lock:
            if key not in self._sessions:
                path = self._files.path(model_id)
                _check_readable(model_id, path)
                with self._profile.span(LOAD + model_id):
                    session = self._create(path)
                self._sessions[key] = self._profile.network(model_id, session)
            return self._sessions[key]

    def _create(self, path: Path) -> Any:
        try:
            return create_session(path, self.providers, self._device_id, self._threads)
        except (ModelError, ProviderError):
            # A provider also fails on a damaged file, so the file is checked to report it as the cause.
            with suppress(OSError):
                read_tensors(path)
            raise


def open_sessions(files: ModelFiles, options: ExecutionOptions, profile: Profile = NO_PROFILE) -> SessionPool:
    """Return the pool for the device and the execution providers of the options. Raises ProviderError."""
    device_id = options.execution_device_ids[0]
    providers = resolve_providers(options.execution_providers, device_id)
    return SessionPool(files, providers, device_id, profile=profile)


def _check_readable(model_id: str, path: Path) -> None:
    try:
        path.open('rb').close()
    except OSError as error:
        raise ModelError(
            'model-unreadable',
            f'the weights of {model_id} cannot be read from {path}',
            cause=str(error),
            hint=f'run `facefusion models verify {model_id}`',
        ) from error
