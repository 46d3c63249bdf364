"""Check the types of the page's JavaScript with the TypeScript compiler, from its JSDoc comments.

The compiler is the npm package of tests/page/package-lock.json, installed into tests/page/node_modules. The check is
skipped where node is missing or the package cannot be fetched; with CI set it fails there.

Usage: python scripts/check_page.py
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

FOLDER = Path(__file__).resolve().parent.parent / 'tests' / 'page'
COMPILER = FOLDER / 'node_modules' / 'typescript' / 'bin' / 'tsc'
INSTALLED = FOLDER / 'node_modules' / '.installed-lock.json'
# The packages run no scripts of their own, and the lock pins their digests.
INSTALL = ('ci', '--ignore-scripts', '--no-audit', '--no-fund')


def main() -> None:
    """Install the compiler if the lock changed, and check the page. Exits with 1 for wrong types."""
    obstacle = prepare()
    if obstacle:
        text = f'types of the page not checked: {obstacle}'
        if os.environ.get('CI'):
            sys.exit(text)
        print(text)
        return
    sys.exit(subprocess.run(['node', str(COMPILER), '-p', str(FOLDER)], check=False).returncode)


def prepare() -> str:
    """Install the locked packages, and return the reason why that is impossible, or ''."""
    npm = shutil.which('npm')
    if npm is None or shutil.which('node') is None:
        return 'node and npm are not on the PATH; install Node.js 18 or later'
    lock = (FOLDER / 'package-lock.json').read_bytes()
    if COMPILER.exists() and INSTALLED.exists() and INSTALLED.read_bytes() == lock:
        return ''
    done = subprocess.run([npm, *INSTALL], cwd=FOLDER, check=False, capture_output=True, text=True)
    if done.returncode != 0:
        return 'npm could not install the compiler; ' + ' '.join(done.stderr.split())[:300]
    INSTALLED.write_bytes(lock)
    return ''


if __name__ == '__main__':
    main()
