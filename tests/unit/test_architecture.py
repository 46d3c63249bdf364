"""The way of one run in docs/architecture.md: short, and every file and function is there."""

from __future__ import annotations

import ast
import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / 'docs' / 'architecture.md').read_text(encoding='utf-8')


def functions_of(path: Path) -> set[str]:
    nodes = ast.walk(ast.parse(path.read_text(encoding='utf-8')))
    return {node.name for node in nodes if isinstance(node, ast.FunctionDef)}


def test_a_run_is_told_in_at_most_20_steps_that_exist():
    section = PAGE[PAGE.index('## One run, step by step') :].split('\n## ')[0]
    steps = re.findall(r'^(\d+)\. `([\w/]+\.py)` `(\w+)`', section, flags=re.MULTILINE)
    assert [int(number) for number, _, _ in steps] == list(range(1, len(steps) + 1))
    assert 10 <= len(steps) <= 20
    for _, path, function in steps:
        assert function in functions_of(ROOT / path), f'{path} has no {function}'


def test_every_file_that_the_page_names_is_there():
    package = ROOT / 'facefusion'
    for name in set(re.findall(r'`((?:[a-z_]+/)+[a-z_]+\.py)`', PAGE)):
        assert any((base / name).is_file() for base in (ROOT, package)), f'the page names {name}'
