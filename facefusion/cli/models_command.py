"""``models list|fetch|verify`` and ``force-download``: the model files of this machine."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Sequence
from typing import Any

from facefusion.models.catalog import Catalog, HttpsSource, ModelEntry
from facefusion.models.store import ModelStore


def add_models_arguments(
    parser: argparse.ArgumentParser, add_common: Callable[[argparse.ArgumentParser], None] | None = None
) -> None:
    """Adds the sub-commands of ``models`` to its parser; the chosen one ends up in ``models_command``.

    ``add_common`` adds to each of them what all of them take.
    """
    commands = parser.add_subparsers(dest='models_command', required=True, metavar='{list,fetch,verify}')
    listing = commands.add_parser('list', help='what the catalogue has, and what of it is on this machine')
    listing.add_argument('--format', dest='list_format', choices=('table', 'json'), default='table')
    listing.add_argument('--all', dest='list_all', action='store_true', help='example material too')
    fetch = commands.add_parser('fetch', help='fetch models, verify and convert them')
    fetch.add_argument('model_ids', nargs='*', metavar='ID', help='default: all models of the catalogue')
    verify = commands.add_parser('verify', help='read every file and compare it with its digest')
    verify.add_argument('model_ids', nargs='*', metavar='ID', help='default: all models of the catalogue')
    if add_common is not None:
        for command in (listing, fetch, verify):
            add_common(command)


def run_models(arguments: argparse.Namespace, store: ModelStore, catalog: Catalog) -> int:
    """Runs the chosen sub-command and returns its exit code, 0; failures are raised (see ModelStore)."""
    if arguments.models_command == 'list':
        return list_models(store, catalog, as_json=arguments.list_format == 'json', examples=arguments.list_all)
    if arguments.models_command == 'fetch':
        store.fetch(_chosen(catalog, arguments.model_ids))
        return 0
    return verify_models(store, _chosen(catalog, arguments.model_ids))


def add_force_download_arguments(parser: argparse.ArgumentParser) -> None:
    """``force-download`` has no arguments of its own."""


def run_force_download(arguments: argparse.Namespace, store: ModelStore, catalog: Catalog) -> int:
    """Fetches every model of the catalogue that is missing or damaged, and returns 0; failures are raised."""
    store.fetch(_chosen(catalog, ()))
    return 0


def list_models(store: ModelStore, catalog: Catalog, *, as_json: bool, examples: bool) -> int:
    """Prints the catalogue with the state of each file; opens no connection."""
    records = [_record(store, entry) for entry in catalog if examples or not entry.is_example]
    if as_json:
        print(json.dumps(records, indent=2))
        return 0
    titles = ('id', 'task', 'state', 'size', 'licence', 'commercial', 'source', 'pinned')
    _print_table([titles, *(_row(record) for record in records)])
    return 0


def verify_models(store: ModelStore, model_ids: Sequence[str]) -> int:
    """Reads the files and prints the state of each; what is damaged is raised after everything was printed."""
    damaged = []
    rows = [('id', 'state', 'sha256')]
    for model_id in model_ids:
        check = store.check(model_id, thorough=True)
        rows.append((model_id, check.state, check.actual))
        if check.state == 'damaged':
            damaged.append(model_id)
    _print_table(rows)
    sys.stdout.flush()
    store.verify(damaged)
    return 0


def _chosen(catalog: Catalog, model_ids: Sequence[str]) -> list[str]:
    if model_ids:
        return [catalog.entry(model_id).id for model_id in model_ids]
    return [entry.id for entry in catalog if not entry.is_example]


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
    source = entry.sources[0]
    return source.urls[0] if isinstance(source, HttpsSource) else f'{source.package} {source.version}'


def _row(record: dict[str, Any]) -> tuple[str, ...]:
    size = f'{record["size"] / 1e6:.1f} MB' if record['size'] else '?'
    commercial = 'yes' if record['commercial'] else 'no'
    columns = ('id', 'task', 'state', size, 'licence', commercial, 'source', 'pinned')
    return tuple(str(record[column]) if column in record else column for column in columns)


def _print_table(rows: Sequence[Sequence[str]]) -> None:
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    for row in rows:
        print('  '.join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
