"""The face swapper: the embedded one, or one of the published networks."""

from __future__ import annotations

from facefusion.processors.face_swapper.models import MESH_WARP, frozen_model
from facefusion.processors.face_swapper.options import FaceSwapperOptions
from facefusion.processors.processor import Processor, ProcessorTools


def prepare(tools: ProcessorTools) -> Processor:
    """Return the swapper that the options name. Raises MediaError, NoFaceError, ModelError."""
    if frozen_model(tools.settings[FaceSwapperOptions].face_swapper_model) == MESH_WARP:
        from facefusion.processors.face_swapper.mesh_warp.swapper import prepare_mesh_warp

        return prepare_mesh_warp(tools)
    from facefusion.processors.face_swapper.neural.prepare import prepare_neural

    return prepare_neural(tools)
