"""What decides the content of work files, as digests: files of different digests are never mixed.

Whatever changes a pixel is in them, nothing that is tuned to a machine (workers, folders) is.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import PIL

from facefusion.errors import InputError, InternalError, MediaError
from facefusion.faces.measurement_table import ALL
from facefusion.faces.options import FaceDetectorOptions, FaceLandmarkerOptions, FaceSelectorOptions
from facefusion.inference.runtime import onnxruntime
from facefusion.media.file_stamp import LEAVE_ALONE, FileStamp, check_unchanged
from facefusion.media.info import MediaInfo
from facefusion.models.digests import file_sha256
from facefusion.options import describe
from facefusion.pipeline.manifest import canonical_digest
from facefusion.pipeline.plan import Plan, VideoPlan
from facefusion.provenance.label_options import DisclosureOptions
from facefusion.settings import Settings
from facefusion.stopping import StopFlag
from facefusion.version import VERSION

# Raised whenever analyse finds something else in the same frames, or keeps it in another form.
ANALYSIS_VERSION = 1
# Raised whenever link or render makes other pixels of the same analysis.
RENDER_VERSION = 1
# The parts of the package whose code and tables decide what analyse finds, and what else decides the pixels.
_ANALYSING = ('faces', 'inference', 'media', 'models', 'safety', 'pipeline/analyse.py', 'pipeline/content_screening.py')
_RENDERING = (
    'processors',
    'provenance/mark',
    'provenance/label.py',
    'provenance/watermarking.py',
    'pipeline/tracking.py',
    'pipeline/selection.py',
    'pipeline/plan.py',
    'pipeline/processor_chain.py',
    'pipeline/render.py',
    'engines',
)
_PACKAGE = Path(__file__).resolve().parent.parent
# Where a step lies and who agreed to it changes no pixel.
_NOT_PIXELS = ('source_paths', 'target_path', 'output_path', 'consent', 'workflow_mode')


@dataclass(frozen=True, slots=True)
class InputDigests:
    """The SHA-256 of the bytes of a target, of every source in order, and of the weights by model id."""

    target: str
    sources: tuple[str, ...]
    models: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Watched:
    """What the guard keeps of each chunk, as plain JSON: now, and that of guards which keep more."""

    now: Mapping[str, Any]
    fuller: tuple[Mapping[str, Any], ...] = ()


@dataclass(frozen=True, slots=True)
class RunDigests:
    """The digests of a run: of the target's bytes, of what analyse finds, and of what segments show.

    ``fuller`` are those of analyses that hold all that this one would, and more: they will do as well. ``parts`` is
    plain JSON of what the plan's digest is of, by names that people know, to tell what differs from another run.
    """

    target: str
    analysis: str
    plan: str
    fuller: tuple[str, ...] = ()
    parts: Mapping[str, Any] = field(default_factory=dict)


def digest_inputs(plan: Plan, models: Mapping[str, str], flag: StopFlag) -> InputDigests:
    """Reads target and sources to their ends; ``models`` are the SHA-256 of the weights by model id.

    Raises MediaError media-missing, media-changed, InputError source-unreadable, Interrupted.
    """
    target = target_sha256(plan.target, flag)
    return InputDigests(target, tuple(_source_sha256(path, flag) for path in plan.sources), models)


def identify(
    plan: Plan,
    video: VideoPlan,
    settings: Settings,
    inputs: InputDigests,
    watched: Watched,
    providers: Sequence[str],
    mark: str | None = None,
) -> RunDigests:
    """The digests of a video run; ``mark`` is what the invisible mark says, None without one."""
    models = inputs.models
    common = _analysis(plan, settings, inputs, providers)
    analysis = canonical_digest({**common, 'measured': list(plan.measurements.names), 'watched': dict(watched.now)})
    more = [
        canonical_digest({**common, 'measured': list(ALL.names), 'finds_faces': True, 'watched': dict(each)})
        for each in watched.fuller
    ]
    rendered = {
        'version': RENDER_VERSION,
        'program': code_sha256(_RENDERING),
        'analysis': analysis,
        'sources': list(inputs.sources),
        'mark': mark,
        'font': _font_sha256(settings[DisclosureOptions]),
        'processors': [processor.name for processor in plan.processors],
        'batch': plan.batch,
        'models': {name: models[name] for name in plan.models},
        'settings': {key: value for key, value in plan.settings.items() if key not in _NOT_PIXELS},
        'timeline': [video.timeline.as_record(), _sha256(video.timeline.sources), _sha256(video.timeline.pts)],
        'encoder': {key: value for key, value in video.encoder.as_record().items() if key != 'remarks'},
        'segments': [list(span) for span in video.segments],
    }
    parts = {
        'the target': inputs.target,
        'the sources': list(inputs.sources),
        'the settings': rendered['settings'],
        'the models': dict(models),
        'the program': [common['program'], rendered['program']],
        'the libraries': common['libraries'],
        'the execution providers': list(providers),
        'the invisible mark': mark,
        'the encoder or the frames': [rendered['timeline'], rendered['encoder'], rendered['segments']],
    }
    fuller = tuple(key for key in more if key != analysis)
    return RunDigests(inputs.target, analysis, canonical_digest(rendered), fuller, parts)


def _analysis(plan: Plan, settings: Settings, inputs: InputDigests, providers: Sequence[str]) -> dict[str, Any]:
    """All that decides the analysis of a video, but for what is measured and watched."""
    named = settings[FaceDetectorOptions].face_detector_model, settings[FaceLandmarkerOptions].face_landmarker_model
    return {
        'version': ANALYSIS_VERSION,
        'program': [VERSION, code_sha256(_ANALYSING)],
        'libraries': _libraries(),
        'providers': list(providers),
        'target': inputs.target,
        'settings': _values(settings, (FaceDetectorOptions, FaceLandmarkerOptions)),
        'most_faces': settings[FaceSelectorOptions].max_faces,
        'finds_faces': plan.finds_faces,
        'models': {name: inputs.models.get(name) for name in (*named, *plan.measurements.models)},
    }


def clip_digest(plan: str, video: VideoPlan, extension: str) -> str:
    """The digest of what decides the joined clip: that of the plan, and what is in the clip beside the frames."""
    beside = {'audio': video.audio.as_record(), 'extras': video.extras.as_record()}
    return canonical_digest({'plan': plan, 'extension': extension, **beside, 'program': code_sha256(('media',))})


def target_sha256(target: MediaInfo, flag: StopFlag) -> str:
    """The SHA-256 of the file that was probed. Raises MediaError media-missing, media-changed, Interrupted."""
    check_unchanged(target, flag)
    try:
        digest = file_sha256(target.path, flag)
    except OSError as error:
        raise MediaError(
            'media-unreadable', f'{target.path.name} cannot be read', cause=str(error), hint='check the path'
        ) from None
    check_unchanged(target, flag)
    target.stamp.note_digest(digest)
    return digest


def code_sha256(parts: Iterable[str]) -> str:
    """The SHA-256 of files of this program, and of all in folders of it.

    A change of the code counts as another version, whether somebody has raised a number or not.
    """
    digest = hashlib.sha256()
    for part in parts:
        place = _PACKAGE / part
        found = [place] if place.is_file() else sorted(place.rglob('*'))
        files = [path for path in found if path.is_file() and path.suffix in ('.py', '.json')]
        if not files:
            raise InternalError('code-part-unknown', f'there is no part {part} of this program any more')
        for path in files:
            digest.update(f'{path.relative_to(_PACKAGE).as_posix()} {path.stat().st_size}\n'.encode())
            digest.update(path.read_bytes())
    return digest.hexdigest()


def look_at(paths: Iterable[Path]) -> list[FileStamp]:
    """Sources as they are now, by which a change is seen. Raises InputError source-unreadable."""
    seen = []
    for path in paths:
        try:
            seen.append(FileStamp(path.stat()))
        except OSError as error:
            raise _unreadable(path, error) from None
    return seen


def check_sources_unchanged(
    paths: Sequence[Path], before: Sequence[FileStamp], digests: Sequence[str], flag: StopFlag
) -> None:
    """Raises InputError source-changed when a source is not the file that was seen, of which the SHA-256 is given;
    source-unreadable, Interrupted."""
    for path, seen, digest in zip(paths, before, digests, strict=True):
        seen.note_digest(digest)
        try:
            what = seen.difference(path, flag)
        except OSError as error:
            raise _unreadable(path, error) from None
        if what:
            raise InputError(
                'source-changed', f'{path.name} was changed while it was read', cause=what, hint=LEAVE_ALONE
            )


def _values(settings: Settings, groups: Iterable[type]) -> dict[str, Any]:
    return {info.key: getattr(settings[group], info.key) for group in groups for info in describe(group)}


def _libraries() -> dict[str, str]:
    """The libraries that decode, compute and encode: another version may give other samples."""
    named = {'av': av, 'cv2': cv2, 'numpy': np, 'onnxruntime': onnxruntime, 'pillow': PIL}
    return {name: str(module.__version__) for name, module in named.items()}


def _sha256(array: Any) -> str:
    return hashlib.sha256(np.ascontiguousarray(array).tobytes()).hexdigest()


def _font_sha256(options: DisclosureOptions) -> str | None:
    """Of the font of the label, None for the built-in one."""
    if options.disclosure_label == 'none' or options.disclosure_font is None:
        return None
    return _source_sha256(Path(options.disclosure_font))


def _source_sha256(path: Path, flag: StopFlag | None = None) -> str:
    try:
        return file_sha256(path, flag)
    except OSError as error:
        raise _unreadable(path, error) from None


def _unreadable(path: Path, error: OSError) -> InputError:
    cause = error.strerror or str(error)
    return InputError('source-unreadable', f'{path.name} cannot be read', cause=cause, hint='check the path')
