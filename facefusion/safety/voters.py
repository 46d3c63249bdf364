"""The classifiers that vote in the content gate of this machine: the embedded one, and published ones with weights."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from facefusion.models.store import ModelStore

# No run starts without this model.
EMBEDDED = 'open_nsfw'
PUBLISHED = ('nsfw_1', 'nsfw_2', 'nsfw_3')
# Only the content gate uses these models.
GATE_MODELS = (EMBEDDED, *PUBLISHED)


@dataclass(frozen=True, slots=True)
class Voters:
    """The classifiers of a run: ``published`` are the sizes in bytes of the present weights by model id.

    ``missing`` are the published classifiers without weights on this machine.
    """

    published: Mapping[str, int] = field(default_factory=dict)
    missing: tuple[str, ...] = ()

    @property
    def models(self) -> tuple[str, ...]:
        """The model ids, in the order of the scores."""
        return EMBEDDED, *self.published

    @property
    def weight_bytes(self) -> int:
        """The size of the published weights."""
        return sum(self.published.values())

    @property
    def words(self) -> str:
        """The classifiers that vote, and the missing ones, for a message."""
        absent = f'; not on this machine: {", ".join(self.missing)}' if self.missing else ''
        return f'the content gate uses {", ".join(self.models)}{absent}'


ONLY_EMBEDDED = Voters()


def find_voters(store: ModelStore) -> Voters:
    """Return the classifiers that vote on this machine; nothing is fetched.

    A damaged file counts as present, so that it is repaired or ends the run instead of losing its vote.
    """
    known = [model_id for model_id in PUBLISHED if model_id in store.catalog]
    sizes = {model_id: store.file_size(model_id) for model_id in known}
    present = {model_id: size for model_id, size in sizes.items() if size is not None}
    return Voters(present, tuple(model_id for model_id in known if model_id not in present))
