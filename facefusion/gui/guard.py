"""Access to the page: the hosts, origins and tokens that the server accepts, and the headers of every reply."""

from __future__ import annotations

import hmac
import ipaddress
from dataclasses import dataclass
from http.cookies import CookieError, SimpleCookie
from urllib.parse import parse_qs, urlencode

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import PlainTextResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from facefusion.errors import UsageError
from facefusion.gui.replies import json_reply

LOGIN = '/login'
_LOOPBACK_NAMES = ('127.0.0.1', 'localhost', '[::1]')
SECURITY_HEADERS = {
    'content-security-policy': "default-src 'self'; img-src 'self' blob: data:; media-src 'self' blob:; "
    "frame-ancestors 'none'; base-uri 'none'; form-action 'self'",
    'x-content-type-options': 'nosniff',
    'referrer-policy': 'no-referrer',
    'cross-origin-opener-policy': 'same-origin',
    'cross-origin-resource-policy': 'same-origin',
}


@dataclass(frozen=True, slots=True)
class Access:
    """The address that the server listens on, and the token that every request needs."""

    host: str
    port: int
    token: str

    @property
    def is_local(self) -> bool:
        """Whether only this machine can connect."""
        return is_loopback(self.host)

    @property
    def cookie(self) -> str:
        """The name of the cookie; browsers share cookies between the ports of a host, so it contains the port."""
        return f'facefusion-{self.port}'

    def accepts_host(self, host: str) -> bool:
        """Whether a Host header names this server; a foreign one is a sign of DNS rebinding.

        Beyond loopback the names of the machine are unknown, so only the token protects the server there.
        """
        if not self.is_local:
            return bool(host)
        # Browsers leave out the port of their scheme.
        name = host.lower() if self.port != 80 or ':' in host.rpartition(']')[2] else f'{host.lower()}:80'
        return name in {f'{known}:{self.port}' for known in (*_LOOPBACK_NAMES, self.host)}

    def accepts_token(self, headers: Headers) -> bool:
        """Whether the request has the token, in its cookie or as ``Authorization: Bearer TOKEN``."""
        scheme, _, bearer = headers.get('authorization', '').partition(' ')
        if scheme.lower() == 'bearer' and self._is_token(bearer.strip()):
            return True
        try:
            found = SimpleCookie(headers.get('cookie', '')).get(self.cookie)
        except CookieError:
            return False
        return found is not None and self._is_token(found.value)

    def _is_token(self, text: str) -> bool:
        return hmac.compare_digest(text.encode('utf-8', 'replace'), self.token.encode('utf-8'))

    def login(self, query: str, headers: Headers) -> Response:
        """Reply to ``/login?token=TOKEN``: set the cookie and open the page."""
        (token, *_) = parse_qs(query).get('token', [''])
        if not self._is_token(token):
            hint = 'open the address that `facefusion gui` printed at its last start'
            return _refused_in_words(401, UsageError('token-wrong', 'the token is wrong', hint=hint), headers)
        reply = RedirectResponse('/', 303)
        reply.set_cookie(self.cookie, self.token, httponly=True, samesite='strict', path='/')
        return reply

    def address(self) -> str:
        """Return the address that opens the page, with the token."""
        host = '127.0.0.1' if self.host in ('', '0.0.0.0', '::') else self.host
        host = f'[{host}]' if ':' in host else host
        return f'http://{host}:{self.port}{LOGIN}?{urlencode({"token": self.token})}'


def is_loopback(host: str) -> bool:
    """Whether an address to listen on is reachable from this machine only."""
    try:
        return host == 'localhost' or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


class Guard:
    """A middleware that refuses foreign hosts, foreign origins and requests without the token."""

    def __init__(self, app: ASGIApp, access: Access) -> None:
        self._app = app
        self._access = access

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a permitted HTTP request on, and add the security headers to its reply."""
        if scope['type'] == 'lifespan':
            await self._app(scope, receive, send)
            return
        if scope['type'] != 'http':
            return

        async def send_secured(message: Message) -> None:
            if message['type'] == 'http.response.start':
                headers = MutableHeaders(scope=message)
                for name, value in SECURITY_HEADERS.items():
                    headers[name] = value
            await send(message)

        reply = self._refusal(scope)
        await (reply or self._app)(scope, receive, send_secured)

    def _refusal(self, scope: Scope) -> Response | None:
        headers = Headers(scope=scope)
        host = headers.get('host', '')
        if not self._access.accepts_host(host):
            hint = 'open the address that `facefusion gui` printed'
            text = f'this server is not {host or "a nameless host"}'
            return _refused(403, UsageError('host-foreign', text, hint=hint))
        origin = headers.get('origin')
        if origin not in (None, f'http://{host}', f'https://{host}'):
            text = 'another website sent this request'
            return _refused(403, UsageError('origin-foreign', text, hint='use the page itself'))
        if scope['path'] == LOGIN:
            return self._access.login(scope['query_string'].decode('latin-1'), headers)
        if not self._access.accepts_token(headers):
            hint = 'open the address that `facefusion gui` printed, or send the header Authorization: Bearer TOKEN'
            error = UsageError('token-missing', 'the request has no valid token', hint=hint)
            return _refused_in_words(401, error, headers)
        return None


def _refused_in_words(status: int, error: UsageError, headers: Headers) -> Response:
    """Reply a text to a person who opened the address in a browser, and the record to a program."""
    if 'text/html' in headers.get('accept', ''):
        return PlainTextResponse(f'{error.message}: {error.hint}\n', status)
    return _refused(status, error)


def _refused(status: int, error: UsageError) -> Response:
    return json_reply(error.as_record(), status)
