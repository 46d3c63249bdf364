"""What the stages of one run share."""

from __future__ import annotations

from dataclasses import dataclass

from facefusion.events import Emit
from facefusion.inference.pool import SessionPool
from facefusion.pipeline.fingerprints import RunDigests
from facefusion.pipeline.plan import Plan
from facefusion.settings import Settings
from facefusion.stopping import StopFlag


@dataclass(frozen=True, slots=True, eq=False)
class RunContext:
    """A run: its plan and settings, the sessions of its networks, where its events go, and how it is stopped.

    ``digests`` are those of its work files, None for a picture. Processors and media never get this, only what they
    need of it.
    """

    plan: Plan
    settings: Settings
    sessions: SessionPool
    digests: RunDigests | None
    emit: Emit
    flag: StopFlag
