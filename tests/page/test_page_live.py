"""The page over time: many tabs, a server that restarts, no network, and what the page weighs."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
from fakes.job_stores import make_queued, make_record, make_store
from fakes.page_server import page_server
from fakes.page_visits import NO_BROWSER, browser_program, skip_or_fail
from playwright.sync_api import expect

LIVE = 'Live'
TOKEN = 'a-token-that-stays'
TABS = 10
SCREENS = ('studio', 'people', 'queue', 'models', 'benchmark', 'settings')
OFFLINE_VISIT = Path(__file__).with_name('offline_visit.py')


@pytest.fixture
def fresh_server(tmp_path):
    with page_server(tmp_path) as running:
        yield running


def state(page):
    """The live state in the bar."""
    return page.locator('.live .state')


def test_ten_tabs_stay_live(server, visit):
    visitor = visit(server)
    pages = [visitor.open('queue') for _ in range(TABS)]
    for page in pages:
        expect(state(page)).to_have_text(LIVE)
    make_queued(make_store(server.folder), make_record('news', folder=server.folder))
    for page in pages:
        expect(page.get_by_role('link', name='news')).to_be_attached()
    # The first tab has the connection; the others choose a new one when it is closed.
    pages.pop(0).close()
    make_queued(make_store(server.folder), make_record('more-news', folder=server.folder))
    for page in pages:
        expect(page.get_by_role('link', name='more-news')).to_be_attached()


def test_the_page_comes_back_after_a_restart_of_the_server(tmp_path, visit):
    environ = {'FACEFUSION_TOKEN': TOKEN}
    with page_server(tmp_path, environ=environ) as server:
        visitor = visit(server)
        visitor.expect('ERR_|status of 404')
        page = visitor.open('queue')
        expect(page.locator('ff-worker-bar')).to_contain_text('No worker')
        expect(state(page)).to_have_text(LIVE)
    expect(state(page)).to_have_text('No connection')
    make_queued(make_store(tmp_path), make_record('meanwhile', folder=tmp_path))
    with page_server(tmp_path, '--port', str(server.port), environ=environ):
        expect(state(page)).to_have_text(LIVE)
        expect(page.get_by_role('link', name='meanwhile')).to_be_visible()


def test_a_restart_with_a_new_token_asks_for_the_new_address(tmp_path, visit):
    with page_server(tmp_path) as server:
        visitor = visit(server)
        visitor.expect('ERR_|status of 40[14]')
        page = visitor.open('queue')
        expect(page.locator('ff-worker-bar')).to_contain_text('No worker')
        expect(state(page)).to_have_text(LIVE)
    with page_server(tmp_path, '--port', str(server.port)) as again:
        expect(state(page)).to_contain_text('Signed out')
        other = visitor.context.new_page()
        other.goto(again.address)
        # The new cookie is that of both tabs.
        for each in (page, other):
            expect(state(each)).to_have_text(LIVE)


def test_a_screen_that_failed_to_load_is_loaded_when_the_server_is_back(tmp_path, visit):
    environ = {'FACEFUSION_TOKEN': TOKEN}
    with page_server(tmp_path, environ=environ) as server:
        visitor = visit(server)
        visitor.expect('ERR_|Failed to fetch dynamically imported module')
        page = visitor.open('queue')
        expect(state(page)).to_have_text(LIVE)
    page.get_by_role('link', name='Settings').click()
    expect(page.get_by_role('alert')).to_contain_text('Failed to fetch')
    with page_server(tmp_path, '--port', str(server.port), environ=environ):
        expect(page.locator('ff-settings h1')).to_be_visible(timeout=20_000)


def test_the_page_is_light_and_starts_fast(server, visit):
    visitor = visit(server)
    began = time.monotonic()
    page = visitor.open()
    expect(page.get_by_role('button', name='Choose a target')).to_be_enabled()
    # Below 1 s on an idle machine (benchmarks/page.py).
    assert time.monotonic() - began < 15
    for name in SCREENS:
        page.goto(f'{visitor.base}#/{name}')
        expect(page.locator(f'ff-{name}')).to_be_visible()
    page.wait_for_timeout(500)
    own = [request for request in visitor.requests if '/api/' not in request.url and request.response()]
    sizes = {request.url: max(0, request.sizes()['responseBodySize']) for request in own}
    assert len(sizes) > 40
    assert sum(sizes.values()) < 250_000


def test_an_idle_server_is_small_and_is_asked_for_nothing(fresh_server, visit):
    visitor = visit(fresh_server)
    page = visitor.open('queue')
    expect(state(page)).to_have_text(LIVE)
    # On a busy machine the first answers of the server come late; then the page is quiet.
    for _ in range(10):
        visitor.requests.clear()
        page.wait_for_timeout(2000)
        if not visitor.requests:
            break
    assert [request.url for request in visitor.requests] == []
    assert psutil.Process(fresh_server.process.pid).memory_info().rss < 70e6


@pytest.mark.skipif(sys.platform != 'linux', reason='network namespaces are a feature of Linux')
def test_the_page_works_without_any_network(tmp_path):
    if browser_program() is None:
        skip_or_fail(NO_BROWSER)
    unshare, ip = shutil.which('unshare'), shutil.which('ip', path=f'{os.environ["PATH"]}:/usr/sbin:/sbin')
    if unshare is None or ip is None:
        skip_or_fail('unshare or ip is missing here')
    alone = [unshare, '--net', '--']
    if subprocess.run([*alone, ip, 'link', 'set', 'lo', 'up'], capture_output=True, check=False).returncode != 0:
        pytest.skip('this user may not create network namespaces')
    words = f'"{ip}" link set lo up && exec "{sys.executable}" "{OFFLINE_VISIT}" "{tmp_path}"'
    done = subprocess.run([*alone, 'sh', '-c', words], capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    assert json.loads(done.stdout.splitlines()[-1]) == dict.fromkeys(SCREENS, LIVE)
