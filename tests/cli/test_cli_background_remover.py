"""Tests of the background remover in ``headless-run`` with the embedded networks."""

from __future__ import annotations

import json
from pathlib import Path

import av
import cv2
import numpy as np
import pytest
from fakes.program import UNMARKED
from fakes.tiny_clip import make_tiny_clip

pytestmark = pytest.mark.network
FAST = ('--processors', 'background_remover', '--background-remover-model', 'selfie_segmentation')
GREEN = ('--background-remover-fill-color', 0, 255, 0)


@pytest.fixture(autouse=True)
def remover(store):
    store.fetch(('modnet', 'selfie_segmentation', 'u2netp'))


@pytest.fixture
def image(tmp_path):
    """Return a function that writes an image of a size and returns its path."""

    def make(height, width, channels=3):
        path = tmp_path / f'{width}x{height}.png'
        cv2.imwrite(str(path), np.random.default_rng(1).integers(0, 256, (height, width, channels), np.uint8))
        return path

    return make


@pytest.mark.parametrize('model', ['auto', 'selfie_segmentation', 'u2netp'])
def test_a_portrait_keeps_its_pixels_and_gets_the_person_as_alpha(program, example_portrait, tmp_path, model):
    output = tmp_path / 'out.png'
    words = ('--processors', 'background_remover', '--background-remover-model', model)
    done = program.run(*UNMARKED, '-t', example_portrait, '-o', output, *words)
    written = cv2.imread(str(output), cv2.IMREAD_UNCHANGED)
    alpha = written[..., 3]
    is_kept = (alpha == 0) | (alpha == 255)
    np.testing.assert_array_equal(written[is_kept][:, :3], cv2.imread(str(example_portrait))[is_kept])
    assert alpha[60:180, 190:250].min() > 230 and alpha[:60, 100:130].max() < 25 and alpha[60:200, 380:].max() < 25
    assert done.report['frames_changed'] == 1
    # The classifiers of the content gate are needed for each output; models for faces are not.
    named = {'auto': 'modnet'}.get(model, model)
    assert named in done.report['models'] and not {'centerface', 'face_mesh'} & set(done.report['models'])


@pytest.mark.parametrize('suffix', ['webp', 'tiff'])
def test_other_formats_with_transparency_keep_the_alpha(program, example_portrait, tmp_path, suffix):
    output = tmp_path / f'out.{suffix}'
    program.run(*UNMARKED, '-t', example_portrait, '-o', output, *FAST)
    alpha = cv2.imread(str(output), cv2.IMREAD_UNCHANGED)[..., 3]
    assert alpha.min() < 10 and alpha.max() > 245


@pytest.mark.parametrize(('name', 'reference'), [('out.jpg', 'alpha-format'), ('out.mp4', 'alpha-container')])
@pytest.mark.parametrize('command', [('headless-run',), ('headless-run', '--dry-run')])
def test_an_output_without_transparency_needs_a_fill_color(
    program, example_portrait, face_clip, tmp_path, name, reference, command
):
    target, output = example_portrait if name.endswith('jpg') else face_clip, tmp_path / name
    done = program(*command, '-t', target, '-o', output, *FAST)
    assert done.code == 2 and reference in done.err and '--background-remover-fill-color' in done.err
    assert not output.exists()


def test_a_jpg_gets_the_fill_color(program, example_portrait, tmp_path):
    output = tmp_path / 'out.jpg'
    program.run(*UNMARKED, '-t', example_portrait, '-o', output, *FAST, *GREEN)
    blue, green, red = cv2.imread(str(output))[80, 400]
    assert green > 240 and max(blue, red) < 20


def test_each_frame_of_a_clip_gets_the_fill_color(program, face_clip, tmp_path):
    output = tmp_path / 'out.mp4'
    words = ('--trim-frame-end', 8, '--output-video-quality', 95)
    done = program.run(*UNMARKED, '-t', face_clip, '-o', output, *FAST, *GREEN, *words)
    assert done.report['frames_changed'] == 8
    with av.open(str(output)) as clip:
        frames = [frame.to_ndarray(format='rgb24').astype(int) for frame in clip.decode(video=0)]
    assert len(frames) == 8
    for frame in frames:
        greens = (frame[..., 1] > 200) & (frame[..., 0] < 60) & (frame[..., 2] < 60)
        assert 0.05 < greens.mean() < 0.95


def test_a_webm_gets_the_mattes_as_alpha(program, face_clip, tmp_path):
    output = tmp_path / 'out.webm'
    program.run(*UNMARKED, '-t', face_clip, '-o', output, *FAST, '--trim-frame-end', 4)
    with av.open(str(output)) as clip:
        decoder = av.CodecContext.create('libvpx-vp9', 'r')
        frames = [frame for packet in clip.demux(video=0) for frame in decoder.decode(packet)]
    alphas = [frame.to_ndarray(format='rgba')[..., 3] for frame in frames]
    assert len(alphas) == 4 and all(alpha.min() < 40 and alpha.max() > 215 for alpha in alphas)


@pytest.mark.parametrize('size', [(8, 8), (1, 1), (33, 101), (3000, 9)])
@pytest.mark.parametrize('model', ['modnet', 'selfie_segmentation', 'u2netp'])
def test_small_and_odd_images_work(program, image, tmp_path, size, model):
    output = tmp_path / 'out.png'
    words = ('--processors', 'background_remover', '--background-remover-model', model)
    program.run(*UNMARKED, '-t', image(*size), '-o', output, *words)
    assert cv2.imread(str(output), cv2.IMREAD_UNCHANGED).shape == (*size, 4)


def test_the_own_alpha_of_an_image_is_kept(program, image, tmp_path):
    output, target = tmp_path / 'out.png', image(60, 90, 4)
    program.run(*UNMARKED, '-t', target, '-o', output, *FAST)
    before, after = (cv2.imread(str(path), cv2.IMREAD_UNCHANGED) for path in (target, output))
    assert (after[..., 3] <= before[..., 3]).all()


def test_the_remover_works_before_and_after_a_face_processor(program, example_portrait, tmp_path):
    results = []
    for number, chain in enumerate((('background_remover', 'face_swapper'), ('face_swapper', 'background_remover'))):
        output = tmp_path / f'{number}.png'
        words = ('--processors', *chain, *FAST[2:], '--face-swapper-model', 'mesh_warp')
        program.run(*UNMARKED, '-s', example_portrait, '-t', example_portrait, '-o', output, *words)
        results.append(cv2.imread(str(output), cv2.IMREAD_UNCHANGED).astype(int))
    assert np.abs(results[0] - results[1]).mean() < 1 and results[0][..., 3].min() < 10


def test_a_run_beyond_the_memory_limit_is_refused_with_numbers(program, image, tmp_path):
    words = ('--processors', 'background_remover', '--system-memory-limit', '0.5')
    done = program('headless-run', '-t', image(64, 64), '-o', tmp_path / 'out.png', *words)
    assert done.code != 0 and 'memory-limit' in done.err and '500 MB' in done.err


def test_the_credentials_state_an_enhancement(program, example_portrait, tmp_path):
    output = tmp_path / 'out.png'
    program.run('-t', example_portrait, '-o', output, *FAST)
    record = json.loads(program('verify', output, '--format', 'json').out)
    types = [each['source_type'] for each in record['credentials']['chain'][0]['actions']]
    assert 'algorithmicallyEnhanced' in types


def test_a_chain_with_whole_frame_processors_is_one_pass(program, store, portrait_source, tmp_path, monkeypatch):
    """A chain of four processors opens the files of the target and the output that the remover alone opens."""
    store.fetch(('realesr_animevideov3', 'span_x2'))
    clip, opened, real = make_tiny_clip(tmp_path / 'clip.mp4', 4, (160, 96)), [], av.open

    def counting(file, mode='r', *arguments, **named):
        name = Path(file).name if isinstance(file, (str, Path)) else 'stream'
        # Names of work files contain the number of the process.
        opened.append((name.split('@')[0].split('.')[0], mode))
        return real(file, mode, *arguments, **named)

    def files_of(*chain):
        opened.clear()
        options = ('--frame-enhancer-model', 'span_x2', '--background-remover-model', 'selfie_segmentation', *GREEN)
        words = ('--processors', *chain, *options, '-s', portrait_source, '-t', clip, '--cache-size', 0)
        program.run(*UNMARKED, *words, '-o', tmp_path / f'{len(chain)}.mp4')
        return list(opened)

    monkeypatch.setattr(av, 'open', counting)
    alone = files_of('background_remover')
    assert files_of('face_swapper', 'face_enhancer', 'frame_enhancer', 'background_remover') == alone
    assert [name for name, mode in alone if mode == 'w' and name != 'stream'] == ['segment-00000', 'clip']
    assert not [path for path in tmp_path.rglob('*') if path.suffix in ('.png', '.bmp', '.jpg', '.tiff')]
