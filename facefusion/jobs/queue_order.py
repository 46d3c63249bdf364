"""The order of the queue, and the priorities that move a job to another place in it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from facefusion.errors import JobError

LOWEST, HIGHEST = -1000, 1000


class QueuedJob(NamedTuple):
    """A queued job: jobs of a higher priority come first, then those submitted earlier (in seconds), then by id."""

    job_id: str
    priority: int
    submitted: float

    @property
    def turn(self) -> tuple[float, ...] | tuple[float, float, str]:
        """The sort key."""
        return (-self.priority, self.submitted, self.job_id)


def priorities_for(jobs: Sequence[QueuedJob], job_id: str, before: str | None) -> dict[str, int]:
    """Return the new priorities that put a job directly before another one, or at the end for None.

    Only priorities that must change are returned: those of the job and of the jobs on one side of it, whichever side
    needs fewer changes. Raises JobError job-not-queued, queue-order.
    """
    ordered = sorted(jobs, key=lambda job: job.turn)
    by_id = {job.job_id: job for job in ordered}
    for name in (job_id, *([before] if before is not None else [])):
        if name not in by_id:
            raise JobError(
                'job-not-queued',
                f'the job {name} is not in the queue',
                hint='it may have started: look at the list again',
            )
    if before == job_id:
        return {}
    others = [job for job in ordered if job.job_id != job_id]
    place = next((number for number, job in enumerate(others) if job.job_id == before), len(others))
    wanted = [*others[:place], by_id[job_id], *others[place:]]
    found = [_raised(wanted, place), _lowered(wanted, place)]
    possible = [each for each in found if all(LOWEST <= priority <= HIGHEST for priority in each.values())]
    if not possible:
        hint = f'priorities lie between {LOWEST} and {HIGHEST}: set them with job-priority'
        raise JobError('queue-order', 'the job cannot be moved there', cause='no priority is left', hint=hint)
    best = min(possible, key=len)
    return {name: priority for name, priority in best.items() if priority != by_id[name].priority}


def _raised(wanted: Sequence[QueuedJob], place: int) -> dict[str, int]:
    """Keep the jobs behind ``place``, and raise those from ``place`` up as far as necessary."""
    changed: dict[str, int] = {}
    following = wanted[place + 1] if place + 1 < len(wanted) else None
    for job in reversed(wanted[: place + 1]):
        if following is not None and job.turn > following.turn:
            raised = job._replace(priority=following.priority)
            raised = raised if raised.turn < following.turn else job._replace(priority=following.priority + 1)
            changed[job.job_id] = raised.priority
            job = raised
        elif following is None:
            job = job._replace(priority=min(each.priority for each in wanted))
            changed[job.job_id] = job.priority
        following = job
    return changed


def _lowered(wanted: Sequence[QueuedJob], place: int) -> dict[str, int]:
    """Keep the jobs before ``place``, and lower those from ``place`` on as far as necessary."""
    changed: dict[str, int] = {}
    previous = wanted[place - 1] if place else None
    for number, job in enumerate(wanted[place:]):
        if previous is not None and job.turn < previous.turn:
            lowered = job._replace(priority=previous.priority)
            lowered = lowered if lowered.turn > previous.turn else job._replace(priority=previous.priority - 1)
            changed[job.job_id] = lowered.priority
            job = lowered
        elif previous is None and not number:
            job = job._replace(priority=max(each.priority for each in wanted))
            changed[job.job_id] = job.priority
        previous = job
    return changed
