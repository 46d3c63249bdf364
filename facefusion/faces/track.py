"""Following faces through a chunk of frames.

The detector runs at absolute frame numbers (multiples of INTERVAL), at cuts, at losses, at the first frame of the
chunk and at the first frame after it; the mesh follows in between. A new track is followed backwards to the detection
before it, so that no face shows before it is found. The result depends on nothing but the frames of the chunk and the
one after it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from facefusion.faces.analyser import SAME_FACE_OVERLAP, FaceAnalyser
from facefusion.faces.chunk import FaceChunk
from facefusion.faces.face import Detection, Face, Floats, box_overlap
from facefusion.faces.skin import LIGHT_SIZE, OCCLUSION_SIZE, TRAIT_COUNT, SkinMeter, SkinSample
from facefusion.media.frame import Frame

INTERVAL = 10
THUMBNAIL = (32, 18)
# Mean absolute luma difference of two thumbnails, in code values, above which a new shot starts.
CUT_DIFFERENCE = 24.0
# A detection belongs to a track when their boxes overlap this much; detector boxes and meshes differ by a margin.
MATCH_OVERLAP = 0.3
# A track that the detector missed at this many of its regular runs ends, whatever the mesh says.
PATIENCE = 3


@dataclass(slots=True)
class Track:
    """A face that is being followed; ``missed`` counts detections in a row without it."""

    number: int
    last: Face
    missed: int = 0


@dataclass(frozen=True, slots=True, eq=False)
class Observation:
    """A face of a track in a frame."""

    frame: int
    track: int
    face: Face
    skin: SkinSample | None


@dataclass(slots=True)
class ChunkTracker:
    """Takes the frames of a chunk in order, and one more, and gives the chunk's record."""

    analyser: FaceAnalyser
    meter: SkinMeter | None
    _active: list[Track] = field(default_factory=list)
    _seen: list[Observation] = field(default_factory=list)
    _recent: list[Frame] = field(default_factory=list)
    _cuts: list[bool] = field(default_factory=list)
    _thumbnails: list[Floats] = field(default_factory=list)
    _first: int = -1
    _tracks: int = 0

    def add(self, frame: Frame) -> None:
        """Looks at the next frame of the chunk."""
        is_first = self._first < 0
        if is_first:
            self._first = frame.number
        is_cut = self._note_cut(frame)
        self._cuts.append(is_cut)
        lost = self._follow(frame)
        if is_first or is_cut or lost or frame.number % INTERVAL == 0:
            self._detect(frame, lost)
            self._recent.clear()
        self._recent.append(frame)

    def finish(self, after: Frame | None) -> FaceChunk:
        """The chunk's record; ``after`` is the frame that follows the chunk, None at the end of the clip."""
        count, ends = len(self._cuts), [self._thumbnails[0], self._thumbnails[-1]]
        if after is not None and not self._note_cut(after):
            known = [track.last.box for track in self._active]
            for detection in self.analyser.detect(after):
                if not _is_known(detection, known):
                    self._start_backwards(after, detection)
        self._recent.clear()
        rows = sorted(self._seen, key=lambda seen: (seen.frame, seen.track))
        return _as_chunk(self._first, count, rows, self._cuts, ends)

    def _note_cut(self, frame: Frame) -> bool:
        thumbnail = frame.luma_thumbnail(*THUMBNAIL).astype(np.float32)
        is_cut = bool(self._thumbnails) and is_new_shot(self._thumbnails[-1], thumbnail)
        if is_cut:
            self._active.clear()
            self._recent.clear()
        self._thumbnails[1:] = [thumbnail]
        return is_cut

    def _follow(self, frame: Frame) -> list[Track]:
        """Moves every active track on to ``frame``; gives those that were lost."""
        lost, kept = [], list[Track]()
        for track in self._active:
            face = self.analyser.follow(frame, track.last.landmarks, track.last.score)
            if face is None:
                lost.append(track)
            elif all(box_overlap(face.box, other.last.box) < SAME_FACE_OVERLAP for other in kept):
                track.last = face
                kept.append(track)
                self._observe(frame, track)
        self._active = kept
        return lost

    def _detect(self, frame: Frame, lost: list[Track]) -> None:
        found = self.analyser.detect(frame)
        for track in self._active:
            if any(box_overlap(track.last.box, detection.box) > MATCH_OVERLAP for detection in found):
                track.missed = 0
            elif frame.number % INTERVAL == 0:
                # Detections in between, for the losses of others, do not count: they would end it too soon.
                track.missed += 1
        self._active = [track for track in self._active if track.missed < PATIENCE]
        for detection in found:
            if _is_known(detection, [track.last.box for track in self._active]):
                continue
            face = self.analyser.from_detection(frame, detection)
            if face is None or self._overlaps(face, [track.last for track in self._active]):
                continue
            track = _revive(lost, face) or self._open(face)
            track.last = face
            self._active.append(track)
            self._observe(frame, track)
            if track not in lost:
                self._follow_backwards(track)

    def _start_backwards(self, after: Frame, detection: Detection) -> None:
        """Follows a face that appears right after the chunk back into it."""
        face = self.analyser.from_detection(after, detection)
        if face is not None and not self._overlaps(face, [track.last for track in self._active]):
            self._follow_backwards(self._open(face))

    def _follow_backwards(self, track: Track) -> None:
        face = track.last
        for frame in reversed(self._recent):
            found = self.analyser.follow(frame, face.landmarks, face.score)
            others = [seen.face for seen in self._seen if seen.frame == frame.number]
            if found is None or self._overlaps(found, others):
                return
            face = found
            self._seen.append(Observation(frame.number, track.number, face, self._measure(frame, face)))

    def _open(self, face: Face) -> Track:
        self._tracks += 1
        return Track(self._tracks - 1, face)

    def _observe(self, frame: Frame, track: Track) -> None:
        self._seen.append(Observation(frame.number, track.number, track.last, self._measure(frame, track.last)))

    def _measure(self, frame: Frame, face: Face) -> SkinSample | None:
        return self.meter.measure(frame, face.landmarks) if self.meter is not None else None

    @staticmethod
    def _overlaps(face: Face, others: list[Face]) -> bool:
        return any(box_overlap(face.box, other.box) > SAME_FACE_OVERLAP for other in others)


def is_new_shot(before: npt.NDArray[Any], after: npt.NDArray[Any]) -> bool:
    """Whether two luma thumbnails belong to different shots."""
    return float(np.abs(after.astype(np.float32) - before.astype(np.float32)).mean()) > CUT_DIFFERENCE


def still_chunk(frame: Frame, analyser: FaceAnalyser, meter: SkinMeter | None) -> FaceChunk:
    """The record of a picture: a clip of one frame."""
    rows = [
        Observation(0, number, face, meter.measure(frame, face.landmarks) if meter is not None else None)
        for number, face in enumerate(analyser.find(frame))
    ]
    thumbnail = frame.luma_thumbnail(*THUMBNAIL).astype(np.float32)
    return _as_chunk(0, 1, rows, [False], [thumbnail, thumbnail])


def _is_known(detection: Detection, boxes: list[Floats]) -> bool:
    return any(box_overlap(box, detection.box) > MATCH_OVERLAP for box in boxes)


def _revive(lost: list[Track], face: Face) -> Track | None:
    for track in lost:
        if box_overlap(track.last.box, face.box) > MATCH_OVERLAP:
            return track
    return None


def _as_chunk(first: int, count: int, rows: list[Observation], cuts: list[bool], thumbnails: list[Floats]) -> FaceChunk:
    skins = [row.skin for row in rows if row.skin is not None]
    return FaceChunk(
        first=first,
        count=count,
        frame=np.array([row.frame for row in rows], np.int32),
        track=np.array([row.track for row in rows], np.int32),
        landmarks=np.array([row.face.landmarks for row in rows], np.float32).reshape(-1, 468, 3),
        score=np.array([row.face.score for row in rows], np.float32),
        light=np.array([skin.light for skin in skins], np.uint8).reshape(-1, LIGHT_SIZE, LIGHT_SIZE, 4),
        free=np.array([skin.free for skin in skins], np.uint8).reshape(-1, OCCLUSION_SIZE, OCCLUSION_SIZE),
        traits=np.array([skin.traits for skin in skins], np.float32).reshape(-1, TRAIT_COUNT),
        cut=np.array(cuts, np.bool_),
        thumbnails=np.array(thumbnails).astype(np.uint8).reshape(2, THUMBNAIL[1], THUMBNAIL[0]),
    )
