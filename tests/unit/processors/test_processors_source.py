"""Tests of the source of mesh_warp: several views, obstacles, and flaws of images."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from fakes.drawn_face import TOPOLOGY, draw_face, face_texture, open_face
from fakes.face_chunks import face_at
from fakes.linking import linked_face
from fakes.painted_faces import METAL, lit_from_the_right, scaled, with_glasses, with_strands

from facefusion.errors import InternalError
from facefusion.faces.analyser import FaceAnalyser
from facefusion.faces.skin import SkinMeter
from facefusion.media.frame import PixelFrame
from facefusion.media.image import read_image
from facefusion.processors.face_swapper.mesh_warp.render import MeshWarp
from facefusion.processors.face_swapper.mesh_warp.source import SourceTexture, SourceView, build_source

METER = SkinMeter(TOPOLOGY)
SKIN = (120, 150, 200)
# Words that occur in only one of the warnings.
WORDS = {
    'glasses': 'shows glasses',
    'hair': 'hair covers the forehead',
    'mouth': 'mouth is open',
    'side-light': 'lit from one side',
    'turned': 'is turned by',
    'small': 'pixels high',
    'blurred': 'is blurred',
    'dark': 'too dark',
    'burnt': 'overexposed',
    'covered': 'an object covers',
}


def said(source: SourceTexture) -> set[str]:
    kinds = {kind for kind, words in WORDS.items() if any(words in flaw for flaw in source.flaws)}
    assert len(kinds) == len(source.flaws)
    return kinds


def drawn(landmarks: np.ndarray, seed: int = 0, size: int = 500) -> SourceView:
    return SourceView(draw_face(landmarks, face_texture(SKIN, seed), size, size), landmarks)


def turned(degrees: float, size: float = 100, at: float = 250) -> np.ndarray:
    """Return the mean shape after a turn of the head to the side, float32 [468,3]."""
    angle = np.radians(degrees)
    matrix = np.array([[np.cos(angle), 0, np.sin(angle)], [0, 1, 0], [-np.sin(angle), 0, np.cos(angle)]])
    return (face_at(0, 0, size) @ matrix.T + [at, at, 0]).astype(np.float32)


def detail(source: SourceTexture, level: int = 2) -> np.ndarray:
    """Return the texture's luma relative to its own light, float32 [256,256], as rendering uses it."""
    luma = source.mips[level].astype(np.float32).mean(-1) + 8
    return luma / cv2.GaussianBlur(luma, (0, 0), 16)


def likeness(a: SourceTexture, b: SourceTexture, part: tuple[slice, slice]) -> float:
    return float(np.corrcoef(detail(a)[part].ravel(), detail(b)[part].ravel())[0, 1])


# The cheek at the image's left.
LEFT_CHEEK = (slice(115, 170), slice(45, 90))


def test_a_source_needs_a_picture():
    with pytest.raises(InternalError) as caught:
        build_source([], METER)
    assert caught.value.reference == 'source-no-views'


def test_a_plain_drawn_face_has_no_flaws():
    assert said(build_source([drawn(face_at(250, 250, 100))], METER)) == set()


@pytest.mark.parametrize(
    ('view', 'kind'),
    [
        (lambda: drawn(open_face(250, 250, 100)), 'mouth'),
        (lambda: drawn(turned(42)), 'turned'),
        (lambda: drawn(turned(-42)), 'turned'),
        (lambda: drawn(face_at(250, 250, 30)), 'small'),
        (lambda: altered(lambda frame, face: lit_from_the_right(frame, face)), 'side-light'),
        (lambda: altered(lambda frame, face: scaled(frame, 0.15)), 'dark'),
        (lambda: altered(lambda frame, face: scaled(frame, 2.5)), 'burnt'),
        (lambda: altered(lambda frame, face: PixelFrame(cv2.GaussianBlur(frame.pixels, (0, 0), 6))), 'blurred'),
    ],
    ids=['open mouth', 'turned left', 'turned right', 'small', 'side light', 'dark', 'burnt', 'blurred'],
)
def test_an_unfit_source_is_named(view, kind):
    assert kind in said(build_source([view()], METER))


def altered(change) -> SourceView:
    view = drawn(face_at(250, 250, 100))
    return SourceView(change(view.frame, view.landmarks), view.landmarks)


@pytest.mark.parametrize('degrees', [-28, 28])
def test_a_head_that_is_turned_a_little_is_fit(degrees):
    assert 'turned' not in said(build_source([drawn(turned(degrees))], METER))


def test_a_flaw_of_only_one_image_is_not_reported():
    front, side = drawn(face_at(250, 250, 100)), drawn(turned(42))
    assert said(build_source([side], METER)) == {'turned'}
    assert said(build_source([side, front], METER)) == set()


def test_a_turned_view_adds_to_a_frontal_one_and_spoils_nothing():
    front = build_source([drawn(face_at(250, 250, 100))], METER)
    both = build_source([drawn(face_at(250, 250, 100)), drawn(turned(30))], METER)
    assert likeness(both, front, (slice(60, 200), slice(60, 196))) > 0.97
    assert both.opacity.sum() >= 0.98 * front.opacity.sum()


def test_a_dark_half_comes_from_the_view_that_is_lit_there():
    truth = build_source([drawn(face_at(250, 250, 100))], METER)
    plain = drawn(face_at(250, 250, 100))
    # The left half is so dark that rounding removes the mottle.
    dark = SourceView(lit_from_the_right(plain.frame, plain.landmarks, 0.02), plain.landmarks)
    second = drawn(turned(-20))
    alone = likeness(build_source([dark], METER), truth, LEFT_CHEEK)
    together = likeness(build_source([dark, second], METER), truth, LEFT_CHEEK)
    assert together > alone + 0.03 and together > 0.85


def test_a_covered_half_comes_from_the_view_that_shows_it():
    truth = build_source([drawn(face_at(250, 250, 100))], METER)
    covered = drawn(face_at(250, 250, 100))
    covered.frame.pixels[230:380, 100:210] = (20, 25, 30)
    alone = likeness(build_source([covered], METER), truth, LEFT_CHEEK)
    together = likeness(build_source([covered, drawn(turned(-15))], METER), truth, LEFT_CHEEK)
    assert together > alone + 0.1 and together > 0.85


def test_parts_outside_the_image_come_from_the_other_half():
    whole = drawn(face_at(250, 250, 100))
    cut = SourceView(
        PixelFrame(whole.frame.pixels[:, 190:].copy()), whole.landmarks - np.array([190, 0, 0], np.float32)
    )
    source = build_source([cut], METER)
    seen, hidden = (source.mips[2][110:170, columns].astype(np.float32) for columns in (slice(160, 210), slice(46, 96)))
    hidden, seen = (part.mean(-1) for part in (hidden[:, ::-1], seen))
    assert np.corrcoef(hidden.ravel(), seen.ravel())[0, 1] > 0.9


def test_views_of_different_light_leave_no_seam():
    plain, warm = drawn(face_at(250, 250, 100)), drawn(turned(25))
    warm = SourceView(scaled(warm.frame, np.array([0.5, 0.7, 0.9])), warm.landmarks)
    texture = build_source([plain, warm], METER).mips[2].astype(np.float32)
    ratio = texture[..., 0] / texture[..., 2]
    smooth = cv2.GaussianBlur(ratio, (0, 0), 4)
    # There is no step between neighbouring parts of the skin, although the views differ by factors of 0.6 and 1.0.
    skin = smooth[110:180, 40:216]
    assert np.abs(skin[:, 12:] - skin[:, :-12]).max() < 0.12


def test_building_is_pure():
    views = [drawn(face_at(250, 250, 100)), drawn(turned(30), seed=2)]
    first, again = build_source(views, METER), build_source(views, METER)
    for a, b in zip(first.mips, again.mips, strict=True):
        np.testing.assert_array_equal(a, b)
    for name in ('ycc', 'weight', 'light_weight', 'opacity'):
        np.testing.assert_array_equal(getattr(first, name), getattr(again, name))
    assert first.traits == again.traits and first.flaws == again.flaws


@pytest.fixture(scope='module')
def faces(sessions, example_portrait, example_group):
    """The seven faces of the example images, from left to right."""
    analyser = FaceAnalyser(sessions)
    views = []
    for path in (example_portrait, example_group):
        frame = read_image(path)
        found = sorted(analyser.find(frame), key=lambda face: float(face.box[0]))
        views += [SourceView(PixelFrame(frame.read(frame.window)), face.landmarks) for face in found]
    assert len(views) == 7
    return views


@pytest.mark.network
def test_the_example_faces_have_only_their_known_flaws(faces):
    """The face of the portrait has a fringe, and the fifth of the group is turned by 45 degrees."""
    found = [said(build_source([view], METER)) for view in faces]
    assert found == [{'hair'}, set(), set(), set(), set(), {'turned'}, set()]


def repainted(view: SourceView, change, *parts) -> SourceView:
    return SourceView(change(view.frame, view.landmarks, *parts), view.landmarks)


@pytest.mark.network
@pytest.mark.parametrize('number', range(7))
def test_dark_frames_are_found_and_removed(faces, number):
    view = faces[number]
    worn = build_source([repainted(view, with_glasses)], METER)
    assert 'glasses' in said(worn)
    # The texture there is transparent or inpainted skin, while a frame would be darker by 100 or more.
    plain = build_source([view], METER)
    shown = cv2.resize(worn.opacity, (256, 256))
    darker = cv2.GaussianBlur(plain.mips[2], (0, 0), 2).astype(int) - cv2.GaussianBlur(worn.mips[2], (0, 0), 2)
    assert (darker.mean(-1) * shown).max() < 50


@pytest.mark.network
@pytest.mark.parametrize('number', [0, 1, 3, 4])
def test_a_swap_from_a_face_with_glasses_shows_no_glasses(faces, number):
    target = faces[6]

    def swap(source: SourceTexture) -> np.ndarray:
        frame = PixelFrame(target.frame.pixels.copy())
        MeshWarp(source, METER).render(frame, linked_face(METER, frame, target.landmarks))
        return frame.pixels.astype(int)

    before = target.frame.pixels.astype(int)
    plain = swap(build_source([faces[number]], METER))
    worn = swap(build_source([repainted(faces[number], with_glasses)], METER))
    # No pixel is darker than both the plain swap and the target; a frame would be darker by 60 or more.
    assert (np.minimum(plain, before) - worn).mean(-1).max() < 30


@pytest.mark.network
@pytest.mark.parametrize('number', [0, 1, 3, 4])
def test_thin_metal_frames_are_found(faces, number):
    worn = repainted(faces[number], with_glasses, METAL, 0.035)
    assert 'glasses' in said(build_source([worn], METER))


@pytest.mark.network
@pytest.mark.parametrize('number', [1, 2, 3, 4, 6])
def test_strands_over_the_forehead_are_painted_over(faces, number):
    view = faces[number]
    worn, plain = build_source([repainted(view, with_strands)], METER), build_source([view], METER)
    assert 'hair' in said(worn)
    forehead = (slice(30, 45), slice(90, 166))
    left = np.abs(detail(worn)[forehead] - detail(plain)[forehead])
    assert np.quantile(left, 0.98) < 0.15


@pytest.mark.network
@pytest.mark.parametrize('number', [0, 1, 3, 4, 6])
def test_light_from_one_side_is_named(faces, number):
    assert 'side-light' in said(build_source([repainted(faces[number], lit_from_the_right, 0.2)], METER))


@pytest.mark.network
def test_noise_is_not_taken_for_glasses(faces):
    random = np.random.default_rng(3)
    for view in faces:
        noisy = view.frame.pixels + random.normal(0, 22, view.frame.pixels.shape)
        frame = PixelFrame(np.clip(noisy, 0, 255).astype(np.uint8))
        assert 'glasses' not in said(build_source([SourceView(frame, view.landmarks)], METER))
