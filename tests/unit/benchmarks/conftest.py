"""The scripts and benchmarks are programs, not packages: their folders go to the path."""

from __future__ import annotations

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
sys.path[:0] = [str(ROOT / 'benchmarks'), str(ROOT / 'scripts')]
