"""Check lint, format and the types of Python and of the page's JavaScript, as CI does. Exits with 1 if any check fails.

Usage: python scripts/check.py (in an environment with the extra "dev"), or python3 install.py check
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
CHECKS = (
    ('-m', 'ruff', 'check', '.'),
    ('-m', 'ruff', 'format', '--check', '.'),
    ('-m', 'mypy'),
    ('scripts/check_page.py',),
)


def main() -> None:
    """Run every check and name the failed ones."""
    failed = []
    for check in CHECKS:
        print('$ python ' + ' '.join(check), flush=True)
        if subprocess.run([sys.executable, *check], cwd=ROOT, check=False).returncode != 0:
            failed.append(' '.join(check))
    if failed:
        sys.exit('failed: ' + ', '.join(failed))


if __name__ == '__main__':
    main()
