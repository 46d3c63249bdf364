"""The option groups that several commands take."""

from __future__ import annotations

from facefusion.inference.options import ExecutionOptions
from facefusion.jobs.options import ClaimOptions, StoreOptions
from facefusion.models.options import ModelOptions
from facefusion.pipeline.options import WorkOptions
from facefusion.provenance.options import ProvenanceOptions
from facefusion.safety.options import PolicyOptions
from facefusion.services.options import ConsoleOptions

# What every command that touches the job store takes.
STORE_GROUPS: tuple[type, ...] = (StoreOptions, ConsoleOptions)
# What every command that runs steps takes, beside the steps' own options.
PROCESS_GROUPS: tuple[type, ...] = (
    ExecutionOptions,
    ModelOptions,
    WorkOptions,
    StoreOptions,
    ClaimOptions,
    PolicyOptions,
    ProvenanceOptions,
    ConsoleOptions,
)
