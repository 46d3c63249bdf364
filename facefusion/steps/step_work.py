"""Run the steps of jobs on this machine: turn arguments into settings, and join the outputs of steps."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from facefusion.errors import FaceFusionError, InputError, InternalError, JobError, ResourceError
from facefusion.events import Emit, silent
from facefusion.failures import as_failure
from facefusion.jobs.inputs import check_inputs
from facefusion.jobs.record import JobRecord, StepRecord
from facefusion.jobs.steps import groups_of
from facefusion.models.choice import EmbeddedModels
from facefusion.models.digests import file_sha256
from facefusion.pipeline.file_names import check_names
from facefusion.pipeline.options import PathOptions
from facefusion.pipeline.output import check_not_input
from facefusion.pipeline.planning import make_plan
from facefusion.pipeline.publish import publish_joined
from facefusion.pipeline.signing import Clip, signer_of_join
from facefusion.provenance.statement import ProcessorUse
from facefusion.safety.options import PolicyOptions
from facefusion.settings import Settings
from facefusion.steps.arguments import freeze_models, restore
from facefusion.steps.kept import Kept
from facefusion.steps.step_run import StepEnvironment, StepName, run_step
from facefusion.stopping import StopFlag


class LocalStepWork:
    """A runner of steps with the models, devices and folders of this process; ``settings`` are the process's own."""

    def __init__(self, settings: Settings, environment: StepEnvironment, *, shares: bool = True) -> None:
        """``shares``: whether the steps share sessions, sources and signer (``Kept``)."""
        self._settings = settings
        self._shares = shares
        self._kept = Kept()
        self._environment = environment._replace(kept=self._kept)

    def run(
        self, job_id: str, step: StepRecord, target: str | None, output: str | None, emit: Emit, flag: StopFlag
    ) -> Mapping[str, Any]:
        """Write ``output`` and return the report, with the inputs that changed since the step was added.

        May raise any FaceFusionError; then only complete work files remain.
        """
        settings = step_settings(self._settings, step, target, output, emit)
        if target is not None and step.output_path not in (None, output):
            # The step writes a separate file, so the path of the joined output is checked here: it must have a valid
            # name and must not replace an input.
            published = Path(str(step.output_path))
            check_names(published)
            check_not_input(published, Path(target), map(Path, settings[PathOptions].source_paths))
        changed = check_inputs(step, settings[PolicyOptions].require_unchanged, emit, flag)
        try:
            report = run_sharing(settings, self._environment, StepName(job_id, step.id), emit, flag)
        finally:
            if not self._shares:
                self._kept.free()
        return {**report, 'inputs_changed': changed} if changed else report

    def join(self, job_id: str, steps: Sequence[StepRecord], output: Path, emit: Emit, flag: StopFlag) -> None:
        """Join the outputs of the steps in their order and sign the result; for images, publish the last output."""
        clips = [_clip_of(step) for step in steps]
        _check_clips(clips, flag)
        signing = self._environment.signing(self._settings, emit)
        signer = signer_of_join(job_id, clips, output, signing, emit, flag)
        publish_joined([clip.path for clip in clips], output, signer, emit, flag)

    def forget(self, job_id: str, step: StepRecord) -> None:
        """Remove the work files of a step."""
        self._environment.folders.work_of(job_id).forget(step.id)


def run_sharing(
    settings: Settings, environment: StepEnvironment, name: StepName, emit: Emit, flag: StopFlag
) -> dict[str, Any]:
    """Run a step with the tools that its environment keeps for several steps; return the report.

    If the memory is short, the memory of earlier steps is freed, and the step is planned once more. Raises the errors
    of ``run_step``.
    """
    kept = environment.kept or Kept()
    environment = environment._replace(kept=kept)
    try:
        return run_step(settings, environment, name, emit, flag)
    except ResourceError as error:
        if not kept.free() or error.reference != 'memory-short':
            raise
        return run_step(settings, environment, name, emit, flag)
    finally:
        kept.step_ended()


def _check_clips(clips: Sequence[Clip], flag: StopFlag) -> None:
    """Raise InputError clip-changed when the output of a step, which may be days old, has changed."""
    for clip in clips:
        try:
            is_same = file_sha256(clip.path, flag) == clip.sha256
        except OSError as error:
            raise as_failure(error) from error
        if not is_same:
            raise InputError(
                'clip-changed',
                f'{clip.path.name} was changed after a step of this job wrote it',
                cause=f'its SHA-256 is not {clip.sha256}',
                hint='run job-retry --from-scratch to process all steps again',
            )


def _clip_of(step: StepRecord) -> Clip:
    """Return the output of a completed step. Raises InternalError step-without-file."""
    output = step.output or {}
    if not isinstance(output.get('path'), str):
        raise InternalError('step-without-file', f'the step {step.id} is completed without an output')
    path, sha256, size = Path(output['path']), str(output.get('sha256', '')), int(output.get('size', 0))
    return Clip(path, sha256, size, tuple(_uses(step.report or {})))


def _uses(report: Mapping[str, Any]) -> Iterator[ProcessorUse]:
    """Yield the processors that the report of a step lists, if they changed any frame."""
    effects = report.get('effects')
    if isinstance(effects, dict) and report.get('frames_changed'):
        for name, effect in effects.items():
            yield ProcessorUse(str(name), effect)


def step_settings(base: Settings, step: StepRecord, target: str | None, output: str | None, emit: Emit) -> Settings:
    """Return the settings of the process, overridden by those of a step. Raises UsageError step-argument."""
    settings = base
    for group in restore(step.args, step.args_version, emit):
        settings = settings.replace(group)
    return settings.replace(replace(settings[PathOptions], target_path=target, output_path=output))


def check_joins(record: JobRecord, base: Settings) -> None:
    """Raise JobError job-join when the videos of several steps with the same output path cannot be joined.

    A target that is missing, or that an earlier step will write, is not checked here but during the run.
    """
    for group in groups_of(record):
        steps = group.steps if len(group.steps) > 1 else ()
        shapes = dict.fromkeys(shape for step in steps if (shape := _shape(step, base)))
        if len(shapes) > 1:
            raise JobError(
                'job-join',
                f'the steps of the job {record.id} that write {group.output_path} cannot become one video',
                cause=' and '.join(shapes) + ' cannot be joined',
                hint='use the same encoder and size for these steps, or different outputs',
            )


def _shape(step: StepRecord, base: Settings) -> str:
    """Return codec, size and pixel format of the video that a step will write; '' if unknown, and for an image."""
    target = step.args.get('target_path')
    if step.remix_of is not None or not isinstance(target, str):
        return ''
    try:
        settings = step_settings(base, step, target, step.output_path, silent)
        video = make_plan(freeze_models(settings, EmbeddedModels(), silent), workers=1).video
    except FaceFusionError:
        # The run reports the error if it still occurs with the files that exist then.
        return ''
    if video is None:
        return ''
    return f'{video.encoder.codec} {video.encoder.width}x{video.encoder.height} {video.encoder.pix_fmt}'
