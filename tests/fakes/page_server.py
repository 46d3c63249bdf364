"""The page's server in a process of its own, and a client for it."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import parse_qs, quote, urlencode, urlsplit

from fakes.program import ROOT

API = '/api/v1'


class Reply(NamedTuple):
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


class PageServer:
    """A running server; ``folder`` contains its job store ``jobs`` and is a media root."""

    def __init__(self, folder: Path, process: subprocess.Popen[str], address: str) -> None:
        self.folder, self.process, self.address = folder, process, address
        parts = urlsplit(address)
        self.port = int(parts.port or 0)
        self.token = parse_qs(parts.query)['token'][0]

    def raw(self, method: str, target: str, body: bytes | None = None, headers: dict[str, str] | None = None) -> Reply:
        """Send a request without a token."""
        connection = http.client.HTTPConnection('127.0.0.1', self.port, timeout=120)
        with contextlib.closing(connection):
            connection.request(method, target, body, headers or {})
            found = connection.getresponse()
            return Reply(found.status, {name.lower(): value for name, value in found.getheaders()}, found.read())

    def call(
        self, method: str, route: str, body: Any = None, headers: dict[str, str] | None = None, **query: Any
    ) -> Reply:
        """Send a request below /api/v1 with the token; ``body`` is JSON, or bytes."""
        data = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
        target = API + quote(route) + ('?' + urlencode(query) if query else '')
        return self.raw(method, target, data, {'authorization': f'Bearer {self.token}', **(headers or {})})

    def get(self, route: str, **query: Any) -> Any:
        """Return the JSON of a successful GET."""
        reply = self.call('GET', route, **query)
        assert reply.status == 200, (reply.status, reply.body[:500])
        return reply.json

    def post(self, route: str, body: Any = None, status: int = 200) -> Any:
        """Return the JSON of a POST with this status."""
        reply = self.call('POST', route, body if body is not None else {})
        assert reply.status == status, (reply.status, reply.body[:500])
        return reply.json if reply.body else None

    @contextlib.contextmanager
    def events(self) -> Iterator[EventReader]:
        """Open the stream of events."""
        connection = http.client.HTTPConnection('127.0.0.1', self.port, timeout=60)
        with contextlib.closing(connection):
            connection.request('GET', f'{API}/events', headers={'authorization': f'Bearer {self.token}'})
            yield EventReader(connection.getresponse())


class EventReader:
    """Reads server-sent events; a read fails after 60 seconds without a line."""

    def __init__(self, reply: http.client.HTTPResponse) -> None:
        assert reply.status == 200, reply.read()
        self.reply = reply

    def next(self) -> tuple[str, Any]:
        """Return the name and data of the next event. Raises EOFError at the end of the stream."""
        name = ''
        while line := self.reply.readline().decode():
            if line.startswith('event: '):
                name = line[7:].strip()
            elif line.startswith('data: '):
                return name, json.loads(line[6:])
        raise EOFError('the stream has ended')

    def until(self, name: str, test: Callable[[Any], bool] = lambda data: True) -> Any:
        """Return the data of the first event of this name that passes the test."""
        seen = []
        for _ in range(5000):
            found, data = self.next()
            if found == name and test(data):
                return data
            seen.append(found)
        raise AssertionError(f'no event {name} in {seen}')


@contextlib.contextmanager
def page_server(folder: Path, *words: str, environ: dict[str, str] | None = None) -> Iterator[PageServer]:
    """Serve the page on a free port until the block ends."""
    settings = {
        'FACEFUSION_HOME': str(ROOT),
        'FACEFUSION_JOBS_PATH': str(folder / 'jobs'),
        'FACEFUSION_MODELS_PATH': str(ROOT / 'models' / 'weights'),
        'FACEFUSION_OFFLINE': 'yes',
        'PYTHONPATH': str(ROOT),
    }
    command = [sys.executable, str(ROOT / 'facefusion.py'), 'gui', '--port', '0', '--media-roots', str(folder), *words]
    process = subprocess.Popen(
        command, cwd=folder, env={**os.environ, **settings, **(environ or {})}, stdout=subprocess.PIPE, text=True
    )
    try:
        assert process.stdout is not None
        address = process.stdout.readline().strip()
        assert address.startswith('http://127.0.0.1:'), f'the server did not start: {address!r}'
        yield PageServer(folder, process, address)
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.send_signal(signal.SIGTERM)
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        if process.stdout is not None:
            process.stdout.close()
