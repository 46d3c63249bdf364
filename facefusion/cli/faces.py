"""``faces``: find the people of an image or a clip."""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from facefusion.cli.invocation import Invocation
from facefusion.cli.parser import path_argument
from facefusion.cli.reporting import reported
from facefusion.cli.signals import stop_on_signals
from facefusion.cli.tables import print_table
from facefusion.engines.process_settings import tune_process
from facefusion.errors import UsageError
from facefusion.events import Emit, Message, PeopleFound
from facefusion.faces.options import (
    NO_RECOGNISER,
    PREFERENCES,
    RECOGNISERS,
    FaceDetectorOptions,
    FaceLandmarkerOptions,
    FaceRecognizerOptions,
    FaceSelectorOptions,
    FaceTrackerOptions,
    detector_models,
    landmarker_models,
)
from facefusion.inference.options import ExecutionOptions
from facefusion.jobs.options import StoreOptions
from facefusion.media.options import TrimOptions
from facefusion.models.options import ModelOptions
from facefusion.pipeline.options import WorkOptions
from facefusion.safety.options import PolicyOptions
from facefusion.services.options import ConsoleOptions
from facefusion.settings import Settings
from facefusion.stopping import StopFlag

if TYPE_CHECKING:
    from facefusion.models.store import ModelStore
    from facefusion.pipeline.people_survey import SurveyTools

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
        from facefusion.steps.step_run import memory_limit

        arguments = invocation.arguments
        target, folder = Path(arguments.surveyed_file), arguments.survey_folder
        settings = _frozen(invocation, emit)
        workers = fitting_workers(target, worker_count(settings[ExecutionOptions]), memory_limit(settings), flag)
        if folder is not None:
            prepare_folder(Path(folder), target)
        survey = survey_people(target, _tools(invocation, settings, emit, flag), ThreadEngine(workers))
        record = survey.as_record()
        if folder is not None:
            record = write_survey(Path(folder), survey, emit, flag)
            emit(Message('info', 'faces', f'wrote {Path(folder) / record["sheet"]}'))
        _report(record, emit)
        _print(invocation, record)
    return 0


def _frozen(invocation: Invocation, emit: Emit) -> Settings:
    """Return the settings with the models of this machine instead of 'auto'. Raises UsageError recognizer-none."""
    settings, models = invocation.settings, invocation.local_models()
    recogniser = settings[FaceRecognizerOptions].face_recognizer_model
    if recogniser == NO_RECOGNISER:
        raise UsageError(
            'recognizer-none',
            'this command needs a recogniser',
            cause=f'--face-recognizer-model {NO_RECOGNISER} does not tell people apart',
            hint='leave the option out',
        )
    chosen = {
        'face_detector_model': (FaceDetectorOptions, PREFERENCES['face_detector_model']),
        'face_landmarker_model': (FaceLandmarkerOptions, PREFERENCES['face_landmarker_model']),
        'face_recognizer_model': (FaceRecognizerOptions, RECOGNISERS),
    }
    better = []
    for key, (group, preferred) in chosen.items():
        if getattr(settings[group], key) == 'auto':
            choice = models.choose(preferred)
            settings = settings.replace(replace(settings[group], **{key: choice.model}))
            better += [choice.better] if choice.better else []
    if better:
        emit(Message('info', 'faces', f'better models are available: `facefusion models fetch {" ".join(better)}`'))
    return settings


def _tools(invocation: Invocation, settings: Settings, emit: Emit, flag: StopFlag) -> SurveyTools:
    """Fetch the models, and return the tools of the survey with the analysis cache of runs."""
    from facefusion.inference.pool import open_sessions
    from facefusion.pipeline.content_screening import prepare_screening
    from facefusion.pipeline.crew import worker_count
    from facefusion.pipeline.people_survey import SurveyTools, measured_with
    from facefusion.pipeline.selection_requirements import check_detector_size
    from facefusion.safety.sample_cache import model_digests
    from facefusion.safety.voters import find_voters
    from facefusion.steps.step_run import RunFolders

    check_detector_size(settings[FaceDetectorOptions])
    recogniser, work = settings[FaceRecognizerOptions].face_recognizer_model, settings[WorkOptions]
    store = invocation.model_store(emit, flag)
    voters = find_voters(store)
    models = [*detector_models(settings[FaceDetectorOptions]), *landmarker_models(settings[FaceLandmarkerOptions])]
    models += [recogniser, *voters.models, *_attributes(store)]
    store.fetch(models)
    sessions = open_sessions(store, settings[ExecutionOptions], emit=emit)
    temp = Path(work.temp_path) if work.temp_path else None
    folders = RunFolders(invocation.jobs_path(), temp, int(work.cache_size * 1e9))
    return SurveyTools(
        settings=settings,
        recogniser=recogniser,
        measured=measured_with(recogniser, settings, bool(_attributes(store))),
        sessions=sessions,
        screening=prepare_screening(sessions, store, voters.models, folders.content_scores(), True, emit, flag),
        digests=model_digests(store, models),
        cache=folders.cache(emit),
        temp=temp,
        threads=worker_count(settings[ExecutionOptions]),
        emit=emit,
        flag=flag,
    )


def _attributes(store: ModelStore) -> list[str]:
    """Return the classifier of gender and age, if its weights are on this machine; they are not fetched."""
    from facefusion.faces.attributes import MODEL_ID

    return [MODEL_ID] if MODEL_ID in store.catalog and store.file_size(MODEL_ID) is not None else []


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
