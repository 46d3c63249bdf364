"""Which model ``auto`` stands for on this machine: the first of a preference that is here, allowed, and can run."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, NamedTuple, Protocol

from facefusion.models.catalog import Catalog, ModelEntry

Licences = Literal['any', 'commercial']


class Choice(NamedTuple):
    """The model that is taken, and a better one that could be fetched, or ''."""

    model: str
    better: str = ''


class ModelChooser(Protocol):
    """Chooses among models, the best one first, of which the last one is embedded."""

    def choose(self, preferred: Sequence[str]) -> Choice: ...


class EmbeddedModels:
    """Chooses the embedded models, where it does not matter which one will run."""

    def choose(self, preferred: Sequence[str]) -> Choice:
        """The last of ``preferred``."""
        return Choice(preferred[-1])


@dataclass(frozen=True, slots=True)
class LocalModels:
    """The models of this machine, as far as a choice among them needs to know them.

    ``catalog`` is read when there is something to choose; ``weights`` is the folder of the model files. ``memory`` is
    that of the machine in bytes, None where it is not known.
    """

    catalog: Callable[[], Catalog]
    weights: Path
    licences: Licences = 'any'
    memory: int | None = None

    def choose(self, preferred: Sequence[str]) -> Choice:
        """The first of ``preferred``, which has the best one first, that can be used here, else the last one.

        The last one is embedded: it needs no weights of its own, or those that every run fetches.
        """
        *better, embedded = preferred
        if not better:
            return Choice(embedded)
        catalog = self.catalog()
        allowed = [name for name in better if name in catalog and self._may_run(catalog.entry(name))]
        for place, name in enumerate(allowed):
            if self._is_here(catalog.entry(name)):
                return Choice(name, allowed[0] if place else '')
        return Choice(embedded, allowed[0] if allowed else '')

    def _may_run(self, entry: ModelEntry) -> bool:
        is_allowed = self.licences == 'any' or entry.licence.commercial
        # The weights lie in memory once, and their network needs about as much again.
        fits = self.memory is None or entry.size is None or 2 * entry.size <= self.memory
        return is_allowed and fits

    def _is_here(self, entry: ModelEntry) -> bool:
        try:
            size = (self.weights / entry.file).stat().st_size
        except OSError:
            return False
        # The run verifies the digest; a file that was cut short must not be chosen.
        return entry.sha256 is None or entry.size is None or size == entry.size


def physical_memory() -> int | None:
    """The memory of this machine in bytes, None where the system does not tell."""
    try:
        return os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES')
    except (AttributeError, OSError, ValueError):
        return None
