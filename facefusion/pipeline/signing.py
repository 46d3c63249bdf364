"""Sign an output: state the work that was done and sign the file, as its last change."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple, Protocol

from facefusion.events import Emit
from facefusion.pipeline.context import RunContext
from facefusion.pipeline.fingerprints import InputDigests
from facefusion.provenance.credentials_writer import Ingredient, Signed, sign
from facefusion.provenance.label_options import DisclosureOptions
from facefusion.provenance.signer import Signing
from facefusion.provenance.statement import FileFacts, LabelFacts, ModelUse, ProcessorUse, Statement, TargetFacts
from facefusion.safety.options import ConsentOptions
from facefusion.safety.voters import GATE_MODELS
from facefusion.stopping import StopFlag


@dataclass(frozen=True, slots=True)
class WorkDone:
    """The work on a target: the numbers of changed and of marked frames, and whether the label was drawn."""

    changed_frames: int
    marked_frames: int = 0
    is_labelled: bool = False


class Signer(Protocol):
    """Signs a finished file. Leaves no file after a ProvenanceError, ResourceError, OutputError or Interrupted."""

    def sign(self, unsigned: Path, signed: Path, done: WorkDone) -> Signed: ...


@dataclass(frozen=True, slots=True)
class OutputSigner:
    """Signs the output of one run; ``statement`` assumes that all planned work was done."""

    statement: Statement
    ingredients: tuple[Ingredient, ...]
    signing: Signing
    emit: Emit
    flag: StopFlag

    def sign(self, unsigned: Path, signed: Path, done: WorkDone) -> Signed:
        """State the work that was done, and sign the file."""
        statement = replace(
            self.statement,
            changed=self.statement.changed and done.changed_frames > 0,
            label=self.statement.label if done.is_labelled else None,
            mark_payload=self.statement.mark_payload if done.marked_frames else None,
        )
        return sign(unsigned, signed, statement, self.ingredients, self.signing, self.emit, self.flag)


def signer_of_run(
    context: RunContext, inputs: InputDigests, job_id: str, mark: bytes | None, signing: Signing
) -> OutputSigner:
    """Return the signer of a planned output; ``mark`` is the payload of the invisible mark."""
    plan, settings = context.plan, context.settings
    uses_sources = plan.requirements.source_faces or plan.requirements.source_audio
    models = tuple(ModelUse(name, inputs.models[name]) for name in plan.models if name not in GATE_MODELS)
    label, consent = settings[DisclosureOptions], settings[ConsentOptions].consent
    timeline = plan.video.timeline if plan.video is not None else None
    trim = (timeline.start, timeline.stop) if timeline is not None and timeline.is_trimmed else (None, None)
    target = TargetFacts(plan.target.path.name, inputs.target, plan.target.size, *trim)
    sources = zip(plan.sources, inputs.sources, strict=True) if uses_sources else ()
    statement = Statement(
        job_id=job_id,
        kind='image' if plan.video is None else 'video',
        title=plan.output.name,
        targets=(target,),
        processors=tuple(ProcessorUse(each.name, each.effect, models) for each in plan.processors),
        sources=tuple(FileFacts(path.name, digest, path.stat().st_size) for path, digest in sources),
        consent=(consent,) if consent else (),
        mark_payload=mark.hex() if mark is not None else None,
        label=None if label.disclosure_label == 'none' else LabelFacts(label.disclosure_label, label.disclosure_text),
    )
    return OutputSigner(statement, (Ingredient(plan.target.path),), signing, context.emit, context.flag)


class Clip(NamedTuple):
    """A finished clip to join with others: its digest, its size in bytes, and the processors that changed it."""

    path: Path
    sha256: str
    size: int
    processors: tuple[ProcessorUse, ...]


def signer_of_join(
    job_id: str, clips: Sequence[Clip], output: Path, signing: Signing, emit: Emit, flag: StopFlag
) -> OutputSigner:
    """Return the signer of an output that joins finished clips, whose own credentials state the work on each."""
    processors = dict.fromkeys(processor for clip in clips for processor in clip.processors)
    statement = Statement(
        job_id=job_id,
        kind='video',
        title=output.name,
        targets=tuple(TargetFacts(clip.path.name, clip.sha256, clip.size) for clip in clips),
        processors=tuple(processors),
        changed=bool(processors),
    )
    return OutputSigner(statement, tuple(Ingredient(clip.path) for clip in clips), signing, emit, flag)
