"""Writes what is derived from the declared options: facefusion.ini and the options table of the README.

    python scripts/make_reference.py

In the ini file all values are blank, which means the built-in default. Tests hold both to the declarations.
"""

from __future__ import annotations

import json
from importlib import import_module
from pathlib import Path

import msgspec

from facefusion.cli.commands import OPTION_MODULES
from facefusion.cli.headless_run import GROUPS
from facefusion.models.catalog import CatalogFile
from facefusion.options import OptionInfo, describe

ROOT = Path(__file__).resolve().parent.parent
BEGIN, END = '<!-- options: made by scripts/make_reference.py -->', '<!-- end of options -->'


def ini_text() -> str:
    """The text of facefusion.ini."""
    sections: dict[str, list[str]] = {}
    for module in OPTION_MODULES:
        for group in import_module(module).GROUPS:
            for info in describe(group):
                keys = sections.setdefault(info.section, [])
                if info.key not in keys:
                    keys.append(info.key)
    blocks = ['\n'.join([f'[{section}]', *(f'{key} =' for key in keys)]) for section, keys in sections.items()]
    return '\n\n'.join(blocks) + '\n'


def options_table() -> str:
    """The options as a Markdown table: those of headless-run first, then what other commands have beside them."""
    lines = ['| option | values | default | what it does |', '|---|---|---|---|']
    others = [group for module in OPTION_MODULES for group in import_module(module).GROUPS]
    for group in dict.fromkeys((*GROUPS, *others)):
        for info in describe(group):
            named = (f'[{info.section}] {info.key}',) if info.is_policy else (info.short, info.flag)
            flags = ', '.join(f'`{name}`' for name in named if name)
            effect = f' (no effect here: {info.no_effect})' if info.no_effect else ''
            lines.append(f'| {flags} | {_values(info)} | {_default(info)} | {info.help}{effect} |')
    return '\n'.join(lines)


def with_table(readme: str) -> str:
    """The README with the table between its two marks made anew."""
    head, rest = readme.split(BEGIN)
    return f'{head}{BEGIN}\n{options_table()}\n{END}{rest.split(END)[1]}'


def catalog_schema() -> str:
    """The JSON Schema of a file of the model catalogue."""
    header = {'$schema': 'https://json-schema.org/draft/2020-12/schema', '$id': 'urn:facefusion:model-catalog:1'}
    return json.dumps(header | msgspec.json.schema(CatalogFile), indent=2) + '\n'


def _values(info: OptionInfo) -> str:
    if info.choices:
        text = ', '.join(str(choice) for choice in info.choices)
    elif info.kind == 'flag':
        text = 'given or not'
    elif info.minimum is not None and info.maximum is not None:
        text = f'{info.minimum:g} to {info.maximum:g}' + (f' in steps of {info.step:g}' if info.step else '')
    else:
        text = {'path': 'path', 'int': 'number', 'float': 'number', 'text': 'text'}[info.kind]
    many = f'up to {info.most_items}' if info.most_items else 'several'
    return f'{text} ({many})' if info.is_list and info.most_items != 1 else text


def _default(info: OptionInfo) -> str:
    if info.default is None or info.default == () or info.kind == 'flag':
        return ''
    return ' '.join(str(item) for item in info.default) if isinstance(info.default, tuple) else str(info.default)


if __name__ == '__main__':
    (ROOT / 'facefusion.ini').write_text(ini_text(), encoding='utf-8')
    (ROOT / 'docs' / 'model-catalog.schema.json').write_text(catalog_schema(), encoding='utf-8')
    page = ROOT / 'README.md'
    page.write_text(with_table(page.read_text(encoding='utf-8')), encoding='utf-8')
