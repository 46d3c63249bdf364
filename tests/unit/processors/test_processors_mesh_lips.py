from __future__ import annotations

from fractions import Fraction

import cv2
import numpy as np
import pytest
from fakes.drawn_face import TOPOLOGY, draw_face, face_texture, open_face, ring_mask
from fakes.face_chunks import face_at, reduced
from fakes.linking import linked_face

from facefusion.errors import InternalError
from facefusion.faces.face import LinkedFace
from facefusion.faces.measurement_types import FaceView
from facefusion.faces.mouth import MouthSkinMeter, RestMeter, TeethMeter
from facefusion.faces.mouth_shape import head_pose, in_head, lip_gap, mouth_width, teeth_depth
from facefusion.faces.skin import SkinMeter
from facefusion.faces.topology import BROW_IMAGE_LEFT, EYE_IMAGE_LEFT, INNER_LIPS, eye_distance
from facefusion.media.frame import PixelFrame
from facefusion.processors.lip_syncer.mesh_lips.articulation import LARGEST_GAP, Articulator
from facefusion.processors.lip_syncer.mesh_lips.basis import LOWER, NOSE_END, RING, UPPER, MouthBasis
from facefusion.processors.lip_syncer.mesh_lips.cavity import head_coordinates
from facefusion.processors.lip_syncer.mesh_lips.idle import BLINK_EVERY, IdleMotion, Lids
from facefusion.processors.lip_syncer.mesh_lips.prepare import MeshLips
from facefusion.processors.lip_syncer.mesh_lips.render import MouthRenderer
from facefusion.processors.lip_syncer.mesh_lips.warp import MARGIN, REACH
from facefusion.processors.lip_syncer.options import LipSyncerOptions
from facefusion.processors.processor import FrameTask
from facefusion.voice.mouth_curves import MouthCurves, MouthShape

METER = SkinMeter(TOPOLOGY)
RENDERER = MouthRenderer(TOPOLOGY)
ARTICULATOR = Articulator(TOPOLOGY)
SKIN = (120, 150, 200)
CLOSED, HALF, WIDE = MouthShape(0, 0, True), MouthShape(0.5, 0, False), MouthShape(1, 0, False)
CHIN = 199


def closed_mesh(x: float, y: float, size: float) -> np.ndarray:
    """Return the mean shape with closed lips, float32 [468,3]."""
    shape = ARTICULATOR.speak(TOPOLOGY.mean_shape, CLOSED).shape
    return ((shape - TOPOLOGY.mean_shape.mean(0)) * size + [x, y, 0]).astype(np.float32)


PLACE = closed_mesh(200, 190, 70)


def linked(frame: PixelFrame, landmarks: np.ndarray, rest: PixelFrame | None = None) -> LinkedFace:
    """Return a linked face with the mouth of the frame itself, or of another frame with closed lips at PLACE."""
    face = linked_face(METER, frame, landmarks)
    own, closed = FaceView(frame, landmarks), FaceView(rest or frame, landmarks if rest is None else PLACE)
    values = {
        'mouth_rest': RestMeter(TOPOLOGY).measure([closed]),
        'mouth_skin': MouthSkinMeter(TOPOLOGY).measure([closed]),
        'mouth_teeth': TeethMeter(TOPOLOGY).measure([own]),
    }
    return LinkedFace(0, landmarks, 0.9, values={**face.values, **values})


def drawn(landmarks: np.ndarray = PLACE, width: int = 400, height: int = 400) -> PixelFrame:
    return draw_face(landmarks, face_texture(SKIN), width, height)


def spoken(mouth: MouthShape, frame: PixelFrame | None = None, face: LinkedFace | None = None, **how) -> np.ndarray:
    """Return the pixels of a face that speaks; by default, of the drawn face with closed lips."""
    frame = drawn() if frame is None else PixelFrame(frame.pixels.copy())
    RENDERER.render(frame, face or linked(drawn(), PLACE), mouth, **how)
    return frame.pixels


# Geometry


def test_the_basis_moves_lips_and_chin_and_nothing_above_the_end_of_the_nose():
    basis = MouthBasis(TOPOLOGY)
    above = TOPOLOGY.mean_shape[:, 1] < NOSE_END
    assert not basis.jaw[above].any() and not basis.follow[above].any() and not basis.lower_face[above].any()
    assert basis.jaw[[CHIN, 152]].min() > 0.99 and 0 <= basis.jaw.min() <= basis.jaw.max() <= 1
    np.testing.assert_allclose(basis.follow[RING], np.eye(20), atol=1e-6)
    np.testing.assert_allclose(basis.jaw, basis.jaw[TOPOLOGY.mirror], atol=0.03)


@pytest.mark.parametrize('opening', [0.0, 0.02, 0.1, 0.3, 0.7, 1.1])
@pytest.mark.parametrize('width', [-1.0, -0.4, 0.0, 1.0])
@pytest.mark.parametrize('rest', ['closed', 'open'])
def test_lips_have_exactly_the_commanded_gap_and_never_cross(opening, width, rest):
    shape = in_head(*_posed(closed_mesh(0, 0, 1) if rest == 'closed' else open_face(0, 0, 1)))
    said = ARTICULATOR.speak(shape, MouthShape(opening, width, False))
    expected = LARGEST_GAP * opening if opening > 0.06 else 0.0
    assert lip_gap(said.shape) == pytest.approx(expected, abs=1e-4) and said.gap == pytest.approx(expected)
    assert (said.shape[RING[LOWER], 1] - said.shape[RING[UPPER], 1]).min() > -1e-5
    above = TOPOLOGY.mean_shape[:, 1] < NOSE_END
    np.testing.assert_array_equal(said.shape[above], shape[above])


@pytest.mark.parametrize('rest', [closed_mesh(0, 0, 1), open_face(0, 0, 1), face_at(0, 0, 1)], ids=str)
def test_closed_lips_meet_along_their_whole_length(rest):
    said = ARTICULATOR.speak(in_head(*_posed(rest)), MouthShape(0.9, 0.5, True))
    np.testing.assert_allclose(said.shape[RING[LOWER]], said.shape[RING[UPPER]], atol=1e-5)


def test_jaw_and_chin_sink_with_the_opening_and_corners_follow_the_width():
    rest = in_head(*_posed(PLACE))
    chins = [ARTICULATOR.speak(rest, MouthShape(opening, 0, False)).shape[CHIN, 1] for opening in (0, 0.3, 0.6, 1)]
    assert np.diff(chins).min() > 0.03
    round_, plain, spread = (mouth_width(ARTICULATOR.speak(rest, MouthShape(0.4, w, False)).shape) for w in (-1, 0, 1))
    assert plain - round_ > 0.15 and spread - plain > 0.08


def test_own_articulation_of_a_face_is_taken_out():
    rest = in_head(*_posed(PLACE))
    speaking = ARTICULATOR.speak(rest, WIDE).shape
    np.testing.assert_allclose(
        ARTICULATOR.rest(speaking, rest)[[*INNER_LIPS, CHIN]], rest[[*INNER_LIPS, CHIN]], atol=1e-5
    )


def test_coordinates_of_the_teeth_are_those_of_the_pose():
    turn = cv2.Rodrigues(np.array([0.2, 0.4, 0.1]))[0]
    landmarks = (PLACE @ turn.T.astype(np.float32)).astype(np.float32)
    pose = head_pose(TOPOLOGY, landmarks)
    said = ARTICULATOR.speak(in_head(pose, landmarks), HALF)
    x, y = head_coordinates(pose, said.lip_line, np.array([3.0, 40.0], np.float32), 5, 4)
    points = np.dstack([x, y, teeth_depth(said.lip_line, x)]) @ pose.turn.T + pose.shift
    np.testing.assert_allclose(points[..., 0], np.arange(3, 8)[None] * np.ones((4, 1)), atol=0.3)
    np.testing.assert_allclose(points[..., 1], np.arange(40, 44)[:, None] * np.ones((1, 5)), atol=0.3)


# Pixels


@pytest.mark.parametrize('mouth', [HALF, WIDE, MouthShape(0.6, -1, False)], ids=str)
def test_pixels_above_the_nose_stay_and_those_of_mouth_and_chin_change(mouth):
    before, after = drawn().pixels.astype(int), spoken(mouth).astype(int)
    change = np.abs(after - before)
    nose = int(PLACE[TOPOLOGY.mean_shape[:, 1] < 0, 1].max())
    assert change[:nose].max() == 0 and change[nose:].max() > 60
    # The lower edge of the chin moves down over the background.
    x, y = PLACE[152, :2].round().astype(int)
    assert change[y + 2 : y + 5, x - 5 : x + 5].mean() > 15


def test_an_open_mouth_shows_a_cavity_that_grows_with_the_opening():
    dark = [int((spoken(MouthShape(o, 0, False)).astype(int).sum(2) < 200).sum()) for o in (0, 0.3, 0.6, 1.0)]
    dark = np.array(dark) - dark[0]
    assert np.diff(dark).min() > 30


def test_closing_an_open_mouth_hides_its_inside():
    landmarks = open_face(200, 190, 70)
    frame = drawn(landmarks)
    inside = ring_mask(landmarks, INNER_LIPS, (400, 400), 2)
    assert frame.pixels[inside].mean() < 60
    closed = spoken(CLOSED, frame, linked(frame, landmarks))
    mouth = closed[200:300, 140:260].astype(int).sum(2)
    assert (mouth < 150).sum() < 0.06 * inside.sum()


def test_an_open_mouth_takes_the_skin_of_the_most_closed_frame():
    """In the open frame, a green spot marks the chin; the frame with closed lips does not have it."""
    landmarks = open_face(200, 190, 70)
    frame = drawn(landmarks)
    x, y = landmarks[18, :2].round().astype(int)
    cv2.circle(frame.pixels, (int(x), int(y)), 3, (0, 255, 0), -1)

    def green(pixels: np.ndarray) -> int:
        return int(((pixels[..., 1].astype(int) - pixels[..., 2]) > 100).sum())

    assert green(frame.pixels[150:320, 140:260]) > 15
    kept = spoken(CLOSED, frame, linked(frame, landmarks))
    replaced = spoken(CLOSED, frame, linked(frame, landmarks, rest=drawn()))
    assert green(kept[150:320, 140:260]) > 15 and green(replaced[150:320, 140:260]) == 0


def test_the_inside_of_a_mouth_is_as_dark_as_the_scene():
    bright = spoken(WIDE).astype(float)
    dark_frame = PixelFrame((drawn().pixels * 0.25).astype(np.uint8))
    dark = spoken(WIDE, dark_frame, linked(dark_frame, PLACE)).astype(float)
    mouth = slice(200, 275), slice(165, 235)
    assert np.abs(dark[mouth] - 0.25 * bright[mouth]).mean() < 2.5


def test_a_grey_scene_has_a_grey_mouth():
    grey = PixelFrame(np.dstack([cv2.cvtColor(drawn().pixels, cv2.COLOR_BGR2GRAY)] * 3))
    mouth = spoken(WIDE, grey, linked(grey, PLACE)).astype(int)[200:275, 165:235]
    assert np.ptp(mouth, axis=2).max() <= 12


def test_a_mouth_turns_with_the_face():
    upright = spoken(WIDE)
    frame = PixelFrame(np.ascontiguousarray(np.rot90(drawn().pixels)))
    turned = np.stack([PLACE[:, 1], 399 - PLACE[:, 0], PLACE[:, 2]], 1).astype(np.float32)
    found = spoken(WIDE, frame, linked(frame, turned))
    assert np.abs(np.rot90(found, -1).astype(int) - upright).mean() < 0.5


# Fades


def test_a_share_fades_between_the_own_and_the_commanded_mouth():
    before = drawn().pixels.astype(int)
    changes = [np.abs(spoken(WIDE, share=share).astype(int) - before).mean() for share in (0.0, 0.3, 0.6, 1.0)]
    assert changes[0] == 0 and np.diff(changes).min() > 0.1


@pytest.mark.parametrize(('degrees', 'is_changed'), [(0, True), (30, True), (65, False), (-65, False)])
def test_a_turned_face_keeps_its_own_mouth(degrees, is_changed):
    angle = np.radians(degrees)
    turn = np.array([[np.cos(angle), 0, np.sin(angle)], [0, 1, 0], [-np.sin(angle), 0, np.cos(angle)]], np.float32)
    landmarks = ((PLACE - PLACE.mean(0)) @ turn.T + PLACE.mean(0)).astype(np.float32)
    frame = drawn(landmarks)
    face = linked(frame, landmarks)
    assert RENDERER.render(frame, face, WIDE) is is_changed
    if not is_changed:
        np.testing.assert_array_equal(frame.pixels, drawn(landmarks).pixels)


@pytest.mark.parametrize('colour', [(20, 20, 20), (250, 250, 250), (200, 90, 40)])
def test_a_covered_mouth_is_unchanged(colour):
    face, frame = linked(drawn(), PLACE), drawn()
    cv2.rectangle(frame.pixels, (140, 195), (260, 320), colour, -1)
    covered = frame.pixels.copy()
    assert not RENDERER.render(frame, face, WIDE)
    np.testing.assert_array_equal(frame.pixels, covered)


def test_a_masked_mouth_is_unchanged():
    """The whole track wears the mask, so its closed mouth looks like this, too."""
    frame = drawn()
    cv2.fillConvexPoly(
        frame.pixels, cv2.convexHull(PLACE[TOPOLOGY.mean_shape[:, 1] > 0, :2]).astype(int), (215, 205, 190)
    )
    masked = frame.pixels.copy()
    assert not RENDERER.render(frame, linked(frame, PLACE), WIDE)
    np.testing.assert_array_equal(frame.pixels, masked)


def test_tiny_faces_are_unchanged():
    landmarks = closed_mesh(60, 60, 11)
    frame = drawn(landmarks, 120, 120)
    assert not RENDERER.render(frame, linked(frame, landmarks), WIDE)
    np.testing.assert_array_equal(frame.pixels, drawn(landmarks, 120, 120).pixels)


# Bad input


@pytest.mark.parametrize('place', [(-30, 190), (395, 190), (200, 395), (200, -60), (0, 400)])
def test_a_face_partly_outside_the_frame_changes_only_what_is_inside(place):
    landmarks = closed_mesh(*place, 70)
    frame = drawn(landmarks)
    face = linked(frame, landmarks)
    RENDERER.render(frame, face, WIDE)
    assert frame.pixels.shape == (400, 400, 3)


@pytest.mark.parametrize('spoilt', ['equal', 'flat', 'nan'])
def test_spoilt_landmarks_leave_the_frame_unchanged(spoilt):
    frame = drawn()
    face = linked(frame, PLACE)
    landmarks = PLACE.copy()
    if spoilt == 'equal':
        landmarks[:] = PLACE.mean(0)
    elif spoilt == 'flat':
        landmarks[:, :2] = PLACE.mean(0)[:2]
    else:
        landmarks[3] = np.nan
    assert not RENDERER.render(frame, LinkedFace(0, landmarks, 0.9, values=face.values), WIDE)
    np.testing.assert_array_equal(frame.pixels, drawn().pixels)


def test_landmarks_of_another_landmarker_are_a_fault_of_the_program():
    face = linked(drawn(), PLACE)
    with pytest.raises(InternalError, match='without a mesh'):
        RENDERER.render(drawn(), LinkedFace(0, reduced(PLACE, 68), 0.9, values=face.values), WIDE)


def test_a_face_without_measurements_of_its_track_speaks():
    """A track may have no views, for example if there are too many tracks."""
    face = linked(drawn(), PLACE)
    values = {name: np.zeros_like(v) if name.startswith('mouth') else v for name, v in face.values.items()}
    assert RENDERER.render(drawn(), LinkedFace(0, PLACE, 0.9, values=values), WIDE)


# The processor


def curves(opening: float = 1.0) -> MouthCurves:
    wave = (opening * (0.5 - 0.5 * np.cos(np.arange(100) / 8))).astype(np.float32)
    return MouthCurves(wave, np.zeros(100, np.float32), wave < 0.05)


def test_the_result_does_not_depend_on_the_batch():
    processor, face = MeshLips(RENDERER, [curves()], LipSyncerOptions()), linked(drawn(), PLACE)
    times = [Fraction(k, 25) for k in (3, 0, 9, 6)]
    together, single = ([FrameTask(drawn(), (face,), seconds) for seconds in times] for _ in range(2))
    assert processor.process(together) == [processor.process([task])[0] for task in single]
    for one, other in zip(together, single, strict=True):
        np.testing.assert_array_equal(one.frame.pixels, other.frame.pixels)
    assert len({task.frame.pixels.tobytes() for task in together}) == 4


def test_every_selected_face_speaks_and_a_frame_without_faces_is_unchanged():
    places = (closed_mesh(130, 150, 45), closed_mesh(300, 150, 45))
    frame = PixelFrame(np.where(np.arange(400)[None, :, None] < 215, drawn(places[0]).pixels, drawn(places[1]).pixels))
    before = frame.pixels.copy()
    faces = tuple(linked(frame, place) for place in places)
    processor = MeshLips(RENDERER, [curves()], LipSyncerOptions())
    task, empty = FrameTask(frame, faces, Fraction(1, 4)), FrameTask(drawn(), (), Fraction(1, 4))
    assert processor.process([task, empty]) == [True, False]
    change = np.abs(frame.pixels.astype(int) - before).sum((0, 2))
    assert change[:215].max() > 500 and change[215:].max() > 500
    np.testing.assert_array_equal(empty.frame.pixels, drawn().pixels)


def test_after_the_end_of_the_voice_the_mouth_rests():
    processor, face = MeshLips(RENDERER, [curves()], LipSyncerOptions()), linked(drawn(), PLACE)
    task = FrameTask(drawn(), (face,), Fraction(5))
    processor.process([task])
    assert np.abs(task.frame.pixels.astype(int) - drawn().pixels).mean() < 0.05


@pytest.mark.parametrize('weight', [0.0, 0.25, 0.5])
def test_the_weight_scales_the_motion_and_0_keeps_the_mouth_closed(weight):
    face = linked(drawn(), PLACE)
    frames = []
    for command in (weight, 0.5):
        opening = 0.9 if command == weight else 1.8 * weight
        constant = np.full(100, opening, np.float32)
        voice = MouthCurves(constant, np.zeros(100, np.float32), constant < 0.05)
        task = FrameTask(drawn(), (face,), Fraction(1, 4))
        MeshLips(RENDERER, [voice], LipSyncerOptions(lip_syncer_weight=command)).process([task])
        frames.append(task.frame.pixels)
    np.testing.assert_array_equal(*frames)


def test_the_mask_of_an_occluder_keeps_the_object_in_front_of_the_mouth():
    class LeftHalf:
        def limit(self, task, face):
            def opacity(window, painted):
                return np.repeat((np.arange(window.x0, window.x1) < 200)[None], window.height, 0).astype(np.float32)

            return opacity

    face, frames = linked(drawn(), PLACE), []
    for masks in (None, LeftHalf()):
        task = FrameTask(drawn(), (face,), Fraction(1, 4))
        assert MeshLips(RENDERER, [curves()], LipSyncerOptions(), masks).process([task]) == [True]
        frames.append(task.frame.pixels)
    np.testing.assert_array_equal(frames[1][:, :200], frames[0][:, :200])
    np.testing.assert_array_equal(frames[1][:, 200:], drawn().pixels[:, 200:])
    assert (frames[0][:, 200:] != drawn().pixels[:, 200:]).any()


# Idle motion


def test_idle_motion_is_off_by_default_and_only_for_pictures():
    face = linked(drawn(), PLACE)
    rest = MouthCurves(np.zeros(200, np.float32), np.zeros(200, np.float32), np.ones(200, bool))
    plain, lively = (
        MeshLips(RENDERER, [rest], LipSyncerOptions(lip_syncer_idle_motion=motion)) for motion in (0.0, 1.0)
    )
    stills = [FrameTask(drawn(), (face,), Fraction(3, 2)) for _ in range(2)]
    plain.process(stills[:1])
    lively.process(stills[1:])
    changes = [np.abs(task.frame.pixels.astype(int) - drawn().pixels).mean() for task in stills]
    assert changes[0] < 0.05 < 0.3 < changes[1]
    clip = FrameTask(drawn(), (face,), Fraction(3, 2), neighbours=(PixelFrame(drawn().pixels, number=1),))
    lively.process([clip])
    np.testing.assert_array_equal(clip.frame.pixels, stills[0].frame.pixels)


def test_idle_motion_is_small_smooth_and_a_function_of_time():
    times = np.arange(0, 20, 0.04)
    poses = [IdleMotion.at(seconds, 1).move(head_pose(TOPOLOGY, PLACE), PLACE)[1] for seconds in times]
    moves = np.linalg.norm(np.array(poses)[:, :, :2] - PLACE[:, :2], axis=2) / eye_distance(PLACE)
    assert moves[0].max() < 1e-5 and 0.02 < moves.max() < 0.13
    assert np.abs(np.diff(np.array(poses)[:, :, :2], axis=0)).max() / eye_distance(PLACE) < 0.01
    assert IdleMotion.at(7.3, 0.5) == IdleMotion.at(7.3, 0.5)


def test_eyes_blink_once_in_each_period():
    times = np.arange(0, 10 * BLINK_EVERY, 0.01)
    shut = np.array([IdleMotion.at(seconds, 0.5).shut for seconds in times])
    starts = np.flatnonzero((shut[1:] > 0) & (shut[:-1] == 0))
    assert len(starts) == 10 and shut.max() == 1 and (shut > 0).mean() < 0.12
    assert len(set(np.round(np.diff(times[starts]), 1))) > 3
    assert IdleMotion.at(float(times[int(starts[0]) + 8]), 0.0).shut == 0


def test_a_blink_closes_the_upper_lid_and_moves_nothing_else():
    closed = Lids(TOPOLOGY).close(PLACE, (1.0, 0.0))
    heights = [np.ptp(mesh[list(EYE_IMAGE_LEFT), 1]) for mesh in (PLACE, closed)]
    assert heights[1] < 0.5 * heights[0]
    moved = np.abs(closed - PLACE).max(1) > 1e-3
    assert not moved[list(BROW_IMAGE_LEFT)].any() and not moved[TOPOLOGY.mean_shape[:, 0] > 0].any()
    np.testing.assert_array_equal(Lids(TOPOLOGY).close(PLACE, (0.0, 0.0)), PLACE)


def test_motion_ends_inside_the_window():
    assert MARGIN > REACH


def _posed(landmarks: np.ndarray):
    return head_pose(TOPOLOGY, landmarks), landmarks
