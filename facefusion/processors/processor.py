"""The interface of processors: they receive frames with faces and change them in place."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Protocol

from facefusion.events import Emit
from facefusion.faces.analyser import FaceFinder
from facefusion.faces.face import LinkedFace
from facefusion.faces.skin import SkinMeter
from facefusion.inference.pool import SessionPool
from facefusion.media.frame import Frame
from facefusion.media.voice import Voice
from facefusion.processors.cast import NO_CAST, Cast
from facefusion.processors.source_results import SourceResults
from facefusion.settings import Settings
from facefusion.stopping import StopFlag


@dataclass(slots=True, eq=False)
class FrameTask:
    """One output frame in the chain.

    ``frame`` is changed in place or replaced. ``faces`` are the selected faces in the selector's order, in
    pixels of the target. ``seconds`` is the time of the frame since the first output frame. ``original`` is the
    unprocessed target frame; ``neighbours`` are the unprocessed frames around it, in order, with this frame in the
    middle (the first or last frame of the clip is repeated beyond its ends), and ``neighbour_faces`` are their selected
    faces. ``original`` and ``neighbours`` exist only if a processor requires them.
    """

    frame: Frame
    faces: Sequence[LinkedFace] = ()
    seconds: Fraction = Fraction(0)
    original: Frame | None = None
    neighbours: tuple[Frame, ...] = ()
    neighbour_faces: tuple[Sequence[LinkedFace], ...] = ()


class Processor(Protocol):
    """A processor, which changes frames as a pure function of the task and of its prepared state.

    ``name`` is its name in ``--processors``. ``process`` returns for each frame whether the frame was changed; several
    threads may call it at once. A processor stores no state between frames, and results do
    not depend on how frames are grouped into calls.
    """

    name: str

    def process(self, batch: Sequence[FrameTask]) -> Sequence[bool]: ...


@dataclass(frozen=True, slots=True, eq=False)
class ProcessorTools:
    """The arguments of ``prepare``, which is called once per run.

    ``batches`` has the number of crops in one call by model, and ``batch`` that of other networks (see
    ``inference.batches``). ``cast`` has the sources by
    person. ``voices`` are those of ``cast.voices``, extracted, if a processor requires them; ``FrameTask.seconds`` is
    the position in each. ``flag`` is for processors that need minutes per frame; all others are stopped between frames.
    ``threads`` is the number of threads that a network may use: 1 for a clip, whose frames are processed by several
    workers. ``kept`` has the results of earlier steps for the same sources.
    """

    settings: Settings
    sessions: SessionPool
    analyser: FaceFinder
    meter: SkinMeter | None
    emit: Emit
    batch: int = 1
    voices: tuple[Voice, ...] = ()
    flag: StopFlag = field(default_factory=StopFlag)
    threads: int = 1
    cast: Cast = NO_CAST
    kept: SourceResults = field(default_factory=SourceResults)
    batches: Mapping[str, int] = field(default_factory=dict)

    def batch_of(self, model_id: str) -> int:
        """Return the number of crops in one call of the network of a model."""
        return self.batches.get(model_id, self.batch)
