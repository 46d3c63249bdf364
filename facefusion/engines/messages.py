"""Messages between a run and its worker processes, sent over one pipe as pickled data.

To the worker: a ``WorkerTask``, then ``ChunkUnit`` and ``SegmentUnit`` one at a time, and ``Stop`` at any time.
To the run: for each unit ``Advanced`` for its frames, ``Emitted``, then ``Done`` or ``Failed``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from facefusion import errors
from facefusion.errors import FaceFusionError, error_from_record
from facefusion.events import Event
from facefusion.models.catalog import Catalog
from facefusion.pipeline.fingerprints import RunDigests
from facefusion.pipeline.manifest import Manifest
from facefusion.pipeline.plan import Plan, Span
from facefusion.settings import Settings


@dataclass(frozen=True, slots=True, eq=False)
class WorkerTask:
    """Everything that a worker process needs to run units of one clip.

    ``work`` is the work folder, ``scores`` that of the content gate, ``weights`` that of the models. ``providers`` are
    the execution providers of the run. ``estimates_ages`` states whether the run estimates ages. ``mark`` is the
    payload of the invisible mark, or None without one.
    """

    plan: Plan
    settings: Settings
    digests: RunDigests
    work: Path
    cache: tuple[Path, int]
    scores: Path
    catalog: Catalog
    weights: Path
    providers: tuple[str, ...]
    estimates_ages: bool
    mark: bytes | None
    device_id: int = 0


@dataclass(frozen=True, slots=True)
class ChunkUnit:
    """Analyse the chunk ``span``."""

    span: Span


@dataclass(frozen=True, slots=True)
class SegmentUnit:
    """Render segment ``number`` with ``threads`` threads; ``is_altered``: the output gets the planned watermarks."""

    number: int
    threads: int
    is_altered: bool


@dataclass(frozen=True, slots=True)
class Stop:
    """Stop at the next frame, for ``reason``; the worker gets no further unit."""

    reason: str


@dataclass(frozen=True, slots=True)
class Advanced:
    """One more frame is done."""


@dataclass(frozen=True, slots=True)
class Emitted:
    """The worker emitted an event."""

    event: Event


@dataclass(frozen=True, slots=True)
class Done:
    """The unit is done; its work file has this manifest."""

    manifest: Manifest


@dataclass(frozen=True, slots=True)
class Failed:
    """The unit failed with the error of the class ``kind`` and the record ``error``."""

    kind: str
    error: Mapping[str, Any]

    @classmethod
    def of(cls, error: FaceFusionError) -> Failed:
        """Return the message for an error."""
        return cls(type(error).__name__, error.as_record())

    def as_error(self) -> FaceFusionError:
        """Return the error, of the class that it had in the worker."""
        error = error_from_record(self.error)
        kind = getattr(errors, self.kind, None)
        if isinstance(kind, type) and issubclass(kind, FaceFusionError) and kind.exit_code == error.exit_code:
            error.__class__ = kind
        return error


ToWorker = WorkerTask | ChunkUnit | SegmentUnit | Stop
FromWorker = Advanced | Emitted | Done | Failed
