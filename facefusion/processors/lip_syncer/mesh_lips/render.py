"""Render a commanded mouth onto a face of a frame: move the pixels, and paint the inside of the mouth.

The result depends only on the frame, the linked face and the command.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from facefusion.errors import InternalError
from facefusion.faces.atlas import smooth_number
from facefusion.faces.face import MESH_POINTS, Bools, Floats, LinkedFace
from facefusion.faces.mouth import MOUTH_AREA, MOUTH_SIZE, SKIN_VERTICES, MouthMaps
from facefusion.faces.mouth_shape import HeadPose, head_pose, in_head, lip_gap
from facefusion.faces.pose import turned_away
from facefusion.faces.skin import LIGHT_SIZE, YCC_TO_BGR, LinkedSkin, linked_skin, smooth_light
from facefusion.faces.topology import EYE_IMAGE_LEFT, EYE_IMAGE_RIGHT, INNER_LIPS, MeshTopology
from facefusion.media.frame import Frame, Window
from facefusion.processors.lip_syncer.mesh_lips.articulation import Articulation, Articulator
from facefusion.processors.lip_syncer.mesh_lips.basis import MIDDLE_RINGS, OUTER_RING, RING
from facefusion.processors.lip_syncer.mesh_lips.cavity import (
    MouthPainter,
    Teeth,
    coverage,
    head_coordinates,
    inner_lips,
)
from facefusion.processors.lip_syncer.mesh_lips.idle import IdleMotion, Lids
from facefusion.processors.lip_syncer.mesh_lips.repaint import MouthAtlas, repaint
from facefusion.processors.lip_syncer.mesh_lips.visibility import (
    mean_colour,
    share_by_cover,
    share_by_likeness,
    share_by_size,
    share_by_turn,
)
from facefusion.processors.lip_syncer.mesh_lips.warp import ExactField, MotionField, moved_pixels, moved_window
from facefusion.processors.network_masks import Limit
from facefusion.voice.mouth_curves import MouthShape

Pixels = npt.NDArray[np.uint8]

# Lips that are apart in the frame are read this share of their thickness away from their edge, so that no pixels of
# the teeth remain on them; at the corners, a larger share.
INSET, CORNER_INSET = 0.30, 0.85
# The last triangles of the topology fill the inside of the mouth.
INNER_TRIANGLES = 18
# Closed lips that were apart get a dark line between them: its width in eye distances, and its depth.
LINE_WIDTH, LINE_DEPTH = 0.011, 0.45
# A track has closed lips if the gap of its most closed views is below this, in eye distances.
CLOSED = 0.05
# The skin around the lips that is rendered exactly, and where the skin is repainted, in eye distances.
MARGIN, WIDE_MARGIN = 0.2, 0.45
# The same for eyes that blink, and the radius of the moved triangles in the atlas.
EYE_MARGIN, EYE_REACH = 0.25, 0.16
# Gaps of the own mouth between which the closed mouth of the track replaces the skin.
REPAINT_FROM, REPAINT_TO = 0.05, 0.12
# A face fades to its own mouth below this share; then nothing changes.
LEAST_SHARE = 0.02


@dataclass(frozen=True, slots=True, eq=False)
class Scene:
    """A face of a frame and its commanded mouth.

    after: float32 [468,3], the moved mesh in frame pixels. own_gap: between the lips in the frame, in eye distances.
    share: 1, or less where the mouth fades to the own one. repainted: how far the skin around the mouth comes from the
    most closed frame of the track, 0..1. window: the changed part of the frame; place: the mouth in it.
    """

    face: LinkedFace
    skin: LinkedSkin
    pose: HeadPose
    said: Articulation
    after: Floats
    own_gap: float
    spread: float
    share: float
    repainted: float
    window: Window
    place: Window


class MouthRenderer:
    """Renders mouths onto faces; immutable, so threads may share it."""

    def __init__(self, topology: MeshTopology) -> None:
        self._topology = topology
        self._articulator = Articulator(topology)
        self._atlas = MouthAtlas(topology)
        self._maps = MouthMaps(topology)
        centres = topology.atlas[topology.triangles].mean(1)
        self._near_mouth = (np.abs(centres[:, 0] - 0.5) < 0.26) & (centres[:, 1] > 0.57) & (centres[:, 1] < 0.95)
        self._lips_only = self._near_mouth.copy()
        self._lips_only[-INNER_TRIANGLES:] = False
        self._lids = Lids(topology)
        self._near_eyes = [(ring, _around_eye(topology, ring)) for ring in (EYE_IMAGE_LEFT, EYE_IMAGE_RIGHT)]
        texels = topology.texels(LIGHT_SIZE)[list(SKIN_VERTICES)]
        self._skin_cells = tuple(np.clip(np.round(texels).astype(int), 0, LIGHT_SIZE - 1).T[::-1])

    def render(
        self,
        frame: Frame,
        face: LinkedFace,
        mouth: MouthShape,
        share: float = 1.0,
        idle: IdleMotion | None = None,
        limit: Limit | None = None,
    ) -> bool:
        """Give ``face`` a mouth in ``frame``; return whether anything changed.

        ``share``: 0 keeps the own mouth, 1 is the full command. It is reduced for turned, covered and tiny faces.
        ``idle``: the motion of a head in a still picture. ``limit``: the masks of published networks.
        """
        scene = self._scene(frame, face, mouth, share, idle)
        if scene is None:
            return False
        window, place = scene.window, scene.place
        before = frame.read(window)
        field = MotionField(self._topology, face.landmarks, scene.after, window, scene.pose.scale)
        pixels = moved_pixels(before, field.offset)
        if idle is not None and idle.shut > 0:
            self._blink(scene, idle, before, pixels, field)
        if not place.is_empty:
            self._render_mouth(scene, before, pixels, field)
        if limit is not None:
            opacity = limit(window, pixels)[..., None]
            pixels = np.round(before * (1 - opacity) + pixels * opacity).astype(np.uint8)
            if np.array_equal(pixels, before):
                return False
        frame.write(window, pixels, before)
        return True

    def _scene(
        self, frame: Frame, face: LinkedFace, mouth: MouthShape, share: float, idle: IdleMotion | None
    ) -> Scene | None:
        """Return the moved mesh, or None if nothing changes."""
        landmarks, skin = face.landmarks, linked_skin(face.values)
        if skin is None or len(landmarks) != MESH_POINTS:
            raise InternalError('skin-not-measured', 'mesh_lips received a face without a mesh or skin measurements')
        if not np.isfinite(landmarks).all():
            return None
        share *= share_by_size(face) * share_by_cover(face)
        # A face whose points coincide has no direction.
        if share > LEAST_SHARE:
            share *= share_by_turn(turned_away(self._topology, landmarks))
        if share > LEAST_SHARE:
            share *= self._likeness(frame, face, skin)
        if share <= LEAST_SHARE:
            return None
        pose = head_pose(self._topology, landmarks)
        own = in_head(pose, landmarks)
        neutral = face.values.get('mouth_rest')
        rest = own if neutral is None or not neutral.any() else self._articulator.rest(own, neutral)
        said = self._articulator.speak(rest, mouth)
        after = (landmarks + share * (said.shape - own) @ pose.turn.T).astype(np.float32)
        if idle is not None:
            pose, after = idle.move(pose, after)
        window = moved_window(landmarks, after, pose.scale).clipped(frame.width, frame.height)
        if window.is_empty:
            return None
        repainted = share * _repainted(face, lip_gap(own))
        place = _place(_inside(after[OUTER_RING], window), window, MARGIN * pose.scale)
        return Scene(face, skin, pose, said, after, lip_gap(own), mouth.width, share, repainted, window, place)

    def _likeness(self, frame: Frame, face: LinkedFace, skin: LinkedSkin) -> float:
        """Return 0 if something hides the mouth: it does not look like the mouth of the track."""
        own = face.values.get('mouth_skin')
        if own is None or not own.any():
            return 1.0
        x, y = self._maps.maps(face.landmarks)
        step = float(np.ptp(face.landmarks[:, :2], axis=0).max()) * MOUTH_AREA[2] / MOUTH_SIZE[0] * 2
        half = (slice(None, None, 2), slice(None, None, 2))
        seen = frame.sample(np.ascontiguousarray(x[half]), np.ascontiguousarray(y[half]), step)
        own = np.asarray(cv2.resize(own, seen.shape[1::-1], interpolation=cv2.INTER_AREA), np.uint8)
        light = self._skin_colour(skin) / mean_colour(own, self._atlas.cheeks[half])
        return share_by_likeness(seen, own, self._atlas.compared[half], light)

    def _render_mouth(self, scene: Scene, before: Pixels, pixels: Pixels, field: MotionField) -> None:
        apart = _apart(scene.own_gap)
        source = _inset(scene.face.landmarks, apart * scene.share)
        # While the mouth fades, its own inside shows through.
        part = self._lips_only if scene.share > 0.99 else self._near_mouth
        meshes = _inside(source, scene.window), _inside(scene.after, scene.window)
        mouth = ExactField(self._topology, part, INNER_LIPS, meshes, scene.place, 2)
        mouth.refine(before, pixels, field.offset)
        if scene.repainted > 0:
            self._repaint(scene, pixels)
        if scene.said.gap > 0:
            self._paint_inside(scene, pixels)
        else:
            _draw_line(scene, pixels)

    def _repaint(self, scene: Scene, pixels: Pixels) -> None:
        """Replace the skin around the mouth by that of the track's most closed mouth."""
        after = _inside(scene.after, scene.window)
        x0, y0, x1, y1 = place = _place(after[OUTER_RING], scene.window, WIDE_MARGIN * scene.pose.scale)
        field = ExactField(self._topology, self._lips_only, (), (after, after), place, 2)
        texture = np.ascontiguousarray(scene.face.values['mouth_skin'])
        closed, shown = field.look_up(self._atlas.texels, texture, self._atlas.opacity)
        repaint(pixels[y0:y1, x0:x1], closed, shown * np.float32(scene.repainted))

    def _blink(self, scene: Scene, idle: IdleMotion, before: Pixels, pixels: Pixels, field: MotionField) -> None:
        """Close the upper lids; the eyes stay under them."""
        traits = scene.skin.traits
        closed = self._lids.close(scene.after, (idle.shut * traits.eye_image_left, idle.shut * traits.eye_image_right))
        meshes = _inside(scene.face.landmarks, scene.window), _inside(closed, scene.window)
        for ring, part in self._near_eyes:
            place = _place(meshes[1][list(ring)], scene.window, EYE_MARGIN * scene.pose.scale)
            if not place.is_empty:
                ExactField(self._topology, part, (), meshes, place, 2).refine(before, pixels, field.offset)

    def _paint_inside(self, scene: Scene, pixels: Pixels) -> None:
        place, pose, said = scene.place, scene.pose, scene.said
        corner = np.array([scene.window.x0 + place.x0, scene.window.y0 + place.y0], np.float32)
        ring = scene.after[RING]
        opacity = coverage(inner_lips(ring), corner, place.width, place.height)
        opacity = cv2.GaussianBlur(opacity, (0, 0), max(0.5, 0.006 * pose.scale)) * np.float32(
            smooth_number(scene.share)
        )
        x, y = head_coordinates(pose, said.lip_line, corner, place.width, place.height)
        painter = MouthPainter(said, x, y, self._skin_colour(scene.skin), scene.skin.traits.lip_luma)
        colour = painter.paint(Teeth.of(scene.face.values.get('mouth_teeth')), scene.spread)
        part = pixels[place.y0 : place.y1, place.x0 : place.x1]
        part[:] = np.clip(part + (colour - part) * opacity[..., None] + 0.5, 0, 255).astype(np.uint8)

    def _skin_colour(self, skin: LinkedSkin) -> Floats:
        """Return the colour of cheeks and chin, BGR float32 [3]."""
        ycc = np.median(smooth_light(skin.light)[self._skin_cells], axis=0)
        return np.asarray(np.clip(YCC_TO_BGR @ ycc, 1, 255), np.float32)


def _around_eye(topology: MeshTopology, ring: Sequence[int]) -> Bools:
    """Return the triangles of the mesh around an eye, without those in it: bool [898]."""
    centres = topology.atlas[topology.triangles].mean(1)
    near = np.linalg.norm(centres - topology.atlas[list(ring)].mean(0), axis=1) < EYE_REACH
    return np.asarray(near & ~np.isin(topology.triangles, ring).all(1))


def _draw_line(scene: Scene, pixels: Pixels) -> None:
    """Draw the shadow between closed lips that are apart in the frame."""
    # Lips that are closed in the frame, or repainted, already have a dark line.
    depth = float(np.clip((scene.own_gap - 0.012) / 0.05, 0, 1)) * (scene.share - scene.repainted)
    width = LINE_WIDTH * scene.pose.scale
    line = inner_lips(scene.after[RING])[:41] - [scene.window.x0, scene.window.y0]
    margin = 3 * width + 2
    x0, y0 = np.floor(line.min(0) - margin).astype(int).tolist()
    x1, y1 = np.ceil(line.max(0) + margin).astype(int).tolist()
    place = Window(x0, y0, x1, y1).clipped(scene.window.width, scene.window.height)
    if place.is_empty or depth <= 0:
        return
    fine = 4
    mask = np.zeros((place.height * fine, place.width * fine), np.uint8)
    points = (line - [place.x0, place.y0] + 0.5) * fine - 0.5
    thick = max(round(width * fine), 1)
    cv2.polylines(mask, [np.round(points * 16).astype(np.int32)], False, 255, thick, cv2.LINE_AA, 4)
    small = np.asarray(cv2.resize(mask, (place.width, place.height), interpolation=cv2.INTER_AREA), np.float32)
    shade = 1 - LINE_DEPTH * depth / 255 * cv2.GaussianBlur(small, (0, 0), max(width * 0.5, 0.5))
    part = pixels[place.y0 : place.y1, place.x0 : place.x1]
    part[:] = np.clip(part * shade[..., None] + 0.5, 0, 255).astype(np.uint8)


def _repainted(face: LinkedFace, own_gap: float) -> float:
    """Return how far the closed mouth of the track replaces the skin around a mouth with a gap, 0..1."""
    rest, skin = face.values.get('mouth_rest'), face.values.get('mouth_skin')
    if rest is None or skin is None or not skin.any() or lip_gap(rest) > CLOSED:
        return 0.0
    return smooth_number((own_gap - REPAINT_FROM) / (REPAINT_TO - REPAINT_FROM))


def _inside(landmarks: Floats, window: Window) -> Floats:
    """Return landmarks [468,3] in pixels of a window."""
    return landmarks - np.array([window.x0, window.y0, 0], np.float32)


def _place(points: Floats, window: Window, margin: float) -> Window:
    """Return the part of a window around points [n,2+] of the window; ``margin`` in pixels."""
    x0, y0 = np.floor(points[:, :2].min(0) - margin - 2).astype(int).tolist()
    x1, y1 = np.ceil(points[:, :2].max(0) + margin + 2).astype(int).tolist()
    return Window(x0, y0, x1, y1).clipped(window.width, window.height)


def _apart(gap: float) -> float:
    """Return how far lips are apart in a frame: 0 for closed lips, 1 for lips that show teeth."""
    return smooth_number((gap - 0.03) / 0.04)


def _inset(landmarks: Floats, apart: float) -> Floats:
    """Return landmarks [468,3] whose lips are compressed towards their outer edge, so that they lie on solid lip."""
    source = landmarks.copy()
    side = np.abs(np.arange(len(RING)) % 10 - 5) / 5
    share = INSET + (CORNER_INSET - INSET) * side**3
    for ring in (RING, *MIDDLE_RINGS):
        source[ring] += (apart * share[:, None] * (landmarks[OUTER_RING] - landmarks[ring])).astype(np.float32)
    return source
