"""Checks of a job store against docs/job-record.schema.json, and of records against their state.

Call ``check_store(root)`` at the end of a test that changes a store; other processes may still use the store.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Collection, Iterator, Mapping
from pathlib import Path
from typing import Any

import jsonschema
import pytest

SCHEMA_PATH = Path(__file__).resolve().parent.parent.parent / 'docs' / 'job-record.schema.json'
SCHEMA = json.loads(SCHEMA_PATH.read_text(encoding='ascii'))
STATES = ('drafted', 'queued', 'running', 'completed', 'failed')
_CLAIMED = re.compile(r'(?P<id>[^@]+)@[A-Za-z0-9-]+\.\d+\.[0-9a-f]+\.(json|edit|done)')
_NOTE = re.compile(r'[0-9a-f]+\.json')
_WAITING = re.compile(rf'[0-9a-f]+\.({"|".join(STATES)})\.json')


def validator(part: str = '') -> jsonschema.Draft202012Validator:
    """Return a validator for a record, or for one part in ``$defs``."""
    schema = {**SCHEMA, '$ref': f'#/$defs/{part}'} if part else SCHEMA
    if part:
        # The rules at the root of the schema apply only to records.
        schema = {key: schema[key] for key in ('$schema', '$id', '$ref', '$defs')}
    return jsonschema.Draft202012Validator(schema)


def schema_errors(data: Any, part: str = '') -> list[str]:
    """Return the violations of the schema with their positions."""
    return [f'{error.json_path}: {error.message}' for error in validator(part).iter_errors(data)]


def check_store(root: Path, skip: Collection[str] = (), quiet: bool = False) -> dict[str, dict[str, Any]]:
    """Check every file of a store except those of the jobs in ``skip``; return the records by job id.

    ``quiet`` means that no process uses the store: no file may be claimed, no record may be prepared or unnamed, and
    each job must have exactly one file. Foreign files are always violations.
    """
    records: dict[str, dict[str, Any]] = {}
    errors = list(_check_states(root, skip, quiet, records))
    errors += list(_check_work(root / '.work', skip, quiet))
    assert not errors, 'the store violates docs/job-record.schema.json:\n' + '\n'.join(errors)
    return records


@pytest.fixture
def checked_stores() -> Iterator[list[Path]]:
    """Yield a list; every store folder that the test adds is checked at the end of the test."""
    roots: list[Path] = []
    yield roots
    for root in roots:
        check_store(root)


def _check_states(root: Path, skip: Collection[str], quiet: bool, records: dict[str, dict[str, Any]]) -> Iterator[str]:
    for state in STATES:
        for path in _files(root / state):
            claimed = _CLAIMED.fullmatch(path.name)
            job_id = claimed['id'] if claimed else path.name.removesuffix('.json')
            if job_id in skip:
                continue
            if not claimed and path.suffix != '.json':
                yield f'{path}: it is a foreign file'
                continue
            if quiet and claimed:
                yield f'{path}: it is claimed by a process'
            if quiet and job_id in records:
                yield f'{path}: the job is in two states'
            data = _read(path)
            if data is not None:
                records[job_id] = data
                yield from _with_path(path, _record_errors(data, job_id))
                if path.suffix == '.json' and not claimed and data.get('version') == '2':
                    yield from _with_path(path, state_errors(state, data))


def _check_work(work: Path, skip: Collection[str], quiet: bool) -> Iterator[str]:
    for folder in _files(work):
        if folder.name in skip or not folder.is_dir() or '@' in folder.name or folder.name in ('.workers', '.content'):
            continue
        for path in _files(folder):
            if quiet and (folder.name == '.new' or _WAITING.fullmatch(path.name)):
                yield f'{path}: left behind'
            data = _read(path)
            if data is None or folder.name == '.new':
                continue
            if _WAITING.fullmatch(path.name):
                yield from _with_path(path, _record_errors(data, folder.name))
            elif _NOTE.fullmatch(path.name):
                yield from _with_path(path, schema_errors(data, 'attempt_note'))
        for path in folder.glob('*.results'):
            for line in path.read_bytes().split(b'\n')[:-1]:
                yield from _with_path(path, schema_errors(json.loads(line), 'results_line'))


def _record_errors(data: Mapping[str, Any], job_id: str) -> list[str]:
    if data.get('version') == '1':
        return schema_errors(data, 'version_1')
    return schema_errors(data) + ([] if data.get('id') == job_id else [f'its id is {data.get("id")!r}'])


def state_errors(state: str, data: Mapping[str, Any]) -> list[str]:
    """Return the contradictions between a record of version 2 and the state of its folder."""
    statuses = [step['status'] for step in data['steps']]
    results = [attempt['result'] for attempt in data['attempts']]
    rules: dict[str, Callable[[], bool]] = {
        'drafted': lambda: set(statuses) <= {'drafted'} and not data['attempts'] and data['date_submitted'] is None,
        'queued': lambda: bool(statuses) and set(statuses) <= {'queued', 'completed'} and data['error'] is None,
        'running': lambda: True,
        'completed': lambda: set(statuses) == {'completed'} and data['error'] is None and results[-1:] == ['completed'],
        'failed': lambda: data['error'] is not None and 'started' not in statuses,
    }
    errors = [] if rules[state]() else [f'it is not {state}: steps {statuses}, attempts {results}, {data["error"]}']
    if state in ('completed', 'failed') and data['date_finished'] is None:
        errors.append(f'a {state} job without date_finished')
    if results.count('completed') > 1:
        errors.append('finished twice')
    if len({attempt['nonce'] for attempt in data['attempts']}) != len(results):
        errors.append('an attempt is listed twice')
    if None in results and state != 'running':
        errors.append('an attempt has no result')
    return errors


def _files(folder: Path) -> list[Path]:
    return sorted(folder.iterdir()) if folder.is_dir() else []


def _read(path: Path) -> dict[str, Any] | None:
    """Return the JSON of a file; None when it is missing or not a JSON file."""
    if path.suffix in ('.results', '.cancel', '.part') or path.is_dir():
        return None
    try:
        text = path.read_bytes()
    except FileNotFoundError:
        return None
    if not text and path.parent.name == '.new':
        return None
    try:
        return json.loads(text)
    except ValueError:
        if path.parent.name == '.new':
            return None
        raise


def _with_path(path: Path, errors: list[str]) -> list[str]:
    return [f'{path}: {error}' for error in errors]


@pytest.fixture(scope='session', autouse=True)
def every_record() -> Iterator[None]:
    """Check every record against the schema when this process writes it.

    This fixture applies to all tests below a conftest.py that imports it.
    """
    from facefusion.jobs import claim, store
    from facefusion.jobs.record import JobRecord, record_bytes

    rules = validator()

    def checked(record: JobRecord) -> bytes:
        text = record_bytes(record)
        errors = [f'{error.json_path}: {error.message}' for error in rules.iter_errors(json.loads(text))]
        assert not errors, 'a record violates docs/job-record.schema.json:\n' + '\n'.join(errors)
        return text

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(claim, 'record_bytes', checked)
        patch.setattr(store, 'record_bytes', checked)
        yield
