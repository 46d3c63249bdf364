"""Tests of swaps with several sources: each person of a face map gets its own, and the other faces stay unchanged."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import onnxruntime
import pytest
from fakes.drawn_face import TOPOLOGY, draw_face, face_texture
from fakes.face_chunks import face_at
from fakes.linking import SKIN_ALONE, link, linked_face
from fakes.stand_ins import swapper

from facefusion.errors import NoFaceError
from facefusion.events import silent
from facefusion.faces.analyser import FaceAnalyser
from facefusion.faces.face import Face, LinkedFace
from facefusion.faces.face_map import parse_face_map
from facefusion.faces.masks.options import FaceMaskOptions
from facefusion.faces.measurement_types import MeterTools
from facefusion.faces.options import FaceLandmarkerOptions
from facefusion.faces.role import NO_SOURCE, FaceRole
from facefusion.faces.skin import SkinMeter
from facefusion.faces.track import still_chunk
from facefusion.media.frame import PixelFrame
from facefusion.media.image import read_image, write_image
from facefusion.models.catalog import load_catalog
from facefusion.pipeline.render import LinkedFaces
from facefusion.processors.cast import Cast, CastPerson, make_cast
from facefusion.processors.face_swapper.mesh_warp.swapper import MeshSwapper
from facefusion.processors.face_swapper.models import PUBLISHED, RECOGNISER
from facefusion.processors.face_swapper.options import FaceSwapperOptions
from facefusion.processors.face_swapper.process import prepare
from facefusion.processors.face_swapper.registration import FACE_SWAPPER
from facefusion.processors.processor import FrameTask, ProcessorTools
from facefusion.settings import Settings

CATALOG = load_catalog(Path(__file__).resolve().parents[3] / 'models' / 'catalog')
METER = SkinMeter(TOPOLOGY)
LEFT_ALONE = FaceRole(images=NO_SOURCE, voice=NO_SOURCE)


def settings_of(model: str, **swapper_options) -> Settings:
    masks = FaceMaskOptions(face_mask_types=('box',))
    return Settings([FaceSwapperOptions(face_swapper_model=model, **swapper_options), masks, FaceLandmarkerOptions()])


def with_images(faces, *groups: int) -> list[LinkedFace]:
    """Return the faces with the groups of images as roles."""
    return [
        replace(face, role=LEFT_ALONE if group == NO_SOURCE else FaceRole(number, group))
        for number, (face, group) in enumerate(zip(faces, groups, strict=True))
    ]


# The embedded swapper with the real models


@pytest.fixture(scope='module')
def analyser(sessions):
    return FaceAnalyser(sessions)


@pytest.fixture(scope='module')
def other_source(example_group, tmp_path_factory) -> Path:
    """A face of the group photo as a picture of its own."""
    path = tmp_path_factory.mktemp('source') / 'other.png'
    cv2.imwrite(str(path), cv2.imread(str(example_group))[240:460, 420:620])
    return path


@pytest.fixture(scope='module')
def faces(example_group, analyser, sessions):
    """Three faces of the group photo, from left to right, that do not touch."""
    meters = SKIN_ALONE.prepare(MeterTools(TOPOLOGY, sessions))
    chunk = still_chunk(read_image(example_group), analyser, meters)
    (linked,) = link([chunk])
    found = LinkedFaces(lambda number: linked).of(0)
    return sorted(found, key=lambda face: float(face.box[0]))[::2]


@pytest.fixture(scope='module')
def swap(sessions, analyser, example_group, faces):
    """Return a function that swaps the group photo with groups of sources, and returns whether it changed, and it."""

    def run(images: list[tuple[Path, ...]], *groups: int) -> tuple[bool, np.ndarray]:
        cast = Cast(tuple(images), (), ())
        tools = ProcessorTools(settings_of('mesh_warp'), sessions, analyser, METER, silent, cast=cast)
        task = FrameTask(read_image(example_group), with_images(faces, *groups))
        (changed,) = prepare(tools).process([task])
        return changed, task.frame.pixels

    return run


@pytest.mark.network
def test_two_people_get_two_sources_exactly_as_in_runs_of_one_source_each(
    swap, faces, example_portrait, other_source, example_group
):
    before = cv2.imread(str(example_group))
    first, second = (example_portrait,), (other_source,)
    changed, both = swap([first, second], 0, NO_SOURCE, 1)
    assert changed
    _, left = swap([first], 0, NO_SOURCE, NO_SOURCE)
    _, right = swap([second], NO_SOURCE, NO_SOURCE, 0)
    middle = int(faces[1].box[0] + faces[1].box[2]) // 2
    np.testing.assert_array_equal(both[:, :middle], left[:, :middle])
    np.testing.assert_array_equal(both[:, middle:], right[:, middle:])
    for face, is_swapped in zip(faces, (True, False, True), strict=True):
        x0, y0, x1, y1 = face.box.astype(int)
        change = np.abs(both[y0:y1, x0:x1].astype(int) - before[y0:y1, x0:x1]).mean()
        assert change > 2 if is_swapped else change == 0
    # The sources differ: the other way around, both faces look different.
    _, exchanged = swap([second, first], 0, NO_SOURCE, 1)
    for face in (faces[0], faces[2]):
        x0, y0, x1, y1 = face.box.astype(int)
        assert np.abs(both[y0:y1, x0:x1].astype(int) - exchanged[y0:y1, x0:x1]).mean() > 1


@pytest.mark.network
def test_a_frame_whose_faces_have_no_source_is_not_changed(swap, example_portrait, example_group):
    changed, after = swap([(example_portrait,)], NO_SOURCE, NO_SOURCE, NO_SOURCE)
    assert not changed
    np.testing.assert_array_equal(after, read_image(example_group).pixels)


def test_a_face_without_a_source_still_covers_the_faces_behind_it():
    order = []

    class Recorder:
        def __init__(self, name):
            self.name = name

        def render(self, frame, face, nearer, limit):
            order.append((self.name, face.track, [other.track for other in nearer]))
            return True

    places = [LinkedFace(track, face_at(200, 200, size), 0.9) for track, size in enumerate((50, 20, 90))]
    task = FrameTask(PixelFrame(np.zeros((9, 9, 3), np.uint8)), with_images(places, 1, 0, NO_SOURCE))
    assert MeshSwapper([Recorder('a'), Recorder('b')], TOPOLOGY).process([task]) == [True]
    assert order == [('a', 1, [0, 2]), ('b', 0, [2])]


# The published swappers, with stand-in networks


class Recogniser:
    """Embeds a crop as random projections of its pixels."""

    def get_inputs(self):
        return [type('Input', (), {'name': 'input'})]

    def run(self, names, feeds):
        small = feeds['input'][0, :, ::16, ::16].ravel()
        weights = np.random.default_rng(8).normal(0, 1, (len(small), 512)).astype(np.float32)
        return [(small @ weights)[None]]


class Converter(Recogniser):
    """Reverses an embedding."""

    def run(self, names, feeds):
        return [feeds['input'][:, ::-1] * 2]


class Pool:
    """The networks of a published swapper as stand-ins; it records which are opened."""

    def __init__(self, name: str, folder: Path) -> None:
        size = CATALOG.entry(name).contract.size[0]
        shape = {'blendswap_256': (3, 112, 112), 'uniface_256': (3, 256, 256)}.get(name, (512,))
        self._path = folder / f'{name}.onnx'
        self._path.write_bytes(swapper(size, shape))
        self._networks = {name: onnxruntime.InferenceSession(str(self._path), providers=['CPUExecutionProvider'])}
        self._networks |= {RECOGNISER: Recogniser(), PUBLISHED[name].converter: Converter()}
        self.opened: list[str] = []

    def session(self, model_id):
        self.opened.append(model_id)
        return self._networks[model_id]

    batched = session

    def contract(self, model_id):
        return CATALOG.entry(model_id).contract

    def path(self, model_id):
        return self._path


class FaceFinder:
    """Finds one face, or as many as the last digit of the width of an image says."""

    topology = TOPOLOGY

    def find(self, frame):
        places = [(100, 100, 40), (220, 100, 20)][: frame.width % 10]
        return [Face(face_at(*place), 1.0, 0.0, 0.9) for place in places]


def noise(seed: int, width: int = 301) -> np.ndarray:
    small = np.random.default_rng(seed).integers(0, 256, (9, 12, 3), np.uint8)
    return cv2.resize(small, (width, 200), interpolation=cv2.INTER_CUBIC)


@pytest.fixture
def pictures(tmp_path):
    paths = [tmp_path / f'{name}.png' for name in 'abc']
    for seed, path in enumerate(paths):
        write_image(PixelFrame(noise(seed)), path, 'png', 100, silent)
    return paths


def prepared(model: str, folder: Path, images, batch: int = 1, **options):
    pool, settings = Pool(model, folder), settings_of(model, **options)
    cast = Cast(tuple(images), (), ())
    tools = ProcessorTools(settings, pool, FaceFinder(), None, silent, batch, cast=cast)
    return prepare(tools), pool


def mixed_tasks() -> list[FrameTask]:
    """Return frames with one to three faces of different sources."""
    places = [LinkedFace(track, face_at(100 + 200 * track, 100, 25), 0.9) for track in range(3)]
    groups = [(0, 1, NO_SOURCE), (1, NO_SOURCE, 0), (NO_SOURCE,) * 3, (1, 1, 0)]
    return [FrameTask(PixelFrame(noise(9 + seed, 600)), with_images(places, *each)) for seed, each in enumerate(groups)]


@pytest.mark.parametrize('weight', [0.5, 0.1])
@pytest.mark.parametrize('model', PUBLISHED)
def test_each_published_swapper_gives_each_face_its_source(model, weight, tmp_path, pictures):
    images = [tuple(pictures[:1]), tuple(pictures[1:])]
    options = {'face_swapper_weight': weight}
    together = mixed_tasks()
    processor, pool = prepared(model, tmp_path, images, batch=4, **options)
    assert processor.process(together) == [True, True, False, True]
    single = mixed_tasks()
    for task in single:
        prepared(model, tmp_path, images, **options)[0].process([task])
    for one, other in zip(together, single, strict=True):
        np.testing.assert_array_equal(one.frame.pixels, other.frame.pixels)
    assert len(pool.opened) == len(set(pool.opened)), 'each network is loaded once'
    # The faces do not touch, so each is swapped as in a run with its source only.
    for number, group in enumerate(images):
        alone = mixed_tasks()
        for task in alone:
            roles = (0 if face.role.images == number else NO_SOURCE for face in task.faces)
            task.faces = with_images(task.faces, *roles)
        prepared(model, tmp_path, [group], **options)[0].process(alone)
        for wanted, found, before in zip(alone, together, mixed_tasks(), strict=True):
            changed = (wanted.frame.pixels != before.frame.pixels).any(-1)
            assert changed.any() == any(face.role.images == number for face in before.faces)
            np.testing.assert_array_equal(found.frame.pixels[changed], wanted.frame.pixels[changed])


def test_two_sources_give_two_results(tmp_path, pictures):
    frames = []
    for groups in ((0, 1, NO_SOURCE), (1, 0, NO_SOURCE)):
        (task, *_) = mixed_tasks()
        task.faces = with_images(task.faces, *groups)
        prepared('inswapper_128', tmp_path, [tuple(pictures[:1]), tuple(pictures[1:2])])[0].process([task])
        frames.append(task.frame.pixels.astype(int))
    change = np.abs(frames[0] - frames[1]).sum((0, 2))
    assert change[80:120].any() and change[280:320].any() and not change[400:].any()


# Messages


def messages_of(map_text: str, model: str, folder: Path) -> list[str]:
    messages = []
    cast = make_cast((), parse_face_map(map_text), True)
    meter = METER if model == 'mesh_warp' else None
    pool = Pool('inswapper_128', folder) if model != 'mesh_warp' else None
    prepare(ProcessorTools(settings_of(model), pool, FaceFinder(), meter, messages.append, cast=cast))
    return [message.text for message in messages]


def escaped(path: Path) -> str:
    return str(path).replace('=', r'\=').replace(',', r'\,')


@pytest.mark.parametrize('model', ['mesh_warp', 'inswapper_128'])
def test_a_mapped_image_without_a_face_is_named_with_its_person(model, tmp_path, pictures):
    empty = tmp_path / 'empty.png'
    write_image(PixelFrame(noise(3, 300)), empty, 'png', 100, silent)
    with pytest.raises(NoFaceError) as caught:
        messages_of(f'{escaped(pictures[0])}=0,{escaped(empty)}=3', model, tmp_path)
    assert caught.value.message == f'no face was found in {empty} (person 3)'


def test_the_largest_face_of_a_mapped_image_is_used_and_it_is_said(tmp_path, pictures):
    two = tmp_path / 'two.png'
    write_image(PixelFrame(noise(3, 302)), two, 'png', 100, silent)
    said = messages_of(f'{escaped(two)}=1,{escaped(two)}=4,{escaped(pictures[0])}=2', 'inswapper_128', tmp_path)
    wanted = f'{two} (people 1 and 4) shows 2 faces: the largest is used; crop the image to choose another'
    # People who share a source share its preparation.
    assert said == [wanted]


# The registration


def test_a_frame_changes_only_if_a_large_face_has_images():
    large, small = (LinkedFace(0, face_at(100, 100, size), 0.9) for size in (40, 4))
    changes, settings = FACE_SWAPPER.changes, settings_of('mesh_warp')
    assert changes(settings, with_images([small, large], 0, 1))
    assert not changes(settings, with_images([small, large], 0, NO_SOURCE))
    assert not changes(settings, [])


def test_the_people_of_a_source_are_named_in_messages():
    people = (CastPerson(0, 1, 0), CastPerson(3, 0), CastPerson(5, 1), CastPerson(9, 1))
    cast = Cast(((Path('a'),), (Path('b'),)), (Path('c'),), people)
    assert cast.users_of_images(0) == ' (person 3)' and cast.users_of_voice(0) == ' (person 0)'
    assert cast.users_of_images(1) == ' (people 0, 5 and 9)'
    assert replace(cast, people=None).users_of_images(1) == ''


def test_a_drawn_face_without_a_source_stays_unchanged_next_to_a_swapped_one(tmp_path):
    """The skin of every face is measured, but only the mapped one is painted."""
    places = face_at(110, 150, 50), face_at(290, 150, 50)
    source = tmp_path / 'source.png'
    write_image(draw_face(face_at(100, 100, 40), face_texture((120, 150, 200)), 301, 200), source, 'png', 100, silent)
    halves = [draw_face(place, face_texture((60, 80, 120), seed=3)).pixels for place in places]
    pixels = np.where(np.arange(400)[None, :, None] < 200, *halves)
    frame = PixelFrame(np.ascontiguousarray(pixels))
    faces = with_images([linked_face(METER, frame, place, k) for k, place in enumerate(places)], NO_SOURCE, 0)
    cast = Cast(((source,),), (), (CastPerson(1, 0),))
    tools = ProcessorTools(settings_of('mesh_warp'), None, FaceFinder(), METER, silent, cast=cast)
    assert prepare(tools).process([FrameTask(frame, faces)]) == [True]
    change = np.abs(frame.pixels.astype(int) - pixels).sum((0, 2))
    assert not change[:200].any() and change[200:].sum() > 1000
