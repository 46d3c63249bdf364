"""What the pictures of an output will tell of themselves, decided when the run is planned."""

from __future__ import annotations

from facefusion.events import Emit, Message
from facefusion.media.options import OutputOptions
from facefusion.media.planes import scaled_size
from facefusion.pipeline.plan import Plan
from facefusion.provenance.label import Label
from facefusion.provenance.label_options import DisclosureOptions
from facefusion.provenance.mark.embed import Marker
from facefusion.provenance.mark.payload import mark_payload
from facefusion.provenance.options import ProvenanceOptions
from facefusion.provenance.watermarking import Watermarks
from facefusion.settings import Settings


def mark_of_run(plan: Plan, settings: Settings, job_id: str) -> bytes | None:
    """The payload of the invisible mark; None where the operator wants none, or nothing is made that needs one."""
    makes = any(processor.effect != 'annotation' for processor in plan.processors)
    return mark_payload(job_id) if makes and settings[ProvenanceOptions].invisible_mark else None


def watermarks_of_run(plan: Plan, settings: Settings, mark: bytes | None, emit: Emit) -> Watermarks:
    """The label and the mark for the pictures of a target. Raises UsageError label-text, label-font, label-size."""
    size = _written_size(plan, settings[OutputOptions])
    disclosure, label = settings[DisclosureOptions], None
    if disclosure.disclosure_label == 'none' and disclosure != DisclosureOptions():
        emit(
            Message(
                'warn', 'provenance', 'there is a text or font for a label, but no --disclosure-label: none is drawn'
            )
        )
    if disclosure.disclosure_label != 'none':
        label = Label(disclosure, *size)
    return Watermarks(label, Marker(mark, *size) if mark is not None else None)


def _written_size(plan: Plan, options: OutputOptions) -> tuple[int, int]:
    if plan.video is not None:
        return plan.video.encoder.picture_size
    return scaled_size(plan.target.width, plan.target.height, options.output_image_scale)
