"""The OpenAPI 3.1 document of the HTTP interface, made from the table of operations."""

from __future__ import annotations

import re
from typing import Any

from facefusion.gui.operations import OPERATIONS, SCHEMAS, STRING, Operation, Schema, named
from facefusion.version import VERSION

_PARAMETER = re.compile(r'\{(\w+)\}')


def openapi_document() -> dict[str, Any]:
    """Return the document as plain JSON."""
    paths: dict[str, dict[str, Any]] = {}
    for (method, path), operation in OPERATIONS.items():
        paths.setdefault(path, {})[method.lower()] = _described(method, path, operation)
    return {
        'openapi': '3.1.0',
        'info': {'title': 'FaceFusion', 'version': VERSION, 'summary': 'The HTTP interface of `facefusion gui`'},
        'servers': [{'url': '/api/v1'}],
        'security': [{'token': []}],
        'paths': paths,
        'components': {
            'schemas': SCHEMAS,
            'securitySchemes': {'token': {'type': 'http', 'scheme': 'bearer'}},
            'responses': {
                'Error': {
                    'description': 'the record of an error: 401 token, 403 host, origin or media roots, 404 unknown, '
                    '409 state, 422 request or content refused, 424 model or provider, 507 memory or disk',
                    'content': _content(named('Error')),
                }
            },
        },
    }


def _described(method: str, path: str, operation: Operation) -> dict[str, Any]:
    parameters = [
        {'name': name, 'in': 'path', 'required': True, 'schema': STRING} for name in _PARAMETER.findall(path)
    ] + [
        {'name': name.rstrip('?'), 'in': 'query', 'required': not name.endswith('?'), 'schema': STRING}
        for name in operation.query
    ]
    reply = {'description': operation.summary} | (
        {} if operation.reply is None else {'content': _content(operation.reply)}
    )
    described: dict[str, Any] = {
        'operationId': _id_of(method, path),
        'summary': operation.summary,
        'parameters': parameters,
        'responses': {str(operation.status): reply, 'default': {'$ref': '#/components/responses/Error'}},
    }
    if operation.body is not None:
        described['requestBody'] = {'content': _content(operation.body)}
    return described


def _id_of(method: str, path: str) -> str:
    return method.lower() + re.sub(r'\W+', '_', path).rstrip('_')


def _content(schema: Schema | str) -> dict[str, Any]:
    return {schema: {}} if isinstance(schema, str) else {'application/json': {'schema': schema}}
