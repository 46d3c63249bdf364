"""The states of a job and the moves between them."""

from __future__ import annotations

from typing import Literal, NamedTuple

from facefusion.errors import JobError

State = Literal['drafted', 'queued', 'running', 'completed', 'failed']
STATES: tuple[State, ...] = ('drafted', 'queued', 'running', 'completed', 'failed')
Action = Literal['edit', 'submit', 'run', 'retry', 'requeue', 'cancel', 'finish', 'fail', 'give back', 'delete']


class Move(NamedTuple):
    """What an action does to a job in one of the states ``starts``; ``end`` None: the job is gone."""

    action: Action
    starts: tuple[State, ...]
    end: State | None


# A job begins drafted (job-create) or running (headless-run, batch-run); everything else is one of these.
MOVES = (
    Move('edit', ('drafted',), 'drafted'),
    Move('submit', ('drafted',), 'queued'),
    Move('run', ('queued',), 'running'),
    Move('retry', ('failed',), 'running'),
    Move('requeue', ('failed',), 'queued'),
    Move('cancel', ('queued', 'running'), 'failed'),
    Move('finish', ('running',), 'completed'),
    Move('fail', ('running',), 'failed'),
    Move('give back', ('running',), 'queued'),
    Move('delete', ('drafted', 'queued', 'completed', 'failed'), None),
)
_DONE_TO = {
    'edit': 'changed',
    'submit': 'submitted',
    'run': 'run',
    'retry': 'retried',
    'requeue': 'retried',
    'cancel': 'cancelled',
    'delete': 'deleted',
}
_ADVICE = {
    ('edit', 'queued'): 'steps change in drafted jobs only: make a new job',
    ('submit', 'queued'): 'it is in the queue already: run it with job-run, or with a worker (job-run-all --watch)',
    ('submit', 'failed'): 'run it again with job-retry',
    ('run', 'drafted'): 'put it into the queue first, with job-submit',
    ('run', 'failed'): 'run it again with job-retry',
    ('retry', 'drafted'): 'put it into the queue first, with job-submit',
    ('retry', 'completed'): 'all of it is done: make a new job to do it again',
    ('requeue', 'completed'): 'all of it is done: make a new job to do it again',
    ('requeue', 'running'): 'stop it first, with job-cancel',
    ('cancel', 'drafted'): 'it waits for nothing: remove it with job-delete',
    ('delete', 'running'): 'stop it first, with job-cancel',
}


def move_of(action: Action) -> Move:
    """The move that an action makes."""
    return next(move for move in MOVES if move.action == action)


def check_move(action: Action, job_id: str, state: State) -> None:
    """Raises JobError job-wrong-state when the action is not for jobs in ``state``."""
    starts = move_of(action).starts
    if state not in starts:
        raise JobError(
            'job-wrong-state',
            f'the job {job_id} is {state}: it cannot be {_DONE_TO.get(action, action)}',
            cause='that is for jobs that are ' + ' or '.join(starts),
            hint=_ADVICE.get((action, state), f'facefusion job-show {job_id} tells what happened to it'),
        )
