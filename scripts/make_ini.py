"""Writes facefusion.ini with every option that an ini file may set, all of them blank.

    python scripts/make_ini.py

A blank value means the built-in default. A test holds the file to the declared options.
"""

from __future__ import annotations

from importlib import import_module
from pathlib import Path

from facefusion.cli.commands import OPTION_MODULES
from facefusion.options import describe

ROOT = Path(__file__).resolve().parent.parent


def ini_text() -> str:
    """The file's text."""
    sections: dict[str, list[str]] = {}
    for module in OPTION_MODULES:
        for group in import_module(module).GROUPS:
            for info in describe(group):
                keys = sections.setdefault(info.section, [])
                if info.key not in keys:
                    keys.append(info.key)
    blocks = ['\n'.join([f'[{section}]', *(f'{key} =' for key in keys)]) for section, keys in sections.items()]
    return '\n\n'.join(blocks) + '\n'


if __name__ == '__main__':
    (ROOT / 'facefusion.ini').write_text(ini_text(), encoding='utf-8')
