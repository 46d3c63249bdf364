"""A web server of one thread for the download tests, which misbehaves as it is told to."""

from __future__ import annotations

import contextlib
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass
class Site:
    """What the server answers, by path, and the requests that it got."""

    files: dict[str, bytes] = field(default_factory=dict)
    tag: str = '"one"'
    # Per path: after how many bytes the connection is cut, for as many requests as the list is long.
    cuts: dict[str, list[int]] = field(default_factory=dict)
    statuses: dict[str, list[int]] = field(default_factory=dict)
    wrong_range: bool = False
    stalls: threading.Event | None = None
    address: str = ''
    requests: list[tuple[str, str]] = field(default_factory=list)

    def url(self, path: str) -> str:
        return self.address + path


def handler_for(site: Site) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = 'HTTP/1.1'

        def log_message(self, *_: object) -> None:
            pass

        def do_GET(self) -> None:
            asked = self.headers.get('Range', '')
            site.requests.append((self.path, asked))
            if site.statuses.get(self.path):
                return self.answer(site.statuses[self.path].pop(0), b'no')
            if self.path not in site.files:
                return self.answer(404, b'no')
            body = site.files[self.path]
            if asked and self.headers.get('If-Range') == site.tag:
                start = int(asked.removeprefix('bytes=').rstrip('-'))
                if start >= len(body):
                    return self.answer(416, b'')
                told = start + 7 if site.wrong_range else start
                headers = {'Content-Range': f'bytes {told}-{len(body) - 1}/{len(body)}'}
                return self.answer(206, body[start:], headers)
            return self.answer(200, body)

        def answer(self, status: int, body: bytes, headers: dict[str, str] | None = None) -> None:
            self.send_response(status)
            for key, value in {'Content-Length': str(len(body)), 'ETag': site.tag, **(headers or {})}.items():
                self.send_header(key, value)
            self.end_headers()
            cuts = site.cuts.get(self.path, []) if status in (200, 206) else []
            cut = cuts.pop(0) if cuts else None
            with contextlib.suppress(OSError):
                self.wfile.write(body[:cut])
                self.wfile.flush()
                if cut is not None:
                    if site.stalls is not None:
                        site.stalls.wait(30)
                    self.close_connection = True

    return Handler


class Server(ThreadingHTTPServer):
    def handle_error(self, request: Any, client_address: Any) -> None:
        """Says nothing: a client that is stopped closes its connection in the middle."""
        if not isinstance(sys.exc_info()[1], ConnectionError):
            super().handle_error(request, client_address)


@contextlib.contextmanager
def served() -> Iterator[Site]:
    site = Site()
    server = Server(('127.0.0.1', 0), handler_for(site))
    server.daemon_threads = True
    site.address = f'http://127.0.0.1:{server.server_address[1]}'
    thread = threading.Thread(target=server.serve_forever, kwargs={'poll_interval': 0.05}, daemon=True)
    thread.start()
    try:
        yield site
    finally:
        if site.stalls is not None:
            site.stalls.set()
        server.shutdown()
        server.server_close()
        thread.join()
