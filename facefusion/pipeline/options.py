"""Options of the files of a step, the kind of its target, and the resources of a run."""

from __future__ import annotations

from dataclasses import dataclass

from facefusion.options import option


@dataclass(frozen=True, slots=True)
class PathOptions:
    """Sources, target and output of a step."""

    source_paths: tuple[str, ...] = option(
        'path',
        (),
        'source files, such as images of the face to insert',
        section='paths',
        is_list=True,
        short='-s',
        aliases=('--source',),
    )
    target_path: str | None = option(
        'path', None, 'image or video to process', section='paths', short='-t', aliases=('--target',)
    )
    output_path: str | None = option('path', None, 'file to write', section='paths', short='-o', aliases=('--output',))


@dataclass(frozen=True, slots=True)
class WorkflowOptions:
    """Required kind of the target."""

    workflow_mode: str = option(
        'text',
        'auto',
        'refuse a target of another kind; auto accepts images and videos',
        section='workflow',
        choices=('auto', 'image-to-image', 'image-to-video'),
    )


_IN_MEMORY = 'frames go from the decoder to the encoder in memory, without files'


@dataclass(frozen=True, slots=True)
class PeerWorkOptions:
    """Options of FaceFusion 3.8 for frames stored between decoder and encoder, without effect here."""

    workflow_strategy: str = option(
        'text',
        'memory',
        'where to store frames between decoder and encoder',
        section='workflow',
        choices=('disk', 'memory'),
        no_effect=_IN_MEMORY,
    )
    temp_frame_format: str = option(
        'text',
        'png',
        'format of the frame files',
        section='frame_extraction',
        choices=('bmp', 'jpeg', 'png', 'tiff'),
        no_effect=_IN_MEMORY,
    )
    temp_pixel_format: str = option(
        'text',
        'bgr24',
        'pixel format of the frame files',
        section='frame_extraction',
        choices=('bgr24', 'bgra'),
        no_effect=f'{_IN_MEMORY}, and keep the pixel format of the target',
    )
    target_frame_amount: int = option(
        'int',
        2,
        'number of neighbour frames used to steady each frame',
        section='frame_distribution',
        minimum=0,
        maximum=10,
        no_effect='faces are smoothed over fixed windows of frames',
    )


@dataclass(frozen=True, slots=True)
class WorkOptions:
    """Folder of work files, and limits of disk space and memory."""

    temp_path: str | None = option(
        'path',
        None,
        'folder for work files; default: the job store',
        section='paths',
        metavar='FOLDER',
        stored='job',
    )
    cache_size: float = option(
        'float',
        2.0,
        'gigabytes of stored analysis for later renders of the same videos; 0 stores none',
        section='memory',
        metavar='GIGABYTES',
        minimum=0.0,
        maximum=100000.0,
        stored='job',
    )
    system_memory_limit: float = option(
        'float',
        0.0,
        'gigabytes of memory that a run may use: it starts fewer workers, or is refused; 0: no limit',
        section='memory',
        metavar='GIGABYTES',
        minimum=0.0,
        maximum=100000.0,
        stored='job',
    )


@dataclass(frozen=True, slots=True)
class ProfileOptions:
    """The trace of the stages of a process."""

    profile: str | None = option(
        'path',
        None,
        'write the times of all stages to this JSON file, which Perfetto and speedscope open',
        section='misc',
        stored='job',
    )


@dataclass(frozen=True, slots=True)
class PlanOptions:
    """The choice to print the plan instead of running it."""

    dry_run: bool = option('flag', False, 'print the plan as JSON and stop', section='misc', stored='job')
