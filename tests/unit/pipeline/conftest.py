"""Fixtures of complete runs on small clips."""

from __future__ import annotations

import shutil

import pytest
from fakes.runs import ShortRuns


@pytest.fixture
def runs(tmp_path, monkeypatch):
    return ShortRuns(tmp_path, monkeypatch)


@pytest.fixture
def wanted(runs):
    """The output of an uninterrupted run; its work folder is removed."""
    runs.execute()
    data = runs.output.read_bytes()
    runs.output.unlink()
    shutil.rmtree(runs.work)
    return data
