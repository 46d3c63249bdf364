"""A server of the page for the tests of a module, with a folder of media files."""

from __future__ import annotations

from pathlib import Path

import pytest
from fakes.page_server import PageServer, page_server
from fakes.tiny_clip import make_tiny_clip


@pytest.fixture(scope='module')
def page(tmp_path_factory) -> PageServer:
    """A running server; its folder is the only root apart from the uploads."""
    folder = tmp_path_factory.mktemp('page')
    with page_server(folder) as server:
        yield server


@pytest.fixture(scope='module')
def clip(page) -> Path:
    """A clip of 60 frames inside the root, 160x96."""
    return make_tiny_clip(page.folder / 'clip.mp4', 60)
