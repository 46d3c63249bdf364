"""Checks of the model files."""

from __future__ import annotations

from collections.abc import Iterator

from facefusion.doctor.finding import Finding
from facefusion.events import silent
from facefusion.models.options import ModelOptions
from facefusion.services.workplace import Workplace


def check_models(workplace: Workplace) -> Iterator[Finding]:
    """Check the embedded models, and others that are on this machine."""
    from facefusion.models.catalog import packaged_models

    store = workplace.model_store(silent)
    states: dict[str, list[str]] = {}
    embedded = packaged_models(store.catalog)
    for entry in store.catalog:
        state = store.state(entry.id)
        # Models from other sources are fetched only on request.
        if entry.id in embedded or (state != 'missing' and not entry.is_example):
            states.setdefault(state, []).append(entry.id)
    yield Finding('models', 'ok', f'{len(states.get("present", []))} present in {store.weights}')
    if 'missing' in states:
        offline = workplace.settings[ModelOptions].offline
        advice = 'run `facefusion force-download` before going offline' if offline else ''
        fact = f'fetched when needed: {", ".join(states["missing"])}'
        yield Finding('models', 'warn' if offline else 'ok', fact, advice)
    if 'damaged' in states:
        advice = f'run `{store.fetch_command(*states["damaged"])}`'
        yield Finding('models', 'fail', f'damaged: {", ".join(states["damaged"])}', advice)


def check_gate(workplace: Workplace) -> Finding:
    """Show the classifiers of the content gate."""
    from facefusion.safety.voters import find_voters

    store = workplace.model_store(silent)
    voters = find_voters(store)
    advice = f'run `{store.fetch_command(*voters.missing)}`' if voters.published and voters.missing else ''
    return Finding('content gate', 'ok', voters.words, advice)


def check_batches(workplace: Workplace) -> Iterator[Finding]:
    """Show the measured batch sizes of models on accelerators; nothing where none was measured."""
    from facefusion.inference.batch_sizes import cached_sizes

    store = workplace.model_store(silent)
    records = ((entry.id, store.lock.record(entry.id)) for entry in store.catalog)
    names = {record.sha256: name for name, record in records if record is not None}
    places: dict[str, list[str]] = {}
    for size in cached_sizes(store.weights):
        name = names.get(size.key.sha256, size.key.sha256[:8])
        places.setdefault(f'{size.key.provider} on {size.key.device}', []).append(f'{name} {size.crops}')
    for place, sizes in places.items():
        yield Finding('batch sizes', 'ok', f'{place}: {", ".join(sizes)} crops per call')
