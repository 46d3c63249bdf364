"""Tests of the masks of processors: each mask type, from networks and from the mesh, and their requirements."""

from __future__ import annotations

import dataclasses

import cv2
import numpy as np
import pytest
from fakes.drawn_face import TOPOLOGY, draw_face, face_texture, open_face, ring_mask
from fakes.face_chunks import face_at
from fakes.linking import linked_face

from facefusion.errors import InternalError
from facefusion.events import silent
from facefusion.faces.face import LinkedFace
from facefusion.faces.landmarks.subsets import five_points, sixty_eight_points
from facefusion.faces.masks.mesh_crop import region_part, visible_part
from facefusion.faces.masks.options import REGIONS, TYPES, FaceMaskOptions
from facefusion.faces.options import FaceLandmarkerOptions
from facefusion.faces.skin import SkinMeter
from facefusion.faces.topology import EYE_IMAGE_LEFT, INNER_LIPS, OVAL
from facefusion.media.frame import PixelFrame
from facefusion.processors.face_crops import face_crop
from facefusion.processors.face_debugger.options import FaceDebuggerOptions
from facefusion.processors.face_debugger.registration import FACE_DEBUGGER
from facefusion.processors.face_masker import FaceMasker, prepare_masker
from facefusion.processors.face_swapper.mesh_warp.render import MeshWarp
from facefusion.processors.face_swapper.mesh_warp.source import build_source
from facefusion.processors.face_swapper.mesh_warp.swapper import MeshSwapper
from facefusion.processors.face_swapper.mesh_warp.views import SourceView
from facefusion.processors.face_swapper.options import FaceSwapperOptions
from facefusion.processors.face_swapper.registration import FACE_SWAPPER
from facefusion.processors.mask_requirements import mask_requirements, networks_of_masks
from facefusion.processors.network_masks import NetworkMasks
from facefusion.processors.processor import FrameTask, ProcessorTools
from facefusion.processors.registration import Requirements
from facefusion.settings import Settings

METER = SkinMeter(TOPOLOGY)
SKIN = (110, 140, 190)
PLACE = open_face(200, 190, 70)
SIZE = 256


def settings_of(masks: FaceMaskOptions, landmarker: str = 'face_mesh', **options) -> Settings:
    swapper = FaceSwapperOptions(**({'face_swapper_model': 'mesh_warp'} | options))
    return Settings([masks, FaceLandmarkerOptions(landmarker), swapper, FaceDebuggerOptions()])


def tools(settings: Settings, messages: list) -> ProcessorTools:
    return ProcessorTools(settings, None, None, METER, messages.append)


def task(face: LinkedFace | None = None, frame: PixelFrame | None = None) -> FrameTask:
    frame = frame or draw_face(PLACE, face_texture(SKIN))
    faces = (face or linked_face(METER, frame, PLACE),)
    shared = frame.untouched()
    return FrameTask(frame, faces, neighbours=(shared,) * 5, neighbour_faces=(faces,) * 5)


def crop_of(task: FrameTask):
    return face_crop(0, task, task.faces[0], 'ffhq_512', lambda five: SIZE)


def mask_of(masker: FaceMasker, task: FrameTask, made: np.ndarray | None = None) -> np.ndarray:
    crop = crop_of(task)
    (mask,) = masker.masks([crop], [crop.pixels if made is None else made])
    return mask


class LeftVisible:
    """A stand-in for occlusion masks that shows only the left half of a crop."""

    def of(self, crops):
        masks = []
        for crop in crops:
            mask = np.zeros(crop.pixels.shape[:2], np.float32)
            mask[:, : mask.shape[1] // 2] = 1
            masks.append(mask)
        return masks


class Reddish:
    """A stand-in for a parser that returns the pixels that are more red than blue; ``regions`` records its calls."""

    def __init__(self):
        self.regions = []

    def masks(self, crops, regions):
        self.regions.append(regions)
        return [
            (np.asarray(crop, float)[..., 2] > np.asarray(crop, float)[..., 0] + 30).astype(np.float32)
            for crop in crops
        ]


# Requirements


@pytest.mark.parametrize(
    ('masks', 'landmarker', 'expected'),
    [
        (FaceMaskOptions('mesh', 'mesh', ('box', 'area')), 'face_mesh', Requirements()),
        (FaceMaskOptions('mesh', 'mesh', ('occlusion',)), 'auto', Requirements(measurements={'skin'}, mesh=True)),
        (FaceMaskOptions('mesh', 'mesh', ('region',)), 'face_mesh', Requirements(mesh=True)),
        (FaceMaskOptions('mesh', 'mesh', ('occlusion', 'region')), '2dfan4', Requirements()),
        (FaceMaskOptions('xseg_1', 'mesh', ('occlusion',)), '2dfan4', Requirements(neighbours=2)),
        (FaceMaskOptions('many', 'bisenet_resnet_18', TYPES), 'face_mesh', Requirements(neighbours=2)),
        (FaceMaskOptions('xseg_1', 'mesh', ('box',)), 'face_mesh', Requirements()),
    ],
)
def test_requirements_follow_from_the_selected_masks(masks, landmarker, expected):
    expected = dataclasses.replace(expected, measurements=frozenset(expected.measurements))
    assert mask_requirements(settings_of(masks, landmarker)) == expected


def test_a_processor_needs_only_the_masks_that_it_applies():
    settings = settings_of(FaceMaskOptions('xseg_2', 'bisenet_resnet_34', TYPES))
    assert networks_of_masks(settings) == ('xseg_2', 'bisenet_resnet_34')
    assert networks_of_masks(settings, ('box', 'occlusion')) == ('xseg_2',)
    assert mask_requirements(settings, ('box', 'region')) == Requirements()


def test_registrations_name_the_networks_and_requirements_of_their_masks():
    masks = FaceMaskOptions('xseg_1', 'bisenet_resnet_34', ('box', 'occlusion', 'region'))
    settings = settings_of(masks)
    assert FACE_SWAPPER.models(settings) == ('xseg_1', 'bisenet_resnet_34')
    assert FACE_SWAPPER.requirements(settings).neighbours == 2
    assert FACE_DEBUGGER.models(settings) == ('xseg_1', 'bisenet_resnet_34')
    hidden = settings.replace(FaceDebuggerOptions(('bounding-box',)))
    assert FACE_DEBUGGER.models(hidden) == () and FACE_DEBUGGER.requirements(hidden) == Requirements()
    neural = settings_of(FaceMaskOptions(), face_swapper_model='hyperswap_1a_256')
    assert FACE_SWAPPER.requirements(neural) == Requirements(
        measurements=frozenset({'skin'}), source_faces=True, mesh=True
    )


@pytest.mark.parametrize(('kind', 'option'), [('occlusion', 'occluder'), ('region', 'parser')])
def test_a_mask_of_the_mesh_without_the_mesh_is_reported(kind, option):
    messages = []
    masks = FaceMaskOptions('mesh', 'mesh', (kind,))
    masker = prepare_masker(masks, tools(settings_of(masks, '2dfan4'), messages), 'ffhq_512', 'face_swapper')
    assert masker.from_mesh == () and mask_of(masker, task()).min() == 1
    (message,) = messages
    assert message.level == 'warn' and f'the mask type {kind} has no effect' in message.text
    assert f'--face-{option}-model' in message.text
    prepare_masker(masks, tools(settings_of(masks), messages), 'ffhq_512', 'face_swapper')
    assert len(messages) == 1


# Masks


def test_the_smallest_value_of_all_masks_applies():
    options = FaceMaskOptions('xseg_1', 'bisenet_resnet_34', TYPES, face_mask_padding=(20, 0, 0, 0))
    parser = Reddish()
    made = np.zeros((SIZE, SIZE, 3), np.float32)
    made[: SIZE // 2 + 20] = (10, 20, 200)
    together = mask_of(FaceMasker(options, LeftVisible(), parser), task(), made)
    assert parser.regions == [REGIONS]
    alone = [
        mask_of(FaceMasker(dataclasses.replace(options, face_mask_types=('box',))), task()),
        mask_of(FaceMasker(dataclasses.replace(options, face_mask_types=('area',))), task()),
        mask_of(FaceMasker(dataclasses.replace(options, face_mask_types=()), LeftVisible()), task()),
        mask_of(FaceMasker(dataclasses.replace(options, face_mask_types=()), None, Reddish()), task(), made),
    ]
    np.testing.assert_array_equal(together, np.minimum.reduce(alone))
    assert 0 < together.mean() < min(each.mean() for each in alone)


def test_without_mask_types_all_of_the_crop_is_used():
    assert (mask_of(FaceMasker(FaceMaskOptions(face_mask_types=())), task()) == 1).all()


def test_occlusion_of_the_mesh_keeps_covered_skin():
    visibility = np.ones((64, 64), np.float32)
    visibility[:, :32] = 0
    landmarks = face_at(128, 128, 70)
    mask = visible_part(TOPOLOGY, landmarks, visibility, SIZE)
    x = landmarks[list(OVAL), 0]
    assert mask[128, int(x.min()) + 8] == 0 and mask[128, int(x.max()) - 8] == 1
    # An object at the rim continues beyond it.
    assert mask[128, 3] < 0.2 and mask[128, SIZE - 4] > 0.8
    assert visible_part(TOPOLOGY, face_at(-900, 128, 70), visibility, SIZE).min() == 1


def test_the_measured_visibility_of_a_face_is_its_mask():
    frame = draw_face(PLACE, face_texture(SKIN))
    x, y = PLACE[50, :2].astype(int)
    frame.pixels[y - 25 : y + 30, x - 40 : x + 20] = (200, 60, 20)
    covered = task(frame=frame)
    masker = FaceMasker(FaceMaskOptions(face_mask_types=('occlusion',)), None, None, ('occlusion',), TOPOLOGY)
    crop = crop_of(covered)
    mask = mask_of(masker, covered)
    column, row = np.round(cv2.transform(np.array([[[x, y]]], float), crop.matrix)[0, 0]).astype(int)
    other, level = np.round(cv2.transform(PLACE[None, [280], :2], crop.matrix)[0, 0]).astype(int)
    assert mask[row, column] < 0.1 and mask[level, other] > 0.4


@pytest.mark.parametrize(
    ('regions', 'ring', 'is_inside'),
    [
        (('mouth',), INNER_LIPS, True),
        (('skin',), INNER_LIPS, False),
        (('left-eye',), EYE_IMAGE_LEFT, True),
        (('skin', 'nose'), EYE_IMAGE_LEFT, False),
        (('right-eye',), EYE_IMAGE_LEFT, False),
        (REGIONS, EYE_IMAGE_LEFT, True),
    ],
)
def test_regions_of_the_mesh_are_its_rings(regions, ring, is_inside):
    landmarks = open_face(128, 128, 70)
    mask = region_part(landmarks, regions, SIZE)
    x, y = landmarks[list(ring), :2].mean(0).round().astype(int)
    assert (mask[y, x] > 0.5) == is_inside and mask[2, 2] == 0


def test_all_regions_of_the_mesh_are_its_oval():
    landmarks = open_face(128, 128, 70)
    mask = region_part(landmarks, REGIONS, SIZE)
    assert (mask[ring_mask(landmarks, OVAL, (SIZE, SIZE), 4)] > 0.99).all()


def test_a_mask_of_the_mesh_needs_the_landmarks_of_the_mesh():
    points = np.concatenate([sixty_eight_points(PLACE), five_points(PLACE), np.zeros((7, 2), np.float32)])
    face = LinkedFace(0, np.pad(points, ((0, 0), (0, 1))).astype(np.float32), 0.9)
    masker = FaceMasker(FaceMaskOptions(face_mask_types=('region',)), None, None, ('region',), TOPOLOGY)
    with pytest.raises(InternalError, match='without the mesh'):
        mask_of(masker, task(face))


# The embedded swapper with published masks


@pytest.fixture(scope='module')
def warp() -> MeshWarp:
    landmarks = open_face(250, 250, 100)
    source = build_source([SourceView(draw_face(landmarks, face_texture((60, 80, 120)), 500, 500), landmarks)], METER)
    return MeshWarp(source, METER, FaceMaskOptions('xseg_1', 'bisenet_resnet_34', ('occlusion', 'region')))


def change(warp: MeshWarp, masker: FaceMasker | None) -> tuple[bool, np.ndarray]:
    work = task()
    before = work.frame.pixels.astype(int)
    masks = NetworkMasks(masker) if masker else None
    (changed,) = MeshSwapper([warp], TOPOLOGY, masks).process([work])
    return changed, np.abs(work.frame.pixels.astype(int) - before).sum(2)


def test_an_occluder_keeps_a_part_of_the_face(warp):
    everywhere = change(warp, None)[1]
    half = change(warp, FaceMasker(FaceMaskOptions(face_mask_types=()), LeftVisible()))[1]
    middle = int(PLACE[:, 0].mean())
    inside = ring_mask(PLACE, OVAL, (400, 400), 12)
    left, right = inside.copy(), inside.copy()
    left[:, middle - 15 :] = False
    right[:, : middle + 15] = False
    assert half[right].max() == 0 and everywhere[right].mean() > 3
    np.testing.assert_array_equal(half[left], everywhere[left])


def test_a_parser_sees_the_painted_face(warp):
    class Seen:
        def __init__(self, value):
            self.value, self.crops = value, []

        def masks(self, crops, regions):
            self.crops += crops
            return [np.full(crop.shape[:2], self.value, np.float32) for crop in crops]

    parser = Seen(1)
    changed, difference = change(warp, FaceMasker(FaceMaskOptions(face_mask_types=()), None, parser))
    np.testing.assert_array_equal(difference, change(warp, None)[1])
    target = face_crop(0, task(), task().faces[0], 'ffhq_512', lambda five: 512).pixels
    assert changed and np.abs(parser.crops[0].astype(int) - target).max() > 10
    changed, difference = change(warp, FaceMasker(FaceMaskOptions(face_mask_types=()), None, Seen(0)))
    assert not changed and difference.max() == 0


def test_an_upscaled_frame_is_masked_at_its_own_size():
    work = task()
    twice = FrameTask(
        work.frame.replaced(cv2.resize(work.frame.pixels, None, fx=2, fy=2)),
        work.faces,
        neighbours=work.neighbours,
        neighbour_faces=work.neighbour_faces,
    )
    masker = FaceMasker(FaceMaskOptions(face_mask_types=('area',), face_mask_areas=('mouth',)))
    np.testing.assert_allclose(mask_of(masker, twice), mask_of(masker, work), atol=0.35)
    assert np.abs(mask_of(masker, twice) - mask_of(masker, work)).mean() < 0.005


def test_silent_tools_need_no_sessions():
    masks = FaceMaskOptions('mesh', 'mesh', TYPES)
    masker = prepare_masker(masks, ProcessorTools(settings_of(masks), None, None, METER, silent), 'ffhq_512', 'x')
    assert masker.occlusion is None and masker.parser is None and masker.from_mesh == ('occlusion', 'region')
