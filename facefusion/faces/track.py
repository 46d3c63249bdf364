"""Track faces through a chunk of frames.

The detector runs at absolute frame numbers (multiples of INTERVAL), at cuts, when a face is lost, at the first frame of
the chunk and at the first frame after it; the mesh follows the faces in between. A new track is followed backwards to
the previous detection, so that a face is in the record from its first frame. A face that has crossed another one gets a
new track number, as all faces do when the picture changes suddenly. The result depends only on the frames of the chunk
and the one after it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

import numpy as np

from facefusion.faces.analyser import SAME_FACE_OVERLAP, FaceFinder, largest_detections
from facefusion.faces.best_views import RankedViews, Ranking, is_outside
from facefusion.faces.chunk import FaceChunk
from facefusion.faces.crossings import CROSSED, Crossings, shared_parts
from facefusion.faces.face import MESH_POINTS, Detection, Face, Floats, Values, box_overlap, landmark_box, longer_side
from facefusion.faces.measurement_types import Measurements, Meters
from facefusion.faces.select import KEEP_PLACE
from facefusion.faces.shots import THUMBNAIL, UNCHANGED, compare_frames
from facefusion.faces.views import FaceView
from facefusion.media.frame import Frame

INTERVAL = 10
# A detection belongs to a track if their boxes overlap more than this. The value is low, because the boxes of the
# detector have other margins than those of meshes.
MATCH_OVERLAP = 0.3
TOUCH_OVERLAP = 0.1
# A track ends when the detector has missed it at this many regular detections in a row.
PATIENCE = 3


@dataclass(slots=True, eq=False)
class Track:
    """A followed face; ``missed`` counts consecutive regular detections without it.

    ``number``: that of its rows; it changes after a crossing. ``motion``: the movement of its middle since the previous
    frame, in pixels; None while unknown. ``has_crossed``: whether it may have followed two faces.
    """

    number: int
    last: Face
    missed: int = 0
    motion: Floats | None = None
    has_crossed: bool = False

    def advance(self, face: Face) -> None:
        """Set the face of the next frame."""
        self.motion = _middle(face) - _middle(self.last)
        self.last = face

    def expected(self, shift: Floats) -> Floats:
        """Return the landmarks expected in the next frame: moved by the face's own motion, else by ``shift``."""
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
    """Takes the frames of a chunk in order, then the frame after the chunk, and returns the chunk's record.

    ``starts_shot``: whether the last frame is the first of a shot. ``appeared``: the faces in it that start a track.
    """

    analyser: FaceFinder
    meters: Meters
    starts_shot: bool = field(default=False, init=False)
    appeared: list[Face] = field(default_factory=list, init=False)
    _views: RankedViews = field(init=False)
    _active: list[Track] = field(default_factory=list)
    _crossings: Crossings = field(default_factory=Crossings)
    _seen: dict[int, list[Observation]] = field(default_factory=dict)
    _recent: list[Frame] = field(default_factory=list)
    _cuts: list[bool] = field(default_factory=list)
    _thumbnails: list[Floats] = field(default_factory=list)
    _shifts: dict[int, Floats] = field(default_factory=dict)
    _is_changing: bool = False
    _first: int = -1
    _tracks: int = 0
    _excess: int = 0
    _left_out: list[int] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._views = RankedViews(self.meters.measurements.rankings)

    @property
    def faces(self) -> tuple[Face, ...]:
        """The faces followed in the last frame."""
        return tuple(track.last for track in self._active)

    def add(self, frame: Frame) -> None:
        """Process the next frame of the chunk."""
        is_first = self._first < 0
        if is_first:
            self._first = frame.number
        is_cut = self._note_cut(frame)
        self._cuts.append(is_cut)
        self.appeared = []
        lost = self._follow(frame)
        if is_first or is_cut or lost or frame.number % INTERVAL == 0:
            self._detect(frame, lost)
            self._recent.clear()
        self._recent.append(frame)
        self._left_out.append(self._excess)

    def finish(self, after: Frame | None) -> FaceChunk:
        """Return the chunk's record; ``after`` is the frame that follows the chunk, None at the end of the clip."""
        ends = [self._thumbnails[0], self._thumbnails[-1]]
        if after is not None and not self._note_cut(after):
            known = [face.box for face in self.faces]
            new = [each for each in self.analyser.detect(after) if not _overlaps(each.box, known, MATCH_OVERLAP)]
            for detection in largest_detections(new, self.analyser.most):
                self._start_backwards(after, detection)
        self._recent.clear()
        seen = (entry for entries in self._seen.values() for entry in entries)
        rows = sorted(seen, key=lambda entry: (entry.frame, entry.track))
        of_tracks = _measure_tracks(self.meters, self._views.of, range(self._tracks))
        return _make_chunk(self._first, rows, self.meters.measurements, of_tracks, self._cuts, ends, self._left_out)

    def _note_cut(self, frame: Frame) -> bool:
        """Compare the frame with the previous one: return whether a shot starts, and note the motion of the frame."""
        thumbnail = _thumbnail(frame)
        change = compare_frames(self._thumbnails[-1], thumbnail) if self._thumbnails else UNCHANGED
        self._shifts[frame.number] = change.shift * np.array([frame.width, frame.height], np.float32)
        if change.is_cut:
            self._active.clear()
            self._crossings.clear()
            self._recent.clear()
        elif change.is_large and not self._is_changing:
            # A cut to a similar picture is not detected, so the mesh may follow the face of another shot from here on.
            for track in self._active:
                track.number, track.has_crossed = self._next_number(), True
        self._is_changing = change.is_large
        self._thumbnails[1:] = [thumbnail]
        self.starts_shot = change.is_cut
        return change.is_cut

    def _follow(self, frame: Frame) -> list[tuple[Track, Floats]]:
        """Advance every active track to ``frame``; return the lost ones with their expected landmarks."""
        lost, followed = list[tuple[Track, Floats]](), list[Track]()
        for track in self._active:
            expected = track.expected(self._shifts[frame.number])
            face = self.analyser.follow(frame, expected, track.last.score)
            if face is None:
                lost.append((track, expected))
            elif all(box_overlap(face.box, other.last.box) < SAME_FACE_OVERLAP for other in followed):
                track.advance(face)
                followed.append(track)
        self._active = followed
        self._number_after_crossings([track for track, _ in lost])
        for track in followed:
            self._observe(frame, track.number, track.last, track in self._crossings)
        return lost

    def _number_after_crossings(self, lost: list[Track]) -> None:
        """Give a new number to the tracks whose crossing ends, because it may follow the other face from here on."""
        crossed = [track for track in lost if track in self._crossings]
        separated = self._crossings.update(self._active, [track.last.box for track in self._active])
        for track in [*(track for track in self._active if track in separated), *crossed]:
            track.number, track.has_crossed = self._next_number(), True

    def _detect(self, frame: Frame, lost: list[tuple[Track, Floats]]) -> None:
        detections = self.analyser.detect(frame)
        confirmed = [self._owner(detection) for detection in detections]
        for track in self._active:
            if any(track is owner for owner in confirmed):
                track.missed = 0
            elif frame.number % INTERVAL == 0:
                # Only regular detections count: extra detections when other tracks are lost would end this track early.
                track.missed += 1
        sure = [track.last.box for track in self._active if track.missed == 0]
        self._active = [
            track
            for track in self._active
            # An unconfirmed mesh that touches a confirmed face follows no face of its own, so its track ends at once.
            if track.missed == 0 or (track.missed < PATIENCE and not _overlaps(track.last.box, sure, TOUCH_OVERLAP))
        ]
        known = [face.box for face in self.faces]
        new = [detection for detection in detections if not _overlaps(detection.box, known, MATCH_OVERLAP)]
        examined = largest_detections(new, self.analyser.most)
        self._excess = len(new) - len(examined)
        for detection in examined:
            if not self._start(frame, detection, lost):
                self._excess += 1

    def _start(self, frame: Frame, detection: Detection, lost: list[tuple[Track, Floats]]) -> bool:
        """Follow the face at a detection from this frame on; return False if the limit excludes the face."""
        if _overlaps(detection.box, [face.box for face in self.faces], MATCH_OVERLAP):
            return True
        if not self._has_place(detection.box):
            return False
        face = self.analyser.from_detection(frame, detection)
        if face is None or _overlaps(face.box, [other.box for other in self.faces], SAME_FACE_OVERLAP):
            return True
        track = _revive(lost, face)
        is_new = track is None
        if track is None:
            if not self.analyser.is_sure(frame, face):
                return True
            track = self._open(face)
        if not self._has_place(face.box):
            return False
        if len(self._active) >= self.analyser.most:
            self._drop_smallest(frame)
        if track.has_crossed:
            # The mesh was lost after a crossing, so this may be the other face.
            track.number = self._next_number()
        track.last, track.motion = face, None
        is_crossing = any(share > CROSSED for share in self._shared_with(face))
        self._active.append(track)
        self._observe(frame, track.number, face, is_crossing)
        if is_new:
            self.appeared.append(face)
            self._follow_backwards(track)
        return True

    def _has_place(self, box: Floats) -> bool:
        """Whether fewer faces than the limit are followed, or the smallest of them is much smaller than ``box``."""
        is_full = len(self._active) >= self.analyser.most
        return not is_full or longer_side(box) > KEEP_PLACE * min(longer_side(face.box) for face in self.faces)

    def _drop_smallest(self, frame: Frame) -> None:
        smallest = min(self._active, key=lambda track: longer_side(track.last.box))
        self._active = [track for track in self._active if track is not smallest]
        seen = self._seen.get(frame.number, [])
        self._seen[frame.number] = [entry for entry in seen if entry.track != smallest.number]
        self._excess += 1

    def _start_backwards(self, after: Frame, detection: Detection) -> None:
        """Follow a face that appears right after the chunk back into it."""
        face = self.analyser.from_detection(after, detection)
        if face is None or _overlaps(face.box, [other.box for other in self.faces], SAME_FACE_OVERLAP):
            return
        if self.analyser.is_sure(after, face):
            self._follow_backwards(self._open(face))

    def _follow_backwards(self, track: Track) -> None:
        back = Track(track.number, track.last)
        for frame in reversed(self._recent):
            # The shift is the motion from the next frame back to this one.
            shift = -self._shifts[frame.number + 1]
            face = self.analyser.follow(frame, back.expected(shift), back.last.score)
            seen = self._seen.get(frame.number, [])
            others = [entry.face.box for entry in seen]
            if face is None or len(others) >= self.analyser.most or _overlaps(face.box, others, SAME_FACE_OVERLAP):
                return
            is_crossing = self._note_crossed(track, face, seen)
            back.advance(face)
            self._observe(frame, track.number, face, is_crossing)

    def _shared_with(self, face: Face) -> list[float]:
        """Return the parts of a face that it shares with each followed face."""
        boxes = [face.box, *(track.last.box for track in self._active)]
        shared: list[float] = shared_parts(boxes)[0, 1:].tolist()
        return shared

    def _note_crossed(self, track: Track, face: Face, seen: list[Observation]) -> bool:
        """Note the followed tracks that a new track, followed backwards, overlaps; return whether there is any face."""
        shared = shared_parts([face.box, *(entry.face.box for entry in seen)])[0, 1:]
        crossed = {entry.track for entry, share in zip(seen, shared.tolist(), strict=True) if share > CROSSED}
        for other in self._active:
            if other.number in crossed and other is not track:
                self._crossings.add(track, other)
        return bool(crossed)

    def _open(self, face: Face) -> Track:
        return Track(self._next_number(), face)

    def _next_number(self) -> int:
        self._tracks += 1
        return self._tracks - 1

    def _observe(self, frame: Frame, track: int, face: Face, is_crossing: bool = False) -> None:
        seen = Observation(frame.number, track, face, self.meters.measure(frame, face.landmarks))
        self._seen.setdefault(seen.frame, []).append(seen)
        self._views.offer(frame, track, face, is_crossing)

    def _owner(self, detection: Detection) -> Track | None:
        """Return the track that a detection confirms, if any."""
        overlaps = [(box_overlap(track.last.box, detection.box), -k) for k, track in enumerate(self._active)]
        best, index = max(overlaps, default=(0.0, 0))
        return self._active[-index] if best > MATCH_OVERLAP else None


def still_chunk(frame: Frame, analyser: FaceFinder, meters: Meters) -> FaceChunk:
    """Return the record of an image: a clip of one frame."""
    faces, left_out = analyser.find_some(frame, analyser.detect(frame))
    rows = [Observation(0, number, face, meters.measure(frame, face.landmarks)) for number, face in enumerate(faces)]

    def views_of(ranking: Ranking, track: int) -> tuple[tuple[FaceView, ...], float]:
        # The entire image serves as the view, so that a measurement equals one of the image itself.
        if is_outside(frame, faces[track]):
            return (), 0.0
        return (FaceView(frame, faces[track].landmarks),), ranking.quality(faces[track])

    of_tracks = _measure_tracks(meters, views_of, range(len(faces)))
    return _make_chunk(0, rows, meters.measurements, of_tracks, [False], [_thumbnail(frame)] * 2, [left_out])


def _middle(face: Face) -> Floats:
    return np.asarray((face.box[:2] + face.box[2:]) / 2, np.float32)


def _thumbnail(frame: Frame) -> Floats:
    return frame.luma_thumbnail(*THUMBNAIL).astype(np.float32)


def _overlaps(box: Floats, others: list[Floats], limit: float) -> bool:
    return any(box_overlap(other, box) > limit for other in others)


def _revive(lost: list[tuple[Track, Floats]], face: Face) -> Track | None:
    """Remove and return the lost track that was expected where ``face`` is."""
    for k, (track, expected) in enumerate(lost):
        if box_overlap(landmark_box(expected), face.box) > MATCH_OVERLAP:
            del lost[k]
            return track
    return None


def _measure_tracks(
    meters: Meters, views_of: Callable[[Ranking, int], tuple[tuple[FaceView, ...], float]], tracks: Iterable[int]
) -> dict[str, tuple[Values, Floats]]:
    """Return the measurements of tracks, [t,...], and the weights of their views, float32 [t], by name."""
    tracks, measured = list(tracks), dict[str, tuple[Values, Floats]]()
    for each, meter in zip(meters.measurements.of_tracks, meters.of_tracks, strict=True):
        found = [views_of(each.ranking, track) for track in tracks]
        unmeasured = np.zeros(each.shape, each.dtype)
        values = [meter.measure(best) if best else unmeasured for best, _ in found]
        weights = np.array([weight for _, weight in found], np.float32)
        measured[each.name] = np.array(values, each.dtype).reshape(-1, *each.shape), weights
    return measured


def _make_chunk(
    first: int,
    rows: list[Observation],
    measurements: Measurements,
    of_tracks: Mapping[str, tuple[Values, Floats]],
    cuts: list[bool],
    thumbnails: list[Floats],
    left_out: list[int],
) -> FaceChunk:
    points = rows[0].face.landmarks.shape[0] if rows else MESH_POINTS
    return FaceChunk(
        first=first,
        count=len(cuts),
        frame=np.array([row.frame for row in rows], np.int32),
        track=np.array([row.track for row in rows], np.int32),
        landmarks=np.array([row.face.landmarks for row in rows], np.float32).reshape(-1, points, 3),
        score=np.array([row.face.score for row in rows], np.float32),
        presence=np.array([row.face.presence for row in rows], np.float32),
        values={
            value.name: np.array([row.values[value.name] for row in rows], value.dtype).reshape(-1, *value.shape)
            for value in measurements.values
        },
        cut=np.array(cuts, np.bool_),
        thumbnails=np.array(thumbnails).astype(np.uint8).reshape(2, THUMBNAIL[1], THUMBNAIL[0]),
        left_out=np.array(left_out if any(left_out) else [], np.int32),
        of_tracks={name: values for name, (values, _) in of_tracks.items()},
        track_weights={name: weights for name, (_, weights) in of_tracks.items()},
    )
