"""A fixed sample of the cases of a test with many cases; ``--exhaustive`` selects all cases."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import TypeVar

import pytest

Case = TypeVar('Case')


def sample(config: pytest.Config, cases: Sequence[Case], most: int, seed: str) -> list[Case]:
    """Return ``most`` of the cases in order, including the first and the last; return all with ``--exhaustive``."""
    if config.getoption('--exhaustive') or len(cases) <= most:
        return list(cases)
    inner = random.Random(seed).sample(range(1, len(cases) - 1), most - 2)
    return [cases[k] for k in (0, *sorted(inner), len(cases) - 1)]
