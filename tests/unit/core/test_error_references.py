"""Tests that docs/errors.md lists all error references in the code with their exit codes, and no others."""

from __future__ import annotations

import ast
import re
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

from facefusion import errors

ROOT = Path(__file__).resolve().parents[3]
CODES = {
    name: kind.exit_code
    for name, kind in vars(errors).items()
    if isinstance(kind, type) and issubclass(kind, errors.FaceFusionError)
}
# References that the code composes, and the default for records without a valid reference.
COMPOSED = {
    'config-key': {2},
    'interrupted': {4},
    'job-failed': {1},
    **{f'{side}-pattern-missing': {2} for side in ('source', 'target', 'output')},
    **{
        f'{file}-{problem}': {1}
        for file in ('certificate', 'private-key', 'trusted-root')
        for problem in ('missing', 'unreadable', 'not-pem')
    },
}


def assigned_texts(tree: ast.Module, name: str) -> Iterator[str]:
    """Yield the string literals that a module assigns to a variable, alone or in a tuple."""
    assignments = [node for node in ast.walk(tree) if isinstance(node, ast.Assign)]
    for target, value in ((target, node.value) for node in assignments for target in node.targets):
        pairs = [(target, value)]
        if isinstance(target, ast.Tuple) and isinstance(value, ast.Tuple):
            pairs = list(zip(target.elts, value.elts, strict=True))
        for variable, text in pairs:
            if isinstance(variable, ast.Name) and variable.id == name and isinstance(text, ast.Constant):
                yield str(text.value)


def references_in_code() -> dict[str, set[int]]:
    """Return the literal references of all errors in the package, with their exit codes."""
    found: dict[str, set[int]] = defaultdict(set)
    for path in sorted((ROOT / 'facefusion').rglob('*.py')):
        tree = ast.parse(path.read_text(encoding='utf-8'))
        for node in ast.walk(tree):
            if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Name) or not node.args:
                continue
            if node.func.id not in CODES or node.func.id == 'Interrupted':
                continue
            first = node.args[0]
            names = assigned_texts(tree, first.id) if isinstance(first, ast.Name) else ()
            if isinstance(first, ast.Constant):
                names = (first.value,)
            for name in names:
                found[name].add(CODES[node.func.id])
    return found


def references_on_page() -> dict[str, set[int]]:
    """Return the references of docs/errors.md with their exit codes; bugs, listed below the tables, exit with 1."""
    tables, bugs = (ROOT / 'docs' / 'errors.md').read_text(encoding='utf-8').split('## Errors of the program')
    rows = re.findall(r'^\| `([a-z0-9-]+)` \| ([0-9, ]+) \|', tables, re.MULTILINE)
    assert len(rows) == len(dict(rows)), 'a reference has two rows'
    listed = re.findall(r'`([a-z0-9-]+)`', bugs.rpartition('\n\n')[2])
    return {name: {int(code) for code in codes.split(',')} for name, codes in rows} | {name: {1} for name in listed}


def test_the_page_lists_every_reference_with_its_exit_code():
    code, page = references_in_code(), references_on_page()
    for name, codes in COMPOSED.items():
        code[name] |= codes
    assert page.keys() == code.keys(), sorted(page.keys() ^ code.keys())
    assert page == code
