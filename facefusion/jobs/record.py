"""What a job file says: the record of a job, its steps and its attempts, and how it is read and written.

Version 2 adds to the keys of FaceFusion 3.8's files (version 1), which are read too. Keys that are not known here stay
as they are. The format is described in docs/job-store.md and held by docs/job-record.schema.json.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field, fields, replace
from datetime import datetime
from types import MappingProxyType
from typing import Any, Literal

from facefusion.jobs.naming import step_output_path
from facefusion.options import UnknownHome, expand_home

VERSION = '2'
READABLE = ('1', '2')
MOST_STEPS = 10_000
# Larger than any number that is kept in a record, and a float that still counts.
_LARGEST = 1e15
StepStatus = Literal['drafted', 'queued', 'started', 'completed', 'failed', 'skipped']
STEP_STATUSES: tuple[StepStatus, ...] = ('drafted', 'queued', 'started', 'completed', 'failed', 'skipped')
AttemptResult = Literal['completed', 'failed', 'requeued', 'lost']
Origin = Literal['job', 'headless-run', 'batch-run']
Json = Mapping[str, Any]


class RecordError(ValueError):
    """A file that is no record of a job; says why in plain words."""


@dataclass(frozen=True, slots=True)
class StepRecord:
    """One step: its frozen arguments and what became of it.

    ``remix_of`` is the id of the step whose output is this one's target. ``output`` has path, size and sha256 of the
    step's own file; ``error`` is the record of an error; ``report`` what the run tells of itself. ``args_version``
    tells arguments of FaceFusion 3.8 ('1') from our own. ``inputs`` are its files as they were when it was added, see
    ``facefusion.jobs.inputs``.
    """

    id: str
    args: Json
    status: StepStatus = 'drafted'
    remix_of: str | None = None
    date_started: str | None = None
    date_finished: str | None = None
    seconds: float | None = None
    output: Json | None = None
    error: Json | None = None
    report: Json | None = None
    args_version: str = VERSION
    inputs: tuple[Json, ...] = ()
    extra: Json = field(default_factory=dict)

    @property
    def output_path(self) -> str | None:
        """The published file that the step works for."""
        return self.args.get('output_path')


@dataclass(frozen=True, slots=True)
class AttemptRecord:
    """One claim of the job by a process. ``result`` is None while it runs, 'lost' when its process vanished."""

    host: str
    pid: int
    nonce: str
    date_started: str
    date_finished: str | None = None
    result: AttemptResult | None = None
    error: Json | None = None
    extra: Json = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class JobRecord:
    """A whole job. Dates are ISO 8601 with offset, ``retry_delay`` seconds, ``not_before`` seconds since 1970.

    ``outputs`` lists the published files with path, size and sha256. ``retries_used`` counts the automatic retries
    since somebody last submitted or retried the job. ``fingerprint`` tells equal calls of headless-run and batch-run.
    """

    id: str
    date_created: str
    date_updated: str | None = None
    date_submitted: str | None = None
    date_started: str | None = None
    date_finished: str | None = None
    origin: Origin = 'job'
    fingerprint: str | None = None
    priority: int = 0
    retries: int = 0
    retries_used: int = 0
    retry_delay: float = 10.0
    not_before: float | None = None
    notify: str | None = None
    on_step_error: Literal['stop', 'continue'] = 'stop'
    error: Json | None = None
    outputs: tuple[Json, ...] = ()
    attempts: tuple[AttemptRecord, ...] = ()
    steps: tuple[StepRecord, ...] = ()
    extra: Json = field(default_factory=dict)
    version: str = VERSION


def now_text() -> str:
    """The local time with microseconds and offset, as in the job files of FaceFusion 3.8."""
    return datetime.now().astimezone().isoformat()


def seconds_of(date: str) -> float:
    """A date of a record in seconds since 1970, whatever its offset; 0 for what is none, as in files of other tools."""
    try:
        return datetime.fromisoformat(date).timestamp()
    except (ValueError, OverflowError, OSError):
        return 0.0


def parse_record(job_id: str, text: bytes) -> JobRecord:
    """The record in a job file. Raises RecordError for what is none, or is of a version that is not known."""
    return record_from_json(job_id, parse_json(text))


def parse_json(text: bytes) -> dict[str, Any]:
    """The JSON object of a job file, of a version that is known. Raises RecordError."""
    try:
        data = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise RecordError('it is empty' if not text.strip() else f'it is not JSON: {error}') from None
    if not isinstance(data, dict):
        raise RecordError('it is not a JSON object')
    if data.get('version') not in READABLE:
        raise RecordError(f'its version is {data.get("version")!r:.60}; known are ' + ' and '.join(READABLE))
    if not isinstance(data.get('steps'), list) or not isinstance(data.get('date_created'), str):
        raise RecordError('it has no list of steps or no date of creation')
    return data


def record_from_json(job_id: str, data: Json) -> JobRecord:
    """The record in a JSON object of version 1 or 2, as one of version 2. Raises RecordError."""
    values = _values(JobRecord, data)
    steps = [_step_from_json(entry, f'step-{index}') for index, entry in enumerate(data['steps'])]
    if len({step.id for step in steps}) != len(steps):
        raise RecordError('two of its steps have the same id')
    if data['version'] == '1':
        steps = _link_remixes(job_id, [replace(step, args_version='1') for step in steps])
    attempts = tuple(attempt_from_json(entry) for entry in data.get('attempts', ()))
    outputs = tuple(_output_from_json(entry) for entry in data.get('outputs', ()))
    built = values | {'steps': tuple(steps), 'attempts': attempts, 'outputs': outputs}
    return JobRecord(**built | {'id': job_id, 'version': VERSION})


def record_to_json(record: JobRecord) -> dict[str, Any]:
    """Plain JSON of a record; ``record_from_json`` reads it again."""
    head = {'version': record.version}
    body = plain(record, ('version', 'attempts', 'steps'))
    attempts = [plain(attempt) for attempt in record.attempts]
    return head | body | {'attempts': attempts, 'steps': [plain(step) for step in record.steps]}


def record_bytes(record: JobRecord) -> bytes:
    """The text of a job file."""
    return json.dumps(record_to_json(record), indent=1).encode('ascii')


def attempt_from_json(data: Any) -> AttemptRecord:
    """The record of an attempt. Raises RecordError."""
    built = _build(AttemptRecord, data, 'an attempt')
    assert isinstance(built, AttemptRecord)
    return built


def check_result(line: Json) -> None:
    """Raises RecordError for what may not be merged into a record as the result of a step or a published file."""
    if 'step' in line:
        step = line['step']
        if not isinstance(step, dict) or not isinstance(step.get('id'), str):
            raise RecordError('it is of no step')
        if _values(StepRecord, step).get('status', 'queued') not in STEP_STATUSES:
            raise RecordError(f'its status is {step["status"]!r:.60}')
    if 'output' in line:
        _output_from_json(line['output'])


def plain(entry: JobRecord | StepRecord | AttemptRecord, without: tuple[str, ...] = ()) -> dict[str, Any]:
    """Plain JSON of an entry: its fields but those in ``without``, and the keys that are not known here."""
    names = [found.name for found in fields(entry) if found.name not in without and found.name != 'extra']
    return {name: _as_json(getattr(entry, name)) for name in names} | dict(entry.extra)


def _step_from_json(data: Any, default_id: str) -> StepRecord:
    if not isinstance(data, dict) or not isinstance(data.get('args'), dict):
        raise RecordError('one of its steps has no arguments')
    if data.get('status') not in STEP_STATUSES:
        raise RecordError(f'one of its steps has the status {data.get("status")!r:.60}')
    for key in ('target_path', 'output_path'):
        _check_path(key, data['args'].get(key))
    inputs = data.get('inputs', [])
    built = _build(StepRecord, {'id': default_id, **data, 'args': _with_home(data['args'])}, 'a step')
    assert isinstance(built, StepRecord)
    return replace(built, inputs=tuple(map(_input_from_json, inputs)))


def _with_home(args: Json) -> Json:
    """The arguments with paths that mean the same for every user; one of an unknown user is for the run to refuse."""
    return {
        key: _expanded(value) if key in ('source_paths', 'target_path', 'output_path') else value
        for key, value in args.items()
    }


def _expanded(value: Any) -> Any:
    if isinstance(value, list):
        return [_expanded(item) for item in value]
    with suppress(UnknownHome):
        return expand_home(value) if isinstance(value, str) else value
    return value


def _output_from_json(data: Any) -> Json:
    if not isinstance(data, dict) or not isinstance(data.get('path'), str):
        raise RecordError('one of its outputs has no path')
    return data


def _input_from_json(data: Any) -> Json:
    wanted = {'path': str, 'size': int, 'modified': int, 'sha256': str, 'sampled': bool}
    if not isinstance(data, dict) or not all(isinstance(data.get(key), kind) for key, kind in wanted.items()):
        raise RecordError('one of the inputs of its steps is not described')
    _check_path('an input', data['path'])
    return data


def _check_path(key: str, value: Any) -> None:
    """Raises RecordError for what names no file on any system, so that it need not be thought of later."""
    try:
        is_path = value is None or (isinstance(value, str) and b'\0' not in os.fsencode(value))
    except UnicodeEncodeError:
        is_path = False
    if not is_path:
        raise RecordError(f'{key} of one of its steps is {value!r:.60}')


def _link_remixes(job_id: str, steps: list[StepRecord]) -> list[StepRecord]:
    """Steps of version 1: a target that is the output of an earlier step is a remix of that one."""
    made: dict[str, str] = {}
    linked = []
    for index, step in enumerate(steps):
        target = step.args.get('target_path')
        linked.append(replace(step, remix_of=made.get(target)) if isinstance(target, str) else step)
        output = step.output_path
        if isinstance(output, str):
            made[step_output_path(output, job_id, index)] = step.id
    return linked


_CHECKS: Mapping[str, tuple[type, ...]] = MappingProxyType(
    {
        'id': (str,),
        'host': (str,),
        'nonce': (str,),
        'pid': (int,),
        'priority': (int,),
        'retries': (int,),
        'retries_used': (int,),
        'retry_delay': (int, float),
        'not_before': (int, float, type(None)),
        'seconds': (int, float, type(None)),
        'notify': (str, type(None)),
        'fingerprint': (str, type(None)),
        'remix_of': (str, type(None)),
        'args_version': (str,),
        'error': (dict, type(None)),
        'output': (dict, type(None)),
        'report': (dict, type(None)),
        'outputs': (list,),
        'inputs': (list,),
        'attempts': (list,),
        'date_created': (str,),
        'date_updated': (str, type(None)),
        'date_submitted': (str, type(None)),
        'date_started': (str, type(None)),
        'date_finished': (str, type(None)),
    }
)
_WORDS: Mapping[str, tuple[str | None, ...]] = MappingProxyType(
    {
        'origin': ('job', 'headless-run', 'batch-run'),
        'on_step_error': ('stop', 'continue'),
        'result': (None, 'completed', 'failed', 'requeued', 'lost'),
    }
)


def _values(kind: type, data: Json) -> dict[str, Any]:
    """The fields of ``kind`` in ``data``, checked, and everything else as ``extra``."""
    names = {entry.name for entry in fields(kind)} - {'extra'}
    values = {}
    for name in names & data.keys():
        value = data[name]
        if name in _CHECKS and (not isinstance(value, _CHECKS[name]) or (isinstance(value, bool))):
            raise RecordError(f'its key {name} is {value!r:.60}')
        if isinstance(value, int | float) and not abs(value) < _LARGEST:
            raise RecordError(f'its key {name} is no sensible number')
        if name in _WORDS and value not in _WORDS[name]:
            raise RecordError(f'its key {name} is {value!r:.60}')
        values[name] = value
    values['extra'] = {key: value for key, value in data.items() if key not in names}
    return values


def _build(kind: type[Any], data: Any, what: str) -> Any:
    if not isinstance(data, dict):
        raise RecordError(f'{what} is no JSON object')
    try:
        return kind(**_values(kind, data))
    except TypeError:
        raise RecordError(f'{what} lacks a key') from None


def _as_json(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _as_json(item) for key, item in value.items()}
    return [_as_json(item) for item in value] if isinstance(value, tuple | list) else value
