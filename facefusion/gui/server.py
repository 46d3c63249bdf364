"""The server of the page and of its HTTP interface."""

from __future__ import annotations

import errno
import os
import re
import secrets
import signal
import socket
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

import uvicorn
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware.gzip import GZipMiddleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Mount
from starlette.staticfiles import StaticFiles

from facefusion.errors import FaceFusionError, InputError, UsageError
from facefusion.gui.context import GuiContext
from facefusion.gui.guard import Access, Guard, is_loopback
from facefusion.gui.options import GuiOptions
from facefusion.gui.replies import json_reply
from facefusion.gui.route_table import GROUPS

API = '/api/v1'
STATIC = Path(__file__).parent / 'static'
_GRACE_SECONDS = 2
# A token is sent in headers and cookies.
_TOKEN = re.compile(r'[!#-+\--:<-\[\]-~]+')


class Listening(NamedTuple):
    """A bound socket and the access rules of its address."""

    socket: socket.socket
    access: Access


def listen(options: GuiOptions) -> Listening:
    """Bind the address of the options.

    Raises UsageError port-taken, port-forbidden, host-unusable, token-required or token-characters.
    """
    if not is_loopback(options.host) and not options.token:
        raise UsageError(
            'token-required',
            f'--host {options.host} needs a token',
            cause='other machines can connect to this address',
            hint='set a long secret with FACEFUSION_TOKEN or --token, or use --host 127.0.0.1',
        )
    if options.token and not _TOKEN.fullmatch(options.token):
        raise UsageError(
            'token-characters',
            'the token cannot be sent to a server',
            cause='it contains spaces, control characters or letters other than those of ASCII',
            hint='use letters and digits, such as the output of `openssl rand -hex 16`',
        )
    family = socket.AF_INET6 if ':' in options.host else socket.AF_INET
    bound = socket.socket(family, socket.SOCK_STREAM)
    if os.name != 'nt':
        # On Windows this option would share the port with another program.
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        bound.bind((options.host, options.port))
    except (OSError, UnicodeError) as error:
        bound.close()
        raise _unusable(options, error) from None
    return Listening(bound, Access(options.host, bound.getsockname()[1], options.token or secrets.token_urlsafe(24)))


def _unusable(options: GuiOptions, error: OSError | UnicodeError) -> UsageError:
    message, cause = f'cannot listen on {options.host} port {options.port}', str(error)
    if isinstance(error, UnicodeError | socket.gaierror) or error.errno == errno.EADDRNOTAVAIL:
        hint = 'use an address of this machine, such as 127.0.0.1'
        return UsageError('host-unusable', message, cause=cause, hint=hint)
    cause = error.strerror or cause
    if error.errno == errno.EACCES:
        hint = 'use a port above 1023, such as --port 7860, or --port 0 for a free one'
        return UsageError('port-forbidden', message, cause=cause, hint=hint)
    hint = 'stop the other program, or use --port 0 for a free port'
    return UsageError('port-taken', message, cause=cause, hint=hint)


def create_app(context: GuiContext, access: Access) -> Guard:
    """Return the application: the routes of every group below /api/v1, and the files of the page."""
    groups = [group(context) for group in GROUPS]

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        async with AsyncExitStack() as opened:
            for group in groups:
                if group.lifespan is not None:
                    await opened.enter_async_context(group.lifespan())
            yield

    routes: list[BaseRoute] = [Mount(API, routes=[route for group in groups for route in group.routes])]
    routes.append(Mount('/', GZipMiddleware(StaticFiles(directory=STATIC, html=True))))
    return Guard(Starlette(routes=routes, lifespan=lifespan, exception_handlers={HTTPException: _no_route}), access)


async def _no_route(request: Request, error: Exception) -> Response:
    """Reply the record of an address or a method that no route has."""
    status = error.status_code if isinstance(error, HTTPException) else 500
    path = request.scope['path']
    if status == 405:
        failed: FaceFusionError = UsageError(
            'method-unknown',
            f'{path} does not take the method {request.method}',
            hint='docs/http-api.md lists all routes',
        )
    else:
        failed = InputError('not-found', f'there is no {path}', hint='docs/http-api.md lists all routes')
    return json_reply(failed.as_record(), status)


def serve(
    app: Guard,
    listening: Listening,
    on_start: Sequence[Callable[[], None]] = (),
    on_stop: Sequence[Callable[[], None]] = (),
) -> None:
    """Serve until a signal arrives.

    ``on_start`` is called when the server accepts connections, and ``on_stop`` when a signal has arrived.
    """
    config = uvicorn.Config(
        app,
        log_level='warning',
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=_GRACE_SECONDS,
        lifespan='on',
    )
    server = _Server(config, on_start, on_stop)
    # uvicorn ends the process again with the signal that stopped it, which is no failure of a server.
    with suppress(KeyboardInterrupt), _ignored_signals():
        server.run(sockets=[listening.socket])


@contextmanager
def _ignored_signals() -> Iterator[None]:
    """Ignore SIGINT and SIGTERM, apart from the handlers of the server itself, which restores these at its end."""
    before = {number: signal.signal(number, signal.SIG_IGN) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


class _Server(uvicorn.Server):
    def __init__(
        self, config: uvicorn.Config, on_start: Sequence[Callable[[], None]], on_stop: Sequence[Callable[[], None]]
    ) -> None:
        super().__init__(config)
        self._on_start = on_start
        self._on_stop = on_stop

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start, then call the functions that wait for the start."""
        await super().startup(sockets)
        if self.started:
            for call in self._on_start:
                call()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Call the functions that wait for the end, then wait for open requests."""
        for call in self._on_stop:
            call()
        await super().shutdown(sockets)
