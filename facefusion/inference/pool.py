"""Sessions of models: each is loaded at its first use and shared by all threads, and lives as long as memory allows.

A caller gets a ``PooledSession``. The pool may free the onnxruntime session behind it between two calls, and loads it
again at the next call. ``Lifetime`` states when the pool frees a session; docs/performance.md, "Sessions".
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, NamedTuple, Protocol
from weakref import WeakValueDictionary

from facefusion.errors import ModelError, ProviderError
from facefusion.events import Emit, silent
from facefusion.inference.batch_files import batch_file
from facefusion.inference.device_session import DeviceSession
from facefusion.inference.memory import Lifetime, session_bytes
from facefusion.inference.memory_ladder import MemoryLadder
from facefusion.inference.options import ExecutionOptions
from facefusion.inference.providers import PLAIN_RULES, SessionRules, create_session, select_providers
from facefusion.models.catalog import Contract
from facefusion.models.lockfile import Stamp
from facefusion.models.onnx_tensors import read_tensors
from facefusion.profiling import LOAD, NO_PROFILE, Profile


class ModelFiles(Protocol):
    """The paths of model files; a missing file is fetched, or a ModelError is raised."""

    def path(self, model_id: str) -> Path: ...

    def contract(self, model_id: str) -> Contract: ...


class _Key(NamedTuple):
    """A session: its model, its device, the number of threads within the network, and whether it takes batches."""

    model_id: str
    device_id: int
    threads: int
    batched: bool = False


@dataclass(slots=True, eq=False)
class _Loaded:
    """A session in memory.

    ``stamp`` is that of its file, ``needs`` its estimated bytes on the device, ``calls`` the number of running calls,
    ``used`` the number of its last call among all calls of the pool.
    """

    session: Any
    stamp: Stamp | None
    needs: int
    calls: int = 0
    used: int = 0


class PooledSession:
    """A session of a pool, with all attributes of an onnxruntime session; threads may share it.

    Each attribute belongs to the session that is loaded at that moment, so a caller that needs one session for several
    calls, such as an IO binding, uses ``loaded``.
    """

    def __init__(self, table: _SessionTable, key: _Key, load: Callable[[], _Loaded]) -> None:
        self._table = table
        self._key = key
        self._load = load

    def run(self, *inputs: Any, **options: Any) -> Any:
        """Call the network; load it first if the pool has freed it."""
        with self.loaded() as session:
            return session.run(*inputs, **options)

    @contextmanager
    def loaded(self) -> Iterator[Any]:
        """Yield the onnxruntime session, which is not freed before the block ends."""
        entry = self._table.acquire(self._key, self._load)
        try:
            yield entry.session
        finally:
            self._table.release(entry)

    def __getattr__(self, name: str) -> Any:
        with self.loaded() as session:
            return getattr(session, name)


class _SessionTable:
    """The sessions in memory, which the pools of a family share."""

    def __init__(self, limit: int | None) -> None:
        self.users: WeakValueDictionary[_Key, Any] = WeakValueDictionary()
        self._limit = limit
        self._loaded: dict[_Key, _Loaded] = {}
        self._calls = 0
        self._changed = threading.Condition()
        # One session is loaded at a time, while other sessions run.
        self.loading = threading.RLock()
        self.ladder = MemoryLadder()

    def acquire(self, key: _Key, load: Callable[[], _Loaded]) -> _Loaded:
        """Return the session with one more running call; load it if it is not in memory."""
        entry = self._take(key)
        if entry is not None:
            return entry
        with self.loading:
            # Another thread may have loaded it in the meantime.
            entry = self._take(key)
            if entry is None:
                entry = load()
                with self._changed:
                    self._loaded[key] = self._note_call(entry)
        return entry

    def release(self, entry: _Loaded) -> None:
        """Note the end of a call."""
        with self._changed:
            entry.calls -= 1
            if not entry.calls:
                self._changed.notify_all()

    def make_room(self, needs: int) -> None:
        """Free the sessions that were not used for longest until ``needs`` bytes fit into the limit.

        Waits for running calls if the idle sessions are not enough.
        """
        if self._limit is None:
            return
        with self._changed:
            while self._loaded and sum(entry.needs for entry in self._loaded.values()) + needs > self._limit:
                idle = [key for key, entry in self._loaded.items() if not entry.calls]
                if idle:
                    del self._loaded[min(idle, key=lambda key: self._loaded[key].used)]
                else:
                    self._changed.wait()

    def free(self, is_freed: Callable[[_Key, _Loaded], bool]) -> int:
        """Free the idle sessions for which ``is_freed`` is true; return their number."""
        with self._changed:
            freed = [key for key, entry in self._loaded.items() if not entry.calls and is_freed(key, entry)]
            for key in freed:
                del self._loaded[key]
        return len(freed)

    def _take(self, key: _Key) -> _Loaded | None:
        with self._changed:
            entry = self._loaded.get(key)
            return self._note_call(entry) if entry is not None else None

    def _note_call(self, entry: _Loaded) -> _Loaded:
        self._calls += 1
        entry.calls, entry.used = entry.calls + 1, self._calls
        return entry


@dataclass(frozen=True, slots=True, eq=False)
class _Device:
    """The execution providers of a pool, the number of its device, and the rules and lifetime of its sessions."""

    providers: tuple[str, ...]
    number: int
    rules: SessionRules
    lifetime: Lifetime = field(default_factory=Lifetime)


class SessionPool:
    """Sessions, created on demand from a store of model files.

    Several threads may run an onnxruntime session at once. Sessions are cached by model, device and number of threads
    within the network. All use the execution providers ``providers``; ``profile`` times their calls.
    """

    def __init__(
        self,
        files: ModelFiles,
        providers: tuple[str, ...],
        device_id: int,
        threads: int = 1,
        profile: Profile = NO_PROFILE,
        rules: SessionRules = PLAIN_RULES,
        lifetime: Lifetime | None = None,
    ) -> None:
        self._files = files
        self._device = _Device(providers, device_id, rules, lifetime or Lifetime())
        self._threads = threads
        self._profile = profile
        self._table = _SessionTable(self._device.lifetime.limit if self.uses_accelerator else None)

    @property
    def providers(self) -> tuple[str, ...]:
        """The execution providers, the preferred one first."""
        return self._device.providers

    @property
    def ladder(self) -> MemoryLadder:
        """The steps down since the memory of the accelerator ran out."""
        return self._table.ladder

    @property
    def uses_accelerator(self) -> bool:
        """Whether the networks run on a device with memory of its own."""
        return self.providers[0] != 'cpu'

    def at(self, threads: int) -> SessionPool:
        """Return the same pool with ``threads`` threads for each network, for callers that would leave cores idle."""
        device = self._device
        pool = SessionPool(
            self._files, device.providers, device.number, threads, self._profile, device.rules, device.lifetime
        )
        pool._table = self._table
        return pool

    def path(self, model_id: str) -> Path:
        """Return the file of a model; raises ModelError."""
        return self._files.path(model_id)

    def contract(self, model_id: str) -> Contract:
        """Return the contract of a model's network: how to prepare its input and read its output. Raises ModelError."""
        return self._files.contract(model_id)

    def session(self, model_id: str) -> Any:
        """Return the session of a model; raises ProviderError, or ModelError such as model-not-onnx."""
        return self._session(_Key(model_id, self._device.number, self._threads))

    def batched(self, model_id: str) -> Any:
        """Return the session of a model for calls of several crops, with the file that ``batch_file`` makes of its own.

        On a CPU it is that of ``session``, because a CPU gets one crop per call. Raises the same errors.
        """
        return self._session(_Key(model_id, self._device.number, self._threads, self.uses_accelerator))

    def _session(self, key: _Key) -> Any:
        model_id = key.model_id
        with self._table.loading:
            session = self._table.users.get(key)
            if session is None:
                pooled = PooledSession(self._table, key, lambda: self._load(key))
                with pooled.loaded():
                    session = self._profile.network(model_id, pooled)
                self._table.users[key] = session
            return session

    def step_started(self, models: Collection[str]) -> None:
        """Prepare for a step with these models: free the sessions whose file has changed.

        On a CPU the sessions of all other models are freed too, because the memory of a step is planned without them.
        """

        def is_freed(key: _Key, entry: _Loaded) -> bool:
            return (not self.uses_accelerator and key.model_id not in models) or self._has_changed(key, entry)

        self._table.free(is_freed)

    def stage_ended(self, later: Collection[str] = ()) -> None:
        """With the strategy strict, free the sessions of models that are not in ``later`` and those without a user."""
        if self.uses_accelerator and self._device.lifetime.strategy == 'strict':
            self._table.free(lambda key, _: key.model_id not in later or key not in self._table.users)

    def step_ended(self) -> None:
        """Free all sessions, unless the strategy is tolerant or they are in the memory of the CPU."""
        if self.uses_accelerator and self._device.lifetime.strategy != 'tolerant':
            self.release_idle()

    def release_idle(self) -> int:
        """Free every session without a running call, and return their number; the next call loads one again."""
        return self._table.free(lambda key, entry: True)

    def _has_changed(self, key: _Key, entry: _Loaded) -> bool:
        return entry.stamp != _stamp(self._files.path(key.model_id))

    def _load(self, key: _Key) -> _Loaded:
        model_id = key.model_id
        path = self._files.path(model_id)
        stamp = _check_readable(model_id, path)
        needs = session_bytes(stamp.size)
        self._table.make_room(needs)
        with self._profile.span(LOAD + model_id):
            if not self.uses_accelerator:
                return _Loaded(self._create(model_id, path), stamp, needs)
            file = batch_file(path, self.ladder.emit).path if key.batched else path
            session = self.ladder.loaded(model_id, self.release_idle, lambda: self._create(model_id, file))
            return _Loaded(
                DeviceSession(session, model_id, self.ladder, self.release_idle, key.device_id), stamp, needs
            )

    def _create(self, model_id: str, path: Path) -> Any:
        # A pool may live longer than a step; warnings belong to the step that runs now.
        rules = replace(self._device.rules, emit=self.ladder.emit)
        if 'tensorrt' in self.providers:
            rules = replace(rules, half_precision=_keeps_quality_in_half(self._files, model_id))
        try:
            return create_session(path, self.providers, self._device.number, self._threads, rules)
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
    rules, lifetime = SessionRules(allow_cpu_fallback=options.allow_cpu_fallback), Lifetime.of(options)
    number = options.execution_device_ids[0]
    pool = SessionPool(files, providers, number, profile=profile, rules=rules, lifetime=lifetime)
    pool.ladder.begin(emit)
    return pool


def _keeps_quality_in_half(files: ModelFiles, model_id: str) -> bool:
    """Whether the catalogue permits half precision: the file itself has it, or the network was compared with it."""
    with suppress(ModelError):
        contract = files.contract(model_id)
        return contract.precision == 'fp16' or contract.keeps_quality_in_fp16
    return False


def _stamp(path: Path) -> Stamp | None:
    try:
        return Stamp.of(path)
    except OSError:
        return None


def _check_readable(model_id: str, path: Path) -> Stamp:
    """Return the stamp of a model's file. Raises ModelError model-unreadable."""
    try:
        path.open('rb').close()
        return Stamp.of(path)
    except OSError as error:
        raise ModelError(
            'model-unreadable',
            f'the weights of {model_id} cannot be read from {path}',
            cause=str(error),
            hint=f'run `facefusion models verify {model_id}`',
        ) from error
