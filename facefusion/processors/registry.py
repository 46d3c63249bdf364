"""The processors that exist, one line each. Nothing of a processor but its options is imported before it runs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Literal, cast

from facefusion.options import option
from facefusion.processors.face_debugger.options import FaceDebuggerOptions
from facefusion.processors.face_swapper.options import FaceSwapperOptions

if TYPE_CHECKING:
    from facefusion.processors.processor import Processor, ProcessorTools

Need = Literal['faces', 'skin', 'source-image']
# What a picture is once a processor has worked on it: partly made by a model, improved by one, or written on.
Effect = Literal['composite', 'enhancement', 'annotation']


@dataclass(frozen=True, slots=True)
class Registration:
    """A processor by name: its options, what it needs of a run, its folder's package, and what it makes of a picture.

    ``automatic`` pairs each of its options that may be 'auto' with what that stands for on every machine.
    """

    name: str
    options: type
    needs: frozenset[Need]
    package: str
    effect: Effect
    automatic: tuple[tuple[str, str], ...] = ()

    def prepare(self, tools: ProcessorTools) -> Processor:
        """Builds the processor for one run; raises what its ``prepare`` raises, such as NoFaceError."""
        module = import_module(f'{self.package}.process')
        return cast('Callable[[ProcessorTools], Processor]', module.prepare)(tools)


_HOME = 'facefusion.processors'
REGISTRATIONS = (
    Registration('face_debugger', FaceDebuggerOptions, frozenset({'faces'}), f'{_HOME}.face_debugger', 'annotation'),
    Registration(
        'face_swapper',
        FaceSwapperOptions,
        frozenset({'faces', 'skin', 'source-image'}),
        f'{_HOME}.face_swapper',
        'composite',
        (('face_swapper_model', 'mesh_warp'),),
    ),
)


@dataclass(frozen=True, slots=True)
class ProcessorsOptions:
    """The chain."""

    processors: tuple[str, ...] = option(
        'text',
        ('face_swapper',),
        'processors to run, in this order',
        section='processors',
        is_list=True,
        choices=tuple(registration.name for registration in REGISTRATIONS),
    )


def registrations(names: tuple[str, ...]) -> tuple[Registration, ...]:
    """The registrations of ``names``, in that order; a name may stand more than once."""
    known = {registration.name: registration for registration in REGISTRATIONS}
    return tuple(known[name] for name in names)
