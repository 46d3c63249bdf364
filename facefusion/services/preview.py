"""A preview of one frame: the frame becomes an image, and a step processes it like any other image.

So a preview passes the content gate, the age rule and the rules of consent, and has label, mark and credentials. It
differs from the frame of a run as an image differs from a frame of a video: nothing is smoothed over time, and people
are found in this frame only.
"""

from __future__ import annotations

import os
import shutil
import tempfile
import threading
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from facefusion.errors import UsageError
from facefusion.events import Event, Message
from facefusion.faces.options import FaceSelectorOptions, ReferenceFaceOptions
from facefusion.media.kinds import AUDIO_EXTENSIONS
from facefusion.media.options import OutputOptions, TrimOptions
from facefusion.pipeline.options import PathOptions
from facefusion.processors.registry import ProcessorsOptions, registrations
from facefusion.services.workplace import Workplace
from facefusion.settings import Settings
from facefusion.stopping import StopFlag

if TYPE_CHECKING:
    from facefusion.media.frame import Frame

_MOST_RESULTS = 32
_MOST_FRAMES = 4


class PreviewResult(NamedTuple):
    """A processed frame as an image file, its content type, whether anything was changed, and remarks."""

    data: bytes
    content_type: str
    is_changed: bool
    remarks: tuple[str, ...]


class Previewer:
    """Processes single frames, one at a time; models and sources stay prepared between previews.

    Of several waiting requests only the latest is worked on. ``close`` removes the files; ``release`` frees the memory.
    """

    def __init__(self, workplace: Workplace) -> None:
        self._workplace = workplace
        self._folder: Path | None = None
        self._results: OrderedDict[Any, PreviewResult] = OrderedDict()
        self._frames: OrderedDict[Any, Path] = OrderedDict()
        self._kept: Any = None
        self._working = threading.Lock()
        self._asked = 0
        self._counting = threading.Lock()

    def preview(self, settings: Settings, frame: FrameOfFile, find: Callable[[], Frame]) -> PreviewResult | None:
        """Return a frame of the target as a run with these settings would change it; None if a newer request waits.

        ``find`` returns the frame itself. Raises the errors of a run, such as ContentRefused.
        """
        with self._counting:
            self._asked += 1
            number = self._asked
        values = tuple(sorted((name, repr(value)) for name, value in settings.as_record().items()))
        key = frame, values, tuple(_stamp(path) for path in settings[PathOptions].source_paths)
        with self._working:
            found = self._results.get(key)
            if found is not None:
                self._results.move_to_end(key)
                return found
            if number != self._asked:
                return None
            result = self._render(settings, frame, find)
            self._results[key] = result
            while len(self._results) > _MOST_RESULTS:
                self._results.popitem(last=False)
            return result

    def release(self) -> None:
        """Free models, sources and results, unless a preview is being made."""
        if self._working.acquire(blocking=False):
            try:
                if self._kept is not None:
                    self._kept.free()
                self._results.clear()
            finally:
                self._working.release()

    def close(self) -> None:
        """Remove the files of the previews."""
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)

    def _render(self, settings: Settings, frame: FrameOfFile, find: Callable[[], Frame]) -> PreviewResult:
        from facefusion.engines.process_settings import tune_process

        tune_process()
        from facefusion.steps.kept import Kept
        from facefusion.steps.step_run import StepName
        from facefusion.steps.step_work import run_sharing

        self._kept = self._kept or Kept()
        self._folder = self._folder or Path(tempfile.mkdtemp(prefix='facefusion-preview-'))
        settings, remarks = for_one_frame(settings)
        picture = self._picture(frame, find)
        if not settings[ProcessorsOptions].processors:
            return PreviewResult(picture.read_bytes(), 'image/png', False, remarks)
        output = self._folder / ('result.png' if _writes_alpha(settings) else 'result.jpg')
        paths = replace(settings[PathOptions], target_path=str(picture), output_path=str(output))
        settings = settings.replace(paths)
        heard: list[str] = []

        def emit(event: Event) -> None:
            if isinstance(event, Message) and event.level in ('warn', 'error'):
                heard.append(event.text)

        flag = StopFlag()
        environment = self._workplace.step_environment(emit, flag)._replace(kept=self._kept)
        name = StepName('preview', f'{os.getpid()}')
        report = run_sharing(settings, environment, name, emit, flag)
        kind = 'image/png' if output.suffix == '.png' else 'image/jpeg'
        texts = tuple(dict.fromkeys((*remarks, *heard)))
        result = PreviewResult(output.read_bytes(), kind, bool(report.get('frames_changed', 1)), texts)
        output.unlink(missing_ok=True)
        return result

    def _picture(self, frame: FrameOfFile, find: Callable[[], Frame]) -> Path:
        """Return the frame as a file without loss; a few stay on disk."""
        import cv2
        import numpy as np

        found = self._frames.get(frame)
        if found is not None:
            self._frames.move_to_end(frame)
            return found
        assert self._folder is not None
        pixels = find().whole()
        if pixels.dtype == np.uint16:
            pixels = (pixels >> 8).astype(np.uint8)
        path = self._folder / f'frame-{self._asked}.png'
        _, data = cv2.imencode('.png', np.ascontiguousarray(pixels), [cv2.IMWRITE_PNG_COMPRESSION, 1])
        path.write_bytes(data.tobytes())
        self._frames[frame] = path
        while len(self._frames) > _MOST_FRAMES:
            self._frames.popitem(last=False)[1].unlink(missing_ok=True)
        return path


class FrameOfFile(NamedTuple):
    """A frame of a file in one state: path, size, time of the last change, and the number of the frame."""

    path: Path
    size: int
    modified: int
    number: int


def preview_target(settings: Settings) -> str:
    """Return the path of the target. Raises UsageError preview-no-target."""
    target = settings[PathOptions].target_path
    if target is None:
        raise UsageError('preview-no-target', 'a preview needs a target', hint='choose an image or a video')
    return target


def for_one_frame(settings: Settings) -> tuple[Settings, tuple[str, ...]]:
    """Return the settings for a single frame, and remarks on the parts that one frame cannot show."""
    paths, remarks = settings[PathOptions], []
    chain = settings[ProcessorsOptions].processors
    silent_ones = tuple(each.name for each in registrations(chain) if each.requirements(settings).source_audio)
    if silent_ones:
        remarks.append(f'{", ".join(silent_ones)}: only a run shows the effect of a voice')
        chain = tuple(name for name in chain if name not in silent_ones)
    images = tuple(path for path in paths.source_paths if Path(path).suffix.lower() not in AUDIO_EXTENSIONS)
    reference = settings[ReferenceFaceOptions]
    selector = settings[FaceSelectorOptions]
    if reference.face_map is not None or selector.face_selector_mode == 'reference':
        remarks.append('people are found in this frame only; a run finds them in the whole clip')
    settings = settings.replace(replace(paths, source_paths=images))
    settings = settings.replace(replace(settings[ProcessorsOptions], processors=chain))
    settings = settings.replace(TrimOptions())
    return settings.replace(replace(settings[OutputOptions], output_image_scale=1.0)), tuple(remarks)


def _stamp(path: str) -> tuple[int, int] | None:
    try:
        status = Path(path).stat()
    except OSError:
        return None
    return status.st_size, status.st_mtime_ns


def _writes_alpha(settings: Settings) -> bool:
    chain = registrations(settings[ProcessorsOptions].processors)
    return any(each.writes_alpha(settings) for each in chain)
