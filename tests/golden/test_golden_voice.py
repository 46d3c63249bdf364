"""Tests that compare the separation of voices with that of FaceFusion 3.8, and, through its mel windows, their times.

See ``test_golden.py`` about the folder. The mel spectrogram itself differs deliberately: that of the vendor is used.
"""

from __future__ import annotations

import os
import wave
from pathlib import Path

import numpy as np
import pytest
from fakes.peer_voice import mel_bank, mel_spectrogram, mel_windows, prepared

from facefusion.inference.providers import create_session
from facefusion.voice.separation import Separator

FOLDER = Path(os.environ.get('GOLDEN_PICTURES', Path(__file__).resolve().parents[3] / 'shared' / 'golden'))
RECORDED = FOLDER / 'intermediates' / 'voice_and_tracker.npz'
MODELS = ('kim_vocal_1', 'kim_vocal_2')
pytestmark = [
    pytest.mark.golden,
    pytest.mark.skipif(not RECORDED.is_file(), reason=f'there are no golden results in {FOLDER}'),
]


@pytest.fixture(scope='module')
def golden():
    return np.load(RECORDED)


@pytest.fixture(scope='module')
def audio():
    with wave.open(str(FOLDER / 'inputs' / 'voice.wav')) as file:
        assert (file.getframerate(), file.getnchannels()) == (48000, 2)
        return (np.frombuffer(file.readframes(file.getnframes()), '<i2').reshape(-1, 2) / 32767).astype(np.float32)


def separated(model, samples, block):
    separator = Separator(create_session(FOLDER / 'models' / f'{model}.onnx', ('cpu',), 0))
    return np.concatenate(list(separator.separate(samples[at : at + block] for at in range(0, len(samples), block))))


@pytest.mark.parametrize('model', MODELS)
def test_the_voice_equals_that_of_facefusion(model, golden, audio):
    voice = separated(model, audio, 50_001)
    assert voice.shape == audio.shape
    expected = golden[f'voice_{model}_24000_28800']
    assert np.abs(expected).max() > 0.01
    np.testing.assert_allclose(voice[24000:28800], expected, atol=1e-6)


@pytest.mark.parametrize('model', MODELS)
def test_overlapping_chunks_equal_those_of_facefusion(model, golden, audio):
    long = np.tile(audio, (4, 1))[:330_000]
    voice = separated(model, long, 100_000)
    assert voice.shape == long.shape
    np.testing.assert_allclose(voice[::50], golden[f'voice_long_{model}_every50'], atol=1e-6)


@pytest.mark.parametrize('model', MODELS)
def test_the_mel_windows_of_facefusion_follow_from_the_voice(model, golden, audio):
    signal = prepared(separated(model, audio, len(audio)))
    np.testing.assert_allclose(signal[8000:9600], golden[f'prepared_{model}_8000_9600'], atol=1e-5)
    np.testing.assert_allclose(mel_bank(), golden['mel_bank'], atol=1e-6)
    spectrogram = mel_spectrogram(signal)
    np.testing.assert_allclose(spectrogram[:, ::3], golden[f'spectrogram_{model}'], atol=1e-6)
    windows = mel_windows(spectrogram, 25)
    assert len(windows) == golden[f'mel_{model}_fps25_count']
    np.testing.assert_allclose(windows[::4], golden[f'mel_{model}_fps25'], atol=1e-6)
