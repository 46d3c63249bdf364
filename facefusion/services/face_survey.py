"""A survey of the people of a target, for the command ``faces`` and the page."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from facefusion.engines.process_settings import tune_process
from facefusion.errors import UsageError
from facefusion.events import Emit, Message
from facefusion.faces.options import (
    NO_RECOGNISER,
    PREFERENCES,
    RECOGNISERS,
    FaceDetectorOptions,
    FaceLandmarkerOptions,
    FaceRecognizerOptions,
    detector_models,
    landmarker_models,
)
from facefusion.inference.options import ExecutionOptions
from facefusion.services.workplace import Workplace
from facefusion.settings import Settings
from facefusion.stopping import StopFlag

if TYPE_CHECKING:
    from facefusion.models.store import ModelStore
    from facefusion.pipeline.people_survey import Survey, SurveyTools


def survey_target(workplace: Workplace, settings: Settings, target: Path, emit: Emit, flag: StopFlag) -> Survey:
    """Find the people of a target. Raises UsageError recognizer-none, and the errors of ``survey_people``."""
    tune_process()
    from facefusion.engines.threads import ThreadEngine
    from facefusion.pipeline.crew import worker_count
    from facefusion.pipeline.people_survey import fitting_workers, survey_people
    from facefusion.steps.step_run import memory_limit

    settings = _survey_settings(workplace, settings, emit)
    workers = fitting_workers(target, worker_count(settings[ExecutionOptions]), memory_limit(settings), flag)
    return survey_people(target, _survey_tools(workplace, settings, emit, flag), ThreadEngine(workers))


def _survey_settings(workplace: Workplace, settings: Settings, emit: Emit) -> Settings:
    """Return the settings with the models of this machine instead of 'auto'. Raises UsageError recognizer-none."""
    models = workplace.local_models()
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


def _survey_tools(workplace: Workplace, settings: Settings, emit: Emit, flag: StopFlag) -> SurveyTools:
    """Fetch the models, and return the tools of the survey with the analysis cache of runs."""
    from facefusion.inference.pool import open_sessions
    from facefusion.pipeline.content_screening import prepare_screening
    from facefusion.pipeline.crew import worker_count
    from facefusion.pipeline.people_survey import SurveyTools, measured_with
    from facefusion.pipeline.selection_requirements import check_detector_size
    from facefusion.safety.sample_cache import model_digests
    from facefusion.safety.voters import find_voters

    check_detector_size(settings[FaceDetectorOptions])
    recogniser = settings[FaceRecognizerOptions].face_recognizer_model
    store = workplace.model_store(emit, flag)
    voters = find_voters(store)
    models = [*detector_models(settings[FaceDetectorOptions]), *landmarker_models(settings[FaceLandmarkerOptions])]
    models += [recogniser, *voters.models, *_attributes(store)]
    store.fetch(models)
    sessions = open_sessions(store, settings[ExecutionOptions], emit=emit)
    folders = workplace.run_folders()
    return SurveyTools(
        settings=settings,
        recogniser=recogniser,
        measured=measured_with(recogniser, settings, bool(_attributes(store))),
        sessions=sessions,
        screening=prepare_screening(sessions, store, voters.models, folders.content_scores(), True, emit, flag),
        digests=model_digests(store, models),
        cache=folders.cache(emit),
        temp=folders.temp,
        threads=worker_count(settings[ExecutionOptions]),
        emit=emit,
        flag=flag,
    )


def _attributes(store: ModelStore) -> list[str]:
    """Return the classifier of gender and age, if its weights are on this machine; they are not fetched."""
    from facefusion.faces.attributes import MODEL_ID

    return [MODEL_ID] if MODEL_ID in store.catalog and store.file_size(MODEL_ID) is not None else []
