"""The operations of the HTTP interface: the requests and replies that the OpenAPI document describes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

Schema = dict[str, Any]

STRING: Schema = {'type': 'string'}
INTEGER: Schema = {'type': 'integer'}
NUMBER: Schema = {'type': 'number'}
BOOLEAN: Schema = {'type': 'boolean'}
OBJECT: Schema = {'type': 'object'}
JPEG, PNG, STREAM, TEXT, BINARY = (
    'image/jpeg',
    'image/png',
    'text/event-stream',
    'text/plain',
    'application/octet-stream',
)


@dataclass(frozen=True, slots=True)
class Operation:
    """A request and its successful reply.

    ``query`` are the names of query parameters; a name with '?' at its end may be missing. ``body`` is the schema of
    the JSON in the request, ``reply`` that of the reply, or the media type of a reply without JSON. None: no content.
    """

    summary: str
    reply: Schema | str | None
    status: int = 200
    body: Schema | str | None = None
    query: tuple[str, ...] = ()


def record(required: Schema, **optional: Schema) -> Schema:
    """Return the schema of an object with required and optional keys; it may have further keys."""
    schema: Schema = {'type': 'object', 'properties': {**required, **optional}}
    return {**schema, 'required': list(required)} if required else schema


def array(items: Schema) -> Schema:
    """Return the schema of a list."""
    return {'type': 'array', 'items': items}


def nullable(schema: Schema) -> Schema:
    """Return the schema of a value that may be null."""
    return {'anyOf': [schema, {'type': 'null'}]}


def one_of(*values: str) -> Schema:
    """Return the schema of one of these texts."""
    return {'enum': list(values)}


def named(name: str) -> Schema:
    """Return a reference to a schema of SCHEMAS."""
    return {'$ref': f'#/components/schemas/{name}'}


_STATES = one_of('drafted', 'queued', 'running', 'completed', 'failed')
_STEP = record({}, args=named('Args'))
_DATE = nullable(STRING)
_SURVEY_STATE = one_of('running', 'done', 'failed')
_BENCHMARK_STATE = {
    'is_running': BOOLEAN,
    'name': nullable(STRING),
    'done': INTEGER,
    'total': nullable(INTEGER),
    'rate': nullable(NUMBER),
    'seconds_left': nullable(NUMBER),
    'detail': STRING,
    'error': nullable(named('Error')),
}
_WORKERS = record({'workers': array(named('Worker'))})

# Schemas that several operations use, or that are events of the stream.
SCHEMAS: dict[str, Schema] = {
    'Error': record(
        {'reference': STRING, 'message': STRING, 'cause': STRING, 'hint': STRING, 'exit_code': INTEGER}, facts=OBJECT
    ),
    'Args': {
        'type': 'object',
        'description': 'options by key, as in facefusion.ini, that differ from the settings of the server',
    },
    'Option': record(
        {
            'key': STRING,
            'flag': STRING,
            'kind': one_of('text', 'int', 'float', 'flag', 'path'),
            'help': STRING,
            'section': STRING,
            'default': {},
            'value': {},
            'layer': one_of('default', 'ini', 'environment', 'flag'),
            'is_list': BOOLEAN,
            'choices': array({'type': ['string', 'integer']}),
            'minimum': nullable(NUMBER),
            'maximum': nullable(NUMBER),
            'step': nullable(NUMBER),
            'processor': nullable(STRING),
            'no_effect': STRING,
        }
    ),
    'Progress': record(
        {
            'stage': STRING,
            'done': INTEGER,
            'total': nullable(INTEGER),
            'rate': nullable(NUMBER),
            'seconds_left': nullable(NUMBER),
            'detail': nullable(STRING),
        }
    ),
    'JobSummary': record(
        {
            'id': STRING,
            'state': {'enum': [*_STATES['enum'], 'broken']},
            'steps': INTEGER,
            'step_index': nullable(INTEGER),
            'progress': nullable(named('Progress')),
            'output_paths': array(STRING),
            'target_path': nullable(STRING),
            'worker': nullable(record({'host': STRING, 'pid': INTEGER, 'dead': BOOLEAN})),
            'error': nullable(OBJECT),
        },
        priority=nullable(INTEGER),
        date_created=_DATE,
        date_submitted=_DATE,
        date_started=_DATE,
        date_finished=_DATE,
    ),
    'Job': {
        **record(
            {
                'id': STRING,
                'state': _STATES,
                'priority': INTEGER,
                'steps': array(record({'id': STRING, 'args': OBJECT, 'status': STRING})),
                'attempts': array(record({'host': STRING, 'pid': INTEGER})),
                'outputs': array(record({'path': STRING})),
                'error': nullable(OBJECT),
                'worker': nullable(OBJECT),
                'step_index': nullable(INTEGER),
                'progress': nullable(named('Progress')),
            }
        ),
        'description': 'the record of docs/job-store.md, with its state and progress',
    },
    'Worker': record({'host': STRING, 'pid': INTEGER, 'job_id': nullable(STRING), 'is_child': BOOLEAN}),
    'Model': record(
        {
            'id': STRING,
            'task': STRING,
            'licence': STRING,
            'commercial': BOOLEAN,
            'size': nullable(INTEGER),
            'state': one_of('present', 'missing', 'damaged', 'fetching'),
            'vendor': STRING,
            'year': nullable(INTEGER),
            'source': STRING,
        }
    ),
    'ModelEvent': record(
        {
            'id': STRING,
            'state': STRING,
            'done': INTEGER,
            'total': nullable(INTEGER),
            'error': nullable(named('Error')),
        }
    ),
    'SurveyEvent': record({'id': STRING, 'state': _SURVEY_STATE, 'done': INTEGER, 'total': nullable(INTEGER)}),
    'BenchmarkEvent': record(_BENCHMARK_STATE),
    'Message': record({'level': STRING, 'origin': STRING, 'text': STRING}),
}

_FILE = {'path': STRING, 'kind': STRING}
_VERSIONED = {'version': INTEGER}

# By method and path below /api/v1. A test compares this table with the routes of the server.
OPERATIONS: dict[tuple[str, str], Operation] = {
    ('GET', '/version'): Operation('the version of the program', record({'version': STRING})),
    ('GET', '/openapi.json'): Operation('this document', OBJECT),
    ('GET', '/options'): Operation(
        'the options of a step with their values, and the processors',
        record(
            {
                'version': STRING,
                'sections': array(record({'name': STRING, 'title': STRING, 'options': array(named('Option'))})),
                'processors': array(record({'name': STRING, 'title': STRING, 'options': array(STRING)})),
            }
        ),
    ),
    ('GET', '/settings'): Operation(
        'the options of processes, folders and versions',
        record({'options': array(named('Option')), 'paths': OBJECT, 'versions': OBJECT, 'policies': array(OBJECT)}),
    ),
    ('GET', '/doctor'): Operation('the checks of this machine', record({'findings': array(OBJECT)})),
    ('POST', '/verify'): Operation(
        'the verdict of facefusion verify about a file', OBJECT, body=record({'path': STRING})
    ),
    ('GET', '/draft'): Operation('the step that the page edits', record({**_VERSIONED, 'args': named('Args')})),
    ('PUT', '/draft'): Operation(
        'store the step that the page edits; 409 if the version is not the stored one',
        record(_VERSIONED),
        body=record({**_VERSIONED, 'args': named('Args')}),
    ),
    ('POST', '/command'): Operation(
        'the command line of a step', record({'words': array(STRING), 'line': STRING}), body=_STEP
    ),
    ('POST', '/plan'): Operation(
        'the plan of a step, as of headless-run --dry-run',
        record(
            {
                'plan': OBJECT,
                'remarks': array(named('Message')),
                'seconds': nullable(NUMBER),
                'limit_exceeded': BOOLEAN,
            }
        ),
        body=_STEP,
    ),
    ('POST', '/sources'): Operation(
        'check files as sources, and return their problems',
        record({'sources': array(record({**_FILE, 'problems': array(STRING), 'is_usable': BOOLEAN}))}),
        body=record({'paths': array(STRING)}),
    ),
    ('GET', '/files'): Operation(
        'the entries of a folder; without dir those of the first media root',
        record({'dir': STRING, 'parent': nullable(STRING), 'roots': array(STRING), 'entries': array(OBJECT)}),
        query=('dir?', 'kind?'),
    ),
    ('GET', '/files/content'): Operation('the bytes of a file; supports ranges', BINARY, query=('path', 'download?')),
    ('PUT', '/uploads/{name}'): Operation(
        'store a file on the server', record({**_FILE, 'size': INTEGER}), 201, body=BINARY
    ),
    ('GET', '/media'): Operation(
        'facts about an image, video or audio file',
        record({**_FILE, 'has_audio': BOOLEAN, 'remarks': array(STRING)}),
        query=('path',),
    ),
    ('GET', '/media/frame'): Operation(
        'an exact frame; with optional, 204 instead of an error',
        JPEG,
        query=('path', 'number?', 'width?', 'optional?'),
    ),
    ('GET', '/media/crop'): Operation(
        'a part of a frame', JPEG, query=('path', 'number?', 'x', 'y', 'width', 'height', 'side?')
    ),
    ('POST', '/media/faces'): Operation(
        'the faces of a frame, and which of them a step would change',
        record({'width': INTEGER, 'height': INTEGER, 'faces': array(OBJECT)}),
        body=record({'path': STRING, 'number': INTEGER}, args=named('Args')),
    ),
    ('POST', '/preview'): Operation(
        'a processed frame; 204 if a newer request has overtaken this one',
        JPEG,
        body=record({'args': named('Args'), 'frame': INTEGER}, width=INTEGER),
    ),
    ('POST', '/people'): Operation('find the people of a target', record({'survey': STRING}), 202, body=_STEP),
    ('GET', '/people/{key}'): Operation(
        'the people, or the progress of the search',
        record({'state': _SURVEY_STATE, 'done': INTEGER, 'total': nullable(INTEGER)}, record=nullable(OBJECT)),
    ),
    ('DELETE', '/people/{key}'): Operation('stop the search', None, 204),
    ('GET', '/people/{key}/crops/{number}'): Operation('a picture of a person', PNG),
    ('GET', '/jobs'): Operation(
        'all jobs; queued ones in the order in which they run', record({'jobs': array(named('JobSummary'))})
    ),
    ('POST', '/jobs'): Operation(
        'create a job, and put it into the queue (submit) or let it run now (run)',
        named('Job'),
        201,
        body=record({}, id=STRING, steps=array(_STEP), priority=INTEGER, submit=BOOLEAN, run=BOOLEAN),
    ),
    ('GET', '/jobs/{job_id}'): Operation('all facts of a job', named('Job')),
    ('PATCH', '/jobs/{job_id}'): Operation(
        'change the priority, or let a queued job run right before another one (null: last)',
        named('Job'),
        body=record({}, priority=INTEGER, before=nullable(STRING)),
    ),
    ('DELETE', '/jobs/{job_id}'): Operation('delete a job that no process runs', None, 204),
    ('POST', '/jobs/{job_id}/submit'): Operation('put a drafted job into the queue', named('Job')),
    ('POST', '/jobs/{job_id}/run'): Operation(
        'put a job at the head of the queue, and start a worker if there is none', named('Job')
    ),
    ('POST', '/jobs/{job_id}/cancel'): Operation('cancel a queued or running job', named('Job')),
    ('POST', '/jobs/{job_id}/retry'): Operation(
        'run the remaining steps of a failed job, or all (from_scratch)',
        named('Job'),
        body=record({}, from_scratch=BOOLEAN),
    ),
    ('POST', '/jobs/{job_id}/steps'): Operation('add a step to a drafted job', named('Job'), body=_STEP),
    ('DELETE', '/jobs/{job_id}/steps/{index}'): Operation('remove a step from a drafted job', named('Job')),
    ('GET', '/jobs/{job_id}/log'): Operation(
        'the last messages of a job',
        record({'lines': array(record({'time': STRING, 'level': STRING, 'text': STRING})), 'more': BOOLEAN}),
    ),
    ('GET', '/workers'): Operation('the processes that run jobs or wait for them', _WORKERS),
    ('POST', '/workers'): Operation('start a worker if there is none', _WORKERS, 202),
    ('DELETE', '/workers'): Operation('let the worker of this server end after its current job', _WORKERS, 202),
    ('GET', '/models'): Operation(
        'the models of the catalogue', record({'offline': BOOLEAN, 'models': array(named('Model'))})
    ),
    ('POST', '/models/{model_id}/fetch'): Operation(
        'fetch a model, and those that it needs; the events model tell the progress', OBJECT, 202
    ),
    ('POST', '/models/verify'): Operation(
        'compare files with their digests; the events model tell the results',
        OBJECT,
        202,
        body=record({}, ids=array(STRING)),
    ),
    ('GET', '/benchmark'): Operation(
        'the running benchmark, and the reports',
        record({**_BENCHMARK_STATE, 'reports': array(record({'name': STRING, 'date': STRING, 'machine': STRING}))}),
    ),
    ('POST', '/benchmark'): Operation(
        'start a benchmark; the events benchmark tell its progress', record(_BENCHMARK_STATE), 202, body=_STEP
    ),
    ('DELETE', '/benchmark'): Operation('stop the benchmark', None, 204),
    ('GET', '/benchmark/options'): Operation('the options of a benchmark', array(named('Option'))),
    ('GET', '/benchmark/reports/{name}'): Operation('a report, as of docs/benchmark.schema.json', OBJECT),
    ('GET', '/benchmark/compare'): Operation('the changes between two reports', OBJECT, query=('old', 'new')),
    ('GET', '/events'): Operation('server-sent events: see docs/http-api.md', STREAM),
    ('GET', '/metrics'): Operation('figures of the store in the text format of Prometheus', TEXT),
}
