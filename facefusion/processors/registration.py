"""Registrations: facts about processors that are needed before a run; this module loads no array library."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib import import_module
from typing import TYPE_CHECKING, Any, Literal, Protocol, cast

from facefusion.faces.role import NO_SOURCE, FaceRole
from facefusion.settings import Settings

if TYPE_CHECKING:
    from facefusion.processors.processor import Processor, ProcessorTools

# The kind of an output: partly generated, enhanced, or annotated.
Effect = Literal['composite', 'enhancement', 'annotation']
Size = tuple[int, int]


@dataclass(frozen=True, slots=True)
class Requirements:
    """The requirements of a processor.

    ``faces``: the faces of the target. ``measurements``: names of measurements of these faces
    (``faces.measurement_table``). ``source_faces``: images of faces among the sources. ``source_audio``: a source with
    audio, for which every output frame is rendered. ``neighbours``: number of unprocessed target frames on each side of
    a frame. ``original``: the unprocessed frame itself. ``every_frame``: frames without faces, too. ``mesh``: the 468
    landmarks of the mesh, even if the options name another landmarker.
    """

    faces: bool = True
    measurements: frozenset[str] = frozenset()
    source_faces: bool = False
    source_audio: bool = False
    neighbours: int = 0
    original: bool = False
    every_frame: bool = False
    mesh: bool = False


def joined(all_requirements: Iterable[Requirements]) -> Requirements:
    """Return the requirements of a chain of processors."""
    chain = list(all_requirements)
    return Requirements(
        faces=any(each.faces for each in chain),
        measurements=frozenset(name for each in chain for name in each.measurements),
        source_faces=any(each.source_faces for each in chain),
        source_audio=any(each.source_audio for each in chain),
        neighbours=max((each.neighbours for each in chain), default=0),
        original=any(each.original for each in chain),
        every_frame=any(each.every_frame for each in chain),
        mesh=any(each.mesh for each in chain),
    )


class SizedFace(Protocol):
    """A linked face; ``box`` is float32 [4] x0, y0, x1, y1 in pixels of the target."""

    @property
    def box(self) -> Any: ...

    @property
    def role(self) -> FaceRole: ...


# The minimum of the larger side of the box around the landmarks, in pixels. Smaller faces have too little detail and
# stay unchanged.
SMALLEST_FACE = 32


def is_large_enough(face: SizedFace) -> bool:
    """Whether a face is large enough to be processed."""
    x0, y0, x1, y1 = face.box
    return bool(max(x1 - x0, y1 - y0) >= SMALLEST_FACE)


def with_large_faces(settings: Settings, faces: Sequence[SizedFace]) -> bool:
    """Whether a frame has a large enough face; most face processors use this function as ``changes``."""
    return any(is_large_enough(face) for face in faces)


def with_image_sources(settings: Settings, faces: Sequence[SizedFace]) -> bool:
    """Whether a frame has a large enough face with images as sources."""
    return any(is_large_enough(face) and face.role.images != NO_SOURCE for face in faces)


def with_voice(settings: Settings, faces: Sequence[SizedFace]) -> bool:
    """Whether a frame has a large enough face with a voice as source."""
    return any(is_large_enough(face) and face.role.voice != NO_SOURCE for face in faces)


@dataclass(frozen=True, slots=True)
class Registration:
    """The name of a processor, its options and its behaviour under given settings.

    ``package`` is its folder, whose module ``process`` defines ``prepare(tools)``. ``models`` returns the catalogue
    ids that a run needs, ``effect`` the kind of the output, and ``output_size`` the width and height of the output for
    those of the input. ``working_bytes`` is the peak memory to process one frame of a given size, without the frame
    and without the weights. ``changes`` returns whether the processor will change a frame with these selected faces;
    it is called before rendering, to decide whether the frame gets the visible label and the invisible mark.
    ``opaque_hint`` advises how to get an output without transparency. ``preferences`` lists, for each option that may
    be 'auto', the models in order of preference; the last one is embedded, or ``models.choice.NO_EMBEDDED``.
    """

    name: str
    options: type
    package: str
    requirements: Callable[[Settings], Requirements]
    models: Callable[[Settings], tuple[str, ...]]
    effect: Callable[[Settings], Effect]
    changes: Callable[[Settings, Sequence[SizedFace]], bool] = with_large_faces
    output_size: Callable[[Settings, Size], Size] = lambda settings, size: size
    working_bytes: Callable[[Settings, Size], int] = lambda settings, size: 0
    writes_alpha: Callable[[Settings], bool] = lambda settings: False
    opaque_hint: str = ''
    preferences: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    def prepare(self, tools: ProcessorTools) -> Processor:
        """Return the processor for a run. Raises the errors of its ``prepare``, such as NoFaceError."""
        module = import_module(f'{self.package}.process')
        return cast('Callable[[ProcessorTools], Processor]', module.prepare)(tools)
