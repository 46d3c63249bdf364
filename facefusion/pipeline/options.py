"""What a step works on, and how a run behaves."""

from __future__ import annotations

from dataclasses import dataclass

from facefusion.options import option


@dataclass(frozen=True, slots=True)
class PathOptions:
    """Sources, target and output of a step."""

    source_paths: tuple[str, ...] = option(
        'path',
        (),
        'source files, such as pictures of the face to take',
        section='paths',
        is_list=True,
        short='-s',
        aliases=('--source',),
    )
    target_path: str | None = option(
        'path', None, 'the image or video to work on', section='paths', short='-t', aliases=('--target',)
    )
    output_path: str | None = option(
        'path', None, 'the file to write', section='paths', short='-o', aliases=('--output',)
    )


@dataclass(frozen=True, slots=True)
class WorkflowOptions:
    """What kind of work the target must turn out to be."""

    workflow_mode: str = option(
        'text',
        'auto',
        'refuse a target of another kind than this; auto takes both',
        section='workflow',
        choices=('auto', 'image-to-image', 'image-to-video'),
    )


@dataclass(frozen=True, slots=True)
class WorkOptions:
    """Where work files lie."""

    temp_path: str | None = option(
        'path', None, 'folder for work files; unset: beside the jobs', section='paths', stored='job'
    )


@dataclass(frozen=True, slots=True)
class PlanOptions:
    """Whether anything is done at all."""

    dry_run: bool = option('flag', False, 'print the plan as JSON and stop', section='misc', stored='job')
