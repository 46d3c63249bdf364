"""Statements, and small files of every output format for signing."""

from __future__ import annotations

from pathlib import Path

import av
import numpy as np
from PIL import Image

from facefusion.models.digests import file_sha256
from facefusion.provenance.statement import (
    FileFacts,
    LabelFacts,
    ModelUse,
    ProcessorUse,
    Statement,
    TargetFacts,
)

PICTURES = ('jpg', 'png', 'webp', 'tiff', 'gif', 'bmp')
CLIPS = {'mp4': 'libx264', 'mov': 'libx264', 'm4v': 'libx264', 'avi': 'mpeg4', 'mkv': 'libx264', 'webm': 'libvpx-vp9'}
SWAPPER = ProcessorUse('face_swapper', 'composite', (ModelUse('face_mesh', 'ab' * 32),))
ENHANCER = ProcessorUse('face_enhancer', 'enhancement', (ModelUse('sharper', 'cd' * 32),))
DEBUGGER = ProcessorUse('face_debugger', 'annotation')


def make_picture(path: Path, seed: int = 0, size: tuple[int, int] = (48, 32)) -> Path:
    noise = np.random.default_rng(seed).integers(0, 255, (size[1], size[0], 3)).astype(np.uint8)
    Image.fromarray(noise).save(path)
    return path


def make_noise_clip(path: Path, frames: int = 4, size: tuple[int, int] = (96, 64)) -> Path:
    rng = np.random.default_rng(1)
    with av.open(str(path), 'w', format='mp4' if path.suffix == '.m4v' else None) as output:
        stream = output.add_stream(CLIPS[path.suffix[1:]], rate=25)
        stream.width, stream.height = size
        stream.pix_fmt = 'yuv420p'
        for number in range(frames):
            noise = rng.integers(0, 255, (size[1], size[0], 3)).astype(np.uint8)
            frame = av.VideoFrame.from_ndarray(noise, format='rgb24').reformat(format='yuv420p')
            frame.pts = number
            output.mux(stream.encode(frame))
        output.mux(stream.encode(None))
    return path


def make_file(path: Path) -> Path:
    return make_picture(path) if path.suffix[1:] in PICTURES else make_noise_clip(path)


def target_facts(path: Path, **trim: int) -> TargetFacts:
    return TargetFacts(path.name, file_sha256(path), path.stat().st_size, **trim)


def swap_of(*targets: Path, title: str = 'out.jpg') -> Statement:
    """Return the statement of a swap with all optional facts."""
    return Statement(
        job_id='job-1',
        kind='image',
        title=title,
        targets=tuple(target_facts(target) for target in targets),
        processors=(SWAPPER,),
        sources=(FileFacts('face.jpg', 'ef' * 32, 1234),),
        consent=('The person agreed.',),
        mark_payload='0011223344556677',
        label=LabelFacts('corner', 'AI'),
    )
