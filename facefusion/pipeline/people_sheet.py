"""The contact sheet of a survey: a row for each person, with facts and the best views at different times."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import cv2
import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFont

from facefusion.pipeline.people_survey import Survey, SurveyedPerson
from facefusion.pipeline.person_views import View

# People beyond this number are only counted on the sheet.
SHEET_PEOPLE = 240
# The side of a view in pixels for up to this many people.
_SIDES = ((10, 150), (40, 108), (SHEET_PEOPLE, 80))
# The colours are in the order of the pixels: blue, green, red.
Colour = tuple[int, int, int]
_PAPER: Colour = (246, 247, 248)
_ROW: Colour = (255, 255, 255)
_INK: Colour = (40, 32, 28)
_FAINT: Colour = (135, 124, 116)
_DOUBT: Colour = (16, 104, 214)
# The sheet is at most about this much wider than high, if it has several columns.
_SHAPE = 1.4

Pixels = npt.NDArray[np.uint8]


@dataclass(slots=True)
class ContactSheet:
    """Collects the views of people and draws them; memory holds one small picture per view."""

    survey: Survey
    _views: dict[tuple[int, int], Pixels] = field(default_factory=dict)

    @property
    def people(self) -> Sequence[SurveyedPerson]:
        """The people on the sheet."""
        return self.survey.persons[:SHEET_PEOPLE]

    @property
    def side(self) -> int:
        """The side of a view in pixels."""
        return next(side for most, side in _SIDES if len(self.people) <= most)

    def add(self, person: int, place: int, crop: Pixels) -> None:
        """Add the crop uint8 [s,s,3] of the view ``place`` of a person, by its position in the survey."""
        method = cv2.INTER_AREA if self.side < len(crop) else cv2.INTER_CUBIC
        sized = cv2.resize(crop, (self.side, self.side), interpolation=method)
        self._views[person, place] = np.asarray(sized, np.uint8)

    def draw(self) -> Pixels:
        """Return the sheet, uint8 [h,w,3] BGR."""
        side = self.side
        gap, font = max(side // 16, 5), max(side // 8, 11)
        label = round(font * 13.5)
        shown = max(len(person.views) for person in self.people)
        row_wide, row_high = label + shown * (side + gap) + gap, side + 2 * gap
        count = len(self.people)
        columns = max(round(math.sqrt(count * (row_high + gap) * _SHAPE / row_wide)), 1)
        lines = math.ceil(count / columns)
        head = font * 4
        size = max(columns * (row_wide + gap) + gap, 40 * font), head + lines * (row_high + gap) + gap
        image = Image.new('RGB', size, _PAPER)
        canvas = ImageDraw.Draw(image)
        self._draw_head(canvas, gap * 2, font, size[0])
        for k, person in enumerate(self.people):
            x, y = gap + k // lines * (row_wide + gap), head + k % lines * (row_high + gap)
            canvas.rounded_rectangle((x, y, x + row_wide, y + row_high), gap, _ROW)
            self._draw_facts(canvas, (x + 2 * gap, y + gap), font, person)
            for place, view in enumerate(person.views):
                self._draw_view(image, (x + label + place * (side + gap), y + gap), (k, place), view)
        return np.asarray(image)

    def _draw_head(self, canvas: ImageDraw.ImageDraw, x: int, font: int, width: int) -> None:
        survey = self.survey
        count, frames = len(survey.persons), survey.stop - survey.start
        name = survey.target.path.name.encode('ascii', 'replace').decode()
        title = f'{name}: {count} {"person" if count == 1 else "people"}'
        facts = f'{frames} frame{"s" * (frames != 1)}, recogniser {survey.recogniser}'
        if count > SHEET_PEOPLE:
            facts += f'; {count - SHEET_PEOPLE} more people, who are visible for less time, are not shown'
        _write(canvas, (x, round(font * 0.7)), _shortened(title, font * 1.35, width - 2 * x), font * 1.35, _INK)
        _write(canvas, (x, round(font * 2.4)), _shortened(facts, font * 0.9, width - 2 * x), font * 0.9, _FAINT)

    def _draw_facts(
        self, canvas: ImageDraw.ImageDraw, corner: tuple[int, int], font: int, person: SurveyedPerson
    ) -> None:
        x, y = corner
        _write(canvas, (x, y), f'person {person.number}', font * 1.3, _INK)
        frames = person.person.frames
        seen = f'{frames} frame{"s" * (frames != 1)}'
        if person.seconds is not None:
            seen = f'{person.seconds:.1f} s, {seen}'
        looks = ' '.join(part for part in (person.gender or '', _age_text(person.age)) if part)
        lines = [(seen, _FAINT)] if person.seconds is not None else []
        lines += [(looks, _FAINT)] if looks else []
        doubts = [doubt for doubt in self.survey.doubts if doubt.merge.person == person.number]
        if doubts:
            lines += [('doubtful: perhaps', _DOUBT), ('several people', _DOUBT)]
        for number, (text, colour) in enumerate(lines):
            _write(canvas, (x, y + round(font * (1.9 + 1.35 * number))), text, font * 0.95, colour)

    def _draw_view(self, image: Image.Image, corner: tuple[int, int], key: tuple[int, int], view: View) -> None:
        pixels = self._views.get(key)
        if pixels is None:
            return
        side = self.side
        image.paste(Image.fromarray(pixels), corner)
        seconds = self.survey.seconds_at(view.frame)
        if seconds is not None:
            size = max(side // 11, 10)
            place = corner[0] + 3, corner[1] + side - round(size * 1.5)
            text, font = _time_text(seconds), ImageFont.load_default(size)
            ImageDraw.Draw(image).text(place, text, (255, 255, 255), font, stroke_width=1, stroke_fill=(0, 0, 0))


def _write(canvas: ImageDraw.ImageDraw, corner: tuple[int, int], text: str, size: float, colour: Colour) -> None:
    canvas.text(corner, text, colour, ImageFont.load_default(size))


def _shortened(text: str, size: float, width: int) -> str:
    """Return the text, or its beginning if it is wider than ``width`` pixels."""
    font = ImageFont.load_default(size)
    if font.getlength(text) <= width:
        return text
    while text and font.getlength(text + '...') > width:
        text = text[:-1]
    return text + '...'


def _age_text(age: tuple[int, int] | None) -> str:
    return f'{age[0]}-{age[1]}' if age is not None else ''


def _time_text(seconds: float) -> str:
    minutes, rest = divmod(seconds, 60)
    hours, minutes = divmod(int(minutes), 60)
    return f'{hours}:{minutes:02d}:{rest:04.1f}' if hours else f'{minutes}:{rest:04.1f}'
