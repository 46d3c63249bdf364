"""Between the C2PA library and a time stamp authority: what is sent, received and waited for is bounded.

The library's own client reads a reply of any length into memory, waits in a call that nothing can stop, and does not
say what failed. So it is given an address of this machine, and the query (RFC 3161) is passed on from there.
"""

from __future__ import annotations

import hmac
import os
import secrets
import socket
import threading
import time
from contextlib import suppress
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler
from socketserver import TCPServer, ThreadingMixIn
from types import TracebackType
from typing import Any, Literal

import requests
from requests.adapters import HTTPAdapter

from facefusion.stopping import POLL_SECONDS, StopFlag

Kind = Literal['refused', 'unreachable', 'untrusted', 'timed-out', 'too-long', 'status', 'garbage', 'stopped']

_HOST = '127.0.0.1'
_PIECE = 4096
# The least that a TimeStampResp can begin with: the tag of a DER sequence.
_SEQUENCE = 0x30
_PROXIES = ('http_proxy', 'all_proxy')


@dataclass(frozen=True, slots=True)
class RelayLimits:
    """Seconds for a connection and for everything; bytes of a query and of a reply (the field's are under 10 KB)."""

    connect_seconds: float = 10.0
    total_seconds: float = 20.0
    largest_bytes: int = 64 << 10


class RelayFailure(Exception):
    """Why there is no time stamp: a kind, and plain words in which the authority is 'it'."""

    def __init__(self, kind: Kind, words: str) -> None:
        super().__init__(words)
        self.kind = kind
        self.words = words


class Relay:
    """Listens on 127.0.0.1 for the length of a ``with``; ``url`` is what the library is given instead of ``authority``.

    It takes POST at a path that nobody can guess, and asks nobody but the authority: TLS is verified, redirects are not
    followed, proxies of the environment and a name and password in the address are used. When ``flag`` is set the
    library is answered at once. ``failure`` is why the last query failed, None when a reply was passed on or nothing
    was asked yet; ``was_answered`` tells these two apart.

    Entering raises RelayFailure when this machine cannot be listened on.
    """

    def __init__(self, authority: str, flag: StopFlag | None = None, limits: RelayLimits | None = None) -> None:
        self.failure: RelayFailure | None = None
        self.was_answered = False
        self.limits = limits or RelayLimits()
        self._authority = authority
        self._flag = flag
        self._path = f'/{secrets.token_urlsafe(32)}'
        self._server: _Server | None = None
        self._closed = threading.Event()

    @property
    def url(self) -> str:
        """The address for the library, while it is open."""
        assert self._server is not None
        return f'http://{_HOST}:{self._server.server_address[1]}{self._path}'

    def __enter__(self) -> Relay:
        _go_round_proxies()
        try:
            self._server = _Server(self)
        except OSError as error:
            words = f'this machine cannot be listened on ({error.strerror or error})'
            raise RelayFailure('unreachable', words) from None
        serve = {'poll_interval': 0.02}
        threading.Thread(target=self._server.serve_forever, kwargs=serve, name='time stamp relay', daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._closed.set()
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()

    def is_mine(self, path: str) -> bool:
        """Whether a request came from whom the address was given."""
        return hmac.compare_digest(path.encode(), self._path.encode())

    def ask(self, query: bytes) -> bytes:
        """The authority's reply, or RelayFailure, which is kept."""
        self.failure = None
        try:
            reply = self._wait(_Question(self._authority, query, self.limits))
        except RelayFailure as failure:
            self.failure = failure
            raise
        self.was_answered = True
        return reply

    def _wait(self, question: _Question) -> bytes:
        """The request itself is in a thread of its own: neither a name server nor a socket can be stopped."""
        end = time.monotonic() + self.limits.total_seconds
        question.start()
        try:
            while not question.done.wait(POLL_SECONDS):
                if self._closed.is_set() or (self._flag is not None and self._flag.is_set()):
                    raise RelayFailure('stopped', 'a stop was asked for')
                if time.monotonic() > end:
                    raise _late(self.limits)
        finally:
            question.abandon()
        if question.failure is not None:
            raise question.failure
        return question.reply


class _Question(threading.Thread):
    """One query and its reply."""

    def __init__(self, authority: str, query: bytes, limits: RelayLimits) -> None:
        super().__init__(name='time stamp query', daemon=True)
        self.done = threading.Event()
        self.reply = b''
        self.failure: RelayFailure | None = None
        self._authority = authority
        self._query = query
        self._limits = limits
        self._is_abandoned = False
        self._connections: list[Any] = []
        self._sockets: list[socket.socket] = []

    def run(self) -> None:
        try:
            self.reply = self._ask()
        except RelayFailure as failure:
            self.failure = failure
        # OSError holds all of requests. The last one: a socket that was closed by ``abandon`` while it was used.
        except (OSError, ValueError, AttributeError) as error:
            self.failure = _failure_of(error, self._limits)
        finally:
            self.done.set()

    def abandon(self) -> None:
        """Ends the thread, also when the authority sends a byte now and then."""
        self._is_abandoned = True
        self._end_connections()

    def watch(self, connection: Any) -> None:
        """Told of each connection before it is made, and after."""
        self._connections.append(connection)
        if connection.sock is not None:
            # The connection forgets its socket while a reply without a length is read.
            self._sockets.append(connection.sock)
        if self._is_abandoned:
            self._end_connections()

    def _end_connections(self) -> None:
        """Closing them would not wake the thread that waits for them."""
        for found in (*self._sockets, *(connection.sock for connection in self._connections)):
            if found is not None:
                with suppress(OSError, ValueError):
                    found.shutdown(socket.SHUT_RDWR)

    def _ask(self) -> bytes:
        headers = {
            'Content-Type': 'application/timestamp-query',
            'Accept': 'application/timestamp-reply',
            'Accept-Encoding': 'identity',
        }
        limits = self._limits
        timeout = (limits.connect_seconds, limits.total_seconds)
        with requests.Session() as session:
            for scheme in ('http://', 'https://'):
                session.mount(scheme, _WatchedAdapter(self))
            with session.post(
                self._authority, self._query, headers=headers, timeout=timeout, stream=True, allow_redirects=False
            ) as response:
                return self._receive(response)

    def _receive(self, response: requests.Response) -> bytes:
        status = response.status_code
        if 300 <= status < 400:
            raise RelayFailure('status', f'it answered with status {status}, a redirect, and none is followed')
        if status != 200:
            raise RelayFailure('status', f'it answered with status {status}')
        if response.headers.get('Content-Encoding', 'identity').lower() != 'identity':
            raise RelayFailure('garbage', 'its answer is compressed, which was not asked for')
        reply = bytearray()
        for piece in response.iter_content(_PIECE):
            reply += piece
            if len(reply) > self._limits.largest_bytes:
                raise RelayFailure('too-long', f'its answer is longer than {self._limits.largest_bytes} bytes')
        if not reply or reply[0] != _SEQUENCE:
            raise RelayFailure('garbage', 'its answer is no time stamp' if reply else 'its answer is empty')
        return bytes(reply)


class _WatchedAdapter(HTTPAdapter):
    """Tells a question of its connections, which requests hides."""

    def __init__(self, question: _Question) -> None:
        self._question = question
        super().__init__(max_retries=0)

    def get_connection_with_tls_context(self, *arguments: Any, **named: Any) -> Any:
        pool: Any = super().get_connection_with_tls_context(*arguments, **named)
        question, base = self._question, pool.ConnectionCls

        def connect(connection: Any) -> None:
            question.watch(connection)
            base.connect(connection)
            question.watch(connection)

        pool.ConnectionCls = type('WatchedConnection', (base,), {'connect': connect})
        return pool


class _Server(ThreadingMixIn, TCPServer):
    # No HTTPServer: that looks up the name of this machine, which can take seconds.
    daemon_threads = True

    def __init__(self, relay: Relay) -> None:
        self.relay = relay
        super().__init__((_HOST, 0), _Handler)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """The library went away, which ends its request."""


class _Handler(BaseHTTPRequestHandler):
    server: _Server
    # Seconds for a client to send its request.
    timeout = 5.0

    def do_POST(self) -> None:
        relay = self.server.relay
        length = self.headers.get('Content-Length', '')
        if not relay.is_mine(self.path):
            self._answer(404)
        elif not (length.isascii() and length.isdigit()):
            self._answer(411)
        elif len(length) > 9 or int(length) > relay.limits.largest_bytes:
            self._answer(413)
        else:
            try:
                reply = relay.ask(self.rfile.read(int(length)))
            except RelayFailure:
                self._answer(502)
            else:
                self._answer(200, reply)

    def log_message(self, format: str, *arguments: object) -> None:
        """Nothing is logged: what failed stands in the relay."""

    def _answer(self, status: int, body: bytes = b'') -> None:
        self.send_response(status)
        self.send_header('Content-Type', 'application/timestamp-reply')
        self.send_header('Content-Length', str(len(body)))
        self.end_headers()
        self.wfile.write(body)


def _late(limits: RelayLimits) -> RelayFailure:
    return RelayFailure('timed-out', f'it did not answer within {limits.total_seconds:g} seconds')


def _failure_of(error: Exception, limits: RelayLimits) -> RelayFailure:
    """What an error of requests means. Its own words hold the whole address, and so a password."""
    if isinstance(error, requests.exceptions.ProxyError):
        return RelayFailure('unreachable', 'the proxy on the way to it cannot be reached, or refuses')
    if isinstance(error, requests.exceptions.SSLError):
        return RelayFailure('untrusted', 'its TLS certificate cannot be verified, or TLS failed')
    if isinstance(error, requests.ConnectTimeout):
        return RelayFailure('timed-out', f'it took no connection within {limits.connect_seconds:g} seconds')
    if isinstance(error, requests.Timeout):
        return _late(limits)
    if isinstance(error, requests.exceptions.ChunkedEncodingError):
        return RelayFailure('garbage', 'its answer ended too early')
    if isinstance(error, requests.ConnectionError):
        roots = _behind(error)
        if any(isinstance(root, ConnectionRefusedError) for root in roots):
            return RelayFailure('refused', 'it refused the connection')
        if any(isinstance(root, socket.gaierror) for root in roots):
            return RelayFailure('unreachable', 'its name cannot be resolved')
        if any(isinstance(root, TimeoutError) for root in roots):
            return _late(limits)
        return RelayFailure('unreachable', 'the connection to it failed')
    return RelayFailure('unreachable', f'it cannot be asked ({type(error).__name__})')


def _behind(error: BaseException) -> list[BaseException]:
    """An error and what led to it."""
    found: list[BaseException] = []
    at: BaseException | None = error
    while at is not None and at not in found:
        found.append(at)
        at = at.__cause__ or at.__context__
    return found


def _go_round_proxies() -> None:
    """Keeps the library from asking a proxy of the environment for an address of this machine.

    Its client knows no other way to be told. It is never taken back: another thread may be signing.
    """
    if not any(name.lower() in _PROXIES for name in os.environ):
        return
    known = os.environ.get('no_proxy') or os.environ.get('NO_PROXY') or ''
    for name in ('no_proxy', 'NO_PROXY'):
        hosts = os.environ.get(name) or known
        if hosts.strip() != '*' and _HOST not in [host.strip() for host in hosts.split(',')]:
            os.environ[name] = f'{hosts},{_HOST}' if hosts else _HOST
