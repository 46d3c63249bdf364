"""Results that processors compute from source files, and that later steps of the process use again."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from facefusion.events import Emit
from facefusion.result_cache import ResultCache

T = TypeVar('T')


@dataclass(frozen=True, slots=True, eq=False)
class SourceResults:
    """The kept results of a run.

    ``digests`` are the SHA-256 of the sources. ``finding`` is everything that decides which faces are found in them,
    and how a network sees them: options of detection, digests of the models, and execution providers.
    """

    cache: ResultCache = field(default_factory=lambda: ResultCache(0))
    digests: Mapping[Path, str] = field(default_factory=dict)
    finding: Hashable = ()

    def get(self, name: str, files: Sequence[Path], others: Hashable, make: Callable[[Emit], T], emit: Emit) -> T:
        """Return the result ``name`` of these sources, from an earlier step or from ``make``.

        ``others`` is everything else that decides the result and the messages about it. The result must be immutable,
        because several runs may use it, and must hold no session. ``make`` gets the function to emit its messages; they
        are emitted again with a kept result. Raises the errors of ``make``.
        """
        if any(path not in self.digests for path in files):
            return make(emit)
        # Messages name the paths.
        contents = tuple((str(path), self.digests[path]) for path in files)
        return self.cache.get((name, contents, others, self.finding), make, emit)
