"""The states of a job and the actions that each state allows."""

from __future__ import annotations

from typing import Literal

from facefusion.errors import JobError

State = Literal['drafted', 'queued', 'running', 'completed', 'failed']
STATES: tuple[State, ...] = ('drafted', 'queued', 'running', 'completed', 'failed')
Action = Literal['edit', 'submit', 'run', 'retry', 'requeue', 'reorder', 'cancel', 'delete']
# The participle of each action, and the states that allow it. docs/job-store.md has the table of all state changes.
_RULES: dict[Action, tuple[str, tuple[State, ...]]] = {
    'edit': ('changed', ('drafted',)),
    'submit': ('submitted', ('drafted',)),
    'run': ('run', ('queued',)),
    'retry': ('retried', ('failed',)),
    'requeue': ('retried', ('failed',)),
    'reorder': ('moved in the queue', ('queued',)),
    'cancel': ('cancelled', ('queued', 'running')),
    'delete': ('deleted', ('drafted', 'queued', 'completed', 'failed')),
}
_HINTS: dict[tuple[Action, State], str] = {
    ('edit', 'queued'): 'only drafted jobs can be changed: create a new job',
    ('submit', 'queued'): 'it is already in the queue: run it with job-run, or with a worker (job-run-all --watch)',
    ('submit', 'failed'): 'run it again with job-retry',
    ('run', 'drafted'): 'add it to the queue first, with job-submit',
    ('run', 'failed'): 'run it again with job-retry',
    ('retry', 'drafted'): 'add it to the queue first, with job-submit',
    ('retry', 'completed'): 'all steps are completed: create a new job to repeat them',
    ('requeue', 'completed'): 'all steps are completed: create a new job to repeat them',
    ('requeue', 'running'): 'stop it first, with job-cancel',
    ('cancel', 'drafted'): 'it is not in the queue: delete it with job-delete',
    ('reorder', 'drafted'): 'add it to the queue first, with job-submit',
    ('reorder', 'running'): 'it has left the queue',
    ('delete', 'running'): 'stop it first, with job-cancel',
}


def check_move(action: Action, job_id: str, state: State) -> None:
    """Raise JobError job-wrong-state when the action is not allowed for jobs in ``state``."""
    participle, states = _RULES[action]
    if state not in states:
        raise JobError(
            'job-wrong-state',
            f'the job {job_id} is {state}: it cannot be {participle}',
            cause='the job must be ' + ' or '.join(states),
            hint=_HINTS.get((action, state), f'see its history with facefusion job-show {job_id}'),
        )
