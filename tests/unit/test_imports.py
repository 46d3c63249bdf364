"""Tests of the package structure: one-way imports, light commands that load few modules, and stateless modules."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from graphlib import CycleError, TopologicalSorter
from importlib import import_module
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / 'facefusion'
MODULES = sorted(PACKAGE.rglob('*.py'))
# The parts in design.md section 3, from the lowest row up. A part may import only itself and parts of lower rows.
ROWS = (
    ('version', 'errors', 'file_lock', 'limits', 'profiling', 'standard_streams'),
    ('device_failure', 'shortage'),
    ('events', 'failures', 'options', 'ownership', 'stopping'),
    ('settings', 'work_lease', 'result_cache'),
    ('models',),
    ('media', 'inference'),
    ('faces', 'voice'),
    ('processors', 'safety', 'provenance'),
    ('pipeline',),
    ('engines', 'jobs'),
    ('steps',),
    ('services',),
    ('benchmark', 'doctor'),
    ('gui', 'api'),
    ('cli',),
)
RANK = {part: rank for rank, row in enumerate(ROWS) for part in row}
HEAVY = ('numpy', 'cv2', 'av', 'onnxruntime', 'onnx', 'requests', 'PIL', 'tqdm', 'c2pa', 'cryptography')


def name_of(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix('').parts
    return '.'.join(parts[:-1] if parts[-1] == '__init__' else parts)


@cache
def tree_of(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding='utf-8'))


def is_module(name: str) -> bool:
    place = ROOT.joinpath(*name.split('.'))
    return place.with_suffix('.py').is_file() or (place / '__init__.py').is_file()


def imports_of(path: Path) -> Iterator[str]:
    """Yield the modules of the package that a file imports, including lazy and type-checking imports."""
    for node in ast.walk(tree_of(path)):
        names = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f'{path} has a relative import'
            module = node.module or ''
            names = [
                f'{module}.{alias.name}' if is_module(f'{module}.{alias.name}') else module for alias in node.names
            ]
        yield from (name for name in names if name.split('.')[0] == 'facefusion')


def part_of(module: str) -> str:
    return module.split('.')[1]


@pytest.mark.parametrize('path', MODULES, ids=name_of)
def test_imports_point_one_way(path):
    name = name_of(path)
    if name == 'facefusion':
        return
    own = part_of(name)
    assert own in RANK, f'{own} is missing in ROWS (design.md section 3)'
    for module in imports_of(path):
        part = part_of(module)
        assert part == own or RANK[part] < RANK[own], f'{name} imports {module}'


def test_imports_have_no_cycle():
    """Imports inside functions count too, because modules in a cycle cannot be understood separately."""
    order = TopologicalSorter({name_of(path): set(imports_of(path)) for path in MODULES})
    try:
        order.prepare()
    except CycleError as error:
        pytest.fail(' imports '.join(reversed(error.args[1])))


@pytest.mark.parametrize('path', sorted((PACKAGE / 'jobs').glob('*.py')), ids=name_of)
def test_queue_does_not_import_the_pipeline(path):
    parts = {part_of(module) for module in imports_of(path)}
    assert parts.isdisjoint({'pipeline', 'engines', 'processors', 'faces', 'inference', 'safety', 'steps'})


@pytest.mark.parametrize('path', [path for path in MODULES if path.name == 'options.py'], ids=name_of)
def test_option_modules_import_only_the_declarations(path):
    assert set(imports_of(path)) <= {'facefusion.options'}
    for node in ast.walk(tree_of(path)):
        if isinstance(node, ast.Import | ast.ImportFrom):
            roots = [alias.name for alias in node.names] if isinstance(node, ast.Import) else [node.module or '']
            for root in roots:
                assert root.split('.')[0] in sys.stdlib_module_names | {'facefusion'}


@pytest.mark.parametrize('path', [path for path in MODULES if path.name == '__init__.py'], ids=name_of)
def test_package_files_are_empty(path):
    assert path.read_bytes() == b''


def test_every_folder_with_modules_is_a_package():
    assert all((path.parent / '__init__.py').is_file() for path in MODULES)


def test_processors_do_not_import_each_other():
    home = PACKAGE / 'processors'
    for path in home.rglob('*.py'):
        own = path.relative_to(home).parts[0]
        if own.endswith('.py'):
            continue
        for module in imports_of(path):
            parts = module.split('.')
            is_shared = parts[1] != 'processors' or (is_module(module) and (home / f'{parts[2]}.py').is_file())
            assert is_shared or parts[2] == own, f'{path} imports {module}'


@pytest.mark.parametrize('path', MODULES, ids=name_of)
def test_functions_have_at_most_7_parameters(path):
    for node in ast.walk(tree_of(path)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            given = node.args
            names = [entry.arg for entry in (*given.posonlyargs, *given.args, *given.kwonlyargs)]
            # ``option`` declares an option; each parameter is one of its attributes.
            allowed = 99 if name_of(path) == 'facefusion.options' and node.name == 'option' else 7
            assert len(names) - (names[:1] in (['self'], ['cls'])) <= allowed, f'{path}:{node.lineno} {node.name}'


def test_only_cli_and_page_print_or_exit():
    for path in MODULES:
        part = part_of(name_of(path)) if path.parent != PACKAGE else ''
        if part in ('cli', 'gui'):
            continue
        for node in ast.walk(tree_of(path)):
            if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
                # A worker process ends itself, but never the process that started it.
                is_worker = name_of(path) == 'facefusion.engines.worker' and node.attr == '_exit'
                assert (node.value.id, node.attr) not in {('sys', 'exit'), ('os', '_exit')} or is_worker, path
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
                assert node.func.id != 'exit', path
                assert node.func.id != 'print' or path.name == 'events.py', path


def test_modules_are_stateless():
    for path in MODULES:
        for node in ast.walk(tree_of(path)):
            assert not isinstance(node, ast.Global), f'{path}:{node.lineno} has a global statement'
            if isinstance(node, ast.Name | ast.Attribute):
                name = node.id if isinstance(node, ast.Name) else node.attr
                assert name not in ('lru_cache', 'cache', 'cached_property') or not _is_decorator(path, node), (
                    f'{path}:{node.lineno} caches results between runs'
                )


def _is_decorator(path: Path, node: ast.AST) -> bool:
    found = [
        entry
        for definition in ast.walk(tree_of(path))
        if isinstance(definition, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef)
        for decorator in definition.decorator_list
        for entry in ast.walk(decorator)
    ]
    return node in found


def test_functions_do_not_modify_module_containers():
    """Lists, dicts and sets at module level are tables; functions of the module do not write to them."""
    changing = {
        'append',
        'add',
        'update',
        'extend',
        'insert',
        'pop',
        'popitem',
        'remove',
        'discard',
        'clear',
        'setdefault',
    }
    for path in MODULES:
        tree = tree_of(path)
        tables = {
            target.id
            for node in tree.body
            if isinstance(node, ast.Assign | ast.AnnAssign)
            and isinstance(node.value, ast.List | ast.Dict | ast.Set | ast.ListComp | ast.DictComp | ast.SetComp)
            for target in (node.targets if isinstance(node, ast.Assign) else [node.target])
            if isinstance(target, ast.Name)
        }
        for node in ast.walk(tree):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
                receiver = node.func.value
                is_change = isinstance(receiver, ast.Name) and receiver.id in tables and node.func.attr in changing
                assert not is_change, f'{path}:{node.lineno}'
            if isinstance(node, ast.Subscript) and isinstance(node.ctx, ast.Store | ast.Del):
                assert not (isinstance(node.value, ast.Name) and node.value.id in tables), f'{path}:{node.lineno}'


class Traced(NamedTuple):
    """The top-level modules that a command loaded, and the files that it opened."""

    modules: set[str]
    files: list[str]


def trace(*arguments: str, environ: dict[str, str] | None = None) -> Traced:
    """Run a command in a separate process, and return the modules that it loaded and the files that it opened."""
    code = (
        'import sys, json, contextlib, io\n'
        'opened = []\n'
        'sys.addaudithook(lambda event, args: opened.append(str(args[0])) if event == "open" else None)\n'
        'from facefusion.cli.main import main\n'
        'with contextlib.redirect_stdout(io.StringIO()):\n'
        '    try:\n'
        f'        code = main({list(arguments)!r}, {environ or {}!r})\n'
        '    except SystemExit as end:\n'
        '        code = end.code\n'
        'assert not code, code\n'
        'print(json.dumps([[name.split(".")[0] for name in sys.modules], opened]))\n'
    )
    done = subprocess.run([sys.executable, '-c', code], cwd=ROOT, capture_output=True, text=True, check=True)
    modules, files = json.loads(done.stdout)
    return Traced(set(modules), files)


# benchmarks/light_commands.py measures the cost of these commands.
@pytest.mark.parametrize('arguments', [('--version',), ('--help',), ('headless-run', '--help')], ids=' '.join)
def test_light_commands_load_no_heavy_module(arguments):
    assert trace(*arguments).modules.isdisjoint(HEAVY)


# Commands that scripts and cron run every few seconds.
QUERIES = (
    ('job-create', 'new', '-t', 'target.mp4', '-o', 'output.mp4'),
    ('job-submit', 'drafted-3'),
    ('job-list', '--format', 'json'),
    ('job-show', 'completed-3'),
)
JOBS = 40


@pytest.fixture(scope='module')
def full_store(tmp_path_factory) -> dict[str, str]:
    """The environment variables of a store with jobs in all states."""
    root = tmp_path_factory.mktemp('full') / 'jobs'
    environ = {'FACEFUSION_JOBS_PATH': str(root)}
    trace('job-create', 'seed', '-t', 'target.mp4', '-o', 'output.mp4', environ=environ)
    seed = json.loads((root / 'drafted' / 'seed.json').read_text(encoding='ascii'))
    for number in range(JOBS):
        state = ('drafted', 'queued', 'completed', 'failed')[number % 4]
        (root / state).mkdir(exist_ok=True)
        job_id = f'{state}-{number // 4}'
        (root / state / f'{job_id}.json').write_text(json.dumps(seed | {'id': job_id}, indent=1), encoding='ascii')
    return environ


@pytest.mark.parametrize('words', QUERIES, ids=lambda words: words[0])
def test_store_queries_load_no_heavy_module_and_read_only_named_jobs(full_store, words):
    known = {path.stem for path in Path(full_store['FACEFUSION_JOBS_PATH']).glob('[a-z]*/*.json')}
    traced = trace(*words, environ=full_store)
    assert traced.modules.isdisjoint(HEAVY)
    read = [Path(name).stem for name in traced.files if Path(name).stem in known]
    assert set(read) == (known if words[0] == 'job-list' else known & set(words))
    assert words[0] != 'job-list' or len(read) == len(known), 'a job was read more than once'


def test_ini_file_knows_the_options_of_every_command():
    from facefusion.cli.commands import COMMANDS, OPTION_MODULES

    known = {group for module in OPTION_MODULES for group in import_module(module).GROUPS}
    for name, command in COMMANDS.items():
        assert set(command.load().groups) <= known, name


def test_settings_of_commands_load_no_heavy_module():
    code = (
        'import sys\n'
        'from importlib import import_module\n'
        'from facefusion.cli.commands import COMMANDS, OPTION_MODULES\n'
        'names = {*OPTION_MODULES, *(command.module for command in COMMANDS.values())}\n'
        '[import_module(name) for name in sorted(names)]\n'
        f'print(sorted(set(sys.modules) & set({HEAVY!r})))\n'
    )
    done = subprocess.run([sys.executable, '-c', code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert (done.stdout.strip(), done.stderr) == ('[]', '')
