"""Regenerate locks/*.txt from pyproject.toml: exact versions with hashes for every system and Python 3.11 to 3.13.

The script needs ``uv`` on the PATH or in the Python that runs it. ``cpu.txt`` and ``gpu.txt`` list all requirements of
the program with one ONNX Runtime build each; the file of any other extra lists only additional packages, at versions
that suit both. Index addresses come from the machine's settings and are never written to the files.

Usage: python scripts/lock.py [--upgrade]
"""

from __future__ import annotations

import argparse
import importlib.util
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
LOCKS = ROOT / 'locks'
LOWEST_PYTHON = '3.11'
RUNTIMES = ('cpu', 'gpu')
# Later versions have no builds for Macs with Intel processors.
_ON_INTEL_MAC = 'sys_platform == "darwin" and platform_machine == "x86_64"'
INTEL_MAC = (f'onnxruntime<1.24 ; {_ON_INTEL_MAC}', f'cryptography<49 ; {_ON_INTEL_MAC}')
# The newest version with a wheel for every system; later versions lack those for Windows or for Linux.
CREDENTIALS = 'c2pa-python<0.38.1'


def uv_command() -> list[str]:
    """Return the command that starts uv; exit with a hint if uv is missing."""
    if importlib.util.find_spec('uv'):
        return [sys.executable, '-m', 'uv']
    found = shutil.which('uv')
    if found is None:
        sys.exit('lock.py needs uv: install it with "python -m pip install uv" in any environment')
    return [found]


def compile_lock(name: str, requirements: list[str], constraints: list[str], upgrade: bool) -> None:
    """Resolve ``requirements`` into locks/NAME.txt, at the versions of the locks named in ``constraints``."""
    command = [*uv_command(), 'pip', 'compile', '-', '--output-file', str(LOCKS / f'{name}.txt')]
    command += ['--universal', '--python-version', LOWEST_PYTHON, '--generate-hashes', '--quiet']
    command += ['--no-header', '--no-annotate', '--no-emit-index-url', '--no-emit-find-links']
    for constraint in constraints:
        command += ['--constraints', str(LOCKS / f'{constraint}.txt')]
    if upgrade:
        command.append('--upgrade')
    subprocess.run(command, input='\n'.join(requirements), text=True, check=True, cwd=ROOT, stdout=subprocess.DEVNULL)


def main() -> None:
    """Lock the two runtimes, then every other extra against both."""
    parser = argparse.ArgumentParser(description='Regenerate locks/*.txt from pyproject.toml.')
    parser.add_argument('--upgrade', action='store_true', help='use the newest versions instead of the locked ones')
    upgrade = parser.parse_args().upgrade
    project = tomllib.loads((ROOT / 'pyproject.toml').read_text(encoding='utf-8'))['project']
    extras: dict[str, list[str]] = project['optional-dependencies']
    LOCKS.mkdir(exist_ok=True)
    compile_lock('cpu', [*project['dependencies'], *extras['cpu'], *INTEL_MAC, CREDENTIALS], [], upgrade)
    compile_lock('gpu', [*project['dependencies'], *extras['gpu'], INTEL_MAC[1], CREDENTIALS], ['cpu'], upgrade)
    for name in sorted(set(extras) - set(RUNTIMES)):
        compile_lock(name, extras[name], list(RUNTIMES), upgrade)
    print('wrote ' + ', '.join(sorted(str(path.relative_to(ROOT)) for path in LOCKS.glob('*.txt'))))


if __name__ == '__main__':
    main()
