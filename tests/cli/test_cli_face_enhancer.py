"""Tests of the face enhancer in ``headless-run`` with the embedded upscaler."""

from __future__ import annotations

import json

import cv2
import numpy as np
import pytest
from fakes.program import UNMARKED

pytestmark = pytest.mark.network
MODEL = 'realesr_animevideov3'


@pytest.fixture(autouse=True)
def enhancer(store):
    store.fetch((MODEL,))


@pytest.fixture
def portrait(example_portrait, tmp_path):
    """The example portrait as a jpeg of low quality."""
    path = tmp_path / 'portrait.jpg'
    cv2.imwrite(str(path), cv2.imread(str(example_portrait)), [cv2.IMWRITE_JPEG_QUALITY, 60])
    return path


@pytest.fixture
def run(program, portrait, portrait_source, tmp_path):
    """Return a function that processes the portrait and returns the result and its pixels."""

    def call(*words):
        output = tmp_path / 'out.png'
        done = program.run(*UNMARKED, '-s', portrait_source, '-t', portrait, '-o', output, '--processors', *words)
        return done, cv2.imread(str(output)).astype(int)

    return call


def test_an_enhanced_face_is_closer_to_the_original(run, portrait, example_portrait):
    done, pixels = run('face_enhancer')
    assert (done.report['frames_changed'], done.report['models'][-1]) == (1, MODEL)
    original, before = (cv2.imread(str(path)).astype(int) for path in (example_portrait, portrait))
    face = (slice(60, 190), slice(165, 290))
    outside = np.ones(before.shape[:2], bool)
    outside[:300, 80:380] = False
    assert ((pixels - original)[face] ** 2).mean() < 0.98 * ((before - original)[face] ** 2).mean()
    assert (pixels == before)[outside].all()


@pytest.mark.parametrize('chain', [('face_swapper', 'face_enhancer'), ('face_enhancer', 'face_swapper')])
def test_the_enhancer_works_before_and_after_the_swapper(run, chain):
    _, swapped = run('face_swapper')
    done, pixels = run(*chain)
    assert done.report['frames_changed'] == 1
    difference = np.abs(pixels - swapped)[60:190, 165:290]
    assert 0.1 < difference.mean() < 4


def test_the_enhancer_may_occur_twice(run):
    once = run('face_enhancer')[1]
    twice = run('face_enhancer', 'face_enhancer')[1]
    assert 0 < np.abs(twice - once).mean() < 1


def test_with_a_blend_of_0_the_frame_stays_unchanged_and_a_message_says_so(run, portrait):
    done, pixels = run('face_enhancer', '--face-enhancer-blend', 0)
    assert done.report['frames_changed'] == 0 and 'no frame was changed' in done.err
    np.testing.assert_array_equal(pixels, cv2.imread(str(portrait)))


@pytest.mark.parametrize(('blend', 'is_stated'), [(80, True), (0, False)])
def test_the_credentials_state_an_enhancement_if_a_frame_changed(program, portrait, tmp_path, blend, is_stated):
    output = tmp_path / 'out.jpg'
    program.run('-t', portrait, '-o', output, '--processors', 'face_enhancer', '--face-enhancer-blend', blend)
    record = json.loads(program('verify', output, '--format', 'json').out)
    types = [each['source_type'] for each in record['credentials']['chain'][0]['actions']]
    assert ('algorithmicallyEnhanced' in types) == is_stated
