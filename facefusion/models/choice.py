"""The model that ``auto`` selects on this machine: the first preferred one that is present, allowed, and can run."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal, NamedTuple, Protocol

if TYPE_CHECKING:
    from facefusion.models.catalog import Catalog, ModelEntry

Licences = Literal['any', 'commercial']


class Choice(NamedTuple):
    """The selected model, and a better one that could be fetched, or ''."""

    model: str
    better: str = ''


class ModelChooser(Protocol):
    """Selects among models in order of preference; the last one is embedded."""

    def choose(self, preferred: Sequence[str]) -> Choice: ...


class EmbeddedModels:
    """Selects the embedded models, for callers that do not run them."""

    def choose(self, preferred: Sequence[str]) -> Choice:
        """Return the last of ``preferred``."""
        return Choice(preferred[-1])


@dataclass(frozen=True, slots=True)
class LocalModels:
    """The models of this machine.

    ``catalog`` is called only when there is a choice; ``weights`` is the folder of the model files; ``memory`` is the
    memory of the machine in bytes, None where it is unknown.
    """

    catalog: Callable[[], Catalog]
    weights: Path
    licences: Licences = 'any'
    memory: int | None = None

    def choose(self, preferred: Sequence[str]) -> Choice:
        """Return the first of ``preferred`` that can be used here, else the last one.

        The last one is embedded: it needs no weights, or only weights that every run fetches.
        """
        *better, embedded = preferred
        if not better:
            return Choice(embedded)
        catalog = self.catalog()
        allowed = [name for name in better if name in catalog and self._may_run(catalog.entry(name))]
        for index, name in enumerate(allowed):
            if self._is_present(catalog.entry(name)):
                return Choice(name, allowed[0] if index else '')
        return Choice(embedded, allowed[0] if allowed else '')

    def _may_run(self, entry: ModelEntry) -> bool:
        is_allowed = self.licences == 'any' or entry.licence.commercial
        # Memory contains the weights once, and their network needs about as much again.
        fits = self.memory is None or entry.size is None or 2 * entry.size <= self.memory
        return is_allowed and fits

    def _is_present(self, entry: ModelEntry) -> bool:
        try:
            size = (self.weights / entry.file).stat().st_size
        except OSError:
            return False
        # The run verifies the digest; an incomplete file must not be selected.
        return entry.sha256 is None or entry.size is None or size == entry.size


def physical_memory() -> int | None:
    """Return the memory of this machine in bytes, None where the system does not report it."""
    import psutil

    try:
        return int(psutil.virtual_memory().total)
    except OSError:
        return None
