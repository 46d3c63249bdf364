"""The processors of a run, one after the other; frames are handed on in memory."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from facefusion.pipeline.plan import Plan
from facefusion.processors.processor import FrameTask, Processor, ProcessorTools
from facefusion.processors.registration import Requirements
from facefusion.processors.registry import registrations


@dataclass(frozen=True, slots=True, eq=False)
class Chain:
    """Processors in their order, each with what it needs; any number of threads may share it."""

    processors: tuple[tuple[Processor, Requirements], ...]

    def apply(self, batch: Sequence[FrameTask]) -> list[bool]:
        """Lets every processor work on the frames that it wants, in place; tells which frames were changed."""
        changed = [False] * len(batch)
        for processor, requirements in self.processors:
            wanted = [k for k, task in enumerate(batch) if task.faces or requirements.every_frame]
            if wanted:
                said = processor.process([batch[k] for k in wanted])
                for k, has_changed in zip(wanted, said, strict=True):
                    changed[k] = changed[k] or has_changed
        return changed


def prepare_chain(plan: Plan, tools: ProcessorTools) -> Chain:
    """The chain of a plan, ready to work. Raises what processors raise when they are prepared, such as NoFaceError."""
    found = registrations(tuple(processor.name for processor in plan.processors))
    planned = zip(found, plan.processors, strict=True)
    return Chain(tuple((registration.prepare(tools), each.requirements) for registration, each in planned))
