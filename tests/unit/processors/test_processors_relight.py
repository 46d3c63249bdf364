from __future__ import annotations

import cv2
import numpy as np
import pytest
from fakes.drawn_face import TOPOLOGY, draw_face, face_texture, open_face
from hypothesis import given, settings
from hypothesis import strategies as st

from facefusion.faces.atlas import AtlasGrid, AtlasMasks, enlarge
from facefusion.faces.skin import YCC_TO_BGR, SkinMeter, SkinTraits, chroma_ratio, to_ycc, unpack_light
from facefusion.processors.face_swapper.mesh_warp.relight import LIP_TINT, Relight, Relighter, paint, turning
from facefusion.processors.face_swapper.mesh_warp.source import SourceTexture, build_source
from facefusion.processors.face_swapper.mesh_warp.views import SourceView

METER = SkinMeter(TOPOLOGY)
SKINS = {'light': (120, 150, 200), 'dark': (60, 80, 120), 'warm': (70, 120, 215), 'pale': (195, 200, 220)}
GREY = (130, 130, 130)
SOURCE_FACE, TARGET_FACE = open_face(250, 250, 100), open_face(200, 190, 70)
SIZE = 128
LIPS = METER.masks.lips > 0.5
CHEEK = np.s_[70:86, 22:38]


def source_of(texture: np.ndarray) -> SourceTexture:
    return build_source([SourceView(draw_face(SOURCE_FACE, texture, 500, 500), SOURCE_FACE)], METER)


class Target:
    """A drawn face in atlas layout, and its measurements."""

    def __init__(self, texture: np.ndarray) -> None:
        frame = draw_face(TARGET_FACE, texture)
        sample = METER.measure(frame, TARGET_FACE)
        self.light, self.traits = unpack_light(sample['light']), SkinTraits(*sample['traits'].tolist())
        self.ycc = to_ycc(frame.sample(*METER.grid.maps(TARGET_FACE), 1.5))
        seen = enlarge(self.light[..., 3], SIZE, SIZE) > 0.5
        self.skin = (METER.masks.skin > 0.9) & seen


def lipped(skin: tuple[int, int, int], lips: tuple[int, int, int]) -> np.ndarray:
    """Return the texture of a face with lips of the given colour."""
    texture = face_texture(skin)
    mouth = AtlasMasks(TOPOLOGY, AtlasGrid(TOPOLOGY, len(texture))).lips > 0.5
    texture[mouth] = lips
    return texture


def relit(source: SourceTexture, target: Target, turned: float = 0.0) -> np.ndarray:
    """Return the source in the target's light as a YCbCr atlas, float32 [128,128,3]."""
    relight = Relighter(source, METER).relight(target.light, target.traits, turned)
    assert relight.field.shape == relight.mix.shape == relight.bare.shape == (64, 64, 4)
    field, mix = (enlarge(part, SIZE, SIZE) for part in (relight.field, relight.mix))
    return to_ycc(paint(source.mips[3].astype(np.float32), field, mix, relight))


@pytest.fixture(scope='module')
def sources():
    return {name: source_of(face_texture(skin)) for name, skin in SKINS.items()}


# Tone and colour


@pytest.mark.parametrize('skin', SKINS)
def test_a_source_in_the_targets_light_has_the_targets_tone(sources, skin):
    target = Target(face_texture(SKINS[skin], seed=5))
    painted = relit(sources[skin], target)
    np.testing.assert_allclose(painted[target.skin].mean(0), target.ycc[target.skin].mean(0), atol=3)


@pytest.mark.parametrize('source', SKINS)
@pytest.mark.parametrize('skin', SKINS)
def test_any_source_gets_the_tone_of_any_target(sources, source, skin):
    target = Target(face_texture(SKINS[skin], seed=5))
    painted = relit(sources[source], target)
    np.testing.assert_allclose(painted[target.skin].mean(0), target.ycc[target.skin].mean(0), atol=6)


@pytest.mark.parametrize('source', SKINS)
@pytest.mark.parametrize('turned', [0.0, 1.0])
def test_a_grey_target_stays_grey(sources, source, turned):
    texture = np.repeat(cv2.cvtColor(face_texture(GREY), cv2.COLOR_BGR2GRAY)[..., None], 3, 2)
    painted = relit(sources[source], Target(texture), turned)
    assert np.abs(painted[..., 1:]).max() < 1


def test_light_from_one_side_follows_the_target(sources):
    """The target is half as light on its left side, and the source on its right side."""
    shade = np.linspace(0.5, 1, 256)[None, :, None]
    target = Target((face_texture(SKINS['light']) * shade).astype(np.uint8))
    source = source_of((face_texture(SKINS['light']) * shade[:, ::-1]).astype(np.uint8))
    luma = relit(source, target)[..., 0]
    left, right = (luma[:, half][target.skin[:, half]].mean() for half in (np.s_[:64], np.s_[64:]))
    goal = [target.ycc[:, half, 0][target.skin[:, half]].mean() for half in (np.s_[:64], np.s_[64:])]
    assert left < 0.85 * right
    np.testing.assert_allclose([left, right], goal, atol=6)


# Lips


@pytest.mark.parametrize('turned', [0.0, 1.0])
def test_lips_of_a_warm_face_are_no_bluer_than_pale_skin(turned):
    """Even plain red lips are bluer than orange skin, and would look lilac on pale skin."""
    source = source_of(lipped(SKINS['warm'], (110, 100, 190)))
    target = Target(lipped(SKINS['pale'], (170, 165, 215)))
    own = chroma_ratio(source.ycc)
    assert source.traits.lip_blue > 0.05
    painted = chroma_ratio(relit(source, target, turned))
    around = METER.masks.lips_soft < 0.02
    below = np.zeros_like(around)
    below[84:120, 40:88] = True
    skin = painted[around & below & target.skin].mean(0)
    lips = painted[LIPS].mean(0)
    assert lips[0] <= skin[0] + LIP_TINT + 0.01
    assert lips[1] >= skin[1] - 0.01
    # Without the shift they would be bluer.
    assert own[LIPS].mean(0)[0] > own[around & below & target.skin].mean(0)[0] + LIP_TINT + 0.02


def test_red_lips_stay_redder_than_the_skin(sources):
    painted = chroma_ratio(relit(sources['light'], Target(face_texture(SKINS['pale']))))
    assert painted[LIPS].mean(0)[1] > painted[CHEEK].mean((0, 1))[1] + 0.05


# Relief


def folded(at: int, depth: float) -> np.ndarray:
    """Return the texture of a face with a fold on each side, ``at`` of 256 texels from the middle.

    The width of a fold is between the two light widths.
    """
    x = np.abs(np.arange(256) - 127.5) - at
    fold = 1 - depth * np.exp(-0.5 * (x / 14) ** 2)
    return np.clip(face_texture(SKINS['light'], seed=2) * fold[None, :, None], 0, 255).astype(np.uint8)


@pytest.mark.parametrize('at', [36, 50], ids=['beside the mouth', 'cheek'])
def test_folds_of_the_source_are_weaker_on_a_turned_face(at):
    """On a frontal face the folds of a smile are part of the likeness; on a turned face they are not."""
    source, plain, target = source_of(folded(at, 0.35)), source_of(folded(at, 0)), Target(face_texture(SKINS['light']))

    def fold(turned: float) -> float:
        """Return how much darker the fold is than its sides, relative to a source without a fold."""
        change = relit(source, target, turned)[72:84, :, 0] - relit(plain, target, turned)[72:84, :, 0]
        middle = 64 - at // 2
        return float(change[:, [middle - 8, middle + 8]].mean() - change[:, middle].mean())

    assert fold(0.0) > 10
    assert fold(1.0) < fold(0.5) < fold(0.0)
    assert fold(1.0) < 0.93 * fold(0.0)


# Limits of a pixel


def flat_relight(headroom: float = 0.2) -> Relight:
    nothing = np.zeros((64, 64, 4), np.float32)
    return Relight(nothing, nothing, nothing, (0.0, 0.0), headroom)


def painted_luma(code: float, light: float, features: float, headroom: float = 0.2) -> float:
    """Return the luma of a grey source pixel with ``code`` where the target's light is ``light``."""
    field = np.array([[[0, 0, 0, 1]]], np.float32)
    mix = np.array([[[0, light, 1, features]]], np.float32)
    pixel = np.full((1, 1, 3), code, np.float32)
    return float(to_ycc(paint(pixel, field, mix, flat_relight(headroom)))[0, 0, 0])


@given(st.floats(0, 255), st.floats(0, 255), st.floats(0, 1), st.floats(0.05, 0.6))
@settings(max_examples=60)
def test_luma_is_never_negative_and_highlights_are_limited(code, light, features, headroom):
    luma = painted_luma(code, light, features, headroom)
    room = max(light * headroom, 8)
    assert -0.01 <= luma <= light + room
    if features == 0:
        assert luma >= light - room - 0.01
    # A pixel lighter or darker than the target's light stays lighter or darker after the limit.
    assert (luma - light) * (code - light) >= -0.05


def test_highlights_are_limited_everywhere_and_shadows_on_skin_only():
    assert painted_luma(250, 150, 0) == pytest.approx(painted_luma(250, 150, 1), abs=0.01)
    assert 150 < painted_luma(250, 150, 0) < 150 + 0.2 * 150
    assert painted_luma(20, 150, 0) > 150 - 0.2 * 150
    assert painted_luma(20, 150, 1) == pytest.approx(20, abs=0.1)
    # Small differences are kept.
    assert painted_luma(151, 150, 0) == pytest.approx(151, abs=0.1)


def test_lighter_texels_are_never_darker():
    for features in (0.0, 0.5, 1.0):
        lumas = [painted_luma(code, 120, features) for code in range(0, 256, 5)]
        assert (np.diff(lumas) > 0).all()


@pytest.mark.parametrize('skin', SKINS)
@pytest.mark.parametrize('code', [0, 255, 'noise'])
def test_no_texture_exceeds_the_luma_limits_of_the_target(sources, skin, code):
    """The limits hold for every texel, even where the mesh is inaccurate."""
    target = Target(face_texture(SKINS[skin]))
    relight = Relighter(sources['light'], METER).relight(target.light, target.traits, 0.0)
    random = np.random.default_rng(0).integers(0, 256, (64, 64, 3))
    texture = (random if code == 'noise' else np.full((64, 64, 3), code)).astype(np.float32)
    painted = paint(texture, relight.field, relight.mix, relight)
    assert painted.shape == (64, 64, 3) and painted.dtype == np.float32 and np.isfinite(painted).all()
    luma, light = to_ycc(painted)[..., 0], relight.mix[..., 1]
    assert luma.min() > -0.05
    assert (luma <= light + np.maximum(light * relight.headroom, 8) + 0.05).all()


def test_paint_does_not_change_its_arguments():
    field, mix = np.ones((4, 4, 4), np.float32), np.ones((4, 4, 4), np.float32)
    texture = np.full((4, 4, 3), 100, np.float32)
    paint(texture, field, mix, flat_relight())
    assert (field == 1).all() and (mix == 1).all() and (texture == 100).all()


@pytest.mark.parametrize('glasses', [0.0, 1.0])
def test_brows_and_lids_look_like_skin_only_behind_glasses(sources, glasses):
    target = Target(face_texture(SKINS['light']))
    bare = Relighter(sources['light'], METER).relight(target.light, target.traits._replace(glasses=glasses), 0.0).bare
    brow = (TOPOLOGY.atlas[[105, 334]] * 64).astype(int)
    expected = bare[brow[:, 1], brow[:, 0], 1]
    assert (expected > 0.9).all() if glasses else (expected < 0.1).all()
    assert (bare[36:42, 12:18, 1] > 0.95).all()


@pytest.mark.parametrize('nothing', ['light', 'skin'])
def test_an_invisible_face_has_finite_results(sources, nothing):
    light = np.zeros((32, 32, 4), np.float32)
    if nothing == 'skin':
        light[..., 3] = 1
    traits = Target(face_texture(SKINS['light'])).traits
    relight = Relighter(sources['light'], METER).relight(light, traits, 0.5)
    for part in (relight.field, relight.mix, relight.bare):
        assert np.isfinite(part).all()


def test_a_face_counts_as_turned_between_20_and_50_degrees():
    assert [turning(degrees) for degrees in (0, 20, 50, 90)] == [0, 0, 1, 1]
    assert turning(35) == pytest.approx(0.5)


def test_the_colour_of_a_texel_is_the_documented_sum():
    """The Cb and Cr ratios are the sum of the source's share, the offset, and the slope with luma."""
    relight = Relight(*[np.zeros((1, 1, n), np.float32) for n in (4, 4, 4)], (-0.2, 0.1), 0.5)
    field, mix = np.array([[[0, -0.05, 0.1, 1]]], np.float32), np.array([[[0.5, 100, 1, 1]]], np.float32)
    pixel = np.array([[[90, -10, 20]]], np.float32) @ YCC_TO_BGR.T
    found = chroma_ratio(to_ycc(paint(pixel.astype(np.float32), field, mix, relight)))[0, 0]
    tone = (90 + 12) / (100 + 12) - 1
    np.testing.assert_allclose(found, [-5 / 102 - 0.05 - 0.2 * tone, 10 / 102 + 0.1 + 0.1 * tone], atol=1e-3)
