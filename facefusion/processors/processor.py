"""The array work of a processor: frames with their faces go in, and are changed in place."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Protocol

from facefusion.events import Emit
from facefusion.faces.analyser import FaceFinder
from facefusion.faces.face import LinkedFace
from facefusion.faces.skin import SkinMeter
from facefusion.inference.pool import SessionPool
from facefusion.media.frame import Frame
from facefusion.media.voice import Voice
from facefusion.settings import Settings


@dataclass(slots=True, eq=False)
class FrameTask:
    """One output frame on its way through the chain.

    ``frame`` is changed in place, or replaced by one that was written as a whole. ``faces`` are the selected ones in
    the selector's order, in pixels of the target. ``seconds`` is the time of the frame in the output, from its first
    frame on. ``original`` is the untouched frame of the target, ``neighbours`` are the untouched frames around it, in
    order, itself in the middle (at the ends of the clip the first or last one is repeated): both only where a processor
    of the chain requires them.
    """

    frame: Frame
    faces: Sequence[LinkedFace] = ()
    seconds: Fraction = Fraction(0)
    original: Frame | None = None
    neighbours: tuple[Frame, ...] = ()


class Processor(Protocol):
    """Changes frames; a pure function of the task and of what it was prepared with.

    ``name`` is the one that ``--processors`` takes. ``process`` says for each frame whether it changed it. It may be
    called from several threads at once and keeps no state between frames; which frames share a call changes nothing.
    """

    name: str

    def process(self, batch: Sequence[FrameTask]) -> Sequence[bool]: ...


@dataclass(frozen=True, slots=True, eq=False)
class ProcessorTools:
    """What a processor may use to prepare itself, once a run.

    ``batch`` is how many crops go through a network in one call (see ``inference.batches``). ``voice`` is the sound of
    a source where a processor requires it; ``FrameTask.seconds`` is the time in it.
    """

    settings: Settings
    sources: tuple[Path, ...]
    sessions: SessionPool
    analyser: FaceFinder
    meter: SkinMeter | None
    emit: Emit
    batch: int = 1
    voice: Voice | None = None
