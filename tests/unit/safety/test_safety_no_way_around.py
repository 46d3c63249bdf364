"""Tests that analyse the code: no option affects the content gate, and every run uses it.

tests/cli/test_cli_gate.py contains complete runs with all options at once.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parents[3] / 'facefusion'
# These modules handle consent and options, and do not decide about content.
OF_OPTIONS = ('consent.py', 'options.py', 'refused.py')
GATE = [path for path in sorted((PACKAGE / 'safety').rglob('*.py')) if path.name not in OF_OPTIONS]
GATE += [PACKAGE / 'pipeline' / name for name in ('content_screening.py', 'content_check.py')]
# The calls that these functions make in every run, with any settings, in this order.
ALWAYS = {
    ('steps/step_run.py', 'run_step'): ('check_consent', '_run'),
    ('steps/step_run.py', '_run'): ('prepare_screening', 'prepare_run', 'execute'),
    ('pipeline/prepare.py', 'prepare_run'): ('check_sources', 'prepare_processors'),
    ('pipeline/image_run.py', 'execute_image'): ('screen', 'apply'),
    ('pipeline/image_run.py', 'link_image'): ('screen',),
    ('pipeline/image_run.py', '_find_faces'): ('check_image', 'check_ages'),
    ('pipeline/run.py', '_execute_clip'): ('screen', '_finished_clip'),
    ('pipeline/run.py', '_find_faces'): ('screen_clip', '_analyse', '_link'),
    ('pipeline/run.py', '_link'): ('add_linked', 'refuse_if_unsafe'),
}
# The functions that screen a target, by its kind.
SCREENING = {'_find_faces': 'screen', 'link_image': 'screen'}


def tree_of(name: str | Path) -> ast.Module:
    return ast.parse((PACKAGE / name).read_text(encoding='utf-8'))


def function(name: str, called: str) -> ast.FunctionDef:
    (found,) = [node for node in ast.walk(tree_of(name)) if isinstance(node, ast.FunctionDef) and node.name == called]
    return found


def certain_calls(body: list[ast.stmt]) -> Iterator[str]:
    """Yield, in order, the last name part of each call outside branches or in both branches, as it always happens."""
    for statement in body:
        if isinstance(statement, ast.With | ast.For):
            yield from certain_calls(statement.body)
        elif isinstance(statement, ast.If):
            other = set(certain_calls(statement.orelse))
            yield from (name for name in certain_calls(statement.body) if name in other)
        elif not isinstance(statement, ast.Try | ast.While | ast.Match | ast.FunctionDef):
            yield from calls_of(statement)


def calls_of(statement: ast.stmt) -> Iterator[str]:
    branches = (node for node in ast.walk(statement) if isinstance(node, ast.IfExp | ast.BoolOp | ast.Lambda))
    skipped = {id(inner) for branch in branches for inner in ast.walk(branch)}
    for node in ast.walk(statement):
        if isinstance(node, ast.Call) and id(node) not in skipped and isinstance(node.func, ast.Attribute | ast.Name):
            name = node.func.attr if isinstance(node.func, ast.Attribute) else node.func.id
            yield SCREENING.get(name, name)


@pytest.mark.parametrize('path', GATE, ids=lambda path: f'{path.parent.name}/{path.name}')
def test_the_gate_reads_no_option(path):
    for node in ast.walk(tree_of(path)):
        names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        if isinstance(node, ast.ImportFrom):
            names = [node.module or '', *(f'{node.module}.{alias.name}' for alias in node.names)]
        for name in names:
            parts = name.split('.')
            assert 'options' not in parts and 'settings' not in parts, f'{path}:{node.lineno} imports {name}'
        if isinstance(node, ast.Name | ast.Attribute):
            name = node.id if isinstance(node, ast.Name) else node.attr
            assert name not in ('environ', 'getenv', 'argv', 'settings', 'Settings'), f'{path}:{node.lineno}'


@pytest.mark.parametrize(('name', 'called'), ALWAYS, ids=str)
def test_every_run_is_screened_before_it_renders(name, called):
    wanted = ALWAYS[name, called]
    found = [each for each in certain_calls(function(name, called).body) if each in wanted]
    assert tuple(dict.fromkeys(found)) == wanted


def test_every_analysis_of_a_run_has_a_screening():
    (made,) = [
        node
        for node in ast.walk(function('pipeline/units.py', 'analysis_units'))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == 'ChunkAnalysis'
    ]
    assert [argument.id for argument in made.args if isinstance(argument, ast.Name)][-1] == 'screening'
    (needed,) = [each for each in function('pipeline/units.py', 'analysis_units').args.args if each.arg == 'screening']
    assert ast.unparse(needed.annotation) == 'ClipScreening'


def test_one_module_creates_the_content_gate():
    users = {
        path.relative_to(PACKAGE).as_posix()
        for path in PACKAGE.rglob('*.py')
        for node in ast.walk(tree_of(path))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == 'ContentGate'
    }
    assert users == {'safety/content_gate.py'}
