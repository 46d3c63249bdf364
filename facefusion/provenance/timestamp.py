"""A local HTTP relay between the C2PA library and a timestamp authority (RFC 3161), with limits on bytes and time.

The client of the library (c2pa-python 0.38) cannot be stopped before its own timeout of 30 s, reads an endless reply
into memory (400 MB were measured), and includes the full address with its password in its errors. It cannot be
replaced, because the library does not use the HTTP resolver of a context for timestamps. So the library gets the
address of this relay instead.
"""

from __future__ import annotations

import hmac
import os
import secrets
import socket
import threading
import time
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler
from socketserver import TCPServer, ThreadingMixIn
from typing import Any, Self

import requests
from requests.adapters import HTTPAdapter

from facefusion.stopping import POLL_SECONDS, StopFlag

_HOST = '127.0.0.1'
_PIECE = 4096
# The first byte of a TimeStampResp: the tag of a DER sequence.
_SEQUENCE = 0x30
_PROXIES = ('http_proxy', 'all_proxy')


@dataclass(frozen=True, slots=True)
class RelayLimits:
    """Time limits per connection and in total, and the size limit of a query or reply, which is usually under 10 KB."""

    connect_seconds: float = 10.0
    total_seconds: float = 20.0
    largest_bytes: int = 64 << 10


class RelayFailure(Exception):
    """The reason for a missing timestamp, in plain words without the address; 'it' is the authority."""


class Relay(ThreadingMixIn, TCPServer):
    """A server on 127.0.0.1 that forwards queries to ``authority`` inside a ``with`` block.

    It answers only POST requests to ``url``, which cannot be guessed. It verifies TLS certificates, follows no
    redirect, and uses the proxies of the environment and the credentials in the address. Setting ``flag`` ends a query
    at once. ``failure`` is the failure of the last query, if any; ``was_answered`` is true once a reply was forwarded.

    Raises RelayFailure when this machine allows no listening socket.
    """

    # The base class is TCPServer, because HTTPServer looks up the name of this machine, which can take seconds.
    daemon_threads = True

    def __init__(self, authority: str, flag: StopFlag | None = None, limits: RelayLimits | None = None) -> None:
        self.failure: RelayFailure | None = None
        self.was_answered = False
        self.limits = limits or RelayLimits()
        self.path = f'/{secrets.token_urlsafe(32)}'
        self._authority = authority
        self._flag = flag
        self._is_closed = False
        _exempt_from_proxies()
        try:
            super().__init__((_HOST, 0), _Handler)
        except OSError as error:
            raise RelayFailure(f'no local port can be opened ({error.strerror or error})') from None
        # The address that the library connects to.
        self.url = f'http://{_HOST}:{self.server_address[1]}{self.path}'

    def __enter__(self) -> Self:
        threading.Thread(target=self.serve_forever, args=(0.02,), name='timestamp relay', daemon=True).start()
        return self

    def __exit__(self, *error: object) -> None:
        self._is_closed = True
        self.shutdown()
        self.server_close()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Ignore the error: it means that the library closed the connection."""

    def ask(self, query: bytes) -> bytes:
        """Return the reply of the authority. Raises RelayFailure, which is also stored in ``failure``."""
        self.failure = None
        reply: Future[bytes] = Future()
        adapter = _AbandonableAdapter()
        # A separate thread sends the query, because name lookups cannot be interrupted.
        arguments = (reply, adapter, self._authority, query, self.limits)
        threading.Thread(target=_fetch, args=arguments, name='timestamp query', daemon=True).start()
        try:
            answer = self._wait(reply)
        except RelayFailure as failure:
            self.failure = failure
            raise
        finally:
            adapter.abandon()
        self.was_answered = True
        return answer

    def _wait(self, reply: Future[bytes]) -> bytes:
        deadline = time.monotonic() + self.limits.total_seconds
        while time.monotonic() < deadline:
            if self._is_closed or (self._flag is not None and self._flag.is_set()):
                raise RelayFailure('a stop was requested')
            with suppress(TimeoutError):
                return reply.result(POLL_SECONDS)
        raise _timed_out(self.limits)


class _Handler(BaseHTTPRequestHandler):
    server: Relay
    # The seconds that a client has to send its request.
    timeout = 5.0

    def do_POST(self) -> None:
        relay = self.server
        length = self.headers.get('Content-Length', '')
        if not hmac.compare_digest(self.path.encode(), relay.path.encode()):
            self._reply(404)
        elif not (length.isascii() and length.isdigit()):
            self._reply(411)
        elif len(length) > 9 or int(length) > relay.limits.largest_bytes:
            self._reply(413)
        else:
            try:
                reply = relay.ask(self.rfile.read(int(length)))
            except RelayFailure:
                self._reply(502)
            else:
                self._reply(200, reply)

    def log_message(self, format: str, *arguments: object) -> None:
        """Log nothing: the relay stores its failure."""

    def _reply(self, status: int, body: bytes = b'') -> None:
        self.send_response(status)
        self.send_header('Content-Type', 'application/timestamp-reply')
        self.send_header('Content-Length', str(len(body)))
        self.end_headers()
        self.wfile.write(body)


class _AbandonableAdapter(HTTPAdapter):
    """An adapter whose connections another thread can end, even while a slow reply is being read.

    It duplicates the sockets, because urllib3 detaches them for TLS and drops its reference while a reply is read.
    """

    def __init__(self) -> None:
        self._sockets: list[socket.socket] = []
        self._is_abandoned = False
        super().__init__()

    def get_connection_with_tls_context(self, *arguments: Any, **named: Any) -> Any:
        pool: Any = super().get_connection_with_tls_context(*arguments, **named)
        base = pool.ConnectionCls

        def connect(connection: Any) -> socket.socket:
            made: socket.socket = base._new_conn(connection)
            self._sockets.append(made.dup())
            if self._is_abandoned:
                self.abandon()
            return made

        pool.ConnectionCls = type('AbandonableConnection', (base,), {'_new_conn': connect})
        return pool

    def abandon(self) -> None:
        """End all connections, present and future."""
        self._is_abandoned = True
        for duplicate in tuple(self._sockets):
            with suppress(OSError):
                # Closing the socket alone would not wake the thread that waits for it.
                duplicate.shutdown(socket.SHUT_RDWR)
            duplicate.close()


def _fetch(reply: Future[bytes], adapter: HTTPAdapter, authority: str, query: bytes, limits: RelayLimits) -> None:
    headers = {
        'Content-Type': 'application/timestamp-query',
        'Accept': 'application/timestamp-reply',
        'Accept-Encoding': 'identity',
    }
    timeout = (limits.connect_seconds, limits.total_seconds)
    try:
        with requests.Session() as session:
            session.mount('http://', adapter)
            session.mount('https://', adapter)
            with session.post(
                authority, query, headers=headers, timeout=timeout, stream=True, allow_redirects=False
            ) as response:
                reply.set_result(_receive(response, limits))
    except RelayFailure as failure:
        reply.set_exception(failure)
    except (OSError, ValueError) as error:
        # All errors of requests are OSError.
        reply.set_exception(_failure_of(error, limits))


def _receive(response: requests.Response, limits: RelayLimits) -> bytes:
    status = response.status_code
    if status != 200:
        redirect = ', a redirect, which is not followed' if 300 <= status < 400 else ''
        raise RelayFailure(f'it answered with status {status}{redirect}')
    if response.headers.get('Content-Encoding', 'identity').lower() != 'identity':
        raise RelayFailure('its reply is compressed')
    reply = bytearray()
    for piece in response.iter_content(_PIECE):
        reply += piece
        if len(reply) > limits.largest_bytes:
            raise RelayFailure(f'its reply is longer than {limits.largest_bytes} bytes')
    if not reply or reply[0] != _SEQUENCE:
        raise RelayFailure('its reply is not a timestamp' if reply else 'its reply is empty')
    return bytes(reply)


def _timed_out(limits: RelayLimits) -> RelayFailure:
    return RelayFailure(f'it did not answer within {limits.total_seconds:g} seconds')


def _failure_of(error: Exception, limits: RelayLimits) -> RelayFailure:
    """Return the failure for an error of requests, whose own text may contain the address with its password."""
    reasons = {
        requests.exceptions.ProxyError: 'the proxy cannot be reached, or refuses the connection',
        requests.exceptions.SSLError: 'its TLS certificate cannot be verified, or TLS failed',
        requests.ConnectTimeout: f'it accepted no connection within {limits.connect_seconds:g} seconds',
        requests.Timeout: str(_timed_out(limits)),
        requests.exceptions.ChunkedEncodingError: 'its reply ended too early',
        ConnectionRefusedError: 'it refused the connection',
        socket.gaierror: 'its name cannot be resolved',
        TimeoutError: str(_timed_out(limits)),
        requests.ConnectionError: 'the connection to it failed',
    }
    causes: list[BaseException] = [error]
    while (cause := causes[-1].__cause__ or causes[-1].__context__) is not None:
        causes.append(cause)
    found = (reason for kind, reason in reasons.items() if any(isinstance(cause, kind) for cause in causes))
    return RelayFailure(next(found, f'the request failed ({type(error).__name__})'))


def _exempt_from_proxies() -> None:
    """Exclude the relay from the environment's proxies, because the library's client has no other setting for this.

    The change is permanent, because another thread may still be signing.
    """
    if not any(name.lower() in _PROXIES for name in os.environ):
        return
    known = os.environ.get('no_proxy') or os.environ.get('NO_PROXY') or ''
    for name in ('no_proxy', 'NO_PROXY'):
        hosts = [host.strip() for host in (os.environ.get(name) or known).split(',') if host.strip()]
        if hosts != ['*'] and _HOST not in hosts:
            os.environ[name] = ','.join((*hosts, _HOST))
