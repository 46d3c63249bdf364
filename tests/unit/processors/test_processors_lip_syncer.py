"""Tests of the contracts of the published lip syncers, with stand-in networks and independent formulas."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np
import onnxruntime
import pytest
from fakes.face_chunks import face_at
from fakes.stand_ins import LipSession, lip_syncer, spoken

from facefusion.errors import InternalError
from facefusion.events import silent
from facefusion.faces.analyser import FaceFinder
from facefusion.faces.face import LinkedFace
from facefusion.faces.landmarks.subsets import five_points, sixty_eight_points
from facefusion.faces.masks.options import FaceMaskOptions
from facefusion.faces.options import FaceLandmarkerOptions
from facefusion.faces.templates import template_matrix
from facefusion.media.frame import PixelFrame
from facefusion.models.catalog import load_catalog
from facefusion.models.preferences import PREFERENCES
from facefusion.processors.face_crops import face_crop
from facefusion.processors.lip_syncer import published
from facefusion.processors.lip_syncer.models import EMBEDDED, FADE_FRAMES, PREFERENCE, frozen_model
from facefusion.processors.lip_syncer.network import Edtalk, Wav2Lip
from facefusion.processors.lip_syncer.options import MODELS, LipSyncerOptions
from facefusion.processors.lip_syncer.process import prepare
from facefusion.processors.lip_syncer.registration import LIP_SYNCER
from facefusion.processors.processor import FrameTask, ProcessorTools
from facefusion.processors.registration import Requirements
from facefusion.settings import Settings
from facefusion.voice.mel import mel_window

CATALOG = load_catalog(Path(__file__).resolve().parents[3] / 'models' / 'catalog')
SIDES = {'edtalk_256': 256, 'wav2lip_96': 96, 'wav2lip_gan_96': 96}
SILENCE = np.full((80, 16), -4, np.float32)


def mel_of(seed: int) -> np.ndarray:
    return np.random.default_rng(seed).uniform(-4, 4, (80, 16)).astype(np.float32)


def smooth_frame(seed: int = 5) -> PixelFrame:
    small = np.random.default_rng(seed).integers(0, 256, (12, 16, 3), np.uint8)
    return PixelFrame(cv2.resize(small, (400, 300), interpolation=cv2.INTER_CUBIC))


def grey_frame() -> PixelFrame:
    return PixelFrame(np.full((300, 400, 3), 128, np.uint8))


def linked(x: float = 200, y: float = 150, size: float = 60, track: int = 0) -> LinkedFace:
    return LinkedFace(track, face_at(x, y, size), 0.9)


def crop_of(frame: PixelFrame, face: LinkedFace | None = None):
    return face_crop(0, FrameTask(frame), face or linked(), 'ffhq_512', lambda five: 512)


def open_stand_in(name: str, batch: int | str = 'n'):
    data = lip_syncer(SIDES[name], name == 'edtalk_256', batch)
    return onnxruntime.InferenceSession(data, providers=['CPUExecutionProvider'])


def network_of(name: str, weight: float = 0.5, batch: int = 1, session=None):
    make = Edtalk if name == 'edtalk_256' else Wav2Lip
    return make(session or open_stand_in(name), SIDES[name], batch, weight)


def test_the_tables_agree():
    published = {entry.id: entry.contract for entry in CATALOG if entry.task == 'lip_syncer'}
    assert published.keys() == SIDES.keys() and {'auto', EMBEDDED, *SIDES} == set(MODELS)
    assert (*PREFERENCES['lip_syncer'], EMBEDDED) == PREFERENCE and frozen_model('auto') == EMBEDDED
    for name, side in SIDES.items():
        assert (published[name].template, published[name].size) == ('ffhq_512', (side, side))


# The contracts


def sampled(image: np.ndarray, x: np.ndarray, y: np.ndarray, is_black_outside: bool) -> np.ndarray:
    """Return image [H,W,3] at the positions x [w] and y [h], interpolated linearly, float64 [h,w,3]."""
    if is_black_outside:
        image = np.pad(image, ((1, 1), (1, 1), (0, 0)))
        x, y = np.clip(x + 1, 0, image.shape[1] - 1), np.clip(y + 1, 0, image.shape[0] - 1)
    else:
        x, y = np.clip(x, 0, image.shape[1] - 1), np.clip(y, 0, image.shape[0] - 1)
    rows = np.stack([[np.interp(x, np.arange(image.shape[1]), line) for line in image[..., k]] for k in range(3)], -1)
    columns = np.moveaxis(rows, 0, 1)
    return np.stack(
        [[np.interp(y, np.arange(image.shape[0]), line) for line in columns[..., k]] for k in range(3)], -1
    ).swapaxes(0, 1)


def expected_wav2lip(crop, mel: np.ndarray, weight: float) -> np.ndarray:
    """Return the crop as the contract describes it; see peer-models.md section 12.4."""
    points = crop.points()
    (x0, y0), (x1, y1) = points.min(0).astype(float), points.max(0).astype(float)
    steps = np.arange(96) / 96
    box = sampled(crop.pixels.astype(float), x0 + steps * (x1 - x0), y0 + steps * (y1 - y0), is_black_outside=True)
    image = np.round(box).transpose(2, 0, 1) / 255
    upper = image.copy()
    upper[:, 48:] = 0
    output = spoken(np.concatenate([upper, image]), mel * 2 * weight)
    painted = np.floor(np.clip(output, 0, 1) * 255 + 1e-4).transpose(1, 2, 0)
    places = np.arange(512)
    return sampled(painted, (places - x0) / (x1 - x0) * 96, (places - y0) / (y1 - y0) * 96, is_black_outside=False)


def expected_edtalk(crop, mel: np.ndarray, weight: float) -> np.ndarray:
    small = crop.pixels.reshape(256, 2, 256, 2, 3).mean((1, 3))
    output = spoken(np.round(small)[..., ::-1].transpose(2, 0, 1) / 255, mel, weight)
    painted = np.floor(np.clip(output, 0, 1) * 255 + 1e-4).transpose(1, 2, 0)[..., ::-1].astype(np.uint8)
    return cv2.resize(painted, (512, 512), interpolation=cv2.INTER_CUBIC).astype(float)


def expected_crop(name: str, crop, mel: np.ndarray, weight: float = 0.5) -> np.ndarray:
    return (expected_edtalk if name == 'edtalk_256' else expected_wav2lip)(crop, mel, weight)


@pytest.mark.parametrize('weight', [0.0, 0.5, 1.0])
@pytest.mark.parametrize('name', SIDES)
def test_a_crop_goes_through_the_network_as_its_contract_says(name, weight):
    crop, mel = crop_of(smooth_frame()), mel_of(1)
    (found,) = network_of(name, weight).speak([crop], [mel])
    wanted = expected_crop(name, crop, mel, weight)
    assert found.dtype == np.uint8 and found.shape == (512, 512, 3)
    difference = np.abs(found - wanted)
    # OpenCV places samples at multiples of a 32nd of a pixel.
    assert difference.mean() < 0.6 and np.quantile(difference, 0.99) <= 3


@pytest.mark.parametrize('change', ['colours', 'bands', 'columns', 'level', 'weight', 'rows', 'side by side'])
@pytest.mark.parametrize('name', SIDES)
def test_a_wrong_contract_shows(name, change):
    frame, mel, weight = smooth_frame(), mel_of(1), 0.5
    wanted = expected_crop(name, crop_of(frame), mel)
    if change == 'colours':
        frame = PixelFrame(np.ascontiguousarray(frame.pixels[..., ::-1]))
    elif change == 'bands':
        mel = mel[::-1]
    elif change == 'columns':
        mel = mel[:, ::-1]
    elif change == 'level':
        mel = mel_of(1) + 0.8
    elif change == 'weight':
        weight = 0.6
    crop = crop_of(frame)
    if change == 'rows':
        crop = replace(crop, pixels=np.ascontiguousarray(crop.pixels[::-1]))
    elif change == 'side by side':
        crop = replace(crop, pixels=np.ascontiguousarray(crop.pixels[:, ::-1]))
    (found,) = network_of(name, weight).speak([crop], [mel])
    assert np.abs(found - wanted).mean() > 1


def test_wav2lip_sees_the_upper_half_first_and_then_the_whole_face():
    session = LipSession()
    network_of('wav2lip_96', session=session).speak([crop_of(smooth_frame())], [mel_of(1)])
    ((target,),) = [feeds['target'] for feeds in session.fed]
    assert not target[:3, 48:].any() and target[3:, 48:].any()
    np.testing.assert_array_equal(target[:3, :48], target[3:, :48])
    assert set(session.fed[0]) == {'source', 'target'}


@pytest.mark.parametrize('weight', [0.0, 0.25, 0.5, 1.0])
def test_the_weight_scales_the_voice_of_wav2lip_and_is_an_input_of_edtalk(weight):
    mel = mel_of(1)
    lips, talk = LipSession(), LipSession()
    network_of('wav2lip_gan_96', weight, session=lips).speak([crop_of(smooth_frame())], [mel])
    network_of('edtalk_256', weight, session=talk).speak([crop_of(smooth_frame())], [mel])
    np.testing.assert_allclose(lips.fed[0]['source'][0, 0], mel * 2 * weight)
    np.testing.assert_array_equal(talk.fed[0]['source'][0, 0], mel)
    assert talk.fed[0]['weight'].tolist() == [np.float32(weight)] and talk.fed[0]['weight'].dtype == np.float32


@pytest.mark.parametrize(('axis', 'batch'), [('n', 1), ('n', 2), ('n', 8), (1, 8)])
@pytest.mark.parametrize('name', SIDES)
def test_crops_of_a_call_do_not_change_each_other(name, axis, batch):
    crops = [crop_of(smooth_frame(seed), linked(size=40 + 10 * seed)) for seed in range(3)]
    mels = [mel_of(seed) for seed in range(3)]
    network = network_of(name, batch=batch, session=open_stand_in(name, axis))
    together = network.speak(crops, mels)
    for crop, mel, found in zip(crops, mels, together, strict=True):
        np.testing.assert_array_equal(found, network.speak([crop], [mel])[0])
    assert not np.array_equal(together[0], together[1])


def test_windows_and_faces_of_several_frames_share_a_call():
    session = LipSession()
    crops = [crop_of(smooth_frame(seed)) for seed in range(3)]
    network_of('wav2lip_96', batch=8, session=session).speak(crops, [mel_of(seed) for seed in range(3)])
    assert [feeds['source'].shape for feeds in session.fed] == [(8, 1, 80, 16)]


def test_a_face_whose_landmarks_are_one_point_is_no_error():
    face = LinkedFace(0, np.full((468, 3), 150, np.float32), 0.9)
    (found,) = network_of('wav2lip_96').speak([crop_of(smooth_frame(), face)], [SILENCE])
    assert found.shape == (512, 512, 3)


# The processor


class Sessions:
    """A pool with one network; it records its uses."""

    def __init__(self, network) -> None:
        self.network = network
        self.opened: list[str] = []

    def session(self, model_id):
        self.opened.append(model_id)
        return self.network

    batched = session

    def contract(self, model_id):
        return CATALOG.entry(model_id).contract


class Speech:
    """A voice of noise that ends after a second, at 16 kHz."""

    sample_count = 16000

    def __init__(self) -> None:
        self._samples = np.random.default_rng(3).uniform(-0.5, 0.5, self.sample_count).astype(np.float32)

    def window(self, start, seconds):
        first, count = round(start * 16000), round(seconds * 16000)
        padded = np.pad(self._samples, 32000)
        return np.zeros(count, np.float32) if first > 16000 else padded[first + 32000 : first + 32000 + count]


def settings_of(model: str, weight: float = 0.5, **masks) -> Settings:
    masks = {'face_mask_types': ('box',), **masks}
    return Settings([LipSyncerOptions(model, weight), FaceMaskOptions(**masks), FaceLandmarkerOptions()])


def prepared(model: str, session, messages: list | None = None, batch: int = 1, **masks):
    emit = silent if messages is None else messages.append
    settings = settings_of(model, **masks)
    return prepare(ProcessorTools(settings, Sessions(session), FaceFinder(), None, emit, batch, (Speech(),)))


RED = {'edtalk_256': (1, 0, 0), 'wav2lip_96': (0, 0, 1), 'wav2lip_gan_96': (0, 0, 1)}


def changed_pixels(model: str, face: LinkedFace, frame: PixelFrame | None = None, **masks) -> np.ndarray:
    frame = frame or grey_frame()
    before = frame.pixels.copy()
    assert prepared(model, LipSession(RED[model]), **masks).process([FrameTask(frame, (face,))]) == [True]
    changed = (frame.pixels != before).any(-1)
    assert (frame.pixels[changed][:, 2] >= frame.pixels[changed][:, 0]).all()
    return changed


@pytest.mark.parametrize('size', [15, 60, 150])
@pytest.mark.parametrize('model', ['wav2lip_96', 'wav2lip_gan_96'])
def test_wav2lip_changes_only_the_lower_face(model, size):
    face = linked(size=size)
    changed = changed_pixels(model, face)
    points = sixty_eight_points(face.landmarks)
    lower = np.zeros(changed.shape, np.uint8)
    cv2.fillConvexPoly(lower, cv2.convexHull(points[[*range(3, 14), *range(31, 36)]].astype(np.int32)), (1,))
    assert not changed[cv2.dilate(lower, np.ones((5, 5))) == 0].any()
    assert changed[int(points[62, 1]), int(points[62, 0])] and changed.sum() > 0.7 * lower.sum()
    # Neither the nose tip nor the eyes change.
    assert not changed[: int(points[29, 1])].any()


@pytest.mark.parametrize('padding', [(0, 0, 0, 0), (40, 30, 0, 0)])
def test_edtalk_changes_a_box_with_the_padding_of_the_options(padding):
    face = linked()
    changed = changed_pixels('edtalk_256', face, face_mask_padding=padding, face_mask_blur=0.0)
    box = np.zeros((512, 512), np.float32)
    top, right = 512 * padding[0] // 100, 512 * padding[1] // 100
    box[max(top, 1) : 511, 1 : 512 - max(right, 1)] = 1
    matrix = template_matrix(five_points(face.landmarks), 'ffhq_512', 512)
    wanted = cv2.warpAffine(box, cv2.invertAffineTransform(matrix), (400, 300)) > 0.01
    assert (changed != wanted).mean() < 0.01


@pytest.mark.parametrize('model', SIDES)
def test_selected_areas_and_regions_have_no_effect_and_it_is_said(model):
    frames, messages = [], []
    for types in (('box',), ('area', 'region')):
        frame = grey_frame()
        settings = {'face_mask_types': types, 'face_mask_areas': ('upper-face',)}
        prepared(model, LipSession(RED[model]), messages, **settings).process([FrameTask(frame, (linked(),))])
        frames.append(frame.pixels)
    np.testing.assert_array_equal(*frames)
    limit = 'box' if model == 'edtalk_256' else 'the lower face'
    wanted = f'{model} ignores the mask types area, region: it applies {limit} and occlusion only'
    assert [(message.level, message.text) for message in messages] == [('info', wanted)]


@pytest.mark.parametrize('model', SIDES)
def test_each_face_of_a_batch_gets_the_voice_of_its_frame(model):
    times = (Fraction(0), Fraction(1, 3), Fraction(2))
    faces = [(linked(120, 150, 40), linked(290, 150, 40, 1)), (), (linked(200, 150, 60),)]
    tasks = [FrameTask(smooth_frame(), each, seconds) for each, seconds in zip(faces, times, strict=True)]
    assert prepared(model, open_stand_in(model), batch=4).process(tasks) == [True, False, True]
    for task in tasks:
        alone = FrameTask(smooth_frame(), task.faces, task.seconds)
        prepared(model, open_stand_in(model)).process([alone])
        np.testing.assert_array_equal(task.frame.pixels, alone.frame.pixels)
    session = LipSession()
    prepared(model, session).process([FrameTask(smooth_frame(), faces[0], times[1])])
    wanted = mel_window(Speech(), times[1])
    assert wanted.std() > 0.2 and len(session.fed) == 2
    for feeds in session.fed:
        np.testing.assert_allclose(feeds['source'][0, 0], wanted)


def test_the_mouth_gets_silence_after_the_end_of_the_voice():
    session = LipSession()
    prepared('wav2lip_96', session).process([FrameTask(grey_frame(), (linked(),), Fraction(3))])
    assert (session.fed[0]['source'] == -4).all()


def test_a_small_face_and_a_frame_without_faces_run_no_network():
    session, frame = LipSession((0, 0, 1)), grey_frame()
    tasks = [FrameTask(frame, (linked(size=5),)), FrameTask(grey_frame())]
    assert prepared('wav2lip_96', session).process(tasks) == [False, False]
    assert not session.fed and (frame.pixels == 128).all() and not frame.is_touched


@pytest.mark.parametrize('model', SIDES)
def test_a_hidden_mouth_is_unchanged(model, monkeypatch):
    class Covered:
        def masks(self, crops, made):
            masks = [np.ones((512, 512), np.float32) for _ in crops]
            for crop, mask in zip(crops, masks, strict=True):
                mask[int(crop.points()[48:, 1].min()) - 5 :] = 0
            return masks

    monkeypatch.setattr(published, 'prepare_masker', lambda *arguments: Covered())
    session, frame = LipSession(RED[model]), grey_frame()
    assert prepared(model, session).process([FrameTask(frame, (linked(),))]) == [False]
    assert not session.fed and (frame.pixels == 128).all()


@pytest.mark.parametrize('model', SIDES)
def test_the_mask_types_of_the_user_reach_the_masks(model, monkeypatch):
    asked = []

    def masker(options, tools, template, name):
        asked.append((options, template, name))

    monkeypatch.setattr(published, 'prepare_masker', masker)
    prepared(model, LipSession(), face_mask_types=('occlusion', 'region'), face_mask_padding=(1, 2, 3, 4))
    own = 'box' if model == 'edtalk_256' else 'area'
    ((options, *rest),) = asked
    assert options.face_mask_types == (own, 'occlusion') and options.face_mask_padding == (1, 2, 3, 4)
    assert options.face_mask_areas == ('lower-face',) and rest == ['ffhq_512', 'lip_syncer']


# The registration


@pytest.mark.parametrize('model', SIDES)
def test_a_prepared_lip_syncer_uses_the_model_and_the_weight(model):
    sessions = Sessions(LipSession())
    settings = settings_of(model, 0.8)
    processor = prepare(ProcessorTools(settings, sessions, FaceFinder(), None, silent, voices=(Speech(),)))
    processor.process([FrameTask(grey_frame(), (linked(),), Fraction(1, 4))])
    assert processor.name == LIP_SYNCER.name == 'lip_syncer' and sessions.opened == [model]
    feeds, mel = sessions.network.fed[0], mel_window(Speech(), Fraction(1, 4))
    if model == 'edtalk_256':
        assert feeds['weight'].tolist() == [np.float32(0.8)]
    else:
        np.testing.assert_allclose(feeds['source'][0, 0], mel * np.float32(1.6))


def test_a_lip_syncer_without_a_voice_is_an_error_of_the_program():
    tools = ProcessorTools(settings_of('wav2lip_96'), Sessions(LipSession()), FaceFinder(), None, silent)
    with pytest.raises(InternalError):
        prepare(tools)


@pytest.mark.parametrize('model', SIDES)
def test_the_registration_states_the_effect_the_models_and_the_requirements(model):
    settings = settings_of(model)
    assert LIP_SYNCER.effect(settings) == 'composite' and LIP_SYNCER.models(settings) == (model,)
    assert LIP_SYNCER.requirements(settings) == Requirements(source_audio=True, neighbours=FADE_FRAMES)
    covered = settings.replace(FaceMaskOptions('xseg_2', 'bisenet_resnet_34', ('occlusion', 'region')))
    assert LIP_SYNCER.models(covered) == (model, 'xseg_2')
    assert LIP_SYNCER.requirements(covered) == Requirements(source_audio=True, neighbours=FADE_FRAMES)
    mesh = settings.replace(FaceMaskOptions('mesh', 'mesh', ('occlusion', 'region')))
    assert LIP_SYNCER.requirements(mesh).measurements == {'skin'} and LIP_SYNCER.requirements(mesh).mesh


def test_a_frame_changes_only_with_a_large_face():
    assert LIP_SYNCER.changes(settings_of('wav2lip_96'), [linked(size=5), linked()])
    assert not LIP_SYNCER.changes(settings_of('wav2lip_96'), [linked(size=5)])
