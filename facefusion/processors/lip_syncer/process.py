"""The lip syncer: let each selected face speak with its voice."""

from __future__ import annotations

from facefusion.processors.lip_syncer.models import EMBEDDED, frozen_model
from facefusion.processors.lip_syncer.options import LipSyncerOptions
from facefusion.processors.processor import Processor, ProcessorTools


def prepare(tools: ProcessorTools) -> Processor:
    """Return the lip syncer that the options name. Raises ModelError, ProviderError."""
    options = tools.settings[LipSyncerOptions]
    name = frozen_model(options.lip_syncer_model)
    if name == EMBEDDED:
        from facefusion.processors.lip_syncer.mesh_lips.prepare import prepare_mesh_lips

        return prepare_mesh_lips(tools, options)
    from facefusion.processors.lip_syncer.published import prepare_published

    return prepare_published(tools, options, name)
