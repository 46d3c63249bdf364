"""Surveys of the people of a target, made in the background, one at a time."""

from __future__ import annotations

import secrets
import shutil
import threading
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from facefusion.errors import InputError, JobError
from facefusion.events import Event, StageProgress
from facefusion.failures import as_failure
from facefusion.gui.broadcast import Broadcast
from facefusion.ownership import new_owner, split_tag
from facefusion.services.face_survey import survey_target
from facefusion.services.workplace import Workplace
from facefusion.settings import Settings
from facefusion.stopping import StopFlag

if TYPE_CHECKING:
    from facefusion.faces.people import Person
    from facefusion.pipeline.people_survey import Survey

_MOST_SURVEYS = 4


@dataclass
class SurveyTask:
    """A survey: ``state`` is 'running', 'done' or 'failed'; ``folder`` has the crops."""

    key: str
    folder: Path
    state: str = 'running'
    done: int = 0
    total: int | None = None
    record: dict[str, Any] | None = None
    error: dict[str, Any] | None = None
    flag: StopFlag = field(default_factory=StopFlag)
    found: Survey | None = None

    def as_record(self) -> dict[str, Any]:
        """Return the survey as plain JSON."""
        keys = ('state', 'done', 'total', 'record', 'error')
        return {'id': self.key, **{key: getattr(self, key) for key in keys}}


class Surveys:
    """The latest surveys of this server, with their files in ``folder``."""

    def __init__(self, workplace: Workplace, folder: Path, broadcast: Broadcast) -> None:
        self._workplace, self._folder, self._broadcast = workplace, folder, broadcast
        # Several servers may share a store, and each has a folder of its own.
        self._name = f'server@{new_owner().tag}'
        self._tasks: OrderedDict[str, SurveyTask] = OrderedDict()
        self._lock = threading.Lock()

    def start(self, settings: Settings, target: Path) -> str:
        """Start a survey and return its id. Raises JobError survey-running while another one runs."""
        with self._lock:
            if any(task.state == 'running' for task in self._tasks.values()):
                hint = 'wait for it, or stop it'
                raise JobError('survey-running', 'another search for people is running', hint=hint)
            if not self._tasks:
                self._remove_abandoned()
            key = secrets.token_hex(6)
            task = self._tasks[key] = SurveyTask(key, self._folder / self._name / key)
            while len(self._tasks) > _MOST_SURVEYS:
                shutil.rmtree(self._tasks.popitem(last=False)[1].folder, ignore_errors=True)
        threading.Thread(target=self._run, args=(task, settings, target), name='survey', daemon=True).start()
        return key

    def _remove_abandoned(self) -> None:
        """Remove the files of servers that have ended."""
        for path in self._folder.glob('*'):
            found = split_tag(path.name)
            if found is None or found[1].is_dead():
                shutil.rmtree(path, ignore_errors=True)

    def task(self, key: str) -> SurveyTask:
        """Return a survey. Raises InputError not-found."""
        with self._lock:
            if key in self._tasks:
                return self._tasks[key]
        raise InputError('not-found', f'there is no survey {key}', hint='search for the people again')

    def people_of(self, target: Path, recogniser: str) -> Sequence[Person] | None:
        """Return the people of a clip if a survey of the unchanged file has found them with this recogniser."""
        with self._lock:
            found = [task.found for task in reversed(self._tasks.values()) if task.found is not None]
        for survey in found:
            if (survey.target.path, survey.recogniser) == (target, recogniser) and _is_unchanged(survey):
                return tuple(each.person for each in survey.persons)
        return None

    def stop(self, key: str | None = None) -> None:
        """Stop a survey, or all."""
        with self._lock:
            tasks = [task for task in self._tasks.values() if key in (None, task.key)]
        for task in tasks:
            task.flag.set('the page stopped the search')

    def _run(self, task: SurveyTask, settings: Settings, target: Path) -> None:
        def emit(event: Event) -> None:
            if isinstance(event, StageProgress):
                task.done, task.total = event.done, event.total
                self._publish(task)

        try:
            task.folder.mkdir(parents=True, exist_ok=True)
            from facefusion.pipeline.people_files import prepare_folder, write_survey

            prepare_folder(task.folder, target)
            task.found = survey_target(self._workplace, settings, target, emit, task.flag)
            task.record = write_survey(task.folder, task.found, emit, task.flag)
            task.state = 'done'
        except Exception as error:  # noqa: BLE001 - the page shows any failure
            task.error, task.state = as_failure(error).as_record(), 'failed'
        self._publish(task)

    def _publish(self, task: SurveyTask) -> None:
        record = task.as_record()
        self._broadcast.publish('survey', {key: record[key] for key in ('id', 'state', 'done', 'total')})


def _is_unchanged(survey: Survey) -> bool:
    try:
        return not survey.target.stamp.difference(survey.target.path)
    except OSError:
        return False
