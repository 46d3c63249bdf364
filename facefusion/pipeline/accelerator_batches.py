"""The batch sizes of a plan on an accelerator; on a CPU every network gets one crop per call."""

from __future__ import annotations

from dataclasses import replace

from facefusion.events import Emit
from facefusion.inference.batch_sizes import MOST_CROPS, batch_sizes
from facefusion.inference.devices import device_name
from facefusion.inference.options import ExecutionOptions
from facefusion.inference.pool import SessionPool
from facefusion.models.catalog import Catalog
from facefusion.pipeline.plan import Plan

# The tasks whose networks get the crops of several frames (``inference.batches.run_batched``).
_TASKS = ('face_swapper', 'face_enhancer', 'face_occluder', 'face_parser', 'frame_enhancer', 'lip_syncer')


def with_batches(plan: Plan, sessions: SessionPool, options: ExecutionOptions, catalog: Catalog, emit: Emit) -> Plan:
    """Return the plan with the batch sizes of its models, whose files are present.

    An image has one frame, so its networks get one crop per call. Raises ModelError, ProviderError, ResourceError.
    """
    if plan.video is None or not sessions.uses_accelerator:
        return plan
    used = [model_id for model_id in plan.models if model_id in catalog and catalog.entry(model_id).task in _TASKS]
    device = device_name(options.execution_device_ids[0])
    sizes = batch_sizes(sessions, used, options.execution_batch_size, device, emit)
    # Frames wait for each other until a call is full.
    return replace(plan, batches=sizes, batch=min(max(sizes.values(), default=1), MOST_CROPS))
