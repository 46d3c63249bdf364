"""What every processor is: a name, what it needs of analyse, and array work on frames that are handed on in memory."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from facefusion.events import Emit
from facefusion.faces.analyser import FaceAnalyser
from facefusion.faces.embed import FaceEmbedder
from facefusion.faces.face import LinkedFace
from facefusion.faces.skin import SkinMeter
from facefusion.media.frame import Frame
from facefusion.settings import Settings


@dataclass(frozen=True, slots=True, eq=False)
class FrameTask:
    """One frame and the faces in it that were selected, in the selector's order."""

    frame: Frame
    faces: Sequence[LinkedFace]


class Processor(Protocol):
    """Changes frames in place; a pure function of the frame, its faces and the sources.

    ``name`` is the one that ``--processors`` takes. ``process`` may be called from several threads at once and keeps
    no state between frames.
    """

    name: str

    def process(self, batch: Sequence[FrameTask]) -> None: ...


@dataclass(frozen=True, slots=True, eq=False)
class ProcessorTools:
    """What a processor may use to prepare itself, once a run; ``embedder`` is there when there are several sources."""

    settings: Settings
    sources: tuple[Path, ...]
    analyser: FaceAnalyser
    meter: SkinMeter
    emit: Emit
    embedder: FaceEmbedder | None = None
