"""Replies of the HTTP interface: JSON, and errors with fitting status codes."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from facefusion.errors import (
    ContentRefused,
    FaceFusionError,
    InputError,
    Interrupted,
    JobError,
    ModelError,
    OutputError,
    ProviderError,
    ResourceError,
    UsageError,
)
from facefusion.failures import as_failure

Handler = Callable[[Request], Awaitable[Response]]
MOST_BODY_BYTES = 1_000_000
_HINT = 'GET /api/v1/openapi.json describes all requests'
# The first matching class decides, except for these references.
_STATUS: tuple[tuple[type[FaceFusionError], int], ...] = (
    (UsageError, 422),
    (ContentRefused, 422),
    (InputError, 422),
    (OutputError, 422),
    (JobError, 409),
    (Interrupted, 409),
    (ModelError, 424),
    (ProviderError, 424),
    (ResourceError, 507),
)
_NOT_FOUND = frozenset({'job-unknown', 'media-missing', 'model-unknown', 'not-found'})


def json_reply(content: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """Return JSON that no cache keeps. Surrogates in file names are escaped."""
    body = json.dumps(content, ensure_ascii=True, allow_nan=False, separators=(',', ':')).encode()
    return Response(body, status, {'cache-control': 'no-store', **(headers or {})}, 'application/json')


def status_of(error: FaceFusionError) -> int:
    """Return the HTTP status of an error."""
    if error.reference in _NOT_FOUND:
        return 404
    if error.reference == 'path-outside-roots':
        return 403
    return next((status for kind, status in _STATUS if isinstance(error, kind)), 500)


def error_reply(error: BaseException) -> Response:
    """Return the record of an error with its status."""
    failure = as_failure(error)
    return json_reply(failure.as_record(), status_of(failure))


def answered(handler: Handler) -> Handler:
    """Return a handler that replies with the record of the error that ``handler`` raises."""

    async def reply(request: Request) -> Response:
        try:
            return await handler(request)
        except Exception as error:  # noqa: BLE001 - the reply names any failure
            return error_reply(error)

    return reply


async def read_json(request: Request) -> dict[str, Any]:
    """Return the JSON object in the body of a request, {} for an empty one.

    Raises UsageError request-too-large or request-not-json.
    """
    body = bytearray()
    async for part in request.stream():
        body += part
        if len(body) > MOST_BODY_BYTES:
            hint = 'send files with PUT /api/v1/uploads/NAME'
            raise UsageError('request-too-large', f'the request is longer than {MOST_BODY_BYTES} bytes', hint=hint)
    try:
        content = json.loads(body or b'{}', parse_constant=_no_number)
    except (ValueError, RecursionError) as error:
        raise UsageError('request-not-json', 'the request is not JSON', cause=str(error), hint=_HINT) from None
    if not isinstance(content, dict):
        raise UsageError('request-not-json', 'the request is not a JSON object', hint=_HINT)
    return content


def whole_number(body: dict[str, Any], key: str) -> int:
    """Return a whole number from 0 on of a request, 0 if it is missing. Raises UsageError request-argument."""
    number = body.get(key) or 0
    if not isinstance(number, int) or isinstance(number, bool) or number < 0:
        raise invalid(f'{key} is not a whole number from 0 on, but {number!r}')
    return number


def _no_number(name: str) -> float:
    """Raise ValueError for NaN and Infinity, which JSON does not have."""
    raise ValueError(f'{name} is not a JSON number')


def check_body(body: Mapping[str, Any], keys: Mapping[str, type | tuple[type, ...]]) -> None:
    """Raise UsageError request-argument for a key that is not in ``keys``, or a value of another type."""
    for key, value in body.items():
        if key not in keys:
            raise invalid(f'{key} is not a key of this request')
        if not isinstance(value, keys[key]) or (keys[key] is int and isinstance(value, bool)):
            raise invalid(f'{key} has the wrong type')


def invalid(cause: str) -> UsageError:
    """Return the error for a request that cannot be used."""
    return UsageError('request-argument', 'the request cannot be used', cause=cause, hint=_HINT)
