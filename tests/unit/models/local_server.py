"""A local web server for the download tests, with configurable faults."""

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
    """The responses of the server by path, and its requests."""

    files: dict[str, bytes] = field(default_factory=dict)
    tag: str = '"one"'
    # The number of bytes after which the connection is closed, per path and request.
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
                first = start + 7 if site.wrong_range else start
                headers = {'Content-Range': f'bytes {first}-{len(body) - 1}/{len(body)}'}
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
        """Ignore clients that close their connection early."""
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
