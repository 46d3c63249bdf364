"""``job-list`` and ``job-show``: read the job store without changing it."""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Mapping
from typing import Any

from facefusion.cli.commands import Spec
from facefusion.cli.invocation import Invocation
from facefusion.cli.parser import add_job_id, job_id_of
from facefusion.cli.tables import print_table
from facefusion.events import Message
from facefusion.jobs.files import is_there
from facefusion.jobs.states import STATES
from facefusion.jobs.summary import job_view, summaries
from facefusion.services.option_groups import STORE_GROUPS

GROUPS = STORE_GROUPS


def _configure_list(parser: argparse.ArgumentParser) -> None:
    parser.add_argument('job_status', nargs='?', choices=STATES, metavar='STATUS', help=', '.join(STATES))
    parser.add_argument('--job-status', dest='job_status_flag', choices=STATES, metavar='STATUS', help='same as STATUS')
    _add_format(parser)


def _configure_show(parser: argparse.ArgumentParser) -> None:
    add_job_id(parser)
    _add_format(parser)


def _add_format(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        '--format',
        dest='output_format',
        choices=('table', 'json'),
        default='table',
        help='output format; json has all details',
    )


def _list(invocation: Invocation) -> int:
    """Print the jobs. Return 1, as FaceFusion 3.8 does, if a table is requested and no job has the status."""
    wanted = invocation.arguments.job_status or invocation.arguments.job_status_flag
    found = summaries(invocation.job_store(), wanted)
    if invocation.arguments.output_format == 'json':
        # One job per line is readable, and much faster than full indentation for a thousand jobs.
        print('[' + ',\n '.join(json.dumps(summary) for summary in found) + ']')
        return 0
    if found:
        titles = ('job id', 'steps', 'date created', 'date updated', 'job status')
        print_table([titles, *(_row(summary) for summary in found)])
    else:
        noun = f'{wanted} job' if wanted else 'job'
        invocation.emit()(Message('info', 'jobs', f'there is no {noun} in {invocation.jobs_path()}'))
    return 1 if wanted and not found else 0


def _row(summary: Mapping[str, Any]) -> tuple[str, ...]:
    progress = summary.get('progress')
    state = str(summary['state'])
    if progress and progress.get('total'):
        state += f' ({progress["stage"]} {100 * progress["done"] // progress["total"]} %)'
    if (summary.get('worker') or {}).get('dead'):
        remedy = 'the next worker resumes it' if summary.get('origin') == 'job' else 'run the same command again'
        state = f'{summary["state"]} (its process is dead: {remedy})'
    if summary['state'] == 'broken':
        state += f' ({summary["folder"]})'
    steps = summary.get('steps')
    dates = (_moment(summary.get('date_created')), _moment(summary.get('date_updated')))
    return (summary['id'], '-' if steps is None else str(steps), *dates, state)


def _moment(date: object) -> str:
    # job-list does not check the records, so the value may have any type.
    return date[:19].replace('T', ' ') if isinstance(date, str) and date else '-'


def _show(invocation: Invocation) -> int:
    """Print one job as text, or with all details as JSON."""
    store = invocation.job_store()
    view = job_view(store, store.resolve_id(job_id_of(invocation.arguments) or ''))
    if invocation.arguments.output_format == 'json':
        print(json.dumps(view, indent=1))
        return 0
    for key in (
        'id',
        'state',
        'date_created',
        'date_submitted',
        'date_started',
        'date_finished',
        'priority',
        'retries',
        'notify',
    ):
        if view.get(key) not in (None, ''):
            print(f'{key.replace("_", " ") + ":":<16}{view[key]}')
    if view.get('not_before') and view['state'] == 'queued':
        when = time.strftime('%Y-%m-%d %H:%M:%S', time.localtime(view['not_before']))
        print(f'{"next attempt:":<16}{when}')
    _print_attempts(view)
    rows = [('step', 'status', 'seconds', 'output')]
    for index, step in enumerate(view['steps']):
        seconds = '-' if step['seconds'] is None else f'{step["seconds"]:.2f}'
        rows.append((str(index), step['status'], seconds, str(step['args'].get('output_path') or '-')))
    if len(rows) > 1:
        print_table(rows)
    for output in view['outputs']:
        print(f'published: {output.get("path")}, sha256 {output.get("sha256")}')
        if is_there(f'{output.get("path")}.c2pa'):
            print(f'  with its Content Credentials in the sidecar {output.get("path")}.c2pa')
    for index, step in enumerate(view['steps']):
        signed = (step['report'] or {}).get('credentials')
        if isinstance(signed, Mapping):
            print(f'step {index}: signed by {signed.get("signer")}, credentials {signed.get("manifest")}')
        if step['args'].get('consent'):
            # Further lines of the consent are indented, so that they do not look like lines of another step.
            print('\n    '.join(f'step {index}: consent: {step["args"]["consent"]}'.splitlines()))
        for change in (step['report'] or {}).get('inputs_changed') or ():
            print(f'step {index}: changed since the step was added: {change.get("path")} ({change.get("cause")})')
        if step['error']:
            _print_error(f'step {index}', step['error'])
    if view['error'] and not any(step['error'] == view['error'] for step in view['steps']):
        _print_error('job', view['error'])
    return 0


def _print_attempts(view: Mapping[str, Any]) -> None:
    for number, attempt in enumerate(view['attempts'], 1):
        result = attempt['result'] or ('dead' if (view.get('worker') or {}).get('dead') else 'running')
        if attempt['error']:
            result += f' [{attempt["error"].get("reference")}]'
        print(f'{f"attempt {number}:":<16}{result}, process {attempt["pid"]} on {attempt["host"]}')
    progress = view.get('progress')
    if progress:
        print(f'{"progress:":<16}{progress["stage"]} {progress["done"]} of {progress["total"]} frames')


def _print_error(subject: str, error: Mapping[str, Any]) -> None:
    print(f'{subject}: {error.get("message")} [{error.get("reference")}]')
    for key in ('cause', 'hint'):
        if error.get(key):
            print(f'  {key}: {error[key]}')


LIST = Spec(GROUPS, _configure_list, _list)
SHOW = Spec(GROUPS, _configure_show, _show, frozenset({'progress'}))
