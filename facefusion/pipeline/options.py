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


_IN_MEMORY = 'frames go from the decoder to the encoder in memory, without files between them'


@dataclass(frozen=True, slots=True)
class PeerWorkOptions:
    """How FaceFusion 3.8 hands frames on and keeps them meanwhile, which has no meaning here."""

    workflow_strategy: str = option(
        'text',
        'memory',
        'where frames are kept between decoder and encoder',
        section='workflow',
        choices=('disk', 'memory'),
        no_effect=_IN_MEMORY,
    )
    temp_frame_format: str = option(
        'text',
        'png',
        'kind of the files of frames',
        section='frame_extraction',
        choices=('bmp', 'jpeg', 'png', 'tiff'),
        no_effect=_IN_MEMORY,
    )
    temp_pixel_format: str = option(
        'text',
        'bgr24',
        'pixel format of the files of frames',
        section='frame_extraction',
        choices=('bgr24', 'bgra'),
        no_effect=f'{_IN_MEMORY}, and keep the format of the clip',
    )
    target_frame_amount: int = option(
        'int',
        2,
        'how many frames around each one are looked at to steady it',
        section='frame_distribution',
        minimum=0,
        maximum=10,
        no_effect='faces are smoothed over fixed windows of frames',
    )


@dataclass(frozen=True, slots=True)
class WorkOptions:
    """Where work files lie, and what a run may take of the machine."""

    temp_path: str | None = option(
        'path', None, 'folder for work files; unset: beside the jobs', section='paths', stored='job'
    )
    cache_size: float = option(
        'float',
        2.0,
        'gigabytes of analysis kept for other renders of the same clips; 0 keeps none',
        section='memory',
        minimum=0.0,
        maximum=100000.0,
        stored='job',
    )
    system_memory_limit: float = option(
        'float',
        0.0,
        'gigabytes of memory that a run may use: it takes fewer workers, or is refused; 0 is no limit',
        section='memory',
        minimum=0.0,
        maximum=100000.0,
        stored='job',
    )


@dataclass(frozen=True, slots=True)
class PlanOptions:
    """Whether anything is done at all."""

    dry_run: bool = option('flag', False, 'print the plan as JSON and stop', section='misc', stored='job')
