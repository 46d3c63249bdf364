"""Option groups that several commands share."""

from __future__ import annotations

from facefusion.inference.options import ExecutionOptions
from facefusion.jobs.options import ClaimOptions, StoreOptions
from facefusion.models.options import ModelOptions
from facefusion.pipeline.options import ProfileOptions, WorkOptions
from facefusion.provenance.options import ProvenanceOptions
from facefusion.safety.options import PolicyOptions
from facefusion.services.options import ConsoleOptions

# The groups of every command that uses the job store.
STORE_GROUPS: tuple[type, ...] = (StoreOptions, ConsoleOptions)
# The groups of every command that runs steps, in addition to the groups of the steps.
PROCESS_GROUPS: tuple[type, ...] = (
    ExecutionOptions,
    ModelOptions,
    WorkOptions,
    StoreOptions,
    ClaimOptions,
    PolicyOptions,
    ProvenanceOptions,
    ProfileOptions,
    ConsoleOptions,
)
