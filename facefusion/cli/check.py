"""``check``: check whether images and videos pass the content gate."""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from facefusion.cli.invocation import Invocation
from facefusion.cli.parser import path_argument
from facefusion.cli.reporting import reported
from facefusion.cli.signals import stop_on_signals
from facefusion.cli.tables import print_table
from facefusion.engines.process_settings import tune_process
from facefusion.errors import ContentRefused
from facefusion.events import ContentChecked, Emit, Message
from facefusion.inference.options import ExecutionOptions
from facefusion.jobs.options import StoreOptions
from facefusion.models.options import ModelOptions
from facefusion.services.options import ConsoleOptions
from facefusion.stopping import StopFlag

if TYPE_CHECKING:
    from facefusion.pipeline.content_check import ContentVerdict
    from facefusion.pipeline.content_screening import ContentScreening

GROUPS: tuple[type, ...] = (ExecutionOptions, ModelOptions, StoreOptions, ConsoleOptions)
UNREAD = frozenset(
    (
        *('execution_batch_size', 'execution_engine', 'execution_thread_count'),
        *('video_memory_limit', 'video_memory_strategy'),
    )
)


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the files and the output format."""
    parser.add_argument('checked_files', nargs='+', metavar='FILE', type=path_argument, help='images and videos')
    parser.add_argument(
        '--format', dest='check_format', choices=('table', 'json'), default='table', help='output format'
    )


def run(invocation: Invocation) -> int:
    """Print the verdict of every file. Return 0 if all pass, 3 if one is refused, or the first failure's code."""
    tune_process()
    emit, flag = invocation.emit(), StopFlag()
    verdicts: list[ContentVerdict] = []
    with reported(emit), stop_on_signals(flag):
        from facefusion.pipeline.content_check import check_content

        screening = _screening(invocation, emit, flag)
        try:
            for name in invocation.arguments.checked_files:
                verdict = check_content(Path(name), screening, emit, flag)
                verdicts.append(verdict)
                _report(verdict, emit)
        finally:
            # An interrupted command prints the verdicts so far.
            _print(invocation, verdicts)
    codes = [verdict.error.exit_code for verdict in verdicts if verdict.error is not None]
    return ContentRefused.exit_code if ContentRefused.exit_code in codes else next(iter(codes), 0)


def _screening(invocation: Invocation, emit: Emit, flag: StopFlag) -> ContentScreening:
    """Return the content screening with the models and the score cache of runs."""
    from facefusion.inference.pool import open_sessions
    from facefusion.pipeline.content_screening import prepare_screening
    from facefusion.safety.voters import find_voters
    from facefusion.steps.step_run import RunFolders

    store = invocation.model_store(emit, flag)
    voters = find_voters(store)
    emit(voters.message('check'))
    store.fetch(voters.models)
    sessions = open_sessions(store, invocation.settings[ExecutionOptions], emit=emit)
    scores = RunFolders(invocation.jobs_path(), None).content_scores()
    return prepare_screening(sessions, store, voters.models, scores, False, emit, flag)


def _report(verdict: ContentVerdict, emit: Emit) -> None:
    """Emit the verdict, and a message about a file that could not be checked."""
    emit(ContentChecked(**verdict.as_record()))
    error = verdict.error
    if error is not None and verdict.verdict == 'failed':
        reasons = '; '.join(text for text in (error.cause, error.hint) if text)
        emit(Message('error', 'check', f'{error.message} [{error.reference}]' + (f': {reasons}' if reasons else '')))


def _print(invocation: Invocation, verdicts: Sequence[ContentVerdict]) -> None:
    if invocation.settings[ConsoleOptions].progress == 'json':
        return  # Each verdict has been emitted as an event.
    if invocation.arguments.check_format == 'json':
        print(json.dumps([verdict.as_record() for verdict in verdicts], indent=1))
    elif verdicts:
        titles = ('verdict', 'score', 'threshold', 'frames', 'file', 'reason')
        print_table([titles, *(_row(verdict) for verdict in verdicts)])


def _row(verdict: ContentVerdict) -> tuple[str, ...]:
    scores = ' '.join(f'{score:.3f}' for score in verdict.scores) or '-'
    thresholds = ' '.join(f'{threshold:g}' for threshold in verdict.thresholds)
    return verdict.verdict, scores, thresholds, str(verdict.frames), str(verdict.path), verdict.reason
