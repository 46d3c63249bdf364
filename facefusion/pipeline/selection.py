"""Link, second step: who is worked on, frame by frame in order, when the tracks of the whole clip are known."""

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
    """Selects among the faces of a clip's chunks, which are given to ``select`` in order."""

    options: FaceSelectorOptions
    tracks: ClipTracks
    _chosen: int | None = None
    _kept: set[int] = field(default_factory=set)
    _kept_at: int = -2

    def select(self, chunk: LinkedChunk) -> Selection:
        """The rows of ``chunk``, which holds all faces, that are worked on."""
        is_one = self.options.face_selector_mode == 'one'
        left_out = np.zeros(chunk.count, np.int32)
        if not is_one:
            left_out[: len(chunk.left_out)] = chunk.left_out
        rows: list[int] = []
        frames, starts = np.unique(chunk.frame, return_index=True)
        # A chunk without faces has neither starts nor stops.
        stops = [*starts.tolist(), len(chunk.frame)][1:]
        boxes = landmark_box(chunk.landmarks)
        for frame, start, stop in zip(frames.tolist(), starts.tolist(), stops, strict=True):
            if chunk.cut[frame - chunk.first] or frame != self._kept_at + 1:
                self._kept.clear()
            self._kept_at = frame
            tracks = chunk.track[start:stop].tolist()
            # Mode ``one`` chooses among all, so that its person is not lost to size.
            limited = list(range(len(tracks))) if is_one else self._limit(boxes[start:stop], tracks)
            left_out[frame - chunk.first] += len(tracks) - len(limited)
            order = select_faces(boxes[start:stop][limited], chunk.score[start:stop][limited], self.options)
            chosen = [limited[index] for index in order]
            rows += [start + index for index in (self._stay(chosen, tracks) if is_one else chosen)]
        chosen_rows = np.array(rows, np.int32)
        tracks = np.unique(chunk.track[chosen_rows])
        return Selection(chosen_rows, left_out if left_out.any() else left_out[:0], tracks, self.tracks.of(tracks))

    def _limit(self, boxes: np.ndarray, tracks: list[int]) -> list[int]:
        """The largest faces of a frame."""
        limited = limit_faces(boxes, tracks, self._kept, self.options.max_faces)
        self._kept = {tracks[index] for index in limited}
        return limited

    def _stay(self, chosen: list[int], tracks: list[int]) -> list[int]:
        """The face that was chosen before, while it is there: an order may change with every frame, a person not."""
        if self._chosen in tracks:
            return [tracks.index(self._chosen)]
        self._chosen = tracks[chosen[0]] if chosen else None
        return chosen
