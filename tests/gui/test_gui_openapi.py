"""The OpenAPI document agrees with the routes and with the replies of a server."""

from __future__ import annotations

import json
import re
from pathlib import Path

import jsonschema
import pytest
from fakes.job_stores import make_queued, make_record

from facefusion.benchmark.options import BenchmarkOptions
from facefusion.gui.context import GuiContext
from facefusion.gui.media_roots import MediaRoots
from facefusion.gui.openapi import openapi_document
from facefusion.gui.operations import OPERATIONS, SCHEMAS
from facefusion.gui.options import GuiOptions
from facefusion.gui.route_table import GROUPS
from facefusion.jobs.options import HaltOptions, NotifyOptions, QueueOptions, StoreOptions
from facefusion.jobs.store import JobStore
from facefusion.services.option_groups import PROCESS_GROUPS
from facefusion.services.workplace import Workplace
from facefusion.settings import resolve
from facefusion.steps.arguments import STEP_GROUPS

_PAGE_GROUPS = (QueueOptions, NotifyOptions, HaltOptions, GuiOptions, BenchmarkOptions)


def validator(schema):
    root = {'components': {'schemas': SCHEMAS}, **schema}
    return jsonschema.Draft202012Validator(root)


def operation_of(method: str, path: str):
    """Return the operation of a request, by its method and its path without the query."""
    for (known, template), operation in OPERATIONS.items():
        if known == method and re.fullmatch(re.sub(r'\{\w+\}', '[^/]+', template), path):
            return operation
    raise AssertionError(f'{method} {path} is not in the document')


def test_the_document_describes_all_routes_and_no_other(tmp_path):
    settings = resolve((*STEP_GROUPS, *PROCESS_GROUPS, *_PAGE_GROUPS), {}, None, {})
    settings = settings.replace(StoreOptions(jobs_path=str(tmp_path)))
    context = GuiContext(Workplace(settings, tmp_path, {}), MediaRoots((tmp_path,)), tmp_path / '.gui')
    found = {
        (method, re.sub(r':\w+\}', '}', route.path))
        for group in GROUPS
        for route in group(context).routes
        for method in route.methods - {'HEAD'}
    }
    assert found == OPERATIONS.keys()


def test_the_document_is_valid():
    document = openapi_document()
    assert document['openapi'] == '3.1.0'
    text = json.dumps(document)
    for name in set(re.findall(r'"#/components/schemas/(\w+)"', text)):
        assert name in SCHEMAS
    for schema in SCHEMAS.values():
        jsonschema.Draft202012Validator.check_schema(schema)
    ids = [operation['operationId'] for path in document['paths'].values() for operation in path.values()]
    assert len(set(ids)) == len(ids)
    for path, operations in document['paths'].items():
        for operation in operations.values():
            named = {each['name'] for each in operation['parameters'] if each['in'] == 'path'}
            assert named == set(re.findall(r'\{(\w+)\}', path))


def test_replies_match_their_schemas(page, clip):
    store = JobStore(page.folder / 'jobs')
    make_queued(store, make_record('schema', folder=page.folder))
    (store.root / 'failed').mkdir(exist_ok=True)
    (store.root / 'failed' / 'broken.json').write_text('{')
    args = {'processors': ['face_debugger'], 'target_path': str(clip), 'output_path': str(clip.with_name('o.mp4'))}
    checked = set()

    def check(method, route, body=None, status=None, **query):
        operation = operation_of(method, route)
        if isinstance(body, dict) and status is None:
            validator(operation.body).validate(body)
        reply = page.call(method, route, body, **query)
        assert reply.status == (status or operation.status), (method, route, reply.body[:300])
        if status is not None:
            validator(SCHEMAS['Error']).validate(reply.json)
        elif isinstance(operation.reply, dict):
            validator(operation.reply).validate(reply.json)
        elif isinstance(operation.reply, str):
            assert reply.headers['content-type'].startswith(operation.reply)
        else:
            assert reply.body == b''
        checked.add((method, route))
        return reply

    for path in ('version', 'openapi.json', 'options', 'settings', 'doctor', 'draft', 'jobs', 'workers', 'models'):
        check('GET', f'/{path}')
    version = page.get('/draft')['version']
    check('PUT', '/draft', {'version': version, 'args': {}})
    check('PUT', '/draft', {'version': version, 'args': {}}, 409)
    check('POST', '/command', {'args': args})
    check('GET', '/files')
    check('GET', '/files', dir=str(page.folder))
    check('PUT', '/uploads/a.txt', b'text')
    check('GET', '/media', path=str(clip))
    check('GET', '/media/frame', path=str(clip), number=2, width=80)
    check('GET', '/media/crop', path=str(clip), number=2, x=0, y=0, width=40, height=40)
    check('POST', '/jobs', {'id': 'made', 'steps': [{'args': args}], 'priority': 1})
    check('POST', '/jobs', {'id': 'made'}, 409)
    check('GET', '/jobs/made')
    check('POST', '/jobs/made/steps', {'args': args})
    check('DELETE', '/jobs/made/steps/1')
    check('GET', '/jobs/made/log')
    check('POST', '/jobs/made/submit')
    check('PATCH', '/jobs/made', {'before': None})
    check('PATCH', '/jobs/made', {'priority': 4})
    check('PATCH', '/jobs/made', {'place': 4}, 422)
    check('POST', '/jobs/made/cancel')
    check('DELETE', '/jobs/made')
    check('GET', '/jobs/made', None, 404)
    check('DELETE', '/workers', None, 409)
    check('POST', '/models/verify', {'ids': []})
    check('GET', '/benchmark')
    check('GET', '/benchmark/options')
    check('GET', '/metrics')
    with page.events() as events:
        name, data = events.next()
        assert name == 'jobs'
        for job in data['jobs']:
            validator(SCHEMAS['JobSummary']).validate(job)
        assert {'queued', 'broken'} <= {job['state'] for job in data['jobs']}
        workers = events.until('workers')
        validator(OPERATIONS['GET', '/workers'].reply).validate(workers)
    assert len(checked) > 25
    for job_id in ('schema', 'broken'):
        page.call('DELETE', f'/jobs/{job_id}')


@pytest.mark.parametrize('path', ['nothing', 'jobs/x/none'])
def test_an_unknown_path_is_an_error_record(page, path):
    reply = page.call('GET', f'/{path}')
    assert reply.status == 404
    validator(SCHEMAS['Error']).validate(reply.json)


def test_the_page_of_the_interface_lists_every_path():
    """docs/http-api.md names each path of the document."""
    page = (Path(__file__).resolve().parents[2] / 'docs' / 'http-api.md').read_text(encoding='utf-8')
    for method, path in OPERATIONS:
        shown = re.sub(
            r'\{(\w+)\}',
            lambda match: {'job_id': 'ID', 'model_id': 'ID', 'key': 'ID'}.get(match[1], match[1].upper()),
            path,
        )
        assert f'`{method} {shown}`' in page, f'{method} {shown}'
