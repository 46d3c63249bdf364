"""The embedded lip syncer: the curves of its voice move the mouth of each selected face."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from facefusion.errors import InternalError
from facefusion.faces.masks.options import FaceMaskOptions
from facefusion.faces.role import NO_SOURCE
from facefusion.faces.topology import load_topology
from facefusion.processors.lip_syncer.fade import presence
from facefusion.processors.lip_syncer.mesh_lips.idle import IdleMotion
from facefusion.processors.lip_syncer.mesh_lips.render import MouthRenderer
from facefusion.processors.lip_syncer.models import MASK_TYPES
from facefusion.processors.lip_syncer.options import LipSyncerOptions
from facefusion.processors.network_masks import NetworkMasks, prepare_network_masks
from facefusion.processors.processor import FrameTask, Processor, ProcessorTools
from facefusion.voice.activity import VoiceActivity
from facefusion.voice.mouth_curves import MouthCurves, MouthShape, measure_curves
from facefusion.voice.options import DETECTOR

NAME = 'lip_syncer'
# The weight that leaves the motion as it is, as with wav2lip, and the widest opening of a stronger motion.
_USUAL_WEIGHT, _WIDEST = 0.5, 1.1


class MeshLips:
    """A processor that moves mouths on the mesh; it has no state between frames."""

    name = NAME

    def __init__(
        self,
        renderer: MouthRenderer,
        curves: Sequence[MouthCurves],
        options: LipSyncerOptions,
        masks: NetworkMasks | None = None,
    ) -> None:
        """``curves``: those of each voice. ``masks``: the masks of published networks."""
        self._renderer = renderer
        self._curves = curves
        self._strength = options.lip_syncer_weight / _USUAL_WEIGHT
        self._idle = options.lip_syncer_idle_motion
        self._masks = masks

    def process(self, batch: Sequence[FrameTask]) -> list[bool]:
        """Change the mouths of faces with a voice, and return for each frame whether any of its pixels changed."""
        return [self._speak(task) for task in batch]

    def _speak(self, task: FrameTask) -> bool:
        idle = IdleMotion.at(float(task.seconds), self._idle) if self._idle > 0 and _is_still(task) else None
        changed = False
        for face in task.faces:
            if face.role.voice == NO_SOURCE:
                continue
            mouth = _with_strength(self._curves[face.role.voice].at(task.seconds), self._strength)
            limit = self._masks.limit(task, face) if self._masks is not None else None
            changed |= self._renderer.render(task.frame, face, mouth, presence(task, face), idle, limit)
        return changed


def _with_strength(mouth: MouthShape, strength: float) -> MouthShape:
    """Return a stronger or weaker motion of the mouth; 1 leaves it unchanged, and 0 closes the mouth."""
    opening = min(mouth.opening * strength, max(mouth.opening, _WIDEST))
    return MouthShape(opening, float(np.clip(mouth.width * strength, -1, 1)), mouth.is_closed or strength == 0)


def _is_still(task: FrameTask) -> bool:
    """Whether the target is a picture: all neighbours are copies of the frame itself."""
    return all(neighbour.number == task.frame.number for neighbour in task.neighbours)


def prepare_mesh_lips(tools: ProcessorTools, options: LipSyncerOptions) -> Processor:
    """Return the processor of a run. Raises ModelError, ProviderError, Interrupted."""
    if not tools.voices:
        raise InternalError('requirement-missing', 'the lip syncer was prepared without a voice')
    activity = VoiceActivity(tools.sessions.session(DETECTOR))
    curves = [measure_curves(voice, activity, tools.flag) for voice in tools.voices]
    masks = prepare_network_masks(tools.settings[FaceMaskOptions], tools, NAME, MASK_TYPES)
    return MeshLips(MouthRenderer(load_topology()), curves, options, masks)
