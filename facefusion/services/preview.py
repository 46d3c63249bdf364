"""Previews of single frames, and the faces of a frame, for the page; one thread works at a time."""

from __future__ import annotations

import json
from collections import OrderedDict
from collections.abc import Callable, Hashable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from facefusion.engines.process_settings import tune_process
from facefusion.errors import ResourceError
from facefusion.events import silent
from facefusion.faces.options import FaceRecognizerOptions, FaceSelectorOptions, ReferenceFaceOptions
from facefusion.inference.options import ExecutionOptions
from facefusion.options import describe
from facefusion.pipeline.options import PathOptions
from facefusion.processors.registry import ProcessorsOptions
from facefusion.services.workplace import Workplace
from facefusion.settings import Settings
from facefusion.stopping import StopFlag

if TYPE_CHECKING:
    from facefusion.faces.people import Person
    from facefusion.steps.still_run import FoundFaces, FrameLibrary, Still, StillFile, StillRenderer

_MOST_RESULTS = 32
_QUALITY = 88
_SMALLEST_WIDTH, LARGEST_WIDTH = 16, 3840
# A processor that needs the faces of the target, and no sources.
_FINDS_FACES = ('face_debugger',)

FindPeople = Callable[[Path, str], 'Sequence[Person] | None']


class PreviewResult(NamedTuple):
    """A processed frame as JPEG, whether anything was changed, remarks, and the seconds of each stage."""

    data: bytes
    is_changed: bool
    remarks: tuple[str, ...]
    seconds: dict[str, float]


class Previewer:
    """Processes single frames; models and sources stay prepared between previews until ``free``.

    ``people_of`` is that of ``StillRenderer``. While ``is_busy`` is true, a job runs on this machine, and previews use
    one thread.
    """

    def __init__(
        self,
        workplace: Workplace,
        library: FrameLibrary,
        people_of: FindPeople,
        is_busy: Callable[[], bool] = lambda: False,
    ) -> None:
        self._workplace = workplace
        self._library = library
        self._people_of = people_of
        self._is_busy = is_busy
        self._results: OrderedDict[Any, PreviewResult] = OrderedDict()
        self._made: StillRenderer | None = None

    def preview(self, settings: Settings, file: StillFile, width: int, flag: StopFlag) -> PreviewResult:
        """Return a frame as a run with these settings would change it, not wider than ``width`` pixels (0: any).

        The latest results are kept under all values that decide them. Raises the errors of ``StillRenderer.render``.
        """
        width = max(_SMALLEST_WIDTH, min(width or LARGEST_WIDTH, LARGEST_WIDTH))
        key = file, width, self._deciding(settings, file)
        kept = self._results.pop(key, None)
        found = kept or self._render(settings, file, width, flag)
        self._results[key] = found
        while len(self._results) > _MOST_RESULTS:
            self._results.popitem(last=False)
        return found._replace(seconds={'kept': 0.0}) if kept else found

    def _deciding(self, settings: Settings, file: StillFile) -> Hashable:
        """Return the frozen settings, the states of the files that they name, and the people of a face map."""
        from facefusion.steps.arguments import STEP_GROUPS, freeze_models, with_mapped_sources

        settings = freeze_models(with_mapped_sources(settings), self._workplace.local_models(), silent)
        named: list[str] = []
        for group in STEP_GROUPS:
            for info in describe(group):
                value = getattr(settings[group], info.key) if info.kind == 'path' else None
                named += value if isinstance(value, tuple) else [value] if value is not None else []
        people: Sequence[Person] | None = None
        if settings[ReferenceFaceOptions].face_map is not None:
            people = self._people_of(file.path, settings[FaceRecognizerOptions].face_recognizer_model)
        return (
            json.dumps(settings.as_record(), sort_keys=True, default=str),
            tuple(_stamp(path) for path in named),
            tuple((person.number, person.tracks) for person in people or ()),
        )

    def faces(self, settings: Settings, file: StillFile) -> dict[str, Any]:
        """Return the faces of a frame as plain JSON, each with its position in the order of the selector options.

        Raises the errors of ``StillRenderer.find_faces``.
        """
        from facefusion.faces.attributes import ATTRIBUTES, MODEL_ID
        from facefusion.services.face_records import face_records

        settings = settings.replace(replace(settings[ProcessorsOptions], processors=_FINDS_FACES))
        settings = settings.replace(replace(settings[ReferenceFaceOptions], face_map=None))
        if settings[FaceSelectorOptions].face_selector_gender != 'auto':
            settings = settings.replace(replace(settings[PathOptions], source_paths=()))
        environment = self._workplace.step_environment(silent, StopFlag())
        store = environment.store
        has_classifier = MODEL_ID in store.catalog and store.file_size(MODEL_ID) is not None
        measured = (ATTRIBUTES.name,) if has_classifier else ()
        found: FoundFaces = self._renderer().find_faces(self._considerate(settings), file, environment, measured)
        return {'width': found.target.width, 'height': found.target.height, 'faces': face_records(found)}

    def free(self) -> None:
        """Free models, sources and frames."""
        if self._made is not None:
            self._made.free()

    def _considerate(self, settings: Settings) -> Settings:
        """Return the settings with one thread while a job runs, which does not change the result."""
        if not self._is_busy():
            return settings
        return settings.replace(replace(settings[ExecutionOptions], execution_thread_count=1))

    def _renderer(self) -> StillRenderer:
        if self._made is None:
            tune_process()
            from facefusion.steps.still_run import StillRenderer

            self._made = StillRenderer(self._library, self._people_of)
        return self._made

    def _render(self, settings: Settings, file: StillFile, width: int, flag: StopFlag) -> PreviewResult:
        renderer, environment = self._renderer(), self._workplace.step_environment(silent, flag)
        settings = self._considerate(settings)
        try:
            still = renderer.render(settings, file, environment, flag)
        except ResourceError as error:
            if error.reference != 'memory-short':
                raise
            renderer.free()
            still = renderer.render(settings, file, environment, flag)
        return PreviewResult(_jpeg(still, width), still.is_changed, still.remarks, still.seconds)


def _jpeg(still: Still, width: int) -> bytes:
    import cv2

    pixels = still.pixels
    if pixels.shape[1] > width:
        height = max(1, round(pixels.shape[0] * width / pixels.shape[1]))
        pixels = cv2.resize(pixels, (width, height), interpolation=cv2.INTER_AREA)  # type: ignore[assignment]
    _, data = cv2.imencode('.jpg', pixels, [cv2.IMWRITE_JPEG_QUALITY, _QUALITY])
    return data.tobytes()


def _stamp(path: str) -> tuple[int, int] | None:
    try:
        status = Path(path).stat()
    except OSError:
        return None
    return status.st_size, status.st_mtime_ns
