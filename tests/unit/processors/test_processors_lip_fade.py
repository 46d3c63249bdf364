"""Tests of the fade to the target's own mouth where a face leaves, turns away or is covered."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from fakes.face_chunks import face_at
from fakes.stand_ins import LipSession

from facefusion.faces.face import LinkedFace
from facefusion.faces.landmarks.subsets import five_points, sixty_eight_points
from facefusion.faces.pose import turned_away
from facefusion.faces.topology import load_topology
from facefusion.media.frame import PixelFrame
from facefusion.processors.face_masker import FaceMasker
from facefusion.processors.lip_syncer.fade import degrees_turned, facing, presence, visible
from facefusion.processors.lip_syncer.models import FADE_FRAMES
from facefusion.processors.lip_syncer.network import Wav2Lip
from facefusion.processors.lip_syncer.published import LipSyncer
from facefusion.processors.processor import FrameTask

TOPOLOGY = load_topology()


def picture(number: int, shot: int = 0) -> PixelFrame:
    small = np.random.default_rng(shot).integers(0, 256, (20, 30, 3), np.uint8)
    return PixelFrame(cv2.resize(small, (200, 150), interpolation=cv2.INTER_CUBIC), number=number)


def face(track: int = 1, degrees: float = 0.0) -> LinkedFace:
    return LinkedFace(track, turned(degrees), 0.9)


def turned(degrees: float, pitch: float = 0.0) -> np.ndarray:
    """Return the mean face turned to the side and up or down, float32 [468,3]."""
    landmarks = face_at(100, 75, 30)
    centre = landmarks.mean(0)
    side = cv2.Rodrigues(np.array([0, np.radians(degrees), 0]))[0]
    down = cv2.Rodrigues(np.array([np.radians(pitch), 0, 0]))[0]
    return ((landmarks - centre) @ (down @ side).T + centre).astype(np.float32)


def eighty(mesh: np.ndarray) -> np.ndarray:
    """Return the 80 points that a published landmarker would find."""
    points = np.zeros((80, 3), np.float32)
    points[:68, :2], points[68:73, :2] = sixty_eight_points(mesh), five_points(mesh)
    points[73:75, :2] = mesh[:, :2].min(0), mesh[:, :2].max(0)
    return points


def task_of(
    number: int, present: range, clip: range, cuts: tuple[int, ...] = (), reach: int = FADE_FRAMES
) -> FrameTask:
    """Return a frame of a clip in which a face is present in some frames; ``cuts`` are the first frames of shots."""
    numbers = [min(max(number + offset, clip.start), clip.stop - 1) for offset in range(-reach, reach + 1)]
    frames = tuple(picture(each, sum(cut <= each for cut in cuts)) for each in numbers)
    faces = tuple((face(2), face(1)) if each in present else (face(2),) for each in numbers)
    return FrameTask(frames[reach], faces[reach], neighbours=frames, neighbour_faces=faces)


def opacities(present: range, clip: range, cuts: tuple[int, ...] = (), reach: int = FADE_FRAMES) -> list[float]:
    return [presence(task_of(number, present, clip, cuts, reach), face()) for number in present]


def test_the_mouth_fades_before_a_face_leaves_and_after_it_appears():
    values = opacities(range(10, 40), range(60))
    assert values[FADE_FRAMES:-FADE_FRAMES] == [1.0] * (30 - 2 * FADE_FRAMES)
    rising = values[:FADE_FRAMES]
    assert rising == sorted(rising) and 0 < rising[0] < 0.1 and 0.9 < rising[-1] < 1
    assert values == values[::-1]
    # No step is a jump.
    assert max(np.diff([0, *values, 0])) < 0.3


def test_a_short_track_is_never_fully_changed():
    assert max(opacities(range(10, 14), range(60))) < 0.6


def test_the_ends_of_a_clip_are_no_ends_of_a_face():
    assert set(opacities(range(0, 20), range(20))) == {1.0}
    assert set(opacities(range(0, 1), range(1))) == {1.0}
    # A trimmed clip.
    assert set(opacities(range(30, 50), range(30, 50))) == {1.0}


def test_a_cut_ends_no_fade():
    assert set(opacities(range(10, 40), range(60), cuts=(10, 40))) == {1.0}
    assert min(opacities(range(10, 40), range(60), cuts=(10, 43))) < 0.1


def test_more_neighbours_change_no_fade():
    assert opacities(range(10, 40), range(60), reach=8) == opacities(range(10, 40), range(60))


def test_without_neighbours_only_the_pose_counts():
    assert presence(FrameTask(picture(0), (face(),)), face()) == 1
    assert presence(FrameTask(picture(0), (face(),)), face(degrees=80)) == 0


@pytest.mark.parametrize('degrees', [-70, -50, -30, 0, 20, 40, 60, 75])
def test_the_turn_of_a_face_is_that_of_its_pose(degrees):
    mesh = turned(degrees)
    assert degrees_turned(mesh) == pytest.approx(turned_away(TOPOLOGY, mesh), abs=3)
    assert degrees_turned(eighty(mesh)) == pytest.approx(abs(degrees), abs=8)
    nodding = turned(0, degrees / 2)
    assert degrees_turned(nodding) == pytest.approx(turned_away(TOPOLOGY, nodding), abs=3)


@pytest.mark.parametrize('points', [468, 80])
def test_the_mouth_fades_as_the_face_turns_away(points):
    values = [facing(turned(each) if points == 468 else eighty(turned(each))) for each in range(0, 91, 2)]
    assert values == sorted(values, reverse=True) and values[:17] == [1.0] * 17 and values[-8:] == [0.0] * 8
    assert min(np.diff(values)) > -0.25
    assert facing(turned(-80)) == 0


def test_a_mouth_that_is_mostly_masked_is_hidden():
    mouth = np.array([[40, 60], [60, 60], [60, 70], [40, 70]], np.float32)
    mask = np.ones((100, 100), np.float32)
    assert visible(mask, mouth) == 1
    values = []
    for row in range(60, 72):
        mask[:row] = 0
        values.append(visible(mask, mouth))
    assert values == sorted(values, reverse=True) and values[0] == 1 and values[-1] == 0
    # Outside the mask there is nothing to change.
    assert visible(mask, mouth + 500) == 0


class Open:
    """A mask of ones."""

    def masks(self, crops, made):
        return [np.ones(crop.pixels.shape[:2], np.float32) for crop in crops]


class Silent:
    sample_count = 0

    def window(self, start, seconds):
        return np.zeros(round(seconds * 16000), np.float32)


def test_a_fading_mouth_is_blended_with_the_target():
    shares, wanted = [], []
    masker: FaceMasker = Open()  # type: ignore[assignment]
    for number in range(12, 20):
        task = task_of(number, range(0, 20), range(40))
        task.frame, task.faces = PixelFrame(np.full((150, 200, 3), 55, np.uint8)), (face(1),)
        assert LipSyncer(Wav2Lip(LipSession((1, 1, 1)), 96, 1, 0.5), masker, [Silent()]).process([task]) == [True]
        shares.append((int(task.frame.pixels.max()) - 55) / 200)
        wanted.append(presence(task, face(1)))
    np.testing.assert_allclose(shares, wanted, atol=0.01)
    assert shares[0] == 1 and shares[-1] < 0.1
