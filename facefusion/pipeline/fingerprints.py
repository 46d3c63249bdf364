"""Fingerprints of a run: the digests that decide its work files. Files of different digests are never mixed.

The digests cover everything that changes a pixel, and no settings that are tuned to a machine (workers, folders).
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import combinations
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import PIL

from facefusion.errors import InputError, InternalError, MediaError
from facefusion.faces.measurement_table import ALL, measurements_named
from facefusion.faces.measurement_types import Measurements
from facefusion.faces.options import (
    FaceDetectorOptions,
    FaceLandmarkerOptions,
    FaceSelectorOptions,
    ReferenceFaceOptions,
    detector_models,
    landmarker_models,
)
from facefusion.inference.options import ExecutionOptions
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

# Increment this when analyse finds other faces in the same frames, or stores them in another form.
ANALYSIS_VERSION = 1
# Increment this when link or render produces other pixels from the same analysis.
RENDER_VERSION = 1
# The parts of the package whose code and tables decide the analysis, and the parts that also decide the pixels.
_ANALYSING = ('faces', 'inference', 'media', 'models', 'safety', 'pipeline/analyse.py', 'pipeline/content_screening.py')
_RENDERING = (
    'processors',
    'provenance/mark',
    'provenance/label.py',
    'provenance/watermarking.py',
    'pipeline/tracking.py',
    'pipeline/selection.py',
    'pipeline/reference_face.py',
    'pipeline/plan.py',
    'pipeline/processor_chain.py',
    'pipeline/render.py',
    'engines',
    'voice',
)
_PACKAGE = Path(__file__).resolve().parent.parent
# These settings of a step change no pixel.
_NOT_PIXELS = ('source_paths', 'target_path', 'output_path', 'consent', 'workflow_mode')


@dataclass(frozen=True, slots=True)
class InputDigests:
    """The SHA-256 of the bytes of a target, of every source in order, and of the weights by model id."""

    target: str
    sources: tuple[str, ...]
    models: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class RunDigests:
    """The digests of the target's bytes, of the analysis, and of the plan, which decides the segments.

    ``fuller`` are the digests of larger analyses that contain this one and can replace it. ``parts`` are the parts of
    the plan as plain JSON, under names that users understand, to report how two runs differ.
    """

    target: str
    analysis: str
    plan: str
    fuller: tuple[str, ...] = ()
    parts: Mapping[str, Any] = field(default_factory=dict)


def hash_inputs(plan: Plan, models: Mapping[str, str], flag: StopFlag) -> InputDigests:
    """Read target and sources completely and return their digests; ``models`` are the digests of the weights.

    Raises MediaError media-missing, media-changed, InputError source-unreadable, Interrupted.
    """
    target = target_sha256(plan.target, flag)
    return InputDigests(target, tuple(source_sha256(path, flag) for path in plan.sources), models)


def fingerprint_run(
    plan: Plan,
    video: VideoPlan,
    settings: Settings,
    inputs: InputDigests,
    screening: Sequence[Mapping[str, Any]],
    providers: Sequence[str],
    mark: str | None = None,
) -> RunDigests:
    """Return the digests of a video run; ``mark`` is the payload of the invisible mark, or None without one.

    ``screening`` is the key of its screening findings as plain JSON, followed by keys of findings that contain them.
    """
    models, label = inputs.models, settings[DisclosureOptions]
    font = label.disclosure_font if label.disclosure_label != 'none' else None
    reference = settings[ReferenceFaceOptions].reference_face
    common = _analysis(plan.finds_faces, settings, inputs, providers)
    analysis, fuller = _analysis_digests(common, plan.measurements, screening, models)
    rendered = {
        'version': RENDER_VERSION,
        'program': code_sha256(_RENDERING),
        'analysis': analysis,
        'sources': list(inputs.sources),
        'mark': mark,
        'font': source_sha256(Path(font)) if font is not None else None,
        'reference': source_sha256(Path(reference)) if reference is not None else None,
        'processors': [processor.name for processor in plan.processors],
        # A measured size may differ in each run; the stored plan keeps it.
        'batch': settings[ExecutionOptions].execution_batch_size if ExecutionOptions in settings else None,
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
        'the models': rendered['models'],
        'the program': [common['program'], rendered['program']],
        'the libraries': common['libraries'],
        'the execution providers': list(providers),
        'the invisible mark': mark,
        'the encoder or the frames': [rendered['timeline'], rendered['encoder'], rendered['segments']],
    }
    return RunDigests(inputs.target, analysis, canonical_digest(rendered), fuller, parts)


def fingerprint_survey(
    measurements: Measurements,
    settings: Settings,
    inputs: InputDigests,
    screening: Sequence[Mapping[str, Any]],
    providers: Sequence[str],
) -> RunDigests:
    """Return the digests of an analysis of a clip without a run, whose chunks serve runs with the same settings.

    ``screening`` is as in ``fingerprint_run``. There are no segments: the digest of the plan is that of the analysis.
    """
    common = _analysis(True, settings, inputs, providers)
    analysis, fuller = _analysis_digests(common, measurements, screening, inputs.models)
    return RunDigests(inputs.target, analysis, analysis, fuller)


def _analysis_digests(
    common: Mapping[str, Any],
    measurements: Measurements,
    screening: Sequence[Mapping[str, Any]],
    models: Mapping[str, str],
) -> tuple[str, tuple[str, ...]]:
    """Return the digest of an analysis, and those of larger analyses that contain it.

    Larger analyses are left out if ``models`` lacks the digest of a network that measured more.
    """

    def digest(names: Sequence[str], others: Mapping[str, Any]) -> str:
        networks = {name: models[name] for name in measurements_named(names).models}
        return canonical_digest({**common, 'measured': list(names), 'networks': networks, **others})

    analysis = digest(measurements.names, {'watched': dict(screening[0])})
    fuller = (
        digest(names, {'finds_faces': True, 'watched': dict(each)})
        for names in _names_with(measurements.names, models)
        for each in screening
    )
    return analysis, tuple(each for each in fuller if each != analysis)


def _names_with(names: Sequence[str], models: Mapping[str, str]) -> Iterator[list[str]]:
    """Yield the names of all sets of measurements that contain ``names``, the smallest ones first.

    Measurements with a network that is not among ``models`` are only in sets where ``names`` has them.
    """
    others = [each.name for each in ALL.all if each.name not in names and models.keys() >= set(each.models)]
    for count in range(len(others) + 1):
        for added in combinations(others, count):
            yield [name for name in ALL.names if name in (*names, *added)]


def _analysis(finds_faces: bool, settings: Settings, inputs: InputDigests, providers: Sequence[str]) -> dict[str, Any]:
    """Return everything that decides the analysis of a video, except measurements and screening."""
    detector, landmarker = settings[FaceDetectorOptions], settings[FaceLandmarkerOptions]
    models = (*detector_models(detector), *landmarker_models(landmarker))
    libraries = {'av': av, 'cv2': cv2, 'numpy': np, 'onnxruntime': onnxruntime, 'pillow': PIL}
    return {
        'version': ANALYSIS_VERSION,
        'program': [VERSION, code_sha256(_ANALYSING)],
        # Another version of a library may decode or compute different samples.
        'libraries': {name: str(module.__version__) for name, module in libraries.items()},
        'providers': list(providers),
        'target': inputs.target,
        'settings': {
            info.key: getattr(group, info.key) for group in (detector, landmarker) for info in describe(type(group))
        },
        'most_faces': settings[FaceSelectorOptions].max_faces,
        'finds_faces': finds_faces,
        'models': {name: inputs.models.get(name) for name in models},
    }


def clip_digest(plan: str, video: VideoPlan, extension: str) -> str:
    """Return the digest of the joined clip, which covers the plan and everything in the clip besides the frames."""
    others = {'audio': video.audio.as_record(), 'extras': video.extras.as_record()}
    return canonical_digest({'plan': plan, 'extension': extension, **others, 'program': code_sha256(('media',))})


def target_sha256(target: MediaInfo, flag: StopFlag) -> str:
    """Return the SHA-256 of the file that was probed.

    Raises MediaError media-missing, media-changed, media-unreadable, Interrupted.
    """
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
    """Return the SHA-256 of files and folders of this program.

    Any change of the code changes the digest, even if no version number is incremented.
    """
    digest = hashlib.sha256()
    for part in parts:
        root = _PACKAGE / part
        found = [root] if root.is_file() else sorted(root.rglob('*'))
        files = [path for path in found if path.is_file() and path.suffix in ('.py', '.json')]
        if not files:
            raise InternalError('code-part-unknown', f'this program has no part {part}')
        for path in files:
            digest.update(f'{path.relative_to(_PACKAGE).as_posix()} {path.stat().st_size}\n'.encode())
            digest.update(path.read_bytes())
    return digest.hexdigest()


def stamp_sources(paths: Iterable[Path]) -> list[FileStamp]:
    """Return the stamps of the sources, to detect a change. Raises InputError source-unreadable."""
    stamps = []
    for path in paths:
        try:
            stamps.append(FileStamp(path.stat()))
        except OSError as error:
            raise _unreadable(path, error) from None
    return stamps


def check_sources_unchanged(
    paths: Sequence[Path], stamps: Sequence[FileStamp], digests: Sequence[str], flag: StopFlag
) -> None:
    """Raise InputError source-changed when a source differs from its stamp or SHA-256.

    Also raises InputError source-unreadable, Interrupted.
    """
    for path, stamp, digest in zip(paths, stamps, digests, strict=True):
        stamp.note_digest(digest)
        try:
            difference = stamp.difference(path, flag)
        except OSError as error:
            raise _unreadable(path, error) from None
        if difference:
            raise InputError(
                'source-changed', f'{path.name} changed while it was read', cause=difference, hint=LEAVE_ALONE
            )


def _sha256(array: Any) -> str:
    return hashlib.sha256(np.ascontiguousarray(array).tobytes()).hexdigest()


def source_sha256(path: Path, flag: StopFlag | None = None) -> str:
    """Return the SHA-256 of a source. Raises InputError source-unreadable, Interrupted."""
    try:
        return file_sha256(path, flag)
    except OSError as error:
        raise _unreadable(path, error) from None


def _unreadable(path: Path, error: OSError) -> InputError:
    cause = error.strerror or str(error)
    return InputError('source-unreadable', f'{path.name} cannot be read', cause=cause, hint='check the path')
