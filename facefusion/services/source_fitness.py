"""Whether files serve as sources, in words: the face of an image with its flaws, or a voice."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from facefusion.engines.process_settings import tune_process
from facefusion.errors import FaceFusionError
from facefusion.events import silent
from facefusion.faces.options import (
    FaceDetectorOptions,
    FaceLandmarkerOptions,
    FaceSelectorOptions,
)
from facefusion.inference.options import ExecutionOptions
from facefusion.result_cache import ResultCache
from facefusion.services.workplace import Workplace
from facefusion.settings import Settings

if TYPE_CHECKING:
    from facefusion.faces.analyser import FaceFinder
    from facefusion.faces.skin import SkinMeter


class SourceFitness(NamedTuple):
    """A file as a source: its kind, the number of its faces, its problems in words, and whether it can be used."""

    path: str
    kind: str
    faces: int
    problems: list[str]
    is_usable: bool


class SourceJudge:
    """Judges files with the embedded models, which it opens once."""

    def __init__(self, workplace: Workplace, settings: Settings) -> None:
        tune_process()
        from facefusion.faces.point_analyser import make_analyser
        from facefusion.faces.skin import make_skin_meter
        from facefusion.faces.topology import load_topology
        from facefusion.inference.pool import open_sessions
        from facefusion.models.choice import EmbeddedModels
        from facefusion.steps.arguments import freeze_models

        frozen = freeze_models(settings, EmbeddedModels(), silent)
        self._sessions = open_sessions(workplace.model_store(silent), settings[ExecutionOptions])
        self._analyser: FaceFinder = make_analyser(
            self._sessions,
            frozen[FaceDetectorOptions],
            FaceLandmarkerOptions(face_landmarker_model='face_mesh'),
            frozen[FaceSelectorOptions],
        )
        self._meter: SkinMeter = make_skin_meter(load_topology(), ResultCache(1))

    def judge(self, path: Path) -> SourceFitness:
        """Return the fitness of an image or a sound file; a file that cannot be read is a problem in words."""
        from facefusion.media.kinds import find_kind

        try:
            kind = find_kind(path, takes_audio=True)
            if kind.family == 'audio':
                return SourceFitness(str(path), 'audio', 0, [], True)
            if kind.family != 'image':
                problem = 'a source is an image, or a sound file for lip sync'
                return SourceFitness(str(path), kind.family, 0, [problem], False)
            return self._image(path)
        except FaceFusionError as error:
            return SourceFitness(str(path), 'other', 0, [': '.join(filter(None, (error.message, error.cause)))], False)

    def _image(self, path: Path) -> SourceFitness:
        from facefusion.media.image import read_image
        from facefusion.processors.face_swapper.mesh_warp.source import build_source
        from facefusion.processors.face_swapper.mesh_warp.swapper import SMALLEST_SOURCE_FACE, cut_out
        from facefusion.processors.face_swapper.sources import SourceFace

        frame = read_image(path)
        faces = sorted(self._analyser.find(frame), key=lambda face: -face.size)
        if not faces:
            text = 'no face was found: use a sharp, upright, frontal image'
            return SourceFitness(str(path), 'image', 0, [text], False)
        if faces[0].size < SMALLEST_SOURCE_FACE:
            text = f'the face is only {faces[0].size:.0f} pixels high: use a larger image'
            return SourceFitness(str(path), 'image', len(faces), [text], False)
        problems = []
        if sum(face.size >= SMALLEST_SOURCE_FACE for face in faces) > 1:
            problems.append(f'the image shows {len(faces)} faces: the largest is used; crop the image for another')
        source = build_source([cut_out(SourceFace(path, frame, faces[0], ''))], self._meter)
        return SourceFitness(str(path), 'image', len(faces), [*problems, *source.flaws], True)
