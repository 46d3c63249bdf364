"""The face swapper with ``mesh_warp``: build the source identities once per run, and swap every face that has one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from facefusion.errors import InternalError
from facefusion.events import Emit, Message
from facefusion.faces.depth import find_nearer
from facefusion.faces.embed import MODEL_ID as EMBEDDER
from facefusion.faces.embed import FaceEmbedder
from facefusion.faces.masks.options import FaceMaskOptions, idle_options
from facefusion.faces.role import NO_SOURCE
from facefusion.faces.skin import SkinMeter
from facefusion.faces.topology import MeshTopology
from facefusion.media.frame import PixelFrame, Window
from facefusion.processors.face_swapper.mesh_warp.render import MeshWarp
from facefusion.processors.face_swapper.mesh_warp.source import SourceTexture, build_source
from facefusion.processors.face_swapper.mesh_warp.views import SourceView
from facefusion.processors.face_swapper.people import same_person
from facefusion.processors.face_swapper.sources import SourceFace, find_source_faces
from facefusion.processors.network_masks import NetworkMasks, prepare_network_masks
from facefusion.processors.processor import FrameTask, ProcessorTools

# Minimum height of a source face in pixels; the texture of a smaller face is not usable.
SMALLEST_SOURCE_FACE = 48
# Maximum number of images per source; more images take time but add no texture.
MAX_VIEWS = 8
# Margin of the stored crop around a source face, as a fraction of its size.
CROP_MARGIN = 0.1


class MeshSwapper:
    """Swaps faces with the embedded ``mesh_warp``, which needs no weights."""

    name = 'face_swapper'

    def __init__(self, warps: Sequence[MeshWarp], topology: MeshTopology, masks: NetworkMasks | None = None) -> None:
        """``warps``: one for each group of ``Cast.images``."""
        self._warps = warps
        self._topology = topology
        self._masks = masks

    def process(self, batch: Sequence[FrameTask]) -> list[bool]:
        """Swap every face that has a source, in every frame of the batch."""
        return [self._swap(task) for task in batch]

    def _swap(self, task: FrameTask) -> bool:
        changed = False
        # Faces without a source stay unchanged, but may be in front of others.
        for face, nearer in find_nearer(self._topology, task.faces):
            if face.role.images == NO_SOURCE:
                continue
            limit = self._masks.limit(task, face) if self._masks is not None else None
            changed |= self._warps[face.role.images].render(task.frame, face, nearer, limit)
        return changed


def prepare_mesh_warp(tools: ProcessorTools) -> MeshSwapper:
    """Read each group of images and build its source identity from the largest face of each image.

    Only images of the most frequent person of a group are used; in a tie, those of the person with the larger face. The
    other images, and images without a face of at least 48 pixels, are skipped with a warning. The plan has already
    checked that there is a group.

    Raises MediaError for an unreadable image, NoFaceError when no image of a group shows a face.
    """
    meter = tools.meter
    if meter is None:
        raise InternalError('requirement-missing', 'face_swapper was prepared without its requirements')
    masks = tools.settings[FaceMaskOptions]
    warps = [_warp(group, meter, tools) for group in range(len(tools.cast.images))]
    for text in idle_options(masks):
        tools.emit(Message('warn', 'face_swapper', text))
    limits = prepare_network_masks(masks, tools, 'face_swapper')
    return MeshSwapper(warps, meter.topology, limits)


def _warp(group: int, meter: SkinMeter, tools: ProcessorTools) -> MeshWarp:
    """Return the renderer of the source identity of a group of images."""
    masks, files, users = tools.settings[FaceMaskOptions], tools.cast.images[group], tools.cast.users_of_images(group)

    def prepare(emit: Emit) -> SourceTexture:
        return _source(group, meter, replace(tools, emit=emit))

    def make(emit: Emit) -> MeshWarp:
        # The masks do not change the identity, which takes most of the time.
        return MeshWarp(tools.kept.get('mesh_warp source', files, users, prepare, emit), meter, masks)

    return tools.kept.get('mesh_warp', files, (users, masks), make, tools.emit)


def _source(group: int, meter: SkinMeter, tools: ProcessorTools) -> SourceTexture:
    """Return the source identity of a group of images."""
    # The sort is stable: among faces of equal size, that of the earlier image comes first.
    faces = sorted(find_source_faces(tools, group, SMALLEST_SOURCE_FACE), key=lambda found: -found.face.size)
    users = tools.cast.users_of_images(group)
    source = build_source(_of_one_person([(each.name, cut_out(each)) for each in faces], tools, users), meter)
    for text in source.flaws:
        tools.emit(Message('warn', 'face_swapper', f'{text}{users}'))
    return source


def _of_one_person(views: list[tuple[str, SourceView]], tools: ProcessorTools, users: str) -> list[SourceView]:
    """Return the views of the most frequent person, at most the 8 largest; each view comes with its name."""
    if len(views) > 1:
        embedder = FaceEmbedder(tools.sessions.session(EMBEDDER))
        belongs = same_person([embedder.embed(view.frame, view.landmarks) for _, view in views])
        first = views[belongs.index(True)][0]
        for (name, _), is_same in zip(views, belongs, strict=True):
            if not is_same:
                text = f'{name} is skipped: it does not show the same person as {first}'
                tools.emit(Message('warn', 'face_swapper', text))
        views = [view for view, is_same in zip(views, belongs, strict=True) if is_same]
        if len(views) > MAX_VIEWS:
            text = f'of {len(views)} source images{users}, the {MAX_VIEWS} with the largest faces are used'
            tools.emit(Message('info', 'face_swapper', text))
            views = views[:MAX_VIEWS]
        if len(views) > 1:
            text = f'the source face{users} is combined from {len(views)} images of one person'
            tools.emit(Message('info', 'face_swapper', text))
    return [view for _, view in views]


def cut_out(source: SourceFace) -> SourceView:
    """Return a crop of the face with a margin, so that large images do not stay in memory."""
    frame, face = source.frame, source.face
    margin = CROP_MARGIN * face.size + 8
    low, high = face.box[:2] - margin, face.box[2:] + margin
    window = Window(int(low[0]), int(low[1]), int(high[0]), int(high[1])).clipped(frame.width, frame.height)
    shift = np.array([window.x0, window.y0, 0], np.float32)
    return SourceView(PixelFrame(frame.read(window)), face.landmarks - shift)
