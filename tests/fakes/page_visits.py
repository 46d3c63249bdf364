"""A visitor of the page: a browser and its pages, with what they logged and fetched."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from fakes.page_server import PageServer
from playwright.sync_api import Browser, BrowserContext, Page, Request, sync_playwright

BROWSERS = ('chromium', 'chromium-browser', 'google-chrome', 'msedge')
# As root Chromium needs --no-sandbox; containers often have a small /dev/shm.
ARGUMENTS = ['--no-sandbox', '--disable-dev-shm-usage']
PATIENCE_MS = 30_000
NO_BROWSER = 'no Chromium here: apt-get install chromium, or set FACEFUSION_TEST_BROWSER to its path'
# A picture that is not shown yet has no pixels.
_PIXELS = """(picture) => {
    if (!picture.complete || !picture.naturalWidth) return '';
    const canvas = document.createElement('canvas');
    const [width, height] = [canvas.width, canvas.height] = [picture.naturalWidth, picture.naturalHeight];
    const brush = canvas.getContext('2d');
    brush.drawImage(picture, 0, 0);
    let sum = 2166136261;
    for (const value of brush.getImageData(0, 0, width, height).data) sum = Math.imul(sum ^ value, 16777619);
    return `${width}x${height} ${sum}`;
}"""


def skip_or_fail(reason: str) -> None:
    """Skip the test, or let it fail with CI set, where nothing may be left out."""
    if os.environ.get('CI'):
        pytest.fail(reason)
    pytest.skip(reason)


def browser_program() -> str | None:
    """Return the path of Chromium: FACEFUSION_TEST_BROWSER, or the first one on the PATH; None if there is none."""
    named = os.environ.get('FACEFUSION_TEST_BROWSER')
    if named:
        return shutil.which(named)
    return next((found for name in BROWSERS if (found := shutil.which(name))), None)


@contextlib.contextmanager
def open_browser() -> Iterator[Browser]:
    """Start Chromium without a window. Skips the test if this machine has none."""
    program = browser_program()
    if program is None:
        skip_or_fail(NO_BROWSER)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=ARGUMENTS)
        try:
            yield browser
        finally:
            browser.close()


class Visit:
    """A profile of a browser that is logged in to a server; its tabs share cookies, locks and channels.

    ``check`` fails for console messages, script errors and requests to other servers.
    """

    def __init__(self, browser: Browser, server: PageServer, **settings: Any) -> None:
        self.server = server
        self.base = f'http://127.0.0.1:{server.port}/'
        self.context: BrowserContext = browser.new_context(**{'viewport': {'width': 1280, 'height': 800}, **settings})
        self.context.set_default_timeout(PATIENCE_MS)
        self.context.on('request', self._note_request)
        self.context.on('console', lambda message: self.messages.append(f'{message.type}: {message.text}'))
        self.context.on('weberror', lambda error: self.messages.append(f'script error: {error.error}'))
        self.requests: list[Request] = []
        self.messages: list[str] = []
        self.expected: list[str] = []

    def _note_request(self, request: Request) -> None:
        self.requests.append(request)

    def open(self, route: str = '') -> Page:
        """Open a tab with a screen, such as ``queue``; the first one logs in."""
        page = self.context.new_page()
        if not self.context.cookies():
            page.goto(self.server.address)
        if route or len(self.context.pages) > 1:
            page.goto(f'{self.base}#/{route}')
        return page

    def expect(self, pattern: str) -> None:
        """Permit console messages that contain this regular expression, such as the browser's line for a status 409."""
        self.expected.append(pattern)

    def check(self) -> None:
        """Fail if the console is not empty, or if a page asked another server."""
        unexpected = [text for text in self.messages if not any(re.search(each, text) for each in self.expected)]
        assert not unexpected, unexpected
        foreign = [request.url for request in self.requests if self._is_foreign(request.url)]
        assert not foreign, foreign

    def _is_foreign(self, url: str) -> bool:
        return urlsplit(url).scheme not in ('blob', 'data') and not url.startswith(self.base)


def pixels_of(page: Page, alt: str = 'The frame after') -> str:
    """Return a digest of the pixels of a shown picture, which is empty without a picture."""
    return str(page.get_by_alt_text(alt, exact=True).evaluate(_PIXELS))


def when_changed(page: Page, before: str, alt: str = 'The frame after', seconds: float = 20) -> float:
    """Wait until a shown picture is another one, and return the seconds that it took."""
    began = time.monotonic()
    while pixels_of(page, alt) == before:
        assert time.monotonic() - began < seconds, f'the picture {alt!r} did not change'
        page.wait_for_timeout(20)
    return time.monotonic() - began


def set_draft(server: PageServer, **args: Any) -> None:
    """Replace the unfinished step of the page."""
    # A page that a test has just closed may still send its last change.
    for _ in range(5):
        version = server.get('/draft')['version']
        reply = server.call('PUT', '/draft', {'version': version, 'args': args})
        if reply.status != 409:
            break
    assert reply.status == 200, reply.body


def copied(path: Path, folder: Path, name: str | None = None) -> Path:
    """Copy a file into a media root."""
    folder.mkdir(parents=True, exist_ok=True)
    return Path(shutil.copyfile(path, folder / (name or path.name)))
