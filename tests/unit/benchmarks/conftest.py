"""Add the folders of scripts and benchmarks to the import path, because they are not packages."""

from __future__ import annotations

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
sys.path[:0] = [str(ROOT / 'benchmarks'), str(ROOT / 'scripts')]
