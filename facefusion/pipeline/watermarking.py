"""The watermarks of a run, the visible label and the invisible mark, decided when the run is planned."""

from __future__ import annotations

from facefusion.events import Emit, Message
from facefusion.pipeline.plan import Plan
from facefusion.provenance.label import Label
from facefusion.provenance.label_options import DisclosureOptions
from facefusion.provenance.mark.embed import Marker
from facefusion.provenance.mark.payload import mark_payload
from facefusion.provenance.options import ProvenanceOptions
from facefusion.provenance.watermarking import Watermarks
from facefusion.settings import Settings


def mark_of_run(plan: Plan, settings: Settings, job_id: str) -> bytes | None:
    """Return the payload of the invisible mark, or None if the operator disabled it or no processor needs it."""
    needs_mark = any(processor.effect != 'annotation' for processor in plan.processors)
    return mark_payload(job_id) if needs_mark and settings[ProvenanceOptions].invisible_mark else None


def watermarks_of_run(plan: Plan, settings: Settings, mark: bytes | None, emit: Emit) -> Watermarks:
    """Return the label and the mark for the frames of a target.

    Raises UsageError label-text, label-font, label-size.
    """
    disclosure, label = settings[DisclosureOptions], None
    if disclosure.disclosure_label != 'none':
        label = Label(disclosure, *plan.written_size)
    elif disclosure != DisclosureOptions():
        text = 'no label is drawn: there is a text or font for it, but no --disclosure-label'
        emit(Message('warn', 'provenance', text))
    return Watermarks(label, Marker(mark, *plan.written_size) if mark is not None else None)
