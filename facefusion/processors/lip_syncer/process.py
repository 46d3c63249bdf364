"""The lip syncer: let each selected face speak with the voice of a source."""

from __future__ import annotations

from facefusion.errors import InternalError
from facefusion.processors.lip_syncer.models import EMBEDDED, frozen_model
from facefusion.processors.lip_syncer.options import LipSyncerOptions
from facefusion.processors.processor import Processor, ProcessorTools


def prepare(tools: ProcessorTools) -> Processor:
    """Return the lip syncer that the options name. Raises ModelError, ProviderError."""
    options = tools.settings[LipSyncerOptions]
    name = frozen_model(options.lip_syncer_model)
    if name == EMBEDDED:
        raise InternalError('requirement-missing', f'the lip syncer {name} is not a part of this version')
    from facefusion.processors.lip_syncer.published import prepare_published

    return prepare_published(tools, options, name)
