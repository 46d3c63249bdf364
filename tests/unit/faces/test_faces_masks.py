from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from facefusion.errors import UsageError
from facefusion.events import silent
from facefusion.faces.masks.mesh_masks import edge_width, mask_atlas, uses_occlusion
from facefusion.faces.masks.options import (
    AREAS,
    REGIONS,
    TYPES,
    FaceMaskOptions,
    idle_options,
    mask_networks,
    mesh_types,
)
from facefusion.faces.topology import (
    BROW_IMAGE_LEFT,
    BROW_IMAGE_RIGHT,
    EYE_IMAGE_LEFT,
    EYE_IMAGE_RIGHT,
    INNER_LIPS,
    OUTER_LIPS,
    OVAL,
    load_topology,
)
from facefusion.options import describe, parse_value
from facefusion.settings import Settings
from facefusion.steps.arguments import restore

TOPOLOGY = load_topology()
SIZE = 128
INFOS = {info.key: info for info in describe(FaceMaskOptions)}
NOSE_TIP, FOREHEAD, CHIN, CHEEK_LEFT, CHEEK_RIGHT = 4, 151, 199, 50, 280
UPPER_LIP, LOWER_LIP = 11, 16


def mask_of(*types: str, size: int = SIZE, **options) -> np.ndarray:
    return mask_atlas(FaceMaskOptions(face_mask_types=types, **options), TOPOLOGY, size)


def at(mask: np.ndarray, *vertices: int) -> np.ndarray:
    """Return the mask's values at vertices of the mesh."""
    columns, rows = np.clip((TOPOLOGY.atlas[list(vertices)] * len(mask)).astype(int), 0, len(mask) - 1).T
    return mask[rows, columns]


def middle(mask: np.ndarray, ring: tuple[int, ...]) -> float:
    """Return the mask's value in the middle of a ring of vertices."""
    column, row = (TOPOLOGY.atlas[list(ring)].mean(0) * len(mask)).astype(int)
    return float(mask[row, column])


def parts(mask: np.ndarray) -> dict[str, float]:
    """Return the mask's value in each region."""
    return {
        'skin': float(at(mask, CHEEK_LEFT, CHEEK_RIGHT, FOREHEAD, CHIN).min()),
        'left-eyebrow': middle(mask, (105, 52)),
        'right-eyebrow': middle(mask, (334, 282)),
        'left-eye': middle(mask, EYE_IMAGE_LEFT),
        'right-eye': middle(mask, EYE_IMAGE_RIGHT),
        'nose': float(at(mask, NOSE_TIP)[0]),
        'mouth': middle(mask, INNER_LIPS),
        'upper-lip': float(at(mask, UPPER_LIP)[0]),
        'lower-lip': float(at(mask, LOWER_LIP)[0]),
    }


def test_defaults_have_no_effect():
    options = FaceMaskOptions()
    mask = mask_atlas(options, TOPOLOGY, SIZE)
    assert mask.shape == (SIZE, SIZE) and mask.dtype == np.float32 and (mask == 1).all()
    assert edge_width(options) == 1 and uses_occlusion(options)


@given(
    st.lists(st.sampled_from(TYPES), unique=True),
    st.lists(st.sampled_from(AREAS), unique=True),
    st.lists(st.sampled_from(REGIONS), unique=True),
    st.integers(0, 20),
    st.lists(st.integers(0, 100), max_size=4),
    st.sampled_from([16, 61, 128]),
)
@settings(max_examples=60, deadline=None)
def test_mask_is_the_minimum_of_its_types_in_0_to_1(types, areas, regions, blur, padding, size):
    chosen = {
        'face_mask_areas': tuple(areas),
        'face_mask_regions': tuple(regions),
        'face_mask_blur': blur * 0.05,
        'face_mask_padding': tuple(padding),
    }
    mask = mask_of(*types, size=size, **chosen)
    assert mask.shape == (size, size) and mask.dtype == np.float32
    assert np.isfinite(mask).all() and mask.min() >= 0 and mask.max() <= 1
    single = [mask_of(kind, size=size, **chosen) for kind in types]
    np.testing.assert_array_equal(mask, np.minimum.reduce([np.ones_like(mask), *single]))


# The mask type box


@pytest.mark.parametrize(
    ('padding', 'gone', 'kept'),
    [
        ((50, 0, 0, 0), (FOREHEAD, *BROW_IMAGE_LEFT), (CHIN, 0, 152)),
        ((0, 50, 0, 0), (CHEEK_RIGHT, 454), (CHEEK_LEFT, 234)),
        ((0, 0, 40, 0), (CHIN, 152), (NOSE_TIP, FOREHEAD, 10)),
        ((0, 0, 0, 50), (CHEEK_LEFT, 234), (CHEEK_RIGHT, 454)),
        ((30, 0), (FOREHEAD, CHIN, 10, 152), (NOSE_TIP, 234, 454)),
        ((10,), (10, 152, 234, 454), (NOSE_TIP, CHEEK_LEFT, CHEEK_RIGHT)),
    ],
    ids=str,
)
def test_padding_excludes_its_side_of_the_face(padding, gone, kept):
    mask = mask_of('box', face_mask_padding=padding)
    assert at(mask, *gone).max() < 0.01 and at(mask, *kept).min() > 0.99


def test_padding_of_the_entire_face_excludes_everything():
    assert not mask_of('box', face_mask_padding=(100,)).any()
    assert mask_of('box', face_mask_padding=(60,)).max() < 0.1


def test_padding_is_percent_of_the_face_with_an_edge_of_the_blur():
    low, high = TOPOLOGY.atlas[:, 1].min(), TOPOLOGY.atlas[:, 1].max()
    rows = (np.arange(512) + 0.5) / 512
    widths = []
    for blur in (0.0, 0.1, 0.3, 1.0):
        column = mask_of('box', size=512, face_mask_padding=(40, 0, 0, 0), face_mask_blur=blur)[:, 256]
        assert (np.diff(column) >= 0).all()
        assert rows[np.searchsorted(column, 0.5)] == pytest.approx(low + 0.4 * (high - low), abs=0.004)
        widths.append(int(((column > 0) & (column < 1)).sum()))
    assert widths == sorted(widths) and 1 <= widths[0] <= 3 and widths[2] == pytest.approx(0.15 * 0.96 * 512, abs=3)


def test_small_padding_has_a_small_effect():
    mask = mask_of('box', size=512, face_mask_padding=(1,))
    inside = at(mask, *[vertex for vertex in range(468) if vertex not in OVAL])
    assert inside.min() > 0.99


@pytest.mark.parametrize(
    ('blur', 'width'), [(0.0, 0.1), (0.05, 1 / 6), (0.15, 0.5), (0.3, 1.0), (0.6, 2.0), (1.0, 10 / 3)]
)
def test_blur_scales_the_edges(blur, width):
    assert edge_width(FaceMaskOptions(face_mask_blur=blur)) == pytest.approx(width)
    assert (mask_of('box', face_mask_blur=blur) == 1).all()


def test_padding_and_blur_need_the_box():
    options = {'face_mask_padding': (50,), 'face_mask_blur': 1.0}
    assert (mask_of('occlusion', **options) == 1).all() and (mask_of(**options) == 1).all()
    assert edge_width(FaceMaskOptions(face_mask_types=('occlusion',), face_mask_blur=1.0)) == 1


def test_occlusion_is_used_if_chosen():
    assert uses_occlusion(FaceMaskOptions(face_mask_types=('occlusion',)))
    assert not uses_occlusion(FaceMaskOptions(face_mask_types=('box', 'area', 'region')))


# Mask areas


@pytest.mark.parametrize(
    ('areas', 'inside', 'outside'),
    [
        (('mouth',), OUTER_LIPS, (*BROW_IMAGE_LEFT, *BROW_IMAGE_RIGHT, NOSE_TIP, CHIN, CHEEK_LEFT, CHEEK_RIGHT)),
        (('upper-face',), (66, 296, 33, 263, NOSE_TIP, 234, 454), (*OUTER_LIPS, CHIN, FOREHEAD, 152)),
        (('lower-face',), (*OUTER_LIPS, CHIN, 152, 58, 288), (*BROW_IMAGE_LEFT, 33, 263, FOREHEAD)),
        (AREAS, (66, 296, 33, 263, NOSE_TIP, *OUTER_LIPS, CHEEK_LEFT, CHEEK_RIGHT, CHIN, 152, 58, 288), (10, FOREHEAD)),
    ],
    ids=str,
)
def test_area_covers_its_part(areas, inside, outside):
    mask = mask_of('area', size=512, face_mask_areas=areas)
    assert at(mask, *inside).min() > 0.9 and at(mask, *outside).max() < 0.02


def test_combined_areas_have_no_seam():
    """The mask of several areas is the hull of all their points, as in FaceFusion 3.8."""
    both = mask_of('area', size=512, face_mask_areas=('upper-face', 'lower-face'))
    assert (both >= mask_of('area', size=512, face_mask_areas=('upper-face',)) - 1e-5).all()
    assert at(both, 177, 401, 205, 425, 116, 345).min() > 0.98
    assert not mask_of('area', face_mask_areas=()).any()


# Mask regions


@pytest.mark.parametrize('region', [region for region in REGIONS if region != 'glasses'])
def test_region_covers_its_part(region):
    alone = parts(mask_of('region', size=512, face_mask_regions=(region,)))
    without = parts(mask_of('region', size=512, face_mask_regions=tuple(name for name in REGIONS if name != region)))
    assert alone.pop(region) > 0.9 and max(alone.values()) < 0.1
    assert without.pop(region) < 0.1 and min(without.values()) > 0.9


def test_all_regions_cover_the_face_and_glasses_cover_nothing():
    assert (mask_of('region') == 1).all()
    named = tuple(region for region in REGIONS if region != 'glasses')
    assert (mask_of('region', face_mask_regions=named) == 1).all()
    assert not mask_of('region', face_mask_regions=('glasses',)).any()


def test_left_and_right_are_those_of_the_image():
    for part in ('eyebrow', 'eye'):
        left, right = (mask_of('region', face_mask_regions=(f'{side}-{part}',)) for side in ('left', 'right'))
        assert left[:, : SIZE // 2].sum() > 0 and not left[:, SIZE // 2 :].any()
        assert np.abs(left[:, ::-1] - right).mean() < 0.002 < 0.005 < right.mean()


def test_skin_includes_the_outline():
    assert at(mask_of('region', face_mask_regions=('skin',)), *OVAL).min() > 0.99


# Several types, and option values


def test_mask_combines_all_types():
    options = {'face_mask_areas': ('mouth',), 'face_mask_regions': ('skin', 'nose')}
    mask = mask_of('area', 'region', size=512, **options)
    assert at(mask, UPPER_LIP, LOWER_LIP, NOSE_TIP, CHEEK_LEFT).max() < 0.05
    assert at(mask_of('box', 'area', face_mask_areas=AREAS, face_mask_padding=(0, 0, 50, 0)), CHIN, 0).max() < 0.01


@pytest.mark.parametrize(
    ('key', 'text'),
    [
        ('face_mask_regions', 'skin ear'),
        ('face_mask_regions', 'left-brow'),
        ('face_mask_areas', 'forehead'),
        ('face_mask_types', 'box many'),
        ('face_mask_blur', '0.33'),
        ('face_mask_blur', '1.05'),
        ('face_mask_padding', '101'),
        ('face_mask_padding', '1 2 3 4 5'),
        ('face_occluder_model', 'xseg_9'),
        ('face_parser_model', 'bisenet'),
    ],
)
def test_unknown_values_are_rejected(key, text):
    with pytest.raises(ValueError):
        parse_value(INFOS[key], text)
    value = [float(part) if 'blur' in key else int(part) if 'padding' in key else part for part in text.split()]
    with pytest.raises(UsageError, match=key):
        restore({key: value if INFOS[key].is_list else value[0]}, '2', silent)


def test_step_of_facefusion_38_keeps_its_masks_and_their_models():
    args = {
        'face_occluder_model': 'xseg_1',
        'face_parser_model': 'bisenet_resnet_34',
        'face_mask_types': ['box'],
        'face_mask_areas': ['upper-face', 'lower-face', 'mouth'],
        'face_mask_regions': list(REGIONS),
        'face_mask_blur': 0.3,
        'face_mask_padding': [0, 10],
    }
    said = []
    options = Settings(restore(args, '1', said.append))[FaceMaskOptions]
    assert options == FaceMaskOptions(
        'xseg_1', 'bisenet_resnet_34', face_mask_types=('box',), face_mask_padding=(0, 10)
    )
    assert not said and mask_networks(options) == ()


def test_options_without_effect_are_named():
    assert idle_options(FaceMaskOptions()) == ()
    (said,) = idle_options(FaceMaskOptions(face_mask_areas=('mouth',)))
    assert '--face-mask-areas' in said and '--face-mask-types area' in said
    assert idle_options(FaceMaskOptions(face_mask_areas=('mouth',), face_mask_types=('area',))) == ()
    assert len(idle_options(FaceMaskOptions(face_mask_types=('occlusion',), face_mask_blur=0.1))) == 1


def test_only_selected_mask_types_need_networks():
    assert mask_networks(FaceMaskOptions()) == () and mask_networks(FaceMaskOptions('mesh', 'mesh', TYPES)) == ()
    assert mask_networks(FaceMaskOptions('many', 'bisenet_resnet_18')) == ('xseg_1', 'xseg_2', 'xseg_3')
    assert mask_networks(FaceMaskOptions('xseg_2', 'bisenet_resnet_18', TYPES)) == ('xseg_2', 'bisenet_resnet_18')
    assert mask_networks(FaceMaskOptions('xseg_2', 'bisenet_resnet_18', ('box', 'area'))) == ()


def test_the_mesh_provides_the_masks_without_a_network():
    assert mesh_types(FaceMaskOptions(face_mask_types=TYPES)) == ('occlusion', 'region')
    assert mesh_types(FaceMaskOptions('xseg_1', 'mesh', TYPES)) == ('region',)
    assert uses_occlusion(FaceMaskOptions()) and not uses_occlusion(FaceMaskOptions('xseg_1'))
    assert (mask_of('region', face_mask_regions=()) == 0).all()
    assert (mask_of('region', face_mask_regions=(), face_parser_model='bisenet_resnet_18') == 1).all()
