"""Analyse, link and process files in one process, as ``pipeline/run.py`` does.

Used by ``benchmarks/quality.py``, ``benchmarks/face_enhancer_quality.py`` and ``scripts/contact_sheet.py``. Models are
loaded once. Only the linked record of a target is stored (small arrays); frames are read again for each swap. There is
no content gate, encoding or metadata: the results are the frames as the processors return them.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from facefusion.errors import NoFaceError
from facefusion.events import silent
from facefusion.faces.analyser import FaceAnalyser
from facefusion.faces.chunk import FaceChunk, LinkedChunk
from facefusion.faces.embed import MODEL_ID, FaceEmbedder
from facefusion.faces.face import Face, Floats, LinkedFace
from facefusion.faces.masks.options import FaceMaskOptions
from facefusion.faces.measurement_table import measurements_named
from facefusion.faces.measurement_types import MeterTools
from facefusion.faces.options import FaceDetectorOptions, FaceLandmarkerOptions, FaceSelectorOptions
from facefusion.faces.skin import SkinMeter
from facefusion.faces.track import still_chunk
from facefusion.inference.pool import SessionPool
from facefusion.media.frame import Frame, PixelFrame, PlaneFrame
from facefusion.media.image import read_image
from facefusion.media.info import VideoInfo
from facefusion.media.kinds import find_kind
from facefusion.media.probe import probe
from facefusion.media.reader import VideoReader
from facefusion.models.catalog import load_catalog
from facefusion.models.store import ModelStore
from facefusion.pipeline.analyse import ChunkAnalysis, FaceTools
from facefusion.pipeline.plan import CHUNK_FRAMES, grid
from facefusion.pipeline.processor_chain import Chain
from facefusion.pipeline.render import LinkedFaces
from facefusion.pipeline.selection import Selector, Wanted
from facefusion.pipeline.tracking import Tracker
from facefusion.processors.cast import Cast
from facefusion.processors.face_enhancer.options import FaceEnhancerOptions
from facefusion.processors.face_swapper.models import MESH_WARP
from facefusion.processors.face_swapper.options import FaceSwapperOptions
from facefusion.processors.processor import FrameTask, ProcessorTools
from facefusion.processors.registry import registrations
from facefusion.settings import Settings
from facefusion.stopping import StopFlag

ROOT = Path(__file__).resolve().parent.parent
FACE_GROUPS = (FaceDetectorOptions, FaceLandmarkerOptions, FaceSelectorOptions, FaceMaskOptions)


@dataclass(frozen=True, slots=True, eq=False)
class Target:
    """An image or clip with its linked faces. ``info`` is None for an image, which counts as a clip of one frame."""

    path: Path
    info: VideoInfo | None
    chunks: tuple[LinkedChunk, ...]
    frame_count: int = 1

    @property
    def rate(self) -> float:
        """The frame rate per second; 1 for an image."""
        return float(self.info.average_rate) if self.info is not None else 1.0


@dataclass(frozen=True, slots=True, eq=False)
class Shot:
    """One frame of a target before and after the processors, with its linked faces."""

    number: int
    before: Frame
    after: Frame
    faces: tuple[LinkedFace, ...]


class Studio:
    """The models, loaded once, and the default settings of the program."""

    def __init__(self, models: Path = ROOT / 'models/weights') -> None:
        """``models`` is the folder of the weights; missing weights are fetched."""
        store = ModelStore(load_catalog(ROOT / 'models/catalog'), models, offline=False, emit=silent)
        self._sessions = SessionPool(store, ('cpu',), 0)
        (self._swapper,) = registrations(('face_swapper',))
        swapper = FaceSwapperOptions(face_swapper_model=MESH_WARP)
        self._settings = Settings((*(group() for group in FACE_GROUPS), swapper))
        self.analyser = FaceAnalyser(self._sessions)
        self._requirements = self._swapper.requirements(self._settings)
        measurements = measurements_named(self._requirements.measurements)
        self.meters = measurements.prepare(MeterTools(self.analyser.topology, self._sessions))
        self._meter = SkinMeter(self.analyser.topology)
        self.embedder = FaceEmbedder(self._sessions.session(MODEL_ID))

    def prepare(self, sources: Sequence[Path]) -> Chain:
        """Return the face swapper for source images that show one person. Raises NoFaceError, MediaError."""
        cast = Cast((tuple(sources),))
        tools = ProcessorTools(self._settings, self._sessions, self.analyser, self._meter, silent, cast=cast)
        return Chain(((self._swapper.prepare(tools), self._requirements),))

    def enhancer(self, model: str) -> Chain:
        """Return the face enhancer with a model and default settings. Raises ModelError, ProviderError."""
        (registration,) = registrations(('face_enhancer',))
        settings = Settings((*(group() for group in FACE_GROUPS), FaceEnhancerOptions(face_enhancer_model=model)))
        tools = ProcessorTools(settings, self._sessions, self.analyser, None, silent)
        return Chain(((registration.prepare(tools), registration.requirements(settings)),))

    def example(self, model: str) -> Path:
        """Return the file of an example image of the catalogue. Raises ModelError."""
        return self._sessions.path(model)

    def largest_face(self, picture: Path) -> tuple[PixelFrame, Face]:
        """Return an image and its largest face. Raises NoFaceError, MediaError."""
        frame = read_image(picture)
        faces = self.analyser.find(frame)
        if not faces:
            raise NoFaceError('source-no-face', f'no face was found in {picture.name}', hint='use another image')
        return frame, max(faces, key=lambda face: face.size)

    def embed(self, sources: Sequence[Path]) -> Floats:
        """Return the mean embedding of the sources' largest faces: float32 [128] of length 1."""
        found = [self.largest_face(path) for path in sources]
        mean = np.mean([self.embedder.embed(frame, face.landmarks) for frame, face in found], axis=0)
        return np.asarray(mean / np.linalg.norm(mean), np.float32)

    def link(self, path: Path, seconds: float = math.inf) -> Target:
        """Find, measure and link the faces of an image, or of a clip's first ``seconds``. Raises MediaError."""
        if is_picture(path):
            chunk = still_chunk(read_image(path), self.analyser, self.meters)
            return Target(path, None, self._linked([chunk]))
        info = probe(path)
        assert isinstance(info, VideoInfo)
        stop = max(min(info.frame_count, math.ceil(min(seconds, 1e6) * info.average_rate)), 1)
        analysis, flag = ChunkAnalysis(info, stop, FaceTools(self.analyser, self.meters)), StopFlag()
        analysed = (analysis.analyse(span, flag)[0] for span in grid(0, stop, CHUNK_FRAMES))
        return Target(path, info, self._linked(analysed), stop)

    def _linked(self, chunks: Iterable[FaceChunk]) -> tuple[LinkedChunk, ...]:
        tracker = Tracker(self.meters.measurements)
        tracked = list(tracker.track(chunks))
        selector = Selector(Wanted(self._settings[FaceSelectorOptions]), tracker.tracks())
        return tuple(chunk.select(selector.select(chunk)) for chunk in tracked)

    def shots(self, target: Target, chain: Chain, step: int = 1) -> Iterator[Shot]:
        """Yield every ``step``-th frame of a target before and after the processors."""
        faces = LinkedFaces(lambda number: target.chunks[number])
        for frame in self._frames(target, step):
            task = FrameTask(frame.untouched(), faces.of(frame.number))
            chain.apply([task])
            yield Shot(frame.number, frame, task.frame, tuple(task.faces))

    def originals(self, target: Target, step: int = 1) -> Iterator[Shot]:
        """Yield every ``step``-th frame of a target unchanged: before and after are the same."""
        faces = LinkedFaces(lambda number: target.chunks[number])
        for frame in self._frames(target, step):
            yield Shot(frame.number, frame, frame, faces.of(frame.number))

    def _frames(self, target: Target, step: int) -> Iterator[PixelFrame | PlaneFrame]:
        if target.info is None:
            yield read_image(target.path)
            return
        with closing(VideoReader(target.info).frames(0, target.frame_count)) as frames:
            for frame in frames:
                if frame.number % step == 0:
                    yield frame


class Covers:
    """Masks of the things in front of a target's faces, if its folder has ``covers/`` (scripts/picture_variants.py)."""

    def __init__(self, target: Target) -> None:
        folder, stem = target.path.parent / 'covers', target.path.stem
        self._width = target.info.width if target.info is not None else 0
        self._picture = _read_grey(folder / f'{stem}.png') if not self._width else None
        packed = folder / f'{stem}.npz'
        self._packed = np.load(packed)['covers'] if self._width and packed.is_file() else None

    def of(self, number: int) -> npt.NDArray[np.uint8] | None:
        """Return uint8 [h,w] with 255 where a face in the frame is covered; None without a mask."""
        if self._packed is not None:
            return np.unpackbits(self._packed[number], axis=1, count=self._width) * np.uint8(255)
        return np.asarray(self._picture, np.uint8) if self._picture is not None else None


def is_picture(path: Path) -> bool:
    """Whether the content of a file is an image and not a clip. Raises MediaError if it is neither."""
    return find_kind(path).family == 'image'


def _read_grey(path: Path) -> npt.NDArray[np.uint8] | None:
    if not path.is_file():
        return None
    return np.asarray(cv2.imdecode(np.fromfile(path, np.uint8), cv2.IMREAD_GRAYSCALE), np.uint8)
