"""The faces of a chunk of frames as parallel arrays, and their file."""

from __future__ import annotations

import os
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self, TypeVar

import numpy as np
import numpy.typing as npt

from facefusion.errors import InternalError
from facefusion.faces.face import Floats
from facefusion.media.files import write_failure

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

Bytes = npt.NDArray[np.uint8]
Ints = npt.NDArray[np.int32]
Flags = npt.NDArray[np.bool_]
Values = npt.NDArray[Any]


@dataclass(frozen=True, slots=True, eq=False)
class Chunk:
    """Faces of the frames ``first`` .. ``first + count - 1`` as parallel arrays, one row for each face of each frame.

    frame, track: int32 [n], sorted by frame. landmarks: float32 [n,p,3]. score: float32 [n]. values: what else is
    measured of a face, [n,...] by the names of ``FaceValue``.
    """

    first: int
    count: int
    frame: Ints
    track: Ints
    landmarks: Floats
    score: Floats
    values: Mapping[str, Values]

    def save(self, path: Path) -> None:
        """Writes the chunk and publishes it by rename. Raises ResourceError disk-full, OutputError."""
        save_record(path, self)

    @classmethod
    def load(cls, path: Path) -> Self:
        """Reads what ``save`` wrote."""
        return load_record(cls, path)


def _no_rows() -> Ints:
    return np.zeros(0, np.int32)


@dataclass(frozen=True, slots=True, eq=False)
class FaceChunk(Chunk):
    """What analyse knows of a chunk of frames.

    Track numbers hold within the chunk. cut: bool [count], the frame starts a new shot. thumbnails: uint8 [2,54,96],
    luma of the first and last frame, for the cut between chunks. left_out: int32 [count], detections of a frame that
    were not looked at because there were too many; empty when that happened nowhere. of_tracks: what is measured of a
    track, [t,...] by the names of ``TrackMeasurement``; track_weights: float32 [t], 0 where it was not.
    """

    cut: Flags
    thumbnails: Bytes
    left_out: Ints = field(default_factory=_no_rows)
    of_tracks: Mapping[str, Values] = field(default_factory=dict)
    track_weights: Floats = field(default_factory=lambda: np.zeros(0, np.float32))


@dataclass(frozen=True, slots=True, eq=False)
class LinkedChunk(Chunk):
    """The faces of a chunk of frames, joined and smoothed over time: all of them, or those that are worked on.

    Tracks are numbered over the whole clip. filled: bool [n], the frame itself showed no face here. cut: bool [count],
    the frame starts a new shot. left_out: int32 [count], faces of a frame beyond the most that are worked on; empty
    when there were none.
    """

    filled: Flags
    cut: Flags
    left_out: Ints = field(default_factory=_no_rows)

    def select(self, selection: Selection) -> LinkedChunk:
        """The chunk with the selected rows alone, in their order."""
        rows = selection.rows
        places = np.searchsorted(selection.tracks, self.track[rows])
        return replace(
            self,
            frame=self.frame[rows],
            track=self.track[rows],
            landmarks=self.landmarks[rows],
            score=self.score[rows],
            values={name: value[rows] for name, value in self.values.items()}
            | {name: value[places] for name, value in selection.of_tracks.items()},
            filled=self.filled[rows],
            left_out=selection.left_out,
        )


@dataclass(frozen=True, slots=True, eq=False)
class Selection:
    """Which rows of a linked chunk are worked on.

    rows: int32 [n], sorted by frame, those of a frame in the selector's order. left_out: see ``LinkedChunk``.
    of_tracks: what was measured of the tracks in these rows, over the whole clip, [t,...] by name, in the order of
    tracks: int32 [t], ascending; zeros of a track that was not measured.
    """

    rows: Ints
    left_out: Ints = field(default_factory=_no_rows)
    tracks: Ints = field(default_factory=_no_rows)
    of_tracks: Mapping[str, Values] = field(default_factory=dict)

    def save(self, path: Path) -> None:
        """Writes the selection and publishes it by rename. Raises ResourceError disk-full, OutputError."""
        save_record(path, self)

    @classmethod
    def load(cls, path: Path) -> Self:
        """Reads what ``save`` wrote."""
        return load_record(cls, path)


T = TypeVar('T', bound='DataclassInstance')


def save_record(path: Path, record: DataclassInstance) -> None:
    """Writes a dataclass of arrays, whole numbers and mappings of arrays; see ``save_arrays``."""
    arrays: dict[str, npt.NDArray[np.generic]] = {}
    for entry in fields(record):
        value = getattr(record, entry.name)
        if isinstance(value, Mapping):
            arrays |= {f'{entry.name}.{name}': array for name, array in value.items()}
        else:
            arrays[entry.name] = np.asarray(value)
    save_arrays(path, arrays)


def load_record(kind: type[T], path: Path) -> T:
    """Reads what ``save_record`` wrote. Raises InternalError, TypeError for a file of another kind."""
    arrays = load_arrays(path)
    values: dict[str, Any] = {}
    for entry in fields(kind):
        if str(entry.type).startswith('Mapping'):
            start = f'{entry.name}.'
            values[entry.name] = {
                name[len(start) :]: arrays.pop(name) for name in list(arrays) if name.startswith(start)
            }
        elif entry.name in arrays:
            value = arrays.pop(entry.name)
            values[entry.name] = int(value) if entry.type == 'int' else value
    if arrays:
        raise TypeError(f'{path} has arrays that a {kind.__name__} has not: {", ".join(arrays)}')
    return kind(**values)


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
