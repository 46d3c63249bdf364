"""The lip syncer: let each selected face speak with the voice of a source."""

from __future__ import annotations

from facefusion.processors.lip_syncer.mesh_lips.prepare import prepare_mesh_lips
from facefusion.processors.lip_syncer.options import LipSyncerOptions
from facefusion.processors.processor import Processor, ProcessorTools


def prepare(tools: ProcessorTools) -> Processor:
    """Return the lip syncer that the options name. Raises ModelError, ProviderError."""
    return prepare_mesh_lips(tools, tools.settings[LipSyncerOptions])
