"""The masks of a processor that changes aligned crops: the smallest value of all selected masks applies.

peer-models.md section 8 lists the mask types that each processor applies.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from facefusion.errors import InternalError
from facefusion.events import Message
from facefusion.faces.face import MESH_POINTS, Floats
from facefusion.faces.masks.crop_masks import area_mask, box_mask
from facefusion.faces.masks.mesh_crop import region_part, visible_part
from facefusion.faces.masks.networks import FaceParser, Occluder
from facefusion.faces.masks.options import FaceMaskOptions, mesh_types, occluders, parsers
from facefusion.faces.skin import linked_skin
from facefusion.faces.topology import MeshTopology, load_topology
from facefusion.processors.face_crops import FaceCrop
from facefusion.processors.mask_requirements import has_mesh
from facefusion.processors.occlusion import OcclusionMasks
from facefusion.processors.processor import ProcessorTools

Crop = npt.NDArray[Any]


@dataclass(frozen=True, slots=True, eq=False)
class FaceMasker:
    """Creates the masks of crops; several threads may share it.

    ``occlusion`` and ``parser`` are None without the mask type or with the mesh. ``from_mesh`` are the mask types that
    are derived from the mesh, of which ``topology`` is the structure.
    """

    options: FaceMaskOptions
    occlusion: OcclusionMasks | None = None
    parser: FaceParser | None = None
    from_mesh: tuple[str, ...] = ()
    topology: MeshTopology | None = None
    _boxes: dict[int, Floats] = field(default_factory=dict)

    def masks(self, crops: Sequence[FaceCrop], made: Sequence[Crop]) -> list[Floats]:
        """Return a mask float32 [S,S] in 0..1 for each crop; ``made`` are the changed crops [S,S,3] BGR in 0..255.

        Occlusion comes from the pixels of the target, regions from the changed crop.
        """
        masks = [self._fixed(crop) for crop in crops]
        networks: list[list[Floats]] = []
        if self.occlusion is not None:
            networks.append(self.occlusion.of(crops))
        if self.parser is not None:
            networks.append(self.parser.masks(made, self.options.face_mask_regions))
        for found in networks:
            masks = [np.minimum(mask, each) for mask, each in zip(masks, found, strict=True)]
        return masks

    def _fixed(self, crop: FaceCrop) -> Floats:
        """Return the minimum of the masks that need no network."""
        size = len(crop.pixels)
        mask = self._box(size)
        if 'area' in self.options.face_mask_types:
            mask = np.minimum(mask, area_mask(size, crop.points(), self.options.face_mask_areas))
        if self.from_mesh:
            mask = np.minimum(mask, self._from_mesh(crop, size))
        return mask

    def _box(self, size: int) -> Floats:
        # The sides of crops are few, so this dictionary stays small.
        if size not in self._boxes:
            options = self.options
            box = np.ones((size, size), np.float32)
            if 'box' in options.face_mask_types:
                box = np.clip(box_mask(size, options.face_mask_blur, options.face_mask_padding), 0, 1)
            self._boxes[size] = box
        return self._boxes[size]

    def _from_mesh(self, crop: FaceCrop, size: int) -> Floats:
        landmarks = crop.landmarks()
        if len(landmarks) != MESH_POINTS or self.topology is None:
            raise InternalError('requirement-missing', 'a mask of the mesh was prepared without the mesh')
        mask = np.ones((size, size), np.float32)
        skin = linked_skin(crop.face.values)
        if 'occlusion' in self.from_mesh and skin is not None:
            mask = visible_part(self.topology, landmarks, skin.visibility, size)
        if 'region' in self.from_mesh:
            mask = np.minimum(mask, region_part(landmarks, self.options.face_mask_regions, size))
        return mask


def prepare_masker(options: FaceMaskOptions, tools: ProcessorTools, template: str, name: str) -> FaceMasker:
    """Return the masks of the processor ``name`` for crops aligned to ``template``.

    Emits warnings about mask types without effect. Raises ModelError, ProviderError.
    """
    found, mesh = occluders(options), has_mesh(tools.settings)
    from_mesh = tuple(kind for kind in mesh_types(options) if kind in ('occlusion', 'region'))
    for text in (_needs_mesh(kind) for kind in from_mesh if not mesh):
        tools.emit(Message('warn', name, text))
    pool = tools.sessions
    networks = [Occluder(pool.batched(each), pool.contract(each), tools.batch_of(each)) for each in found]
    parser = [FaceParser(pool.batched(each), pool.contract(each), tools.batch_of(each)) for each in parsers(options)]
    return FaceMasker(
        options,
        OcclusionMasks(networks, template) if networks else None,
        parser[0] if parser else None,
        from_mesh if mesh else (),
        load_topology() if mesh and from_mesh else None,
    )


def _needs_mesh(kind: str) -> str:
    model, option = ('xseg_1', 'occluder') if kind == 'occlusion' else ('bisenet_resnet_34', 'parser')
    return (
        f'the mask type {kind} has no effect: the {option} mesh needs --face-landmarker-model face_mesh; '
        f'--face-{option}-model {model} works with all landmarks'
    )
