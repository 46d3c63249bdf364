"""The order of the queue, and changes of it by hand.

Jobs run by priority (higher first), then by the date of submission, then by id. A job that is moved gets the priority
of its new neighbour and a date of submission between those of both neighbours, so no other record changes. Only if the
neighbours were submitted in the same microsecond, jobs behind the new place get dates a few microseconds later.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

from facefusion.errors import JobError
from facefusion.jobs.record import JobRecord, now_text, seconds_of
from facefusion.jobs.states import Action, check_move
from facefusion.jobs.store import JobStore, unknown

# The gap after the last job for one that is moved to the end, in microseconds.
_END_GAP = 1000
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Turn(NamedTuple):
    """The place of a job in the queue. ``moment`` is the date of submission in microseconds since 1970."""

    rank: int
    moment: int
    job_id: str

    @property
    def priority(self) -> int:
        """The priority of the job."""
        return -self.rank


def turn_of(job_id: str, data: Mapping[str, Any]) -> Turn:
    """Return the place of a job from the keys of its record; unreadable values count as 0."""
    priority, date = data.get('priority'), data.get('date_submitted') or data.get('date_created')
    return Turn(-priority if isinstance(priority, int) else 0, _moment(date), job_id)


def set_priority(store: JobStore, job_id: str, priority: int) -> None:
    """Change the priority of a drafted or queued job.

    Raises JobError job-unknown, job-wrong-state, job-busy, job-broken.
    """
    job_file = store.find(job_id)
    action: Action = 'edit' if job_file is not None and job_file.state == 'drafted' else 'reorder'
    with store.edit(job_id, action) as (claim, record):
        if record.priority != priority:
            claim.finish(claim.state, replace(record, priority=priority, date_updated=now_text()))


def move_before(store: JobStore, job_id: str, other_id: str | None) -> None:
    """Let a queued job run right before another queued one, or with None after all others.

    Jobs that leave the queue meanwhile do not matter. Raises JobError job-unknown, job-wrong-state (also for
    ``other_id``), job-busy, job-broken.
    """
    others = [turn for turn in queue_turns(store) if turn.job_id != job_id]
    place = len(others)
    if other_id is not None and other_id != job_id:
        place = next((at for at, turn in enumerate(others) if turn.job_id == other_id), -1)
        if place < 0:
            raise _not_queued(store, other_id)
    elif other_id == job_id:
        return
    priority, moment, delays = _between(others[:place], others[place:])
    # The last one moves first, so that the order is the same after each of these changes.
    for turn, later in reversed(delays):
        try:
            _settle(store, turn.job_id, turn.priority, later)
        except JobError as error:
            if error.reference not in ('job-unknown', 'job-wrong-state', 'job-busy', 'job-taken', 'job-broken'):
                raise
    _settle(store, job_id, priority, moment)


def queue_turns(store: JobStore) -> list[Turn]:
    """Return the places of all queued jobs in their order; broken files are left out."""
    turns = []
    for job_file in store.job_files().values():
        job = store.read(job_file) if job_file.state == 'queued' else None
        if job is not None and job.data is not None and job.job_file.state == 'queued':
            turns.append(turn_of(job_file.job_id, job.data))
    return sorted(turns)


def _between(before: list[Turn], after: list[Turn]) -> tuple[int, int | None, Sequence[tuple[Turn, int]]]:
    """Return priority and moment of a job between two lists, and new moments of jobs behind it.

    The moment is None where any will do.
    """
    if not before and not after:
        return 0, None, ()
    if not after:
        return before[-1].priority, before[-1].moment + _END_GAP, ()
    following = after[0]
    if not before or before[-1].rank != following.rank:
        return following.priority, following.moment - _END_GAP, ()
    low = before[-1].moment
    moment = max((low + following.moment) // 2, low + 1)
    latest, delays = moment, list[tuple[Turn, int]]()
    for turn in after:
        if turn.rank != following.rank or turn.moment > latest:
            break
        latest += 1
        delays.append((turn, latest))
    return following.priority, moment, delays


def _settle(store: JobStore, job_id: str, priority: int, moment: int | None) -> None:
    with store.edit(job_id, 'reorder') as (claim, record):
        claim.finish('queued', _moved(record, priority, moment))


def _moved(record: JobRecord, priority: int, moment: int | None) -> JobRecord:
    if moment is None:
        return record
    date = (_EPOCH + timedelta(microseconds=moment)).astimezone().isoformat(timespec='microseconds')
    return replace(record, priority=priority, date_submitted=date, date_updated=now_text())


def _moment(date: object) -> int:
    return round(seconds_of(date) * 1_000_000) if isinstance(date, str) else 0


def _not_queued(store: JobStore, job_id: str) -> JobError:
    """Return the error for a job that is not in the queue."""
    job_file = store.find(job_id)
    if job_file is None:
        return unknown(job_id)
    try:
        check_move('reorder', job_id, job_file.state)
    except JobError as error:
        return error
    return unknown(job_id)
