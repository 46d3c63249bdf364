"""The things that a process keeps for its next steps: sessions of models, prepared sources, and the tested signer.

Each is kept under everything that it depends on, so a changed setting or file leads to a new one. A batch of pictures
so loads its models and prepares its sources once; docs/performance.md, "Batches of pictures".
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

from facefusion.events import Emit
from facefusion.inference.options import ExecutionOptions
from facefusion.inference.pool import SessionPool, open_sessions
from facefusion.models.lockfile import Stamp
from facefusion.models.store import ModelStore
from facefusion.pipeline.resources import return_freed_memory
from facefusion.profiling import Profile
from facefusion.provenance.options import ProvenanceOptions
from facefusion.provenance.signer import Signing
from facefusion.provenance.trust import local_folders
from facefusion.result_cache import ResultCache

# A prepared source takes up to 11 MB of memory; each source has a second result, of the content gate, and the tables of
# the face mesh are two results.
MOST_RESULTS = 14


class Kept:
    """The tools that the steps of a process share; one step runs at a time."""

    def __init__(self) -> None:
        self.sources = ResultCache(MOST_RESULTS)
        self._signers = ResultCache(1)
        self._options: ExecutionOptions | None = None
        self._sessions: SessionPool | None = None

    def sessions(self, store: ModelStore, options: ExecutionOptions, profile: Profile, emit: Emit) -> SessionPool:
        """Return the sessions of the last step if it had the same options, else new ones. Raises ProviderError."""
        if self._sessions is None or self._options != options:
            self._sessions = None
            self._sessions, self._options = open_sessions(store, options, profile, emit), options
        return self._sessions

    def signing(
        self,
        options: ProvenanceOptions,
        environ: Mapping[str, str],
        fallback: Path,
        make: Callable[[Emit], Signing],
        emit: Emit,
    ) -> Signing:
        """Return the signer of the last step, or that of ``make`` if options, certificates or the day have changed.

        ``environ`` and ``fallback`` are those of ``prepare_signing``. Raises the errors of ``make``.
        """
        key = options, datetime.now(UTC).date(), _certificate_stamps(options, environ, fallback)
        return self._signers.get(key, make, emit)

    def step_ended(self) -> None:
        """Free the sessions that do not live longer than a step."""
        if self._sessions is not None:
            self._sessions.step_ended()

    def free(self) -> bool:
        """Free all memory that no running step uses; return whether there was any."""
        freed = self.sources.clear()
        if self._sessions is not None:
            freed += self._sessions.release_idle()
        return_freed_memory()
        return freed > 0


def _certificate_stamps(
    options: ProvenanceOptions, environ: Mapping[str, str], fallback: Path
) -> tuple[tuple[str, Stamp], ...]:
    """Return the stamps of all files from which ``prepare_signing`` may read certificates and keys."""
    named = [options.certificate_path, options.private_key_path, *options.trusted_roots]
    paths = [Path(path) for path in named if path]
    stamps = []
    for folder in local_folders(options, environ, fallback):
        with suppress(OSError):
            paths += sorted(folder.glob('*.pem'))
    for path in paths:
        with suppress(OSError):
            stamps.append((str(path), Stamp.of(path)))
    return tuple(stamps)
