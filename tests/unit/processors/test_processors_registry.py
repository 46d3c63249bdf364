from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from fakes.drawn_face import TOPOLOGY, draw_face, face_texture
from fakes.face_chunks import face_at
from fakes.linking import linked_face
from fakes.model_sessions import NamedSessions, TensorSession

from facefusion.errors import InternalError, NoFaceError
from facefusion.events import silent
from facefusion.faces.face import Face, LinkedFace
from facefusion.faces.masks.options import FaceMaskOptions
from facefusion.faces.options import FaceLandmarkerOptions
from facefusion.faces.skin import SkinMeter
from facefusion.media.frame import PixelFrame
from facefusion.media.image import write_image
from facefusion.options import describe
from facefusion.processors.background_remover.options import BackgroundRemoverOptions
from facefusion.processors.cast import Cast
from facefusion.processors.face_debugger.options import FaceDebuggerOptions
from facefusion.processors.face_debugger.process import FaceDebugger
from facefusion.processors.face_enhancer.options import FaceEnhancerOptions
from facefusion.processors.face_swapper.mesh_warp.swapper import MeshSwapper
from facefusion.processors.face_swapper.options import FaceSwapperOptions
from facefusion.processors.face_swapper.process import prepare
from facefusion.processors.frame_colorizer.options import FrameColorizerOptions
from facefusion.processors.frame_enhancer.options import FrameEnhancerOptions
from facefusion.processors.lip_syncer.models import FADE_FRAMES
from facefusion.processors.lip_syncer.options import LipSyncerOptions
from facefusion.processors.processor import FrameTask, ProcessorTools
from facefusion.processors.registration import SMALLEST_FACE, Requirements, joined
from facefusion.processors.registry import REGISTRATIONS, ProcessorsOptions, registrations
from facefusion.settings import Settings

KNOWN = {registration.name: registration for registration in REGISTRATIONS}
DEBUGGER, ENHANCER, SWAPPER = KNOWN['face_debugger'], KNOWN['face_enhancer'], KNOWN['face_swapper']
LIP_SYNCER, UPSCALER = KNOWN['lip_syncer'], KNOWN['frame_enhancer']
REMOVER, COLORIZER = KNOWN['background_remover'], KNOWN['frame_colorizer']
METER = SkinMeter(TOPOLOGY)
SETTINGS = Settings(
    [
        BackgroundRemoverOptions(),
        FaceSwapperOptions(face_swapper_model='mesh_warp'),
        FaceMaskOptions(),
        FaceLandmarkerOptions(),
        FaceDebuggerOptions(('bounding-box',)),
        FaceEnhancerOptions(),
        FrameColorizerOptions(),
        LipSyncerOptions(lip_syncer_model='wav2lip_96'),
        FrameEnhancerOptions(),
    ]
)


class FaceFinder:
    """An analyser that returns the faces given for the width of an image."""

    topology = TOPOLOGY

    def __init__(self, **faces):
        self._faces = faces

    def find(self, frame):
        return [Face(points, 1.0, 0.0, 0.9) for points in self._faces.get(f'w{frame.width}', ())]


class Identities(TensorSession):
    """An embedder that gives each face the next of these directions in degrees; close directions mean similar faces."""

    def __init__(self, *directions):
        super().__init__()
        self._directions = iter(directions)

    def run(self, names, feeds):
        angle = np.radians(next(self._directions, 0))
        return [np.array([[np.cos(angle), np.sin(angle)]], np.float32)]


def tools(*sources, messages=None, directions=(), **faces) -> ProcessorTools:
    emit = silent if messages is None else messages.append
    sessions = NamedSessions(dlib_face_resnet=Identities(*directions))
    cast = Cast((sources,))
    return ProcessorTools(SETTINGS, sessions, FaceFinder(**faces), METER, emit, cast=cast)


@pytest.fixture
def picture(tmp_path):
    def make(width: int, landmarks):
        frame = draw_face(landmarks, face_texture((110, 140, 190)), width, 400)
        path = tmp_path / f'{width}.png'
        write_image(frame, path, 'png', 100, silent)
        return path

    return make


def test_names_are_the_choices_of_the_option():
    (chain,) = describe(ProcessorsOptions)
    assert set(chain.choices) == {registration.name for registration in REGISTRATIONS}
    assert registrations(('face_swapper', 'face_debugger', 'face_swapper')) == (SWAPPER, DEBUGGER, SWAPPER)


def test_a_registration_builds_its_processor(picture):
    face = face_at(200, 200, 60)
    assert isinstance(DEBUGGER.prepare(tools()), FaceDebugger)
    built = SWAPPER.prepare(tools(picture(400, face), w400=[face]))
    assert isinstance(built, MeshSwapper) and built.name == SWAPPER.name


def test_requirements_of_the_processors():
    needed = SWAPPER.requirements(SETTINGS)
    assert needed == Requirements(measurements=frozenset({'skin'}), source_faces=True, mesh=True)
    # The occlusion of the mesh.
    assert ENHANCER.requirements(SETTINGS) == Requirements(measurements=frozenset({'skin'}), mesh=True)
    assert DEBUGGER.requirements(SETTINGS) == Requirements()
    assert COLORIZER.requirements(SETTINGS) == Requirements(faces=False, every_frame=True)
    assert REMOVER.requirements(SETTINGS) == Requirements(faces=False, neighbours=1, every_frame=True)
    needed = Requirements(measurements=frozenset({'skin'}), source_audio=True, neighbours=FADE_FRAMES, mesh=True)
    assert LIP_SYNCER.requirements(SETTINGS) == needed
    assert UPSCALER.requirements(SETTINGS) == Requirements(faces=False, every_frame=True)


def test_a_chain_has_the_requirements_of_all_its_processors():
    assert joined([]) == Requirements(faces=False)
    assert joined(each.requirements(SETTINGS) for each in REGISTRATIONS) == Requirements(
        measurements=frozenset({'skin'}),
        source_faces=True,
        source_audio=True,
        neighbours=FADE_FRAMES,
        every_frame=True,
        mesh=True,
    )
    near = Requirements(faces=False, neighbours=2, every_frame=True)
    far = Requirements(measurements=frozenset({'other'}), neighbours=5, source_audio=True, original=True)
    assert joined([near, far]) == replace(far, every_frame=True)


@pytest.mark.parametrize('size', [SMALLEST_FACE - 1, SMALLEST_FACE])
def test_a_registration_returns_which_frames_it_will_change(size):
    face = LinkedFace(0, np.array([[10, 10, 0], [10 + size, 20, 0]], np.float32), 0.9)
    assert DEBUGGER.changes(SETTINGS, [face]) and not DEBUGGER.changes(SETTINGS, [])
    assert SWAPPER.changes(SETTINGS, [face]) == (size >= SMALLEST_FACE) and not SWAPPER.changes(SETTINGS, [])


def test_a_swapper_without_a_meter_is_an_error_of_the_program(picture):
    face = face_at(200, 200, 60)
    with pytest.raises(InternalError):
        prepare(replace(tools(picture(400, face), w400=[face]), meter=None))


def test_the_swapper_names_a_source_without_a_face(picture):
    path = picture(400, face_at(200, 200, 60))
    with pytest.raises(NoFaceError) as caught:
        SWAPPER.prepare(tools(path))
    assert caught.value.reference == 'source-no-face' and str(path) in caught.value.message and caught.value.hint


def test_the_swapper_refuses_a_source_face_that_is_too_small(picture):
    face = face_at(200, 200, 15)
    with pytest.raises(NoFaceError) as caught:
        SWAPPER.prepare(tools(picture(400, face), w400=[face]))
    assert caught.value.reference == 'source-face-small' and '48' in caught.value.cause


def test_the_swapper_combines_the_images_and_reports_it(picture):
    small, large = face_at(200, 200, 60), face_at(200, 200, 70)
    first, second = picture(400, small), picture(420, large)
    messages = []
    SWAPPER.prepare(tools(first, second, messages=messages, w400=[small], w420=[large]))
    (combined,) = [message for message in messages if message.level == 'info']
    assert '2 images of one person' in combined.text


def test_images_of_another_person_are_skipped_with_a_warning(picture):
    """The largest face decides the person. Two faces that are both similar to a third one are the same person."""
    sizes = {400: 60, 420: 80, 440: 70, 460: 50}
    faces = {f'w{width}': [face_at(200, 200, size)] for width, size in sizes.items()}
    paths = [picture(width, face_at(200, 200, size)) for width, size in sizes.items()]
    messages = []
    # The directions belong to the faces of 80, 70, 60 and 50 pixels.
    prepare(tools(*paths, messages=messages, directions=(0, 18, 36, 120), **faces))
    (skipped,) = [message.text for message in messages if 'is skipped' in message.text]
    assert str(paths[3]) in skipped and str(paths[1]) in skipped
    assert any('3 images of one person' in message.text for message in messages)


def test_an_image_without_a_usable_face_is_skipped_with_a_warning(picture):
    face, tiny = face_at(200, 200, 70), face_at(200, 200, 15)
    good, small, empty = picture(400, face), picture(420, tiny), picture(440, face)
    messages = []
    SWAPPER.prepare(tools(good, small, empty, messages=messages, w400=[face], w420=[tiny]))
    warned = [message.text for message in messages if message.level == 'warn']
    assert any(str(small) in text and 'pixels' in text for text in warned)
    assert any(str(empty) in text and 'no face' in text for text in warned)
    assert not any(message.level == 'info' for message in messages)


def test_the_swapper_paints_near_faces_last_and_none_over_them():
    order = []

    class Recorder:
        def render(self, frame, face, nearer, limit):
            order.append((face.track, [other.track for other in nearer]))
            return face.track == 1

    faces = [LinkedFace(track, face_at(200, 200, size), 0.9) for track, size in enumerate((50, 20, 90))]
    faces.append(LinkedFace(3, face_at(900, 200, 10), 0.9))
    task = FrameTask(PixelFrame(np.zeros((9, 9, 3), np.uint8)), faces)
    assert MeshSwapper([Recorder()], TOPOLOGY).process([task]) == [True]
    assert order == [(3, []), (1, [0, 2]), (0, [2]), (2, [])]


def test_a_prepared_swapper_swaps(picture):
    face = face_at(200, 200, 60)
    swapper = SWAPPER.prepare(tools(picture(400, face), w400=[face]))
    frame = draw_face(face, face_texture((60, 80, 120), seed=3))
    before = frame.pixels.copy()
    without = FrameTask(PixelFrame(before.copy()))
    assert swapper.process([FrameTask(frame, [linked_face(METER, frame, face)]), without]) == [True, False]
    assert np.array_equal(without.frame.pixels, before)
    assert np.abs(frame.pixels.astype(int) - before).mean() > 0.2
