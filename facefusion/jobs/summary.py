"""What a query tells of jobs, as plain JSON: a few facts of each, or everything of one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from facefusion.jobs.attempt import read_attempts
from facefusion.jobs.claim import WORK_FOLDER, JobFile
from facefusion.jobs.record import record_to_json, seconds_of
from facefusion.jobs.store import Found, JobStore

_KEPT = (
    'date_created',
    'date_updated',
    'date_submitted',
    'date_started',
    'date_finished',
    'origin',
    'priority',
    'not_before',
    'error',
)


def summaries(store: JobStore, state: str | None = None) -> list[dict[str, Any]]:
    """A summary of every job, or of those in ``state``, the oldest first. A file that is no record is 'broken'."""
    found = []
    for job_file in store.job_files().values():
        if state is None or job_file.state == state:
            read = store.look(job_file)
            if read is not None and (state is None or read.job_file.state == state):
                found.append(_summary(store, read))
    return sorted(found, key=lambda summary: (seconds_of(str(summary.get('date_created'))), summary['id']))


def _summary(store: JobStore, found: Found) -> dict[str, Any]:
    job_file, data = found.job_file, found.data
    if data is None:
        error = {'reference': 'job-broken', 'message': found.broken, 'path': str(job_file.path)}
        return {'id': job_file.job_id, 'state': 'broken', 'folder': job_file.state, 'error': error}
    summary = {'id': job_file.job_id, 'state': job_file.state, 'steps': len(data['steps'])}
    summary['steps_completed'] = sum(
        1 for step in data['steps'] if isinstance(step, dict) and step.get('status') == 'completed'
    )
    summary |= {key: data.get(key) for key in _KEPT}
    return summary | _live(store, job_file, data.get('date_started'))


def job_view(store: JobStore, job_id: str) -> dict[str, Any]:
    """Everything of one job: its record, merged with what its attempts have told, its state and its progress.

    Raises what ``JobStore.open`` raises.
    """
    opened = store.open(job_id)
    # A key of this name in the record is somebody else's; the first place in the text stays.
    record = {'state': opened.state, **record_to_json(opened.record)}
    return {**record, 'state': opened.state, **_live(store, opened.job_file, opened.record.date_started)}


def _live(store: JobStore, job_file: JobFile, started: str | None) -> dict[str, Any]:
    """Who works on a job that has ``started`` once, if it has, and how far that is."""
    if job_file.kind != 'claim' or job_file.owner is None:
        return {}
    owner = job_file.owner
    told: dict[str, Any] = {
        'worker': {'host': owner.host, 'pid': owner.pid, 'dead': owner.is_dead()},
        'progress': None,
    }
    for note in read_attempts(store.root / WORK_FOLDER / job_file.job_id):
        # When the first of the attempts began, as in the record of an ended job.
        told.setdefault('date_started', started or note.attempt.date_started)
        if note.attempt.nonce == owner.nonce:
            told['steps_completed'] = sum(1 for line in note.results if _has_completed(line))
            if note.progress is not None:
                told['progress'] = {**(note.step or {}), **note.progress}
    return told


def _has_completed(line: Mapping[str, Any]) -> bool:
    step = line.get('step')
    return isinstance(step, dict) and step.get('status') == 'completed'
