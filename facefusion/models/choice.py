"""The model that ``auto`` selects on this machine: the first preferred one that is present, allowed, and can run.

The other models that a model needs must be allowed and present, too.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal, NamedTuple, Protocol

from facefusion.errors import ModelError

if TYPE_CHECKING:
    from facefusion.models.catalog import Catalog, ModelEntry

Licences = Literal['any', 'commercial']
# The last of the preferred models where no model is embedded.
NO_EMBEDDED = ''


class Choice(NamedTuple):
    """The selected model, and a better one that could be downloaded ('' for none)."""

    model: str
    better: str = ''


class ModelChooser(Protocol):
    """Chooses one of several models, in order of preference; the last one is embedded, or ``NO_EMBEDDED``."""

    def choose(self, preferred: Sequence[str]) -> Choice: ...


class EmbeddedModels:
    """Always chooses the embedded model, for callers that run no model."""

    def choose(self, preferred: Sequence[str]) -> Choice:
        """Return the last of ``preferred``, or the first one if none is embedded."""
        return Choice(preferred[-1] or preferred[0])


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

        The last model is embedded: it needs no weights, or only weights that every run fetches. Raises ModelError
        model-none-present if none of ``preferred`` can be used and none is embedded.
        """
        *better, embedded = preferred
        if not better:
            return Choice(embedded)
        catalog = self.catalog()
        allowed = [name for name in better if name in catalog and self._may_run(catalog, name)]
        for index, name in enumerate(allowed):
            if all(self._is_present(entry) for entry in needed_entries(catalog, name)):
                return Choice(name, allowed[0] if index else '')
        if embedded == NO_EMBEDDED:
            raise _none_present(catalog, allowed or better)
        return Choice(embedded, allowed[0] if allowed else '')

    def _may_run(self, catalog: Catalog, name: str) -> bool:
        size = catalog.entry(name).size
        # The weights are in memory once, and their network needs about as much memory again.
        fits = self.memory is None or size is None or 2 * size <= self.memory
        return fits and not forbidden_models(catalog, name, self.licences)

    def _is_present(self, entry: ModelEntry) -> bool:
        try:
            size = (self.weights / entry.file).stat().st_size
        except OSError:
            return False
        # The size is enough to reject an incomplete file here; the run verifies the digest.
        sizes = {file.size for file in entry.published_files().values()}
        if not sizes or sizes & {size, None}:
            return True
        from facefusion.models.accepted import is_own
        from facefusion.models.lockfile import LockFile

        return is_own(entry, LockFile(self.weights).record(entry.id))


def needed_entries(catalog: Catalog, model_id: str) -> list[ModelEntry]:
    """Return the entries of a model and of the models that it needs; raises ModelError model-unknown."""
    from facefusion.models.preferences import COMPANIONS

    companions = (name for name in COMPANIONS.get(model_id, ()) if name in catalog)
    return [catalog.entry(model_id), *(catalog.entry(name) for name in companions)]


def forbidden_models(catalog: Catalog, model_id: str, licences: Licences) -> list[ModelEntry]:
    """Return the entries that ``licences`` forbids, among those of a model and of the models that it needs."""
    entries = needed_entries(catalog, model_id)
    return [entry for entry in entries if licences == 'commercial' and not entry.licence.commercial]


def _none_present(catalog: Catalog, names: Sequence[str]) -> ModelError:
    """Return the error that no model of a task is present; ``names`` are its models, best first."""
    entries = [catalog.entry(name) for name in names]
    sizes = [f' ({entry.size / 1e6:.0f} MB)' if entry.size else '' for entry in entries]
    _, *others = [f'{entry.id}{size}' for entry, size in zip(entries, sizes, strict=True)]
    hint = f'run `facefusion models fetch {names[0]}`{sizes[0]}'
    return ModelError(
        'model-none-present',
        f'no model of the task {entries[0].task} is on this machine',
        cause='no package contains one, so none is embedded',
        hint=f'{hint}; other models: {", ".join(others)}' if others else hint,
    )


def require_allowed(catalog: Catalog, model_id: str, licences: Licences) -> None:
    """Raise ModelError model-licence when ``licences`` forbids a model, or one that it needs."""
    for entry in forbidden_models(catalog, model_id, licences):
        needs = '' if entry.id == model_id else f'{model_id} needs {entry.id}, and '
        raise ModelError(
            'model-licence',
            f'the policy of this machine forbids the model {model_id}',
            cause=f'{needs}the licence of {entry.id} ({entry.licence.id}) does not allow commercial use',
            hint='see `facefusion models list --license commercial`; '
            'to change the policy, set `licences` under [policy] in an ini file',
        )


def preferred_models(catalog: Catalog, task: str, licences: Licences) -> list[str]:
    """Return the best model of a task that ``licences`` allows, or all of them if they work together.

    Raises ModelError model-licence without one.
    """
    from facefusion.models.preferences import JOINT_TASKS, models_of_task

    allowed = [each for each in models_of_task(catalog, task) if not forbidden_models(catalog, each, licences)]
    if allowed:
        return allowed if task in JOINT_TASKS else allowed[:1]
    raise ModelError(
        'model-licence',
        f'the policy of this machine forbids all models of the task {task}',
        cause='each of them, or a model that it needs, has a licence that does not allow commercial use',
        hint='to change the policy, set `licences` under [policy] in an ini file',
    )


def physical_memory() -> int | None:
    """Return the memory of this machine in bytes, None where the system does not report it."""
    import psutil

    try:
        return int(psutil.virtual_memory().total)
    except OSError:
        return None
