"""The faces of a chunk of frames as parallel arrays, and their file."""

from __future__ import annotations

import os
import zipfile
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from facefusion.errors import InternalError
from facefusion.faces.face import Floats
from facefusion.media.files import write_failure

Bytes = npt.NDArray[np.uint8]
Ints = npt.NDArray[np.int32]
Flags = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True, eq=False)
class Chunk:
    """Faces of the frames ``first`` .. ``first + count - 1`` as parallel arrays, one row for each face of each frame.

    frame, track: int32 [n], sorted by frame. landmarks: float32 [n,468,3]. score: float32 [n]. light: [n,32,32,4],
    free: uint8 [n,64,64], traits: float32 [n,k] (see ``skin.SkinSample``); their first axis is 0 when the skin was not
    measured.
    """

    first: int
    count: int
    frame: Ints
    track: Ints
    landmarks: Floats
    score: Floats
    light: npt.NDArray[Any]
    free: Bytes
    traits: Floats

    @property
    def has_skin(self) -> bool:
        """Whether the skin of the faces was measured; also true where there is no face."""
        return len(self.light) == len(self.frame)

    def save(self, path: Path) -> None:
        """Writes the chunk and publishes it by rename. Raises ResourceError disk-full, OutputError."""
        save_arrays(path, {entry.name: np.asarray(getattr(self, entry.name)) for entry in fields(self)})

    @classmethod
    def load(cls, path: Path) -> Self:
        """Reads what ``save`` wrote."""
        arrays = load_arrays(path)
        first, count = int(arrays.pop('first')), int(arrays.pop('count'))
        return cls(first=first, count=count, **arrays)


def _nobody() -> Ints:
    return np.zeros(0, np.int32)


@dataclass(frozen=True, slots=True, eq=False)
class FaceChunk(Chunk):
    """What analyse knows of a chunk of frames.

    Track numbers hold within the chunk. light: uint8, packed. cut: bool [count], the frame starts a new shot.
    thumbnails: uint8 [2,54,96], luma of the first and last frame, for the cut between chunks. left_out: int32 [count],
    detections of a frame that were not looked at because there were too many; empty when that happened nowhere.
    """

    cut: Flags
    thumbnails: Bytes
    left_out: Ints = field(default_factory=_nobody)


@dataclass(frozen=True, slots=True, eq=False)
class LinkedChunk(Chunk):
    """What rendering reads of a chunk of frames: the selected faces.

    Rows of a frame stand in the selector's order; tracks are numbered over the whole clip. light: float16, pooled.
    filled: bool [n], the frame itself showed no face here. left_out: int32 [count], faces of a frame beyond the most
    that are worked on; empty when there were none.
    """

    filled: Flags
    left_out: Ints = field(default_factory=_nobody)


def save_arrays(path: Path, arrays: dict[str, npt.NDArray[np.generic]]) -> None:
    """Writes named arrays to ``path`` by a temporary file and a rename. Raises what ``Chunk.save`` raises."""
    part = path.with_name(f'{path.name}.{os.getpid()}.part')
    try:
        with part.open('wb') as stream:
            np.savez(stream, allow_pickle=False, **arrays)
        part.replace(path)
    except OSError as error:
        raise write_failure(error, path) from error
    finally:
        part.unlink(missing_ok=True)


def load_arrays(path: Path) -> dict[str, Any]:
    """Reads what ``save_arrays`` wrote; raises InternalError for a file that is damaged."""
    try:
        # Opened here: numpy leaves a file open that turns out to be damaged.
        with path.open('rb') as stream, np.load(stream, allow_pickle=False) as archive:
            return {name: archive[name] for name in archive.files}
    except (OSError, EOFError, ValueError, zipfile.BadZipFile) as error:
        raise InternalError('work-file-damaged', f'the work file {path} cannot be read', cause=str(error)) from error
