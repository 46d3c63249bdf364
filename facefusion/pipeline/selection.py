"""The second step of link: select faces frame by frame, in order, after the whole clip has been tracked."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from facefusion.faces.chunk import LinkedChunk, Selection
from facefusion.faces.face import landmark_box
from facefusion.faces.options import FaceSelectorOptions
from facefusion.faces.select import limit_faces, select_faces
from facefusion.pipeline.tracking import ClipTracks


@dataclass(slots=True)
class Selector:
    """Selects faces of a clip, chunk by chunk in order."""

    options: FaceSelectorOptions
    tracks: ClipTracks
    _followed: int | None = None
    _limited: set[int] = field(default_factory=set)
    _last_frame: int = -2

    def select(self, chunk: LinkedChunk) -> Selection:
        """Return the selected rows of ``chunk``, which contains all faces."""
        is_one = self.options.face_selector_mode == 'one'
        left_out = np.zeros(chunk.count, np.int32)
        if not is_one:
            left_out[: len(chunk.left_out)] = chunk.left_out
        rows: list[int] = []
        frames, starts = np.unique(chunk.frame, return_index=True)
        # In a chunk without faces, the arrays of starts and stops are empty.
        stops = [*starts.tolist(), len(chunk.frame)][1:]
        boxes = landmark_box(chunk.landmarks)
        for frame, start, stop in zip(frames.tolist(), starts.tolist(), stops, strict=True):
            if chunk.cut[frame - chunk.first] or frame != self._last_frame + 1:
                self._limited.clear()
            self._last_frame = frame
            tracks = chunk.track[start:stop].tolist()
            # Mode ``one`` selects from all faces, because the followed face may be smaller than the largest faces.
            limited = list(range(len(tracks))) if is_one else self._limit(boxes[start:stop], tracks)
            left_out[frame - chunk.first] += len(tracks) - len(limited)
            order = select_faces(boxes[start:stop][limited], chunk.score[start:stop][limited], self.options)
            selected = [limited[index] for index in order]
            rows += [start + index for index in (self._follow(selected, tracks) if is_one else selected)]
        selected_rows = np.array(rows, np.int32)
        tracks = np.unique(chunk.track[selected_rows])
        return Selection(selected_rows, left_out if left_out.any() else left_out[:0], tracks, self.tracks.of(tracks))

    def _limit(self, boxes: np.ndarray, tracks: list[int]) -> list[int]:
        """Return the largest faces of a frame."""
        limited = limit_faces(boxes, tracks, self._limited, self.options.max_faces)
        self._limited = {tracks[index] for index in limited}
        return limited

    def _follow(self, selected: list[int], tracks: list[int]) -> list[int]:
        """Return the followed face while it is present, so that a new order of the faces does not change the person."""
        if self._followed in tracks:
            return [tracks.index(self._followed)]
        self._followed = tracks[selected[0]] if selected else None
        return selected
