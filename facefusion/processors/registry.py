"""The table of processors; it imports only their options and registrations."""

from __future__ import annotations

from dataclasses import dataclass

from facefusion.options import option
from facefusion.processors.background_remover.registration import BACKGROUND_REMOVER
from facefusion.processors.face_debugger.registration import FACE_DEBUGGER
from facefusion.processors.face_enhancer.registration import FACE_ENHANCER
from facefusion.processors.face_swapper.registration import FACE_SWAPPER
from facefusion.processors.frame_colorizer.registration import FRAME_COLORIZER
from facefusion.processors.frame_enhancer.registration import FRAME_ENHANCER
from facefusion.processors.lip_syncer.registration import LIP_SYNCER
from facefusion.processors.registration import Registration

REGISTRATIONS: tuple[Registration, ...] = (
    BACKGROUND_REMOVER,
    FACE_DEBUGGER,
    FACE_ENHANCER,
    FACE_SWAPPER,
    FRAME_COLORIZER,
    FRAME_ENHANCER,
    LIP_SYNCER,
)


@dataclass(frozen=True, slots=True)
class ProcessorsOptions:
    """The processor chain."""

    processors: tuple[str, ...] = option(
        'text',
        ('face_swapper',),
        'processors to run, in this order',
        section='processors',
        is_list=True,
        choices=tuple(registration.name for registration in REGISTRATIONS),
    )


def registrations(names: tuple[str, ...]) -> tuple[Registration, ...]:
    """Return the registrations of ``names``, in that order; a name may be repeated."""
    known = {registration.name: registration for registration in REGISTRATIONS}
    return tuple(known[name] for name in names)
