"""The embedded lip syncer: the curves of a voice move the mouth of each selected face."""

from __future__ import annotations

from collections.abc import Sequence

from facefusion.errors import InternalError
from facefusion.faces.topology import load_topology
from facefusion.processors.lip_syncer.fade import presence
from facefusion.processors.lip_syncer.mesh_lips.idle import IdleMotion
from facefusion.processors.lip_syncer.mesh_lips.render import MouthRenderer
from facefusion.processors.lip_syncer.options import LipSyncerOptions
from facefusion.processors.processor import FrameTask, Processor, ProcessorTools
from facefusion.voice.activity import VoiceActivity
from facefusion.voice.mouth_curves import MouthCurves, measure_curves

NAME = 'lip_syncer'
# The network that finds speech in the voice.
VOICE_DETECTOR = 'silero_vad'


class MeshLips:
    """A processor that moves mouths on the mesh; it has no state between frames."""

    name = NAME

    def __init__(self, renderer: MouthRenderer, curves: MouthCurves, idle: float = 0.0) -> None:
        """``idle``: strength 0..1 of the motion of heads in a still picture."""
        self._renderer = renderer
        self._curves = curves
        self._idle = idle

    def process(self, batch: Sequence[FrameTask]) -> list[bool]:
        """Change the mouths of each frame, and return for each frame whether any of its pixels changed."""
        return [self._speak(task) for task in batch]

    def _speak(self, task: FrameTask) -> bool:
        mouth = self._curves.at(task.seconds)
        idle = IdleMotion.at(float(task.seconds), self._idle) if self._idle > 0 and _is_still(task) else None
        changed = [self._renderer.render(task.frame, face, mouth, presence(task, face), idle) for face in task.faces]
        return any(changed)


def _is_still(task: FrameTask) -> bool:
    """Whether the target is a picture: all neighbours are copies of the frame itself."""
    return all(neighbour.number == task.frame.number for neighbour in task.neighbours)


def prepare_mesh_lips(tools: ProcessorTools, options: LipSyncerOptions) -> Processor:
    """Return the processor of a run. Raises ModelError, ProviderError, Interrupted."""
    if tools.voice is None:
        raise InternalError('requirement-missing', 'the lip syncer was prepared without a voice')
    curves = measure_curves(tools.voice, VoiceActivity(tools.sessions.session(VOICE_DETECTOR)))
    return MeshLips(MouthRenderer(load_topology()), curves, options.lip_syncer_idle_motion)
