"""The classifiers that vote in the content gate of this machine: the embedded one, and published ones with weights."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from facefusion.events import Message

if TYPE_CHECKING:
    from facefusion.models.store import ModelStore

# No run starts without this model.
EMBEDDED = 'open_nsfw'
PUBLISHED = ('nsfw_1', 'nsfw_2', 'nsfw_3')
# Only the content gate uses these models.
GATE_MODELS = (EMBEDDED, *PUBLISHED)


@dataclass(frozen=True, slots=True)
class Voters:
    """The classifiers of a run: ``published`` are those with weights on this machine, ``missing`` those without."""

    published: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()

    @property
    def models(self) -> tuple[str, ...]:
        """The model ids, in the order of the scores."""
        return EMBEDDED, *self.published

    @property
    def words(self) -> str:
        """The classifiers that vote, and the missing ones, for a message."""
        absent = f'; not on this machine: {", ".join(self.missing)}' if self.missing else ''
        return f'the content gate uses {", ".join(self.models)}{absent}'

    def message(self, origin: str) -> Message:
        """Return the message of a command; it is only for debugging when the embedded classifier is alone."""
        return Message('info' if self.published else 'debug', origin, self.words)


ONLY_EMBEDDED = Voters()


def find_voters(store: ModelStore) -> Voters:
    """Return the classifiers that vote on this machine; nothing is fetched.

    A damaged file counts as present, so that it is repaired or ends the run instead of losing its vote.
    """
    known = [model_id for model_id in PUBLISHED if model_id in store.catalog]
    present = tuple(model_id for model_id in known if store.file_size(model_id) is not None)
    return Voters(present, tuple(model_id for model_id in known if model_id not in present))
