from __future__ import annotations

import numpy as np
import pytest
from fakes.drawn_face import TOPOLOGY, draw_face, face_texture
from fakes.face_chunks import face_at
from fakes.painted_faces import METAL, scaled, with_glasses
from hypothesis import given, settings
from hypothesis import strategies as st

from facefusion.faces.atlas import AtlasGrid, AtlasMasks
from facefusion.faces.eye_region import EyeRegion
from facefusion.faces.skin import ATLAS_SIZE, SkinMeter, SkinTraits
from facefusion.faces.topology import EYE_IMAGE_LEFT, EYE_IMAGE_RIGHT

MASKS = {size: AtlasMasks(TOPOLOGY, AtlasGrid(TOPOLOGY, size)) for size in (ATLAS_SIZE, 64)}
REGIONS = {size: EyeRegion(TOPOLOGY, masks, size) for size, masks in MASKS.items()}
REGION = REGIONS[ATLAS_SIZE]
SKIN = 150.0
sizes = pytest.mark.parametrize('size', [ATLAS_SIZE, 64])


def skin(size: int = ATLAS_SIZE) -> np.ndarray:
    return np.full((size, size), SKIN, np.float32)


def with_eye(luma: np.ndarray, ring: tuple[int, ...], spread: float) -> np.ndarray:
    """Fill an eye with two tones that differ by ``spread`` times the skin's luma."""
    inside = MASKS[len(luma)].polygon(ring) > 0
    filled = luma.copy()
    tones = SKIN * (1 - spread * (np.arange(inside.sum()) % 2))
    filled[inside] = tones
    return filled


# Open and closed eyes


@sizes
@pytest.mark.parametrize(('spread', 'least', 'most'), [(0, 0, 0), (0.2, 0, 0), (0.375, 0.45, 0.55), (0.55, 1, 1)])
def test_contrast_between_the_lids_measures_open_eyes(size, spread, least, most):
    luma = with_eye(with_eye(skin(size), EYE_IMAGE_LEFT, spread), EYE_IMAGE_RIGHT, spread)
    for eye in REGIONS[size].open_eyes(luma, SKIN):
        assert least <= eye <= most


@given(st.floats(0, 0.9), st.floats(0, 0.9))
@settings(max_examples=20, deadline=None)
def test_openness_is_monotonic_in_contrast(one, other):
    spreads = sorted((one, other))
    values = [REGION.open_eyes(with_eye(skin(), EYE_IMAGE_LEFT, spread), SKIN)[0] for spread in spreads]
    assert 0 <= values[0] <= values[1] <= 1


def test_eyes_are_measured_separately_image_left_first():
    assert REGION.open_eyes(with_eye(skin(), EYE_IMAGE_LEFT, 0.6), SKIN) == (1, 0)
    assert REGION.open_eyes(with_eye(skin(), EYE_IMAGE_RIGHT, 0.6), SKIN) == (0, 1)


def test_openness_does_not_depend_on_light():
    luma = with_eye(skin(), EYE_IMAGE_LEFT, 0.375)
    dim = REGION.open_eyes(luma * np.float32(0.2), SKIN * 0.2)
    np.testing.assert_allclose(dim, REGION.open_eyes(luma, SKIN), atol=1e-4)


def test_noise_in_the_dark_opens_no_eye():
    """The luma of almost black skin is unreliable, so its noise must not count as contrast."""
    noise = np.random.default_rng(0).integers(0, 2, (ATLAS_SIZE, ATLAS_SIZE)).astype(np.float32)
    assert REGION.open_eyes(noise, 0.5) == (0, 0)


def test_few_dark_texels_are_lashes():
    luma = skin()
    rows, columns = np.nonzero(MASKS[ATLAS_SIZE].polygon(EYE_IMAGE_LEFT) > 0)
    luma[rows[::20], columns[::20]] = 0
    assert REGION.open_eyes(luma, SKIN)[0] == 0


# Dark frames of glasses


def eye_line(size: int, factor: float, left: float = 0.0, right: float = 1.0) -> np.ndarray:
    """Return skin with a dark line through both eyes and over the nose, between two positions 0..1 across the atlas."""
    luma = skin(size)
    row = round(float(TOPOLOGY.atlas[[33, 133, 263, 362], 1].mean()) * size)
    luma[row : row + size // 64, round(left * size) : round(right * size)] *= np.float32(factor)
    return luma


def with_rim(luma: np.ndarray, factor: float, *eyes: tuple[int, int]) -> np.ndarray:
    """Return the luma with a dark line below each of the eyes with these corners."""
    size, luma = len(luma), luma.copy()
    unit = float(np.ptp(TOPOLOGY.atlas[[159, 386], 0]))
    for corners in eyes:
        x, y = TOPOLOGY.atlas[list(corners)].mean(0)
        row, half = round(float(y + 0.45 * unit) * size), 0.3 * unit
        luma[row : row + size // 64, round(float(x - half) * size) : round(float(x + half) * size)] *= np.float32(
            factor
        )
    return luma


LEFT, RIGHT = (33, 133), (263, 362)


@sizes
def test_bare_skin_has_no_frame(size):
    assert REGIONS[size].dark_frame(skin(size)) == 0


@sizes
@pytest.mark.parametrize('eyes', [(LEFT, RIGHT), (LEFT,), (RIGHT,)], ids=['both', 'left', 'right'])
def test_line_over_the_nose_and_under_an_eye_is_a_frame(size, eyes):
    """One rim is enough, because the far rim of a turned head may be hidden."""
    assert REGIONS[size].dark_frame(with_rim(eye_line(size, 0.3), 0.3, *eyes)) == 1


@sizes
def test_single_line_is_no_frame(size):
    """The line may be a wrinkle, a shadow across the nose, or rings under the eyes."""
    assert REGIONS[size].dark_frame(eye_line(size, 0.3)) == 0
    assert REGIONS[size].dark_frame(with_rim(skin(size), 0.3, LEFT, RIGHT)) == 0


@pytest.mark.parametrize('reach', [(0.0, 0.5), (0.5, 1.0)])
def test_line_over_half_of_the_nose_is_no_frame(reach):
    assert REGION.dark_frame(with_rim(eye_line(ATLAS_SIZE, 0.3, *reach), 0.3, LEFT, RIGHT)) == 0


def test_darker_frame_has_more_confidence_and_pale_line_none():
    values = [REGION.dark_frame(with_rim(eye_line(ATLAS_SIZE, f), f, LEFT, RIGHT)) for f in (0.85, 0.7, 0.66, 0.5)]
    assert values == sorted(values) and values[0] == 0 and 0 < values[2] < 1 and values[3] == 1


def test_uneven_light_is_no_frame():
    framed = with_rim(eye_line(ATLAS_SIZE, 0.3), 0.3, LEFT, RIGHT)
    # The light comes from one side, or has a tenth of the normal strength.
    side = np.linspace(0.4, 1, ATLAS_SIZE, dtype=np.float32)[None]
    for light in (side, side[:, ::-1], np.float32(0.1)):
        assert REGION.dark_frame(skin() * light) == 0
        assert REGION.dark_frame(framed * light) == 1


@pytest.mark.parametrize('code', [0, 2, 5, 20])
def test_darkness_is_no_frame(code):
    """The skin is almost black, with and without noise."""
    noise = np.random.default_rng(1).integers(0, 2, (ATLAS_SIZE, ATLAS_SIZE)).astype(np.float32)
    assert REGION.dark_frame(np.full_like(noise, code)) == 0
    assert REGION.dark_frame(noise + code) == 0


@pytest.mark.parametrize('tone', [(120, 150, 200), (60, 80, 120)], ids=['light', 'dark'])
@pytest.mark.parametrize('light', [1.0, 0.4])
def test_glasses_on_a_drawn_face_are_a_trait(tone, light):
    meter = SkinMeter(TOPOLOGY)
    landmarks = face_at(200, 190, 90)
    bare = scaled(draw_face(landmarks, face_texture(tone)), light)

    def glasses(frame) -> float:
        return SkinTraits(*meter.measure(frame, landmarks)['traits'].tolist()).glasses

    dark = tuple(round(0.15 * light * part) for part in tone)
    assert glasses(bare) == 0
    assert glasses(with_glasses(bare, landmarks, dark)) > 0.9
    # Frames that are not dark are not measured.
    assert glasses(with_glasses(bare, landmarks, METAL)) == 0
