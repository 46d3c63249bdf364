"""Records of the faces of a chunk of frames as parallel arrays, and their files."""

from __future__ import annotations

import hashlib
import io
import os
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, Self, cast

import numpy as np
import numpy.typing as npt

from facefusion.errors import InternalError
from facefusion.faces.face import Bools, Bytes, Floats, Ints, Values
from facefusion.faces.role import ROLE_LENGTH
from facefusion.media.files import write_failure

if TYPE_CHECKING:
    from _typeshed import DataclassInstance


class ArrayRecord:
    """Base of dataclasses of arrays, integers and mappings of arrays, which are saved as npz files."""

    __slots__ = ()

    def save(self, path: Path) -> str:
        """Write to a temporary file, rename it to ``path``, and return the SHA-256 of its bytes.

        Raises ResourceError disk-full, OutputError.
        """
        arrays: dict[str, npt.NDArray[np.generic]] = {}
        for entry in fields(cast('DataclassInstance', self)):
            value = getattr(self, entry.name)
            if isinstance(value, Mapping):
                arrays |= {f'{entry.name}.{name}': array for name, array in value.items()}
            else:
                arrays[entry.name] = np.asarray(value)
        part = path.with_name(f'{path.name}.{os.getpid()}.part')
        try:
            with part.open('wb') as file:
                stream = _HashingWriter(file)
                np.savez(cast('BinaryIO', stream), allow_pickle=False, **arrays)
            part.replace(path)
            return stream.sha256.hexdigest()
        except OSError as error:
            raise write_failure(error, path) from error
        finally:
            part.unlink(missing_ok=True)

    @classmethod
    def load(cls, path: Path, data: bytes | None = None) -> Self:
        """Read a saved record; ``data`` is the content of the file if the caller has already read it.

        Raises InternalError work-file-damaged, TypeError for a record of another class.
        """
        arrays = _read_arrays(path, data)
        values: dict[str, Any] = {}
        for entry in fields(cast('type[DataclassInstance]', cls)):
            if str(entry.type).startswith('Mapping'):
                prefix = f'{entry.name}.'
                names = [name for name in arrays if name.startswith(prefix)]
                values[entry.name] = {name.removeprefix(prefix): arrays.pop(name) for name in names}
            elif entry.name in arrays:
                value = arrays.pop(entry.name)
                values[entry.name] = int(value) if entry.type == 'int' else value
        if arrays:
            raise TypeError(f'{path} has arrays that {cls.__name__} does not have: {", ".join(arrays)}')
        return cls(**values)


class _HashingWriter(io.RawIOBase):
    """Hashes the bytes written to a file. It cannot seek, so each byte is written and hashed exactly once."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self.sha256 = hashlib.sha256()

    def write(self, data: Any) -> int:
        self.sha256.update(data)
        return self._file.write(data)


def _read_arrays(path: Path, data: bytes | None) -> dict[str, Any]:
    try:
        # numpy does not close a damaged file that it opened itself, so the file is opened here.
        with (
            path.open('rb') if data is None else io.BytesIO(data) as stream,
            np.load(stream, allow_pickle=False) as archive,
        ):
            return {name: archive[name] for name in archive.files}
    except (OSError, EOFError, ValueError, zipfile.BadZipFile) as error:
        raise InternalError('work-file-damaged', f'the work file {path} cannot be read', cause=str(error)) from error


def _no_rows() -> Ints:
    return np.zeros(0, np.int32)


def _no_roles() -> Floats:
    return np.zeros((0, ROLE_LENGTH), np.float32)


def _no_scores() -> Floats:
    return np.zeros(0, np.float32)


@dataclass(frozen=True, slots=True, eq=False)
class Chunk(ArrayRecord):
    """Faces of the frames ``first`` .. ``first + count - 1`` as parallel arrays, one row per face and frame.

    frame, track: int32 [n], sorted by frame. landmarks: float32 [n,p,3]. score: float32 [n], that of the detector.
    values: measurements of the faces, [n,...] by the names of ``FaceValue``. presence: float32 [n], the score of the
    landmarker; an empty array means 1.
    """

    first: int
    count: int
    frame: Ints
    track: Ints
    landmarks: Floats
    score: Floats
    values: Mapping[str, Values]
    presence: Floats = field(default_factory=_no_scores, kw_only=True)


@dataclass(frozen=True, slots=True, eq=False)
class FaceChunk(Chunk):
    """The result of analyse for a chunk of frames.

    Track numbers are local to the chunk. cut: bool [count], whether the frame starts a shot. thumbnails: uint8
    [2,54,96], luma of the first and last frame, to find a cut between chunks. left_out: int32 [count], detections of a
    frame beyond the limit; empty if there are none. of_tracks: measurements of tracks, [t,...] by the names of
    ``TrackMeasurement``; track_weights: float32 [t] by the same names, 0 for a track without views.
    """

    cut: Bools
    thumbnails: Bytes
    left_out: Ints = field(default_factory=_no_rows)
    of_tracks: Mapping[str, Values] = field(default_factory=dict)
    track_weights: Mapping[str, Floats] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, eq=False)
class LinkedChunk(Chunk):
    """The faces of a chunk of frames, linked and smoothed over time: either all faces or the selected ones.

    Tracks are numbered over the whole clip. filled: bool [n], whether the landmarks are interpolated. cut: bool
    [count], whether the frame starts a shot. left_out: int32 [count], faces of a frame beyond ``--max-faces``; empty if
    there are none. roles: float32 [n,6], see ``FaceRole``; empty before the selection.
    """

    filled: Bools
    cut: Bools
    left_out: Ints = field(default_factory=_no_rows)
    roles: Floats = field(default_factory=_no_roles)

    def select(self, selection: Selection) -> LinkedChunk:
        """Return the chunk with only the selected rows, in the order of the selection.

        The measurements of tracks are added to the values, as views without copies: arrays of objects, which cannot be
        saved.
        """
        rows = selection.rows
        track_rows = np.searchsorted(selection.tracks, self.track[rows])
        return replace(
            self,
            frame=self.frame[rows],
            track=self.track[rows],
            landmarks=self.landmarks[rows],
            score=self.score[rows],
            presence=self.presence[rows] if len(self.presence) else self.presence,
            values={name: value[rows] for name, value in self.values.items()}
            | {name: _views(value, track_rows) for name, value in selection.of_tracks.items()},
            filled=self.filled[rows],
            left_out=selection.left_out,
            roles=selection.roles[track_rows] if len(selection.roles) else selection.roles,
        )


def _views(values: Values, rows: npt.NDArray[np.intp]) -> Values:
    """Return the arrays ``values[row]`` of all rows without copying them, as an array of objects [n]."""
    views = np.empty(len(rows), object)
    for place, row in enumerate(rows.tolist()):
        views[place] = values[row]
    return views


@dataclass(frozen=True, slots=True, eq=False)
class Selection(ArrayRecord):
    """The selected rows of a linked chunk.

    rows: int32 [n], sorted by frame, within a frame in the selector's order. left_out: see ``LinkedChunk``. tracks:
    int32 [t], the tracks of these rows, ascending. of_tracks: their measurements over the whole clip, [t,...] by name;
    zeros for a track that was not measured. roles: float32 [t,6], the ``FaceRole`` of each track.
    """

    rows: Ints
    left_out: Ints = field(default_factory=_no_rows)
    tracks: Ints = field(default_factory=_no_rows)
    of_tracks: Mapping[str, Values] = field(default_factory=dict)
    roles: Floats = field(default_factory=_no_roles)
