"""``faces``: find the people of an image or a clip."""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from facefusion.cli.invocation import Invocation
from facefusion.cli.parser import path_argument
from facefusion.cli.reporting import reported
from facefusion.cli.signals import stop_on_signals
from facefusion.cli.tables import print_table
from facefusion.engines.process_settings import tune_process
from facefusion.events import Emit, Message, PeopleFound
from facefusion.faces.options import (
    FaceDetectorOptions,
    FaceLandmarkerOptions,
    FaceRecognizerOptions,
    FaceSelectorOptions,
    FaceTrackerOptions,
)
from facefusion.inference.options import ExecutionOptions
from facefusion.jobs.options import StoreOptions
from facefusion.media.options import TrimOptions
from facefusion.models.options import ModelOptions
from facefusion.pipeline.options import WorkOptions
from facefusion.safety.options import PolicyOptions
from facefusion.services.options import ConsoleOptions
from facefusion.stopping import StopFlag

if TYPE_CHECKING:
    pass

GROUPS: tuple[type, ...] = (
    FaceDetectorOptions,
    FaceLandmarkerOptions,
    FaceSelectorOptions,
    FaceRecognizerOptions,
    FaceTrackerOptions,
    TrimOptions,
    ExecutionOptions,
    ModelOptions,
    WorkOptions,
    StoreOptions,
    PolicyOptions,
    ConsoleOptions,
)
# The command lists all people, whom a run would select among. It analyses chunks in threads, which networks keep busy.
UNREAD = frozenset(
    {
        'execution_batch_size',
        'execution_engine',
        'face_selector_mode',
        'face_selector_order',
        'face_selector_gender',
        'face_selector_age_start',
        'face_selector_age_end',
        'video_memory_limit',
        'video_memory_strategy',
    }
)
_SHOWN_DOUBTS = 10


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the target, the folder and the output format."""
    parser.add_argument('surveyed_file', metavar='TARGET', type=path_argument, help='image or video')
    parser.add_argument(
        '-o',
        '--output',
        dest='survey_folder',
        metavar='FOLDER',
        type=path_argument,
        help='folder for a contact sheet, its JSON and a picture of each person',
    )
    parser.add_argument(
        '--format', dest='survey_format', choices=('table', 'json'), default='table', help='output format'
    )


def run(invocation: Invocation) -> int:
    """Print the people of the target, and write the files if a folder is named."""
    tune_process()
    emit, flag = invocation.emit(), StopFlag()
    with reported(emit), stop_on_signals(flag):
        from facefusion.engines.threads import ThreadEngine
        from facefusion.pipeline.crew import worker_count
        from facefusion.pipeline.people_files import prepare_folder, write_survey
        from facefusion.pipeline.people_survey import fitting_workers, survey_people
        from facefusion.services.people import survey_settings, survey_tools
        from facefusion.steps.step_run import memory_limit

        arguments = invocation.arguments
        target, folder = Path(arguments.surveyed_file), arguments.survey_folder
        settings = survey_settings(invocation, invocation.settings, emit)
        workers = fitting_workers(target, worker_count(settings[ExecutionOptions]), memory_limit(settings), flag)
        if folder is not None:
            prepare_folder(Path(folder), target)
        survey = survey_people(target, survey_tools(invocation, settings, emit, flag), ThreadEngine(workers))
        record = survey.as_record()
        if folder is not None:
            record = write_survey(Path(folder), survey, emit, flag)
            emit(Message('info', 'faces', f'wrote {Path(folder) / record["sheet"]}'))
        _report(record, emit)
        _print(invocation, record)
    return 0


def _report(record: dict[str, Any], emit: Emit) -> None:
    """Emit the people, and messages about doubtful ones."""
    emit(PeopleFound(record))
    doubtful = record['doubtful']
    for doubt in doubtful[:_SHOWN_DOUBTS]:
        one, other = (f'{place["first_frame"]}-{place["last_frame"]}' for place in doubt['places'])
        text = f'person {doubt["person"]} may be two people: the faces in the frames {one} and {other}'
        emit(Message('warn', 'faces', f'{text} have the distance {doubt["distance"]:.2f}'))
    rest = len(doubtful) - _SHOWN_DOUBTS + record['more_doubtful']
    if rest > 0:
        emit(Message('warn', 'faces', f'{rest} more doubtful pairs are in the JSON'))


def _print(invocation: Invocation, record: dict[str, Any]) -> None:
    if invocation.settings[ConsoleOptions].progress == 'json':
        return  # The people have been emitted as an event.
    if invocation.arguments.survey_format == 'json':
        print(json.dumps(record, indent=1))
        return
    print_table(list(_rows(record)))
    if record['more_persons']:
        print(f'and {record["more_persons"]} more people')


def _rows(record: dict[str, Any]) -> Iterator[tuple[str, ...]]:
    yield ('person', 'frames', 'seconds', 'first', 'tracks', 'size', 'gender', 'age', 'remark')
    doubtful = {doubt['person'] for doubt in record['doubtful']}
    for person in record['persons']:
        yield (
            str(person['number']),
            str(person['frames']),
            '-' if person['seconds'] is None else f'{person["seconds"]:.1f}',
            str(person['ranges'][0][0]),
            str(person['tracks']),
            f'{person["mean_size"]:.0f}',
            person['gender'] or '-',
            '-' if person['age'] is None else '{}-{}'.format(*person['age']),
            'doubtful' if person['number'] in doubtful else '',
        )
