"""The surveys of people that the page starts: one runs at a time, and the latest stay in memory."""

from __future__ import annotations

import secrets
import threading
import time
from collections import OrderedDict
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from facefusion.errors import JobError, UsageError
from facefusion.events import Event, StageProgress
from facefusion.failures import as_failure
from facefusion.gui.broadcast import Broadcast
from facefusion.gui.media_library import FileKey, jpeg, key_of
from facefusion.services.workplace import Workplace
from facefusion.settings import Settings
from facefusion.stopping import StopFlag

if TYPE_CHECKING:
    from facefusion.faces.people import Person
    from facefusion.pipeline.people_survey import Survey

_MOST_SURVEYS = 8
_MOST_CROPS = 200
_LARGEST_SIDE = 1024
_SECONDS_BETWEEN_EVENTS = 0.25

State = Literal['running', 'done', 'failed']


@dataclass(slots=True, eq=False)
class Task:
    """A survey of a target, and its result."""

    id: str
    target: Path
    file: FileKey
    settings: Settings
    flag: StopFlag = field(default_factory=StopFlag)
    state: State = 'running'
    done: int = 0
    total: int = 0
    survey: Survey | None = None
    error: dict[str, Any] | None = None
    crops: dict[tuple[int, int], bytes] = field(default_factory=dict)

    def as_record(self) -> dict[str, Any]:
        """Return the state as plain JSON, with the record of ``faces --format json`` when it is done."""
        record = self.survey.as_record() if self.survey is not None else None
        return {'state': self.state, 'done': self.done, 'total': self.total, 'record': record, 'error': self.error}


class SurveyDesk:
    """Starts, stops and remembers surveys; threads may share it."""

    def __init__(self, workplace: Workplace, broadcast: Broadcast) -> None:
        self._workplace = workplace
        self._broadcast = broadcast
        self._tasks: OrderedDict[str, Task] = OrderedDict()
        self._lock = threading.Lock()
        self._thread = ThreadPoolExecutor(1, 'survey')

    def start(self, settings: Settings, target: Path) -> str:
        """Queue the survey of a target; return its id.

        Raises MediaError media-missing, and JobError surveys-many if too many are waiting.
        """
        task = Task(secrets.token_hex(8), target, key_of(target), settings)
        with self._lock:
            self._forget_oldest()
            self._tasks[task.id] = task
        self._thread.submit(self._run, task)
        return task.id

    def task(self, survey_id: str) -> Task:
        """Return a survey. Raises UsageError not-found."""
        with self._lock:
            found = self._tasks.get(survey_id)
        if found is None:
            raise UsageError('not-found', f'there is no survey {survey_id}', hint='find the people again')
        return found

    def stop(self, survey_id: str) -> None:
        """Stop and forget a survey. Raises UsageError not-found."""
        self.task(survey_id).flag.set('the page')
        with self._lock:
            self._tasks.pop(survey_id, None)

    def crop(self, survey_id: str, number: int, side: int) -> bytes:
        """Return the best view of a person as JPEG with sides of ``side`` pixels. Raises UsageError not-found."""
        import cv2

        from facefusion.pipeline.people_crops import CropRequest, read_crops

        task, side = self.task(survey_id), max(16, min(side, _LARGEST_SIDE))
        persons = task.survey.persons if task.survey is not None else ()
        person = next((each for each in persons if each.number == number), None)
        if task.survey is None or person is None:
            raise UsageError('not-found', f'the survey has no person {number}')
        found = task.crops.get((number, side))
        if found is None:
            ((_, pixels),) = read_crops(task.survey.target, [CropRequest(number, 0, person.best)], task.flag)
            found = jpeg(cv2.resize(pixels, (side, side), interpolation=cv2.INTER_AREA))
            if len(task.crops) < _MOST_CROPS:
                task.crops[number, side] = found
        return found

    def people_of(self, target: Path, recogniser: str) -> Sequence[Person] | None:
        """Return the people of a clip if a survey of the unchanged file has found them with this recogniser."""
        with self._lock:
            tasks = list(reversed(self._tasks.values()))
        for task in tasks:
            if task.survey is not None and task.survey.recogniser == recogniser and task.file == key_of(target):
                return tuple(each.person for each in task.survey.persons)
        return None

    def close(self) -> None:
        """Stop all surveys and wait for the running one."""
        with self._lock:
            for task in self._tasks.values():
                task.flag.set('the page')
        self._thread.shutdown(cancel_futures=True)

    def _forget_oldest(self) -> None:
        while len(self._tasks) >= _MOST_SURVEYS:
            finished = next((task.id for task in self._tasks.values() if task.state != 'running'), None)
            if finished is None:
                raise JobError('surveys-many', f'{_MOST_SURVEYS} surveys are waiting', hint='wait, or stop one')
            del self._tasks[finished]

    def _run(self, task: Task) -> None:
        told = 0.0

        def emit(event: Event) -> None:
            nonlocal told
            if isinstance(event, StageProgress):
                task.done, task.total = event.done, event.total or 0
                if time.monotonic() - told >= _SECONDS_BETWEEN_EVENTS:
                    told = time.monotonic()
                    self._tell(task)

        try:
            task.flag.check()
            task.survey = self._survey(task, emit)
            task.state = 'done'
        except Exception as error:  # noqa: BLE001 - the page shows any failure
            task.error, task.state = as_failure(error).as_record(), 'failed'
        self._tell(task)

    def _survey(self, task: Task, emit: Any) -> Survey:
        from facefusion.engines.process_settings import tune_process

        tune_process()
        from facefusion.services.people import find_people_of

        return find_people_of(self._workplace, task.settings, task.target, emit, task.flag)

    def _tell(self, task: Task) -> None:
        event = {'id': task.id, 'state': task.state, 'done': task.done, 'total': task.total}
        self._broadcast.publish('survey', event)
