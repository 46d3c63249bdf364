"""That no option reaches the content gate, and that every run goes through it, by how the code is written.

tests/cli/test_cli_gate.py has whole runs with all options at once.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parents[3] / 'facefusion'
# What consent is and what is refused for good are options; neither decides about content.
OF_OPTIONS = ('consent.py', 'options.py', 'refused.py')
GATE = [path for path in sorted((PACKAGE / 'safety').rglob('*.py')) if path.name not in OF_OPTIONS]
GATE += [PACKAGE / 'pipeline' / name for name in ('guard.py', 'content_check.py')]
# Where the guard is asked, in these functions, whatever the settings are.
ASKED = {
    ('steps/step_run.py', 'run_step'): {'check_consent', 'prepare_guard', 'prepare_run', 'execute'},
    ('pipeline/run.py', 'prepare_run'): {'check_sources'},
    ('pipeline/run.py', '_execute_picture'): {'check_picture', 'check_ages', 'apply'},
    ('pipeline/run.py', '_execute_clip'): {'watch', '_analyse', '_link', '_finished_clip'},
    ('pipeline/run.py', '_link'): {'note', 'decide'},
}


def tree_of(name: str | Path) -> ast.Module:
    return ast.parse((PACKAGE / name).read_text(encoding='utf-8'))


def function(name: str, called: str) -> ast.FunctionDef:
    (found,) = [node for node in ast.walk(tree_of(name)) if isinstance(node, ast.FunctionDef) and node.name == called]
    return found


def always_done(body: list[ast.stmt]) -> Iterator[ast.stmt]:
    """The statements of a function that stand in no branch, those of its context managers and loops included."""
    for statement in body:
        if isinstance(statement, ast.With | ast.For):
            yield from always_done(statement.body)
        elif not isinstance(statement, ast.If | ast.Try | ast.While | ast.Match | ast.FunctionDef):
            yield statement


def calls(nodes: Iterator[ast.stmt] | list[ast.stmt]) -> list[str]:
    """What these statements call for certain, by the last part of its name, in order."""
    found = []
    for statement in nodes:
        skipped = {
            id(inner)
            for branch in ast.walk(statement)
            if isinstance(branch, ast.IfExp | ast.BoolOp | ast.Lambda)
            for inner in ast.walk(branch)
        }
        found += [
            node.func.attr if isinstance(node.func, ast.Attribute) else node.func.id
            for node in ast.walk(statement)
            if isinstance(node, ast.Call)
            and id(node) not in skipped
            and isinstance(node.func, ast.Attribute | ast.Name)
        ]
    return found


@pytest.mark.parametrize('path', GATE, ids=lambda path: f'{path.parent.name}/{path.name}')
def test_nothing_of_the_gate_reads_an_option(path):
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


@pytest.mark.parametrize(('name', 'called'), ASKED, ids=str)
def test_every_run_asks_the_guard(name, called):
    assert set(calls(always_done(function(name, called).body))) >= ASKED[name, called]


def test_nothing_is_rendered_before_the_guard_has_decided():
    picture = calls(always_done(function('pipeline/run.py', '_execute_picture').body))
    assert max(picture.index(name) for name in ('check_picture', 'check_ages')) < picture.index('apply')
    clip = calls(always_done(function('pipeline/run.py', '_execute_clip').body))
    assert clip.index('_link') < clip.index('_finished_clip')
    assert 'decide' not in calls(function('pipeline/run.py', '_finished_clip').body)


def test_every_frame_of_a_run_is_analysed_under_a_watch():
    (made,) = [
        node
        for node in ast.walk(function('pipeline/run.py', '_execute_clip'))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == 'ChunkAnalysis'
    ]
    assert [argument.id for argument in made.args if isinstance(argument, ast.Name)][-1] == 'watch'


def test_one_place_decides_which_classifiers_there_are():
    users = {
        path.relative_to(PACKAGE).as_posix()
        for path in PACKAGE.rglob('*.py')
        for node in ast.walk(tree_of(path))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == 'ContentGate'
    }
    assert users == {'safety/gate.py'}
