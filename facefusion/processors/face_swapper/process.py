"""The face swapper: builds the source identity once a run, and swaps every selected face."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from facefusion.errors import InternalError, NoFaceError
from facefusion.events import Emit, Message
from facefusion.faces.depth import find_nearer
from facefusion.faces.embed import MODEL_ID as EMBEDDER
from facefusion.faces.embed import FaceEmbedder
from facefusion.faces.face import Face
from facefusion.faces.masks.options import FaceMaskOptions, idle_options
from facefusion.faces.topology import MeshTopology
from facefusion.media.frame import Frame, PixelFrame, Window
from facefusion.media.image import read_image
from facefusion.processors.face_swapper.mesh_warp.render import MeshWarp
from facefusion.processors.face_swapper.mesh_warp.source import build_source
from facefusion.processors.face_swapper.mesh_warp.views import SourceView
from facefusion.processors.face_swapper.people import same_person
from facefusion.processors.processor import FrameTask, ProcessorTools

# A source face below this many pixels has no texture worth showing.
SMALLEST_SOURCE_FACE = 48
# More pictures than this add time and no texture.
MOST_VIEWS = 8
# How far around a face its picture is kept, as a fraction of its size.
KEPT_MARGIN = 0.1


class FaceSwapper:
    """Swaps faces with the embedded, weight-free ``mesh_warp``."""

    name = 'face_swapper'

    def __init__(self, warp: MeshWarp, topology: MeshTopology) -> None:
        self._warp = warp
        self._topology = topology

    def process(self, batch: Sequence[FrameTask]) -> list[bool]:
        """Swaps every face of every frame of the batch."""
        return [self._swap(task) for task in batch]

    def _swap(self, task: FrameTask) -> bool:
        pairs = find_nearer(self._topology, task.faces)
        return sum(self._warp.render(task.frame, face, nearer) for face, nearer in pairs) > 0


def prepare(tools: ProcessorTools) -> FaceSwapper:
    """Reads the sources and builds the identity from the largest face of each.

    Pictures of others than the person who is shown most often (of two, whose face is larger) are left out with a
    warning, as are pictures without a face of at least 48 pixels. The plan has seen to it that there are sources, and
    only pictures. Raises MediaError for one that cannot be read, NoFaceError when none shows a face.
    """
    meter = tools.meter
    if meter is None:
        raise InternalError('requirement-missing', 'face_swapper was prepared without what it requires')
    # Of several sources it is asked whether they show one person.
    embedder = FaceEmbedder(tools.sessions.session(EMBEDDER)) if len(tools.sources) > 1 else None
    source = build_source(_find_views(tools, embedder), meter)
    for flaw in source.flaws:
        tools.emit(Message('warn', 'face_swapper', flaw))
    masks = tools.settings[FaceMaskOptions]
    for text in idle_options(masks):
        tools.emit(Message('warn', 'face_swapper', text))
    return FaceSwapper(MeshWarp(source, meter, masks), meter.topology)


def _find_views(tools: ProcessorTools, embedder: FaceEmbedder | None) -> list[SourceView]:
    """The largest face of each picture, largest first."""
    faces: list[tuple[float, Path, SourceView]] = []
    left_out: list[str] = []
    largest = 0.0
    for path in tools.sources:
        # Without a listener: the content check has read it before, and said how.
        frame = read_image(path)
        found = tools.analyser.find(frame)
        face = max(found, key=lambda face: face.size, default=None)
        if face is None:
            left_out.append(f'{path} is left out: no face was found in it')
        elif face.size < SMALLEST_SOURCE_FACE:
            left_out.append(f'{path} is left out: its largest face is {face.size:.0f} pixels high')
            largest = max(largest, face.size)
        else:
            faces.append((face.size, path, _cut_out(frame, face)))
            others = sum(other.size >= SMALLEST_SOURCE_FACE for other in found) - 1
            if others:
                text = f'{path} shows {others + 1} faces: the largest is taken; crop the picture to choose another'
                tools.emit(Message('info', 'face_swapper', text))
    if not faces:
        raise _no_face(', '.join(str(path) for path in tools.sources), largest)
    for text in left_out:
        tools.emit(Message('warn', 'face_swapper', text))
    # The sort is stable: of faces of one size the earlier picture comes first.
    faces.sort(key=lambda found: -found[0])
    return _of_one_person([(path, view) for _, path, view in faces], embedder, tools.emit)


def _of_one_person(views: list[tuple[Path, SourceView]], embedder: FaceEmbedder | None, emit: Emit) -> list[SourceView]:
    """The views of the person who is shown most often, as far as it can be told, the largest at most 8."""
    if len(views) == 1:
        return [views[0][1]]
    known = 'which are taken to show one person'
    if embedder is not None:
        kept = same_person([embedder.embed(view.frame, view.landmarks) for _, view in views])
        first = next(path for (path, _), one in zip(views, kept, strict=True) if one)
        for (path, _), one in zip(views, kept, strict=True):
            if not one:
                text = f'{path} is left out: it shows somebody else than {first}'
                emit(Message('warn', 'face_swapper', text))
        views = [pair for pair, one in zip(views, kept, strict=True) if one]
        known = 'which show one person'
    if len(views) > MOST_VIEWS:
        text = f'of {len(views)} source pictures the {MOST_VIEWS} with the largest faces are used'
        emit(Message('info', 'face_swapper', text))
        views = views[:MOST_VIEWS]
    if len(views) > 1:
        emit(Message('info', 'face_swapper', f'the source face is put together from {len(views)} pictures, {known}'))
    return [view for _, view in views]


def _cut_out(frame: Frame, face: Face) -> SourceView:
    """The face with a little around it: of large pictures no more than that is kept in memory."""
    margin = KEPT_MARGIN * face.size + 8
    low, high = face.box[:2] - margin, face.box[2:] + margin
    window = Window(int(low[0]), int(low[1]), int(high[0]), int(high[1])).clipped(frame.width, frame.height)
    shift = np.array([window.x0, window.y0, 0], np.float32)
    return SourceView(PixelFrame(frame.read(window)), face.landmarks - shift)


def _no_face(names: str, largest: float) -> NoFaceError:
    if largest == 0:
        return NoFaceError(
            'source-no-face',
            f'no face was found in {names}',
            hint='take a sharp, upright, frontal picture; --face-detector-angles 0 90 180 270 finds lying faces',
        )
    return NoFaceError(
        'source-face-small',
        f'the largest face in {names} is {largest:.0f} pixels high',
        cause=f'a source face needs at least {SMALLEST_SOURCE_FACE} pixels',
        hint='take a larger picture of the face',
    )
