"""Sessions of a run: each model is loaded once, at its first use, and shared by all threads."""

from __future__ import annotations

import threading
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any, Protocol

from facefusion.errors import ModelError, ProviderError
from facefusion.events import Emit, silent
from facefusion.inference.options import ExecutionOptions
from facefusion.inference.providers import PLAIN_RULES, SessionRules, create_session, select_providers
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
        rules: SessionRules = PLAIN_RULES,
    ) -> None:
        self._files = files
        self.providers = providers
        self._device_id = device_id
        self._threads = threads
        self._profile = profile
        self._rules = rules
        self._sessions: dict[tuple[str, int, int], Any] = {}
        self._lock = threading.Lock()

    def at(self, threads: int) -> SessionPool:
        """Return the same pool with ``threads`` threads for each network, for callers that would leave cores idle."""
        pool = SessionPool(self._files, self.providers, self._device_id, threads, self._profile, self._rules)
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
                    session = self._create(model_id, path)
                self._sessions[key] = self._profile.network(model_id, session)
            return self._sessions[key]

    def _create(self, model_id: str, path: Path) -> Any:
        rules = self._rules
        if 'tensorrt' in self.providers:
            rules = replace(rules, half_precision=_keeps_quality_in_half(self._files, model_id))
        try:
            return create_session(path, self.providers, self._device_id, self._threads, rules)
        except (ModelError, ProviderError):
            # A provider also fails on a damaged file, so the file is checked to report it as the cause.
            with suppress(OSError):
                read_tensors(path)
            raise


def open_sessions(
    files: ModelFiles, options: ExecutionOptions, profile: Profile = NO_PROFILE, emit: Emit = silent
) -> SessionPool:
    """Return the pool for the device and the execution providers of the options. Raises ProviderError."""
    providers = select_providers(options, emit)
    rules = SessionRules(allow_cpu_fallback=options.allow_cpu_fallback, emit=emit)
    return SessionPool(files, providers, options.execution_device_ids[0], profile=profile, rules=rules)


def _keeps_quality_in_half(files: ModelFiles, model_id: str) -> bool:
    """Whether the catalogue permits half precision: the file itself has it, or the network was compared with it."""
    with suppress(ModelError):
        contract = files.contract(model_id)
        return contract.precision == 'fp16' or contract.keeps_quality_in_fp16
    return False


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
