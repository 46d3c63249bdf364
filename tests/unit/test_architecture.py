"""Tests of the steps of a run in docs/architecture.md: there are few, and their files and functions exist."""

from __future__ import annotations

import ast
import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / 'docs' / 'architecture.md').read_text(encoding='utf-8')


def functions_of(path: Path) -> set[str]:
    nodes = ast.walk(ast.parse(path.read_text(encoding='utf-8')))
    return {node.name for node in nodes if isinstance(node, ast.FunctionDef)}


def test_page_describes_a_run_in_at_most_20_existing_steps():
    section = PAGE[PAGE.index('## One run, step by step') :].split('\n## ')[0]
    steps = re.findall(r'^(\d+)\. `([\w/]+\.py)` `(\w+)`', section, flags=re.MULTILINE)
    assert [int(number) for number, _, _ in steps] == list(range(1, len(steps) + 1))
    assert 10 <= len(steps) <= 20
    for _, path, function in steps:
        assert function in functions_of(ROOT / path), f'{path} has no {function}'


def test_files_that_the_page_names_exist():
    package = ROOT / 'facefusion'
    for name in set(re.findall(r'`((?:[a-z_]+/)+[a-z_]+\.py)`', PAGE)):
        assert any((base / name).is_file() for base in (ROOT, package)), f'the page names {name}'
