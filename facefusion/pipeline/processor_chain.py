"""The chain of processors of a run: each one processes the frames that it needs, in memory."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from facefusion.pipeline.plan import Plan
from facefusion.processors.processor import FrameTask, Processor, ProcessorTools
from facefusion.processors.registration import Requirements
from facefusion.processors.registry import registrations
from facefusion.profiling import NO_PROFILE, Profile


@dataclass(frozen=True, slots=True, eq=False)
class Chain:
    """Processors in order, each with its requirements; any number of threads may share a chain."""

    processors: tuple[tuple[Processor, Requirements], ...]
    profile: Profile = NO_PROFILE

    def apply(self, batch: Sequence[FrameTask]) -> list[bool]:
        """Process a batch of frames in place; return for each frame whether it was changed."""
        changed = [False] * len(batch)
        for processor, requirements in self.processors:
            chosen = [k for k, task in enumerate(batch) if needs_processing(task, requirements)]
            if chosen:
                with self.profile.processor(processor.name, len(chosen)):
                    results = processor.process([batch[k] for k in chosen])
                for k, is_changed in zip(chosen, results, strict=True):
                    changed[k] = changed[k] or is_changed
        return changed


def needs_processing(task: FrameTask, requirements: Requirements) -> bool:
    """Whether a processor gets a frame: a frame without faces is skipped unless the processor requires every frame."""
    return bool(task.faces) or requirements.every_frame


def prepare_chain(plan: Plan, tools: ProcessorTools, profile: Profile = NO_PROFILE) -> Chain:
    """Return the chain of a plan, ready to process. Raises the processors' errors, such as NoFaceError."""
    found = registrations(tuple(processor.name for processor in plan.processors))
    planned = zip(found, plan.processors, strict=True)
    return Chain(tuple((registration.prepare(tools), each.requirements) for registration, each in planned), profile)
