"""The record of a job with its steps and attempts, and its conversion from and to the content of a job file.

Version 2 adds keys to the files of FaceFusion 3.8 (version 1); both versions can be read. Unknown keys are preserved.
docs/job-store.md describes the format, and docs/job-record.schema.json specifies it.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field, fields, replace
from datetime import datetime
from typing import Any, Literal, TypedDict, TypeVar

from facefusion.jobs.naming import step_output_path
from facefusion.options import UnknownHome, expand_home

VERSION = '2'
READABLE = ('1', '2')
MAX_STEPS = 10_000
# Larger than any valid number in a record, and exact as a float.
_LARGEST = 1e15
StepStatus = Literal['drafted', 'queued', 'started', 'completed', 'failed', 'skipped']
AttemptResult = Literal['completed', 'failed', 'requeued', 'lost']
Origin = Literal['job', 'headless-run', 'batch-run', 'benchmark']
Json = Mapping[str, Any]


class RecordError(ValueError):
    """A file is not the record of a job; the text states the reason."""


class _Output(TypedDict):
    path: str


class _Input(TypedDict):
    path: str
    size: int
    modified: int
    sha256: str
    sampled: bool


@dataclass(frozen=True, slots=True)
class StepRecord:
    """One step: its frozen arguments and its result.

    ``remix_of`` is the id of the step whose output is the target of this one. ``output`` has path, size and sha256 of
    the step's own file, ``report`` is the report of the run. ``args_version`` '1' marks arguments of FaceFusion 3.8.
    ``inputs`` describes the input files as they were when the step was added, see ``facefusion.jobs.inputs``.
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
        """The published file to which the step contributes."""
        return self.args.get('output_path')


@dataclass(frozen=True, slots=True)
class AttemptRecord:
    """One claim of the job by a process. ``result`` is None while it runs, 'lost' when its process died."""

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
    """A job. Dates are ISO 8601 with offset, ``retry_delay`` is in seconds, ``not_before`` in seconds since 1970.

    ``outputs`` lists the published files with path, size and sha256. ``retries_used`` counts the automatic retries
    since the job was last submitted or retried. ``fingerprint`` identifies equal headless-run and batch-run commands.
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


Entry = TypeVar('Entry', JobRecord, StepRecord, AttemptRecord)


def now_text() -> str:
    """Return the local time with microseconds and offset, as in the job files of FaceFusion 3.8."""
    return datetime.now().astimezone().isoformat()


def seconds_of(date: str) -> float:
    """Return a date of a record in seconds since 1970, and 0 for any other text."""
    try:
        return datetime.fromisoformat(date).timestamp()
    except (ValueError, OverflowError, OSError):
        return 0.0


def parse_record(job_id: str, text: bytes) -> JobRecord:
    """Return the record in a job file. Raises RecordError."""
    return record_from_json(job_id, parse_json(text))


def parse_json(text: bytes) -> dict[str, Any]:
    """Return the JSON object of a job file; only its outer shape is checked. Raises RecordError."""
    try:
        data = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise RecordError('it is empty' if not text.strip() else f'it is not JSON: {error}') from None
    if not isinstance(data, dict):
        raise RecordError('it is not a JSON object')
    if data.get('version') not in READABLE:
        raise RecordError(f'its version is {data.get("version")!r:.60}; supported: ' + ', '.join(READABLE))
    if not isinstance(data.get('steps'), list) or not isinstance(data.get('date_created'), str):
        raise RecordError('it has no list of steps or no date of creation')
    return data


def record_from_json(job_id: str, data: Json) -> JobRecord:
    """Return the record in a JSON object of version 1 or 2, as version 2. Raises RecordError."""
    steps = [_step_from_json(entry, index) for index, entry in enumerate(data['steps'])]
    if len({step.id for step in steps}) != len(steps):
        raise RecordError('two of its steps have the same id')
    if data['version'] == '1':
        steps = _link_remixes(job_id, [replace(step, args_version='1') for step in steps])
    attempts, outputs = data.get('attempts', []), data.get('outputs', [])
    _check(attempts, list, 'attempts')
    _check(outputs, list[_Output], 'outputs')
    return replace(
        _build(JobRecord, {'id': job_id, **data, 'steps': [], 'attempts': []}, ''),
        id=job_id,
        version=VERSION,
        steps=tuple(steps),
        attempts=tuple(_build(AttemptRecord, entry, f'attempts[{index}]') for index, entry in enumerate(attempts)),
        outputs=tuple(outputs),
    )


def record_to_json(record: JobRecord) -> dict[str, Any]:
    """Return a record as plain JSON, which ``record_from_json`` reads."""
    data = {'version': record.version, **plain(record)}
    # The long lists come last, after the unknown keys.
    for name in ('attempts', 'steps'):
        data[name] = [plain(entry) for entry in data.pop(name)]
    return data


def record_bytes(record: JobRecord) -> bytes:
    """Return the content of a job file."""
    return json.dumps(record_to_json(record), indent=1).encode('ascii')


def attempt_from_json(data: Any) -> AttemptRecord:
    """Return the record of an attempt. Raises RecordError."""
    return _build(AttemptRecord, data, 'attempt')


def check_result(line: Json) -> None:
    """Raise RecordError unless a line of results can be merged into a record."""
    if 'step' in line:
        _check(line['step'], dict, 'step')
        _build(StepRecord, {'args': {}, **line['step']}, 'step')
    if 'output' in line:
        _check(line['output'], _Output, 'output')


def plain(entry: JobRecord | StepRecord | AttemptRecord) -> dict[str, Any]:
    """Return the fields of an entry and its unknown keys as plain JSON; nested entries stay objects."""
    return {name: _as_json(getattr(entry, name)) for name in _names(type(entry))} | dict(entry.extra)


def _step_from_json(data: Any, index: int) -> StepRecord:
    place = f'steps[{index}]'
    _check(data, dict, place)
    step = _build(StepRecord, {'id': f'step-{index}', 'status': None, **data}, place)
    _check(data.get('inputs', []), list[_Input], f'{place}.inputs')
    for key in ('target_path', 'output_path'):
        _check_path(step.args.get(key), f'{place}.args.{key}')
    for entry in step.inputs:
        _check_path(entry['path'], f'{place}.inputs')
    return replace(step, args=_with_home(step.args), inputs=tuple(step.inputs))


def _with_home(args: Json) -> Json:
    """Return the arguments with ``~`` expanded in paths; the run refuses the home folder of an unknown user."""
    paths = ('source_paths', 'target_path', 'output_path')
    return {key: _expanded(value) if key in paths else value for key, value in args.items()}


def _expanded(value: Any) -> Any:
    if isinstance(value, list):
        return [_expanded(item) for item in value]
    with suppress(UnknownHome):
        return expand_home(value) if isinstance(value, str) else value
    return value


def _check_path(value: Any, place: str) -> None:
    """Raise RecordError for a value that is not a path on any system."""
    try:
        is_path = value is None or (isinstance(value, str) and b'\0' not in os.fsencode(value))
    except UnicodeEncodeError:
        is_path = False
    if not is_path:
        raise RecordError(f'{place}: {value!r:.60} is not a path')


def _link_remixes(job_id: str, steps: list[StepRecord]) -> list[StepRecord]:
    """Set ``remix_of`` of steps of version 1 whose target is the output of an earlier step."""
    written: dict[str, str] = {}
    linked = []
    for index, step in enumerate(steps):
        target = step.args.get('target_path')
        linked.append(replace(step, remix_of=written.get(target)) if isinstance(target, str) else step)
        if isinstance(step.output_path, str):
            written[step_output_path(step.output_path, job_id, index)] = step.id
    return linked


def _build(kind: type[Entry], data: Any, place: str) -> Entry:
    """Return an object of ``kind`` with checked fields, and all other keys as ``extra``."""
    _check(data, dict, place)
    values = {name: data[name] for name in _names(kind) if name in data}
    _check(values, kind, place)
    for name, value in values.items():
        if isinstance(value, int | float) and not abs(value) < _LARGEST:
            raise RecordError(f'{place}.{name}: the number is not finite or too large'.lstrip('.'))
    return kind(**values, extra={key: value for key, value in data.items() if key not in values})


def _check(value: Any, kind: Any, place: str) -> None:
    """Raise RecordError with the position in the file unless ``value`` is JSON of ``kind``."""
    # Loading msgspec takes 10 ms of the 150 ms of a query, and job-list does not need it.
    import msgspec

    try:
        msgspec.convert(value, kind)
    except (msgspec.ValidationError, UnicodeEncodeError) as error:
        problem, _, inner = str(error).replace('`', '').partition(' - at $')
        raise RecordError(f'{place}{inner}: {problem}'.lstrip('.: ')) from None


def _names(kind: type) -> list[str]:
    return [entry.name for entry in fields(kind) if entry.name != 'extra']


def _as_json(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _as_json(item) for key, item in value.items()}
    return [_as_json(item) for item in value] if isinstance(value, tuple | list) else value
