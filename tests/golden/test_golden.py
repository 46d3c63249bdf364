"""Tests that compare images of FaceFusion 3.8, written with stand-in networks, with those of this program.

The folder ``../shared/golden`` beside the checkout (or ``GOLDEN_PICTURES``) contains cases, inputs, networks and
images; its README explains them. The comments below state the reasons for cases that are left out.
"""

from __future__ import annotations

import json
import os
from pathlib import Path

import cv2
import numpy as np
import pytest
from fakes.program import UNMARKED, Program

from facefusion.faces.face import Floats
from facefusion.processors.face_swapper.neural import prepare

FOLDER = Path(os.environ.get('GOLDEN_PICTURES', Path(__file__).resolve().parents[3] / 'shared' / 'golden'))
PROCESSORS = (['face_swapper'], ['face_debugger'], ['face_enhancer'], ['face_swapper', 'face_enhancer'])
# Options that this version does not support yet.
UNSUPPORTED = (
    'reference',
    '--face-selector-gender',
    '--face-selector-race',
    '--face-selector-age-start',
)
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
)
# An item that this program draws differently: it does not draw the 68 points that are estimated from five.
OWN_DRAWINGS = ('face-landmark-68/5',)
# The defaults of FaceFusion 3.8. The mode 'one' of this program selects the same face as its reference mode.
DEFAULTS = {
    '--face-selector-mode': 'one',
    '--face-landmarker-model': '2dfan4',
    '--face-mask-types': 'box',
    '--face-occluder-model': 'xseg_1',
    '--face-parser-model': 'bisenet_resnet_34',
    '--face-swapper-model': 'hyperswap_1a_256',
    '--face-enhancer-model': 'gfpgan_1.4',
}


def cases() -> list[dict]:
    if not (FOLDER / 'cases.json').is_file():
        return []
    found = json.loads((FOLDER / 'cases.json').read_text(encoding='utf-8'))['cases']
    return [case for case in found if case['kind'] == 'cli' and case['processors'] in PROCESSORS and is_wanted(case)]


def is_wanted(case: dict) -> bool:
    options, is_drawing = case['options'], case['processors'] == ['face_debugger']
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
    # With a stand-in classifier, the age rule would refuse the faces.
    for name in sorted(needed - {'fairface'}):
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


def expected(case: dict) -> np.ndarray:
    stored = cv2.imread(str(FOLDER / case['output']), cv2.IMREAD_UNCHANGED)[..., :3].astype(int)
    if case['stored'] == 'difference':
        target = cv2.imread(str(FOLDER / 'inputs' / case['target']), cv2.IMREAD_UNCHANGED)[..., :3]
        stored = (target + stored) % 256
    return stored


@pytest.mark.parametrize('case', CASES, ids=[case['id'] for case in CASES])
def test_a_picture_equals_that_of_facefusion(case, models, latent_of_facefusion, tmp_path):
    inputs, output = FOLDER / 'inputs', tmp_path / 'out.png'
    words = ['headless-run', '--processors', *case['processors'], '-t', inputs / case['target'], '-o', output]
    words += ['-s', *(inputs / source for source in case['sources'])] if case['sources'] else []
    words += case['options']
    for option, value in DEFAULTS.items():
        words += [] if option in case['options'] else [option, value]
    paths = ('--models-path', models)
    done = Program(tmp_path)(*words, *paths, *UNMARKED)
    assert done.code == 0, done.err
    difference = np.abs(cv2.imread(str(output), cv2.IMREAD_UNCHANGED)[..., :3].astype(int) - expected(case))
    tolerance = case['tolerance']
    assert difference.mean() <= tolerance['mean']
    assert (difference > tolerance['level']).mean() <= tolerance['share_above_level']
