"""Following faces through a chunk of frames.

The detector runs at absolute frame numbers (multiples of INTERVAL), at cuts, at losses, at the first frame of the
chunk and at the first frame after it; the mesh follows in between. A new track is followed backwards to the detection
before it, so that no face shows before it is found. The result depends on nothing but the frames of the chunk and the
one after it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np

from facefusion.faces.analyser import SAME_FACE_OVERLAP, FaceFinder, largest_detections, longer_side
from facefusion.faces.best_views import BestViews
from facefusion.faces.chunk import FaceChunk
from facefusion.faces.face import MESH_POINTS, Detection, Face, Floats, box_overlap, landmark_box
from facefusion.faces.measurement_types import Measurements, Meters, Values
from facefusion.faces.select import KEEP_PLACE
from facefusion.faces.shots import THUMBNAIL, UNCHANGED, compare_frames
from facefusion.media.frame import Frame

INTERVAL = 10
# A detection belongs to a track when their boxes overlap this much; detector boxes and meshes differ by a margin.
MATCH_OVERLAP = 0.3
TOUCH_OVERLAP = 0.1
# A track that the detector missed at this many of its regular runs ends, whatever the mesh says.
PATIENCE = 3


@dataclass(slots=True)
class Track:
    """A face that is being followed; ``missed`` counts regular detections in a row without it.

    ``motion`` is by how much its middle moved from the frame before, in pixels, None while it is not known.
    """

    number: int
    last: Face
    missed: int = 0
    motion: Floats | None = None

    def move_on(self, face: Face) -> None:
        """Takes the face of the next frame."""
        self.motion = _middle(face) - _middle(self.last)
        self.last = face

    def expected(self, shift: Floats) -> Floats:
        """Landmarks where the face should be in the next frame, by its own motion, else by that of the picture."""
        expected = self.last.landmarks.copy()
        expected[:, :2] += shift if self.motion is None else self.motion
        return expected


@dataclass(frozen=True, slots=True, eq=False)
class Observation:
    """A face of a track in a frame."""

    frame: int
    track: int
    face: Face
    values: Mapping[str, Values]


@dataclass(slots=True)
class ChunkTracker:
    """Takes the frames of a chunk in order, and one more, and gives the chunk's record."""

    analyser: FaceFinder
    meters: Meters
    _views: BestViews = field(default_factory=BestViews)
    _active: list[Track] = field(default_factory=list)
    _seen: dict[int, list[Observation]] = field(default_factory=dict)
    _recent: list[Frame] = field(default_factory=list)
    _cuts: list[bool] = field(default_factory=list)
    _thumbnails: list[Floats] = field(default_factory=list)
    _shifts: dict[int, Floats] = field(default_factory=dict)
    _first: int = -1
    _tracks: int = 0
    _starts_shot: bool = False
    _appeared: list[Face] = field(default_factory=list)
    _crowd: int = 0
    _left_out: list[int] = field(default_factory=list)

    @property
    def starts_shot(self) -> bool:
        """Whether the last frame that was looked at is the first of a shot."""
        return self._starts_shot

    @property
    def faces(self) -> tuple[Face, ...]:
        """The faces that are being followed in the last frame that was added."""
        return tuple(track.last for track in self._active)

    @property
    def appeared(self) -> tuple[Face, ...]:
        """Those among ``faces`` that were not followed before, in this chunk."""
        return tuple(self._appeared)

    def add(self, frame: Frame) -> None:
        """Looks at the next frame of the chunk."""
        is_first = self._first < 0
        if is_first:
            self._first = frame.number
        is_cut = self._note_cut(frame)
        self._cuts.append(is_cut)
        self._appeared.clear()
        lost = self._follow(frame)
        if is_first or is_cut or lost or frame.number % INTERVAL == 0:
            self._detect(frame, lost)
            self._recent.clear()
        self._recent.append(frame)
        self._left_out.append(self._crowd)

    def finish(self, after: Frame | None) -> FaceChunk:
        """The chunk's record; ``after`` is the frame that follows the chunk, None at the end of the clip."""
        ends = [self._thumbnails[0], self._thumbnails[-1]]
        if after is not None and not self._note_cut(after):
            known = [track.last.box for track in self._active]
            new = [detection for detection in self.analyser.detect(after) if not _is_known(detection, known)]
            for detection in largest_detections(new, self.analyser.most):
                self._start_backwards(after, detection)
        self._recent.clear()
        seen = [entry for entries in self._seen.values() for entry in entries]
        rows = sorted(seen, key=lambda seen: (seen.frame, seen.track))
        chunk = _as_chunk(self._first, rows, self.meters.measurements, self._cuts, ends)
        of_tracks, weights = _measure_tracks(self._tracks, self.meters, self._views)
        left_out = np.array(self._left_out if any(self._left_out) else [], np.int32)
        return replace(chunk, left_out=left_out, of_tracks=of_tracks, track_weights=weights)

    def _note_cut(self, frame: Frame) -> bool:
        """Compares the frame with the one before: whether a shot starts here, and how far the picture moved."""
        thumbnail = frame.luma_thumbnail(*THUMBNAIL).astype(np.float32)
        change = compare_frames(self._thumbnails[-1], thumbnail) if self._thumbnails else UNCHANGED
        size = np.array([frame.width, frame.height], np.float32)
        self._shifts[frame.number] = change.shift * size
        if change.is_cut:
            self._active.clear()
            self._recent.clear()
        self._thumbnails[1:] = [thumbnail]
        self._starts_shot = change.is_cut
        return change.is_cut

    def _follow(self, frame: Frame) -> list[tuple[Track, Floats]]:
        """Moves every active track on to ``frame``; gives those that were lost, with where they were expected."""
        lost, kept = list[tuple[Track, Floats]](), list[Track]()
        for track in self._active:
            expected = track.expected(self._shifts[frame.number])
            face = self.analyser.follow(frame, expected, track.last.score)
            if face is None:
                lost.append((track, expected))
            elif all(box_overlap(face.box, other.last.box) < SAME_FACE_OVERLAP for other in kept):
                track.move_on(face)
                kept.append(track)
                self._observe(frame, track.number, track.last)
        self._active = kept
        return lost

    def _detect(self, frame: Frame, lost: list[tuple[Track, Floats]]) -> None:
        found = self.analyser.detect(frame)
        confirmed = [self._owner(detection) for detection in found]
        for track in self._active:
            if any(track is owner for owner in confirmed):
                track.missed = 0
            elif frame.number % INTERVAL == 0:
                # Detections in between, for the losses of others, do not count: they would end it too soon.
                track.missed += 1
        sure = [track.last for track in self._active if track.missed == 0]
        self._active = [
            track
            for track in self._active
            # A mesh that slid off hangs beside the face that it belonged to.
            if track.missed == 0 or (track.missed < PATIENCE and not self._touches(track.last, sure))
        ]
        boxes = [track.last.box for track in self._active]
        new = [detection for detection in found if not _is_known(detection, boxes)]
        looked_at = largest_detections(new, self.analyser.most)
        self._crowd = len(new) - len(looked_at)
        for detection in looked_at:
            if not self._take_in(frame, detection, lost):
                self._crowd += 1

    def _take_in(self, frame: Frame, detection: Detection, lost: list[tuple[Track, Floats]]) -> bool:
        """Follows the face at a detection from here on; False when there is no place for it."""
        if _is_known(detection, [track.last.box for track in self._active]):
            return True
        if not self._has_place(detection.box):
            return False
        face = self.analyser.from_detection(frame, detection)
        if face is None or self._overlaps(face, [track.last for track in self._active]):
            return True
        track = _revive(lost, face)
        is_new = track is None
        if track is None:
            if not self.analyser.is_sure(frame, face):
                return True
            track = self._open(face)
        if not self._make_place(frame, face):
            return False
        track.last, track.motion = face, None
        self._active.append(track)
        self._observe(frame, track.number, track.last)
        if is_new:
            self._appeared.append(face)
            self._follow_backwards(track)
        return True

    def _has_place(self, box: Floats) -> bool:
        """Whether fewer faces than the most are followed, or one that is much smaller than ``box``."""
        if len(self._active) < self.analyser.most:
            return True
        return longer_side(box) > KEEP_PLACE * min(longer_side(track.last.box) for track in self._active)

    def _make_place(self, frame: Frame, face: Face) -> bool:
        """Gives up the smallest face where there are too many; False when the new one is hardly larger."""
        if len(self._active) < self.analyser.most:
            return True
        if not self._has_place(face.box):
            return False
        smallest = min(self._active, key=lambda track: longer_side(track.last.box))
        self._active = [track for track in self._active if track is not smallest]
        entries = self._seen.get(frame.number, [])
        self._seen[frame.number] = [seen for seen in entries if seen.track != smallest.number]
        self._crowd += 1
        return True

    def _start_backwards(self, after: Frame, detection: Detection) -> None:
        """Follows a face that appears right after the chunk back into it."""
        face = self.analyser.from_detection(after, detection)
        if face is None or self._overlaps(face, [track.last for track in self._active]):
            return
        if self.analyser.is_sure(after, face):
            self._follow_backwards(self._open(face))

    def _follow_backwards(self, track: Track) -> None:
        back = Track(track.number, track.last)
        for frame in reversed(self._recent):
            # From the frame after this one back to it.
            shift = -self._shifts[frame.number + 1]
            found = self.analyser.follow(frame, back.expected(shift), back.last.score)
            others = [seen.face for seen in self._seen.get(frame.number, ())]
            if found is None or len(others) >= self.analyser.most or self._overlaps(found, others):
                return
            back.move_on(found)
            self._observe(frame, track.number, found)

    def _open(self, face: Face) -> Track:
        self._tracks += 1
        return Track(self._tracks - 1, face)

    def _observe(self, frame: Frame, track: int, face: Face) -> None:
        seen = Observation(frame.number, track, face, self.meters.measure(frame, face.landmarks))
        self._seen.setdefault(seen.frame, []).append(seen)
        if self.meters.of_tracks:
            self._views.offer(frame, track, face)

    def _owner(self, detection: Detection) -> Track | None:
        """The track that a detection belongs to: one detection never confirms two tracks."""
        overlaps = [(box_overlap(track.last.box, detection.box), -k) for k, track in enumerate(self._active)]
        best, place = max(overlaps, default=(0.0, 0))
        return self._active[-place] if best > MATCH_OVERLAP else None

    @staticmethod
    def _touches(face: Face, others: list[Face]) -> bool:
        return any(box_overlap(face.box, other.box) > TOUCH_OVERLAP for other in others)

    @staticmethod
    def _overlaps(face: Face, others: list[Face]) -> bool:
        return any(box_overlap(face.box, other.box) > SAME_FACE_OVERLAP for other in others)


def _middle(face: Face) -> Floats:
    return np.asarray((face.box[:2] + face.box[2:]) / 2, np.float32)


def still_chunk(frame: Frame, analyser: FaceFinder, meters: Meters) -> FaceChunk:
    """The record of a picture: a clip of one frame."""
    faces, left_out = analyser.find_some(frame, analyser.detect(frame))
    rows = [Observation(0, number, face, meters.measure(frame, face.landmarks)) for number, face in enumerate(faces)]
    views = BestViews()
    if meters.of_tracks:
        for number, face in enumerate(faces):
            views.offer(frame, number, face)
    thumbnail = frame.luma_thumbnail(*THUMBNAIL).astype(np.float32)
    chunk = _as_chunk(0, rows, meters.measurements, [False], [thumbnail, thumbnail])
    of_tracks, weights = _measure_tracks(len(faces), meters, views)
    left = np.array([left_out] if left_out else [], np.int32)
    return replace(chunk, left_out=left, of_tracks=of_tracks, track_weights=weights)


def _is_known(detection: Detection, boxes: list[Floats]) -> bool:
    return any(box_overlap(box, detection.box) > MATCH_OVERLAP for box in boxes)


def _revive(lost: list[tuple[Track, Floats]], face: Face) -> Track | None:
    for track, expected in lost:
        if box_overlap(landmark_box(expected), face.box) > MATCH_OVERLAP:
            return track
    return None


def _as_chunk(
    first: int, rows: list[Observation], measurements: Measurements, cuts: list[bool], thumbnails: list[Floats]
) -> FaceChunk:
    points = rows[0].face.landmarks.shape[0] if rows else MESH_POINTS
    return FaceChunk(
        first=first,
        count=len(cuts),
        frame=np.array([row.frame for row in rows], np.int32),
        track=np.array([row.track for row in rows], np.int32),
        landmarks=np.array([row.face.landmarks for row in rows], np.float32).reshape(-1, points, 3),
        score=np.array([row.face.score for row in rows], np.float32),
        values={
            value.name: np.array([row.values[value.name] for row in rows], value.dtype).reshape(-1, *value.shape)
            for value in measurements.values
        },
        cut=np.array(cuts, np.bool_),
        thumbnails=np.array(thumbnails).astype(np.uint8).reshape(2, THUMBNAIL[1], THUMBNAIL[0]),
    )


def _measure_tracks(count: int, meters: Meters, views: BestViews) -> tuple[dict[str, Values], Floats]:
    """What is measured of the tracks 0 to ``count`` - 1, and how much it weighs."""
    if not meters.of_tracks:
        return {}, np.zeros(0, np.float32)
    known = [views.of(track) for track in range(count)]
    of_tracks = {}
    for measurement, meter in zip(meters.measurements.of_tracks, meters.of_tracks, strict=True):
        nothing = np.zeros(measurement.shape, measurement.dtype)
        measured = [meter.measure(best) if best else nothing for best, _ in known]
        of_tracks[measurement.name] = np.array(measured, measurement.dtype).reshape(-1, *measurement.shape)
    return of_tracks, np.array([weight for _, weight in known], np.float32)
