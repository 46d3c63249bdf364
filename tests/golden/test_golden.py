"""Tests that compare images of FaceFusion 3.8, written with stand-in networks, with those of this program.

The folder ``../shared/golden`` beside the checkout (or ``GOLDEN_PICTURES``) contains cases, inputs, networks and
images; its README explains them. The comments below state the reasons for cases that are left out.
"""

from __future__ import annotations

import json
import os
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from fakes.program import UNMARKED, Program

from facefusion.faces.face import Floats
from facefusion.media.frame import PixelFrame
from facefusion.media.window import Scale
from facefusion.models.catalog import ModelEntry
from facefusion.pipeline import content_screening
from facefusion.processors import registry
from facefusion.processors.background_remover import colors
from facefusion.processors.background_remover import networks as matting
from facefusion.processors.background_remover import process as background
from facefusion.processors.face_swapper.neural import prepare
from facefusion.processors.frame_colorizer import networks
from facefusion.processors.frame_enhancer import network, tiles
from facefusion.processors.lip_syncer import process, published
from facefusion.processors.lip_syncer.registration import LIP_SYNCER

FOLDER = Path(os.environ.get('GOLDEN_PICTURES', Path(__file__).resolve().parents[3] / 'shared' / 'golden'))
PROCESSORS = (
    ['face_swapper'],
    ['face_debugger'],
    ['face_enhancer'],
    ['face_swapper', 'face_enhancer'],
    ['lip_syncer'],
    ['background_remover'],
    ['frame_colorizer'],
    ['frame_enhancer'],
    ['frame_enhancer', 'face_swapper'],
)
FIXTURES = Path(__file__).resolve().parents[1] / 'fixtures'
# Options that this program refuses.
UNSUPPORTED = ('--face-selector-race',)
# Cases with deliberate differences. In this program detectors get RGB images, as in their training; the
# swapper's weight is applied to both embeddings after their conversion; images are processed at full size and scaled
# afterwards; and odd sides stay odd.
DIFFERENT = (
    'det_scrfd',
    'det_yolo_face',
    'det_many',
    'weight_inswapper_128_0.0',
    'weight_inswapper_128_0.25',
    'weight_simswap_256_0.0',
    'weight_hififace_unofficial_256_1.0',
    'weight_ghost_1_256_0.1',
    'scale_half',
    'odd_size',
    'enh_edge',
    'col_ddcolor_tileb',
    'up_real_esrgan_x2',
    'up_span_kendata_x4',
    'up_scale1',
)
# An item that this program draws differently: it does not draw the 68 points that are estimated from five.
OWN_DRAWINGS = ('face-landmark-68/5',)
# The defaults of FaceFusion 3.8.
DEFAULTS = {
    '--face-selector-mode': 'reference',
    '--face-landmarker-model': '2dfan4',
    '--face-mask-types': 'box',
    '--face-occluder-model': 'xseg_1',
    '--face-parser-model': 'bisenet_resnet_34',
    '--face-swapper-model': 'hyperswap_1a_256',
    '--face-enhancer-model': 'gfpgan_1.4',
    '--lip-syncer-model': 'wav2lip_gan_96',
    '--background-remover-model': 'modnet',
    '--frame-colorizer-model': 'ddcolor',
    '--frame-enhancer-model': 'span_kendata_x4',
}
# The mel spectrogram of silence, which FaceFusion 3.8 uses for all images.
SILENCE = np.full((80, 16), -4, np.float32)


def cases() -> list[dict]:
    if not (FOLDER / 'cases.json').is_file():
        return []
    found = json.loads((FOLDER / 'cases.json').read_text(encoding='utf-8'))['cases']
    return [case for case in found if case['processors'] in PROCESSORS and is_wanted(case)]


def is_wanted(case: dict) -> bool:
    options, is_drawing = case['options'], case['processors'] == ['face_debugger']
    if case['kind'] != 'cli' and case['processors'] != ['lip_syncer']:
        return False
    if case['id'] in DIFFERENT or any(word in UNSUPPORTED for word in options):
        return False
    return not is_drawing or not set(OWN_DRAWINGS) & set(options)


CASES = cases()
pytestmark = [
    pytest.mark.golden,
    pytest.mark.skipif(not CASES, reason=f'there are no golden images in {FOLDER}'),
]


@pytest.fixture(scope='module')
def models(store, tmp_path_factory) -> Path:
    """A folder of weights with the embedded models and the stand-ins, which are imported as the published models."""
    folder = tmp_path_factory.mktemp('golden') / 'weights'
    folder.mkdir()
    for name in ('open_nsfw', 'face_mesh', 'centerface'):
        (folder / store.path(name).name).symlink_to(store.path(name))
    (folder / 'lock.json').write_bytes((store.weights / 'lock.json').read_bytes())
    needed = {name for case in CASES for name in case['models']}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ModelEntry, 'is_guarding', property(lambda entry: False))
        for name in sorted(needed):
            path = FOLDER / 'models' / f'{name}.onnx'
            done = Program(folder)('models', 'import', path, '--as', name, '--models-path', folder)
            assert done.code == 0, done.err
    return folder


@pytest.fixture
def latent_of_facefusion(monkeypatch):
    """Divide the source of inswapper by the length of the unconverted embedding, as FaceFusion 3.8 does."""
    vendor = prepare.converter

    def converter(kind, session, matrix):
        def convert(embedding: Floats) -> Floats:
            return np.asarray(embedding @ matrix / np.linalg.norm(embedding), np.float32)

        return convert if kind.source == 'matrix' else vendor(kind, session, matrix)

    monkeypatch.setattr(prepare, 'converter', converter)


@pytest.fixture(autouse=True)
def no_age_rule(monkeypatch):
    """Accept the stand-in classifier, and switch the age rule off, because its ages have no meaning."""
    monkeypatch.setattr(ModelEntry, 'is_guarding', property(lambda entry: False))
    monkeypatch.setattr(content_screening, 'find_age_estimator', lambda sessions, store: None)


@pytest.fixture
def still_lips(case, monkeypatch):
    """Let the lip syncer change an image with the mel spectrogram of FaceFusion 3.8.

    In this program, an image with a voice becomes a clip.
    """
    image = replace(
        LIP_SYNCER, requirements=lambda settings: replace(LIP_SYNCER.requirements(settings), source_audio=False)
    )
    known = tuple(image if each is LIP_SYNCER else each for each in registry.REGISTRATIONS)
    make, mel = process.prepare, mel_of_facefusion(case)
    monkeypatch.setattr(registry, 'REGISTRATIONS', known)
    monkeypatch.setattr(process, 'prepare', lambda tools: make(replace(tools, voices=(object(),))))
    monkeypatch.setattr(published, 'mel_window', lambda voice, seconds: mel)


@pytest.fixture
def mattes_of_facefusion(monkeypatch):
    """Remove backgrounds as FaceFusion 3.8 does.

    It truncates mattes and colours, keeps the colour of edges, and writes the matte as alpha with a fill colour, too.
    """

    def truncated(values: Floats) -> np.ndarray:
        return (np.clip(values, 0, 1) * 255).astype(np.uint8)

    monkeypatch.setattr(matting, 'eight_bits', truncated)
    monkeypatch.setattr(background, 'clean_edges', lambda frame, small, matte: False)
    monkeypatch.setattr(colors, 'rounded', lambda levels: levels.astype(np.uint8))
    monkeypatch.setattr(background, 'written_alpha', lambda shown, alpha, color: shown)


@pytest.fixture
def enlarging_of_facefusion(monkeypatch):
    """Enlarge frames as FaceFusion 3.8 does.

    It puts zeros outside the frame, cuts tiles without a fade and rounds them down to 8 bits. It multiplies points by
    the scale, which moves them by half a pixel of the frame relative to the image.
    """
    make_axis, enlarge = tiles.axis_of, network.Upscaler.enlarge

    def window_in_zeros(frame, top, left, height, width):
        window = np.zeros((height, width, 3), frame.dtype)
        part = frame[max(top, 0) : top + height, max(left, 0) : left + width]
        window[max(-top, 0) :, max(-left, 0) :][: part.shape[0], : part.shape[1]] = part
        return window

    def rounded_down(upscaler, windows):
        return np.floor(enlarge(upscaler, windows) * 255).astype(np.float32) / 255

    monkeypatch.setattr(tiles, 'axis_of', lambda length, rule: make_axis(length, rule)._replace(fade=0))
    monkeypatch.setattr(tiles, 'reflected_window', window_in_zeros)
    monkeypatch.setattr(network.Upscaler, 'enlarge', rounded_down)
    monkeypatch.setattr(
        Scale, 'place', lambda scale, points: points * np.array([*scale, scale.x], points.dtype)[: points.shape[-1]]
    )


def mel_of_facefusion(case: dict) -> np.ndarray:
    """Return the window of the voice that a library case names in its id, or silence."""
    if case['kind'] == 'cli':
        return SILENCE
    frame = int(case['id'].rpartition('mel')[2])
    stored = np.load(FOLDER / 'intermediates' / 'voice_and_tracker.npz')['mel_kim_vocal_2_fps25']
    # Every fourth window is stored. The fixture was computed in the same way, which gives the stored ones within 2e-8.
    levels = stored[frame // 4] if frame % 4 == 0 else np.load(FIXTURES / 'golden_voice_25.npy')
    return np.clip(np.log10(np.maximum(1e-5, levels)) * 1.6 + 3.2, -4, 4).astype(np.float32)


@pytest.fixture
def colours_of_facefusion(monkeypatch):
    """Colour as FaceFusion 3.8 does.

    It takes the luma as grey picture and resizes it by linear interpolation. With DDColor, OpenCV computes the
    lightness that stays; with DeOldify, the blue channel becomes the lightness.
    """

    def grey(pixels):
        return np.dstack([cv2.cvtColor(pixels, cv2.COLOR_BGR2GRAY)] * 3)

    def grey_resized(frame, width, height):
        return cv2.resize(grey(frame.whole()), (width, height))

    def lightness_by_opencv(pixels):
        return cv2.cvtColor(pixels / np.float32(255), cv2.COLOR_BGR2LAB)[..., 0]

    def with_blue_as_lightness(pixels, colours):
        lab = cv2.cvtColor(colours.astype(np.uint8), cv2.COLOR_BGR2LAB)
        lab[..., 0] = pixels[..., 0]
        return cv2.cvtColor(lab, cv2.COLOR_LAB2BGR).astype(np.float32)

    monkeypatch.setattr(PixelFrame, 'resized', grey_resized)
    monkeypatch.setattr(networks, 'lightness', lightness_by_opencv)
    monkeypatch.setattr(networks, '_with_luma', with_blue_as_lightness)


def expected(case: dict) -> np.ndarray:
    stored = cv2.imread(str(FOLDER / case['output']), cv2.IMREAD_UNCHANGED).astype(int)
    if case['stored'] == 'difference':
        target = cv2.imread(str(FOLDER / 'inputs' / case['target']), cv2.IMREAD_UNCHANGED)
        stored[..., :3] = (target[..., :3] + stored[..., :3]) % 256
    return stored


@pytest.mark.parametrize('case', CASES, ids=[case['id'] for case in CASES])
def test_a_picture_equals_that_of_facefusion(
    case, models, latent_of_facefusion, still_lips, mattes_of_facefusion, enlarging_of_facefusion, request, tmp_path
):
    if case['processors'] == ['frame_colorizer']:
        request.getfixturevalue('colours_of_facefusion')
    inputs, output = FOLDER / 'inputs', tmp_path / 'out.png'
    words = ['headless-run', '--processors', *case['processors'], '-t', inputs / case['target'], '-o', output]
    images = [inputs / source for source in case['sources'] if source != 'voice.wav']
    words += ['-s', *images] if images else []
    words += case['options']
    for option, value in DEFAULTS.items():
        words += [] if option in case['options'] else [option, value]
    paths = ('--models-path', models)
    done = Program(tmp_path)(*words, *paths, *UNMARKED)
    assert done.code == 0, done.err
    channels = 4 if 'background_remover' in case['processors'] else 3
    written = cv2.imread(str(output), cv2.IMREAD_UNCHANGED)[..., :channels].astype(int)
    difference = np.abs(written - expected(case)[..., :channels])
    tolerance = case['tolerance']
    assert difference.mean() <= tolerance['mean']
    assert (difference > tolerance['level']).mean() <= tolerance['share_above_level']
