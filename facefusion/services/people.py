"""Prepare the survey of people, for the command ``faces`` and for the page."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from facefusion.engines.threads import ThreadEngine
from facefusion.errors import UsageError
from facefusion.events import Emit, Message
from facefusion.faces.attributes import MODEL_ID
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
from facefusion.inference.pool import open_sessions
from facefusion.models.store import ModelStore
from facefusion.pipeline.content_screening import prepare_screening
from facefusion.pipeline.crew import worker_count
from facefusion.pipeline.options import WorkOptions
from facefusion.pipeline.people_survey import Survey, SurveyTools, fitting_workers, measured_with, survey_people
from facefusion.pipeline.selection_requirements import check_detector_size
from facefusion.safety.sample_cache import model_digests
from facefusion.safety.voters import find_voters
from facefusion.services.workplace import Workplace
from facefusion.settings import Settings
from facefusion.steps.step_run import RunFolders, memory_limit
from facefusion.stopping import StopFlag


def survey_settings(workplace: Workplace, settings: Settings, emit: Emit) -> Settings:
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


def survey_tools(workplace: Workplace, settings: Settings, emit: Emit, flag: StopFlag) -> SurveyTools:
    """Fetch the models, and return the tools of the survey with the analysis cache of runs."""
    check_detector_size(settings[FaceDetectorOptions])
    recogniser, work = settings[FaceRecognizerOptions].face_recognizer_model, settings[WorkOptions]
    store = workplace.model_store(emit, flag)
    voters = find_voters(store)
    models = [*detector_models(settings[FaceDetectorOptions]), *landmarker_models(settings[FaceLandmarkerOptions])]
    models += [recogniser, *voters.models, *_attributes(store)]
    store.fetch(models)
    sessions = open_sessions(store, settings[ExecutionOptions], emit=emit)
    temp = Path(work.temp_path) if work.temp_path else None
    folders = RunFolders(workplace.jobs_path(), temp, int(work.cache_size * 1e9))
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
    return [MODEL_ID] if MODEL_ID in store.catalog and store.file_size(MODEL_ID) is not None else []


def find_people_of(workplace: Workplace, settings: Settings, target: Path, emit: Emit, flag: StopFlag) -> Survey:
    """Return the people of a target with the settings of a step.

    Raises the errors of ``survey_settings`` and ``survey_people``.
    """
    settings = survey_settings(workplace, settings, emit)
    workers = fitting_workers(target, worker_count(settings[ExecutionOptions]), memory_limit(settings), flag)
    return survey_people(target, survey_tools(workplace, settings, emit, flag), ThreadEngine(workers))
