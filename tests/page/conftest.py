"""A browser and a server for each file of these tests, and visits that end with an empty console."""

from __future__ import annotations

import pytest
from fakes.page_server import page_server
from fakes.page_visits import Visit, open_browser


# Playwright's loop occupies the thread of the tests, so the browser does not outlive the file.
@pytest.fixture(scope='module')
def browser():
    with open_browser() as opened:
        yield opened


@pytest.fixture(scope='module')
def server(tmp_path_factory):
    """A server with an empty store, which the tests of a file share."""
    with page_server(tmp_path_factory.mktemp('page')) as running:
        yield running


@pytest.fixture
def visit(browser):
    """A function that opens a profile on a server; at the end each of them must have an empty console."""
    visits: list[Visit] = []

    def start(server, **settings) -> Visit:
        visits.append(Visit(browser, server, **settings))
        return visits[-1]

    yield start
    try:
        for each in visits:
            each.check()
    finally:
        for each in visits:
            each.context.close()
