"""The files of a survey: the contact sheet, its record, and a crop for each person."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import suppress
from io import BytesIO
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
from PIL import Image

from facefusion.errors import UsageError
from facefusion.events import Emit
from facefusion.media.files import write_failure
from facefusion.ownership import new_owner
from facefusion.pipeline.output import make_folder
from facefusion.pipeline.people_crops import CropRequest, read_crops
from facefusion.pipeline.people_sheet import ContactSheet
from facefusion.pipeline.people_survey import LISTED_PEOPLE, Survey
from facefusion.pipeline.progress import Progress
from facefusion.stopping import StopFlag

SHEET, RECORD = 'people.png', 'people.json'
_CROP = re.compile(r'person-\d+\.png')
# The largest side of a crop file in pixels.
_LARGEST_SIDE = 512


def crop_name(number: int) -> str:
    """Return the name of the crop file of a person."""
    return f'person-{number}.png'


def is_survey_file(name: str) -> bool:
    """Whether a survey writes a file of this name, and replaces one of an earlier survey."""
    return name in (SHEET, RECORD) or _CROP.fullmatch(name) is not None


def prepare_folder(folder: Path, target: Path) -> None:
    """Create the folder of the files. Raises UsageError faces-output, OutputError, ResourceError."""
    if folder.exists() and not folder.is_dir():
        raise UsageError('faces-output', f'{folder} is not a folder', hint='specify a folder with --output')
    if is_survey_file(target.name) and target.resolve().parent == folder.resolve():
        raise UsageError(
            'faces-output',
            f'the target {target.name} would be replaced',
            cause=f'it has the name of a file that is written into {folder}',
            hint='specify another folder with --output',
        )
    make_folder(folder)


def write_survey(folder: Path, survey: Survey, emit: Emit, flag: StopFlag) -> dict[str, Any]:
    """Write the sheet, the record and the crops, and return the record, which names them.

    Files of earlier surveys are removed, other files stay. Raises OutputError, ResourceError, MediaError, Interrupted.
    """
    record = survey.as_record() | {'sheet': SHEET}
    for person in record['persons']:
        person['crop'] = crop_name(person['number'])
    sheet = ContactSheet(survey)
    requests = list(_requests(survey, len(sheet.people)))
    with Progress(emit, 'cropping', len(requests), 'face') as progress:
        for request, crop in read_crops(survey.target, requests, flag):
            person = survey.persons[request.person]
            if request.place < len(person.views) and request.person < len(sheet.people):
                sheet.add(request.person, request.place, crop)
            if request.view == person.best and request.place == _best_place(survey, request.person):
                _write(folder / crop_name(person.number), _png(_limited(crop)))
            progress.advance()
    _write(folder / SHEET, _png(sheet.draw()))
    _write(folder / RECORD, json.dumps(record, indent=1).encode('utf-8', 'backslashreplace'))
    _remove_others(folder, {crop_name(person['number']) for person in record['persons']})
    return record


def _requests(survey: Survey, shown: int) -> Iterator[CropRequest]:
    """Yield the views of the people on the sheet, and the best view of every listed person, each once."""
    for k, person in enumerate(survey.persons[:LISTED_PEOPLE]):
        best = _best_place(survey, k)
        views = [*enumerate(person.views)] if k < shown else []
        yield from (CropRequest(k, place, view) for place, view in views)
        if best not in dict(views):
            yield CropRequest(k, best, person.best)


def _best_place(survey: Survey, person: int) -> int:
    """Return the position of a person's best view among the views, or the number of the views."""
    views = survey.persons[person].views
    return views.index(survey.persons[person].best) if survey.persons[person].best in views else len(views)


def _limited(crop: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    side = min(len(crop), _LARGEST_SIDE)
    return np.asarray(cv2.resize(crop, (side, side), interpolation=cv2.INTER_AREA), np.uint8)


def _png(pixels: npt.NDArray[np.uint8]) -> bytes:
    file = BytesIO()
    Image.fromarray(np.ascontiguousarray(pixels[..., ::-1])).save(file, 'PNG')
    return file.getvalue()


def _write(path: Path, data: bytes) -> None:
    """Write a file under a temporary name, and rename it."""
    part = path.with_name(f'.{path.name}.{new_owner().tag}.part')
    try:
        part.write_bytes(data)
        part.replace(path)
    except OSError as error:
        raise write_failure(error, path) from None
    finally:
        with suppress(OSError):
            part.unlink(missing_ok=True)


def _remove_others(folder: Path, crops: set[str]) -> None:
    """Remove the crops of people whom an earlier survey found."""
    with suppress(OSError):
        for path in list(folder.iterdir()):
            if _CROP.fullmatch(path.name) and path.name not in crops:
                path.unlink(missing_ok=True)
