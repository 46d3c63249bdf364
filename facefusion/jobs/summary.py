"""Job queries as plain JSON: a summary of each job, or all facts of one job."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from facefusion.jobs.attempt import read_attempts
from facefusion.jobs.claim import WORK_FOLDER
from facefusion.jobs.job_files import JobFile
from facefusion.jobs.record import record_to_json, seconds_of
from facefusion.jobs.store import JobData, JobStore

_DATES = ('date_created', 'date_updated', 'date_submitted', 'date_started', 'date_finished')
_SUMMARY_KEYS = (*_DATES, 'origin', 'priority', 'not_before', 'error')


def summaries(store: JobStore, state: str | None = None) -> list[dict[str, Any]]:
    """Return a summary of every job, or of the jobs in ``state``, oldest first. A broken file has state 'broken'."""
    entries = []
    for job_file in store.job_files().values():
        if state is None or job_file.state == state:
            job = store.read(job_file)
            if job is not None and (state is None or job.job_file.state == state):
                entries.append(summary_of(store, job))
    return sorted(entries, key=lambda summary: (seconds_of(str(summary.get('date_created'))), summary['id']))


def summary_of(store: JobStore, job: JobData) -> dict[str, Any]:
    """Return the summary of one job; a broken file has the state 'broken'."""
    job_file, data = job.job_file, job.data
    if data is None:
        error = {'reference': 'job-broken', 'message': job.broken, 'path': str(job_file.path)}
        return {'id': job_file.job_id, 'state': 'broken', 'folder': job_file.state, 'error': error}
    completed = [step for step in data['steps'] if isinstance(step, dict) and step.get('status') == 'completed']
    counts = {'steps': len(data['steps']), 'steps_completed': len(completed)}
    summary = {'id': job_file.job_id, 'state': job_file.state, **counts}
    return (
        summary | {key: data.get(key) for key in _SUMMARY_KEYS} | live_facts(store, job_file, data.get('date_started'))
    )


def job_view(store: JobStore, job_id: str) -> dict[str, Any]:
    """Return the record of a job, merged with the notes of its attempts, and its state and progress.

    Raises the errors of ``JobStore.open``.
    """
    opened = store.open(job_id)
    # The state comes first, and overrides an unknown key of that name in the record.
    record = {'state': opened.state, **record_to_json(opened.record)}
    return {**record, 'state': opened.state, **live_facts(store, opened.job_file, opened.record.date_started)}


def live_facts(store: JobStore, job_file: JobFile, started: str | None) -> dict[str, Any]:
    """Return the worker and the progress of a claimed job; ``started`` is the date in its record."""
    if job_file.kind != 'claim' or job_file.owner is None:
        return {}
    owner = job_file.owner
    live: dict[str, Any] = {
        'worker': {'host': owner.host, 'pid': owner.pid, 'dead': owner.is_dead()},
        'progress': None,
    }
    for note in read_attempts(store.root / WORK_FOLDER / job_file.job_id):
        # This is the start of the first attempt, as in the record of a finished job.
        live.setdefault('date_started', started or note.attempt.date_started)
        if note.attempt.nonce == owner.nonce:
            live['steps_completed'] = sum(1 for line in note.results if _is_completed(line))
            if note.progress is not None:
                live['progress'] = {**(note.step or {}), **note.progress}
    return live


def _is_completed(line: Mapping[str, Any]) -> bool:
    step = line.get('step')
    return isinstance(step, dict) and step.get('status') == 'completed'
