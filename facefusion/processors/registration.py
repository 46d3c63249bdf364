"""What a processor says of itself before it runs; nothing here loads an array library."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib import import_module
from typing import TYPE_CHECKING, Any, Literal, Protocol, cast

from facefusion.settings import Settings

if TYPE_CHECKING:
    from facefusion.processors.processor import Processor, ProcessorTools

# What a picture is once a model has worked on it: partly made by it, improved by it, or written on.
Effect = Literal['composite', 'enhancement', 'annotation']
Size = tuple[int, int]


@dataclass(frozen=True, slots=True)
class Requirements:
    """What a processor needs of a run.

    ``faces`` of the target. ``measurements`` of them, by the names of ``faces.measurement_table``. ``source_faces``:
    pictures of faces among the sources. ``source_audio``: a source with sound; then every output frame is rendered.
    ``neighbours``: how many untouched frames of the target on each side of a frame. ``original``: the untouched frame
    itself. ``every_frame``: it works on frames without faces too.
    """

    faces: bool = True
    measurements: frozenset[str] = frozenset()
    source_faces: bool = False
    source_audio: bool = False
    neighbours: int = 0
    original: bool = False
    every_frame: bool = False


def joined(all_requirements: Iterable[Requirements]) -> Requirements:
    """What a chain of processors needs."""
    found = list(all_requirements)
    return Requirements(
        faces=any(each.faces for each in found),
        measurements=frozenset(name for each in found for name in each.measurements),
        source_faces=any(each.source_faces for each in found),
        source_audio=any(each.source_audio for each in found),
        neighbours=max((each.neighbours for each in found), default=0),
        original=any(each.original for each in found),
        every_frame=any(each.every_frame for each in found),
    )


class SizedFace(Protocol):
    """A face of a frame as link knows it; ``box`` is float32 [4] x0, y0, x1, y1 in pixels of the target."""

    @property
    def box(self) -> Any: ...


# Below this larger side of the box around its landmarks, in pixels, a face is left alone: it shows too little.
SMALLEST_FACE = 32


def is_large_enough(face: SizedFace) -> bool:
    """Whether processors work on a face of this size."""
    x0, y0, x1, y1 = face.box
    return bool(max(x1 - x0, y1 - y0) >= SMALLEST_FACE)


def with_large_faces(settings: Settings, faces: Sequence[SizedFace]) -> bool:
    """Frames are changed that show a face that is large enough: of most processors of faces."""
    return any(is_large_enough(face) for face in faces)


def _same_size(settings: Settings, size: Size) -> Size:
    return size


def _never(settings: Settings) -> bool:
    return False


@dataclass(frozen=True, slots=True)
class Registration:
    """A processor by name: its options, and what it will do with given settings.

    ``package`` is its folder, whose module ``process`` has ``prepare(tools)``. ``models`` gives the catalogue ids that
    a run needs, ``effect`` what they make of a picture. ``output_size`` gives width and height after it from those
    before it. ``changes`` tells whether it will alter a frame with these selected faces: it is asked before anything is
    rendered, and decides about label and mark. ``preferences`` name, for each option that may be 'auto', the models
    that are taken, best first; the last one is embedded.
    """

    name: str
    options: type
    package: str
    requirements: Callable[[Settings], Requirements]
    models: Callable[[Settings], tuple[str, ...]]
    effect: Callable[[Settings], Effect]
    changes: Callable[[Settings, Sequence[SizedFace]], bool] = with_large_faces
    output_size: Callable[[Settings, Size], Size] = _same_size
    writes_alpha: Callable[[Settings], bool] = _never
    preferences: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    def prepare(self, tools: ProcessorTools) -> Processor:
        """Builds the processor for one run; raises what its ``prepare`` raises, such as NoFaceError."""
        module = import_module(f'{self.package}.process')
        return cast('Callable[[ProcessorTools], Processor]', module.prepare)(tools)
