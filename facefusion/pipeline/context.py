"""The context that the stages of one run share."""

from __future__ import annotations

from dataclasses import dataclass, field

from facefusion.events import Emit
from facefusion.inference.pool import SessionPool
from facefusion.pipeline.fingerprints import RunDigests
from facefusion.pipeline.plan import Plan
from facefusion.processors.source_results import SourceResults
from facefusion.profiling import NO_PROFILE, Profile
from facefusion.settings import Settings
from facefusion.stopping import StopFlag


@dataclass(frozen=True, slots=True, eq=False)
class RunContext:
    """A run: its plan and settings, model sessions, event sink, stop flag and profile.
    ``kept`` has the results of earlier steps of the process.

    ``digests`` are None for an image whose output is an image. Processors and media functions never get the context,
    only the parts that they need.
    """

    plan: Plan
    settings: Settings
    sessions: SessionPool
    digests: RunDigests | None
    emit: Emit
    flag: StopFlag
    profile: Profile = NO_PROFILE
    kept: SourceResults = field(default_factory=SourceResults)
